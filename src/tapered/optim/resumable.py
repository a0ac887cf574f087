"""What an optimizer is saved as, how it goes on from that, and how its schedules are changed on the way."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from tapered.optim.changes import lengthened, replaced, shown
from tapered.optim.hypers import RANGES, Live, Range, items, names, number
from tapered.optim.loading import as_text, resumed
from tapered.optim.policies import Counted, Policy, Rates, Reload
from tapered.rules import Rule
from tapered.schedules import Schedule
from tapered.schedules.changes import How


class Resumable(torch.optim.Optimizer):
    """Groups whose hypers are numbers, with the schedules that they follow beside them, and a counter."""

    hyper_keys: ClassVar[tuple[str, ...]]
    ranges: ClassVar[Mapping[str, Range]] = RANGES
    report = ""
    _change: tuple[str, Rates] | None = None  # why the next step reports, and the rates before

    def _forget(self) -> None:
        """Groups, schedules or tensors are others now."""

    def rule(self, group: Mapping[str, Any]) -> Rule:
        """The rule that a parameter group's options ask for."""
        raise NotImplementedError

    @property
    def steps(self) -> int:
        """Completed updates."""
        return cast("int", self.param_groups[0]["step"])

    def split(self, group: dict[str, Any], key: str, index: int) -> None:
        """Take a group key apart into the numbers in force, kept under the key, and schedules, kept beside."""
        given = items(key, group[key], index)
        values: list[float | Tensor] = []
        for name, item in zip(names(key), given, strict=True):
            if isinstance(item, Schedule):
                group["schedules"][name] = item
                values.append(Live(item).now(name, group["step"], index, self.ranges[name]))
            else:
                value = number(name, item, index, self.ranges[name])
                # a tensor is copied: groups that share one would corrupt each other's rate
                values.append(item.detach().clone() if isinstance(item, Tensor) else value)
        group[key] = values[0] if len(given) == 1 else tuple(values)

    def state_dict(self) -> dict[str, Any]:
        """As torch's, of tensors and plain values only; `schedules` are text, `step` is the counter.

        torch's optimizer of the same name loads it.
        """
        return as_text(super().state_dict())

    def load_state_dict(
        self,
        state_dict: Mapping[str, Any],
        *,
        policy: Policy = "resume",
        counted: Counted | None = None,
        how: How | None = None,
    ) -> None:
        """Go on from a state of this optimizer, or of torch's of the same name. Tensors are copied.

        Args:
            state_dict: what `state_dict()` of either returned.
            policy: what holds where the saved hypers or schedules differ from this optimizer's. "resume" refuses;
                "saved"; "replace": this optimizer's; "extend": the saved ones up to this one's horizon. A saved torch
                state has no schedules: this optimizer's then hold.
            counted: for "replace": step 0 of this optimizer's schedules is "now", or the "start" of the run.
            how: for "extend": "stretch" what remains, or "hold" the value at this step until the rest fits.

        Raises:
            ValueError: what differs, in which group and parameter; nothing has changed then.
        """
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            state_dict = hook(self, dict(state_dict)) or state_dict
        groups, state = resumed(self, state_dict, Reload(policy, counted, how))
        self.__setstate__({"param_groups": groups, "state": state})
        # accelerate loads a new optimizer's own state into it
        self._change = (f"resumed, policy {policy}", shown(self, state_dict["param_groups"])) if self.steps else None
        for after in self._optimizer_load_state_dict_post_hooks.values():
            after(self)

    def replace(
        self, *, counted: Counted | None = None, groups: Mapping[int, Mapping[str, Any]] | None = None, **hypers: Any
    ) -> None:
        """Other numbers or schedules from here on, for every group or by its index; the state is kept.

        Args:
            counted: step 0 of a new schedule is "now", or the "start" of the run.
            groups: `{index: {"lr": ...}}`, before those for every group.
            hypers: `lr=...`, `betas=(..., ...)`, as in the constructor.

        Raises:
            TypeError, ValueError: as the constructor; nothing has changed then.
        """
        found = replaced(self, counted, groups or {}, hypers)
        self._change = f"replaced, counted from {counted or 'any step'}", shown(self, self.param_groups)
        for group, new in zip(self.param_groups, found, strict=True):
            group.update(new)
        self._forget()

    def extend(self, horizon: int, *, how: How) -> None:
        """A longer run: the schedules that end with it are left here and end at the new horizon.

        Args:
            horizon: the step at which the run now ends.
            how: "stretch" spreads what remains over the longer way; "hold" keeps the value at this step until the rest,
                at its own length, ends at the new horizon. Both are continuous.

        Raises:
            ValueError: nothing here ends later than now, or the horizon is no later one.
        """
        found = lengthened(self, horizon, how)
        self._change = f"extended to {horizon} by {how}", shown(self, self.param_groups)
        for group, schedules in zip(self.param_groups, found, strict=True):
            group["schedules"] = schedules
        self._forget()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._forget()
