"""What an optimizer is saved as, how it goes on from that, and how its schedules are changed on the way."""

import contextlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from tapered.optim.changes import lengthened, replaced, used
from tapered.optim.freezing import KEY, Act, Freezing, Groups
from tapered.optim.freezing import read as acts_of
from tapered.optim.hypers import NAMES, Live, first, followed, items, names, number
from tapered.optim.late import read
from tapered.optim.loading import resumed
from tapered.optim.multipliers import factor
from tapered.optim.policies import Counted, Policy, Reload
from tapered.optim.running import Running
from tapered.optim.showing import Shows
from tapered.rules import Rule
from tapered.rules.ranges import RANGES, Range
from tapered.schedules import Schedule
from tapered.schedules.changes import How

REFUSED = (
    "the state that was to be loaded was refused ({0}), and going on without it would be another run; load one that "
    "fits, or, to go on with what this optimizer holds, optimizer.load_state_dict(optimizer.state_dict())"
)


class Resumable(Shows, torch.optim.Optimizer):
    """Groups whose hypers are numbers, with the schedules that they follow beside them, and a counter."""

    hyper_keys: ClassVar[tuple[str, ...]]
    ranges: ClassVar[Mapping[str, Range]] = RANGES
    fixed: ClassVar[Mapping[str, bool]] = {}  # options that are the class's, whatever a state says
    _running: Running

    __repr__ = torch.optim.Optimizer.__repr__  # people print their optimizer as torch does; a notebook shows more

    def rule(self, group: Mapping[str, Any]) -> Rule:
        """The rule that a parameter group's options ask for."""
        raise NotImplementedError

    @property
    def steps(self) -> int:
        """Completed updates."""
        return cast("int", self.param_groups[0]["step"])

    @property
    def schedules(self) -> tuple[dict[str, Schedule], ...]:
        """What each group follows, by the name of the hyper (betas are beta1, beta2)."""
        return tuple(dict(self._resolved(index)) for index in range(len(self.param_groups)))

    @property
    def report(self) -> str:
        """The line about the latest resumption or change: rate before, rate now, and why."""
        return self._running.report

    @property
    def last_lr(self) -> tuple[float, ...]:
        """The rate of the last update, one a group; before the first one, the rate that it will use."""
        if self._running.used is not None and len(self._running.used) == len(self.param_groups):
            return self._running.used
        before, found = max(self.steps - 1, 0), []
        for index, group in enumerate(self.param_groups):
            shown = group["lr"](self.steps) if isinstance(group["lr"], Schedule) else group["lr"]
            schedule = self._resolved(index).get("lr")
            times = factor(group, group["multiplier"], index)
            found.append(float(shown) if schedule is None else schedule(before) * times)
        return tuple(found)

    @property
    def _freezing(self) -> Freezing:  # type: ignore[override]  # read only
        return self._running.freezing

    def _standing(self) -> tuple[Groups, int]:
        return self.param_groups, self.steps

    def _followed(self) -> list[dict[str, Schedule]]:
        return [self._resolved(index) for index in range(len(self.param_groups))]

    def _told(self, line: str) -> None:
        self._running.report = line

    def heal(self, but: Collection[tuple[int, str]] = ()) -> None:
        """Put numbers where a schedule was written into a group: fastai writes the one in force before each fit.

        Args:
            but: groups and keys that are about to be given anew, where any schedule may stand.

        Raises:
            TypeError: another one than that in force.
        """
        for index, group in enumerate(self.param_groups):
            for key in self.hyper_keys:
                parts = group[key] if isinstance(group[key], (tuple, list)) else (group[key],)
                if any(isinstance(part, Schedule) for part in parts):
                    anew = (index, key) in but
                    found = tuple(
                        self._number(index, name, part, anew=anew) if isinstance(part, Schedule) else part
                        for name, part in zip(names(key), items(key, group[key], index), strict=True)
                    )
                    group[key] = found if key in NAMES else found[0]

    def _number(self, index: int, name: str, written: Schedule, *, anew: bool) -> float:
        own, group = self._resolved(index).get(name), self.param_groups[index]
        if written != own and not anew:
            number(name, written, index, self.ranges[name])  # which says what to do instead
        times = factor(group, group["multiplier"], index) if name == "lr" and own is not None else 1.0
        return (written if own is None else own)(self.steps) * times

    @contextlib.contextmanager
    def _or_as_it_was(self) -> Iterator[None]:
        """Where the block refuses, the groups stand as others wrote them, and follow what they did."""
        groups, running = [dict(group) for group in self.param_groups], self._running.copied()
        try:
            yield
        except Exception:
            for group, before in zip(self.param_groups, groups, strict=False):
                group.clear()
                group.update(before)
            vars(self._running).update(vars(running))
            raise

    def _resolved(self, index: int) -> dict[str, Schedule]:
        """The schedules whose texts stand in a group; others may have put groups in that they saved (Lightning does).

        Raises:
            ValueError: a text that cannot be read back.
        """
        texts = self.param_groups[index].get("schedules", {})
        while len(self._running.follows) <= index:
            self._running.follows.append({})
        own = self._running.follows[index]
        if own.keys() != texts.keys() or any(str(own[name]) != text for name, text in texts.items()):
            own = self._running.follows[index] = {name: self.known(text) for name, text in texts.items()}
        return own

    def known(self, text: str) -> Schedule:
        """The schedule that a text stands for; a user's function is known where a group follows it.

        Raises:
            ValueError: a text that cannot be read back.
        """
        return read(text, (schedule for found in self._running.follows for schedule in found.values()))

    def split(self, group: dict[str, Any], follows: dict[str, Schedule], key: str, index: int) -> None:
        """Take a group key apart into the numbers in force, kept under the key, and schedules, put into `follows`."""
        given = followed(key, group[key], index)
        values: list[float | Tensor] = []
        for name, item in zip(names(key), given, strict=True):
            if isinstance(item, Schedule):
                follows[name] = item
                times = factor(group, group["multiplier"], index) if name == "lr" else 1.0
                values.append(Live(item).now(name, group["step"], index, self.ranges[name], times))
            else:
                value = number(name, item, index, self.ranges[name])
                values.append(item if isinstance(item, Tensor) else value)  # the caller may go on to fill it
        group[key] = values[0] if len(given) == 1 else tuple(values)

    def state_dict(self) -> dict[str, Any]:
        """As torch's, of tensors and plain values only; `schedules` are text, `step` is the counter.

        torch's optimizer of the same name loads it.

        Raises:
            RuntimeError: within `readout()`, where the parameters are not the weights that are trained.
        """
        self._outside_readout("state_dict")
        self.heal()
        state = super().state_dict()
        acts = self._freezing.saved
        groups = [{**group, KEY: acts} for group in state["param_groups"]] if acts else state["param_groups"]
        return {**state, "param_groups": groups}

    def load_state_dict(
        self,
        state_dict: Mapping[str, Any],
        *,
        policy: Policy = "resume",
        counted: Counted | None = None,
        how: How | None = None,
    ) -> None:
        """Go on from a state of this optimizer, or of torch's of the same name. Tensors are copied.

        A hyper that is a plain number is taken from the state, as torch does. What does not fit is refused, and so is
        the next step, for a framework that goes on after a refusal would train another run.

        Args:
            state_dict: what `state_dict()` of either returned.
            policy: what holds where the saved schedules differ from this optimizer's. "resume" refuses; "saved";
                "replace": this optimizer's, numbers too; "extend": the saved ones up to this one's horizon. A saved
                torch state has no schedules: this optimizer's then hold.
            counted: for "replace": step 0 of this optimizer's schedules is "now", or the "start" of the run.
            how: for "extend": "stretch" what remains, or "hold" the value at this step until the rest fits.

        Raises:
            ValueError: what differs, in which group and parameter; nothing has changed then.
            RuntimeError: within `readout()`.
        """
        self._outside_readout("load_state_dict")
        reload = Reload(policy, counted, how)
        try:
            full, state_dict = bool(state_dict.get("state")), dict(state_dict)
            for hook in self._optimizer_load_state_dict_pre_hooks.values():
                found = hook(self, state_dict)
                state_dict = state_dict if found is None else found
            # a hook may drop the state on purpose; a state without any is a lost one
            dropped = full and not state_dict.get("state")
            with self._or_as_it_was():
                self.heal({(index, key) for index in range(len(self.param_groups)) for key in self.hyper_keys})
                groups, follows, state = resumed(self, state_dict, reload, dropped=dropped)
                acts = self._loaded_acts(state_dict["param_groups"], groups[0]["step"], policy)
        except Exception as error:
            self.refuse(error)
            raise
        saved = state_dict["param_groups"]
        before = used(self, saved, groups[0]["step"])
        self._running.follows = follows
        self._freezing.take(acts)
        self.__setstate__({"param_groups": groups, "state": defaultdict(dict, state)})
        self._running.wrote(enumerate(groups))
        self._running.refused, self._running.used = "", None
        # accelerate loads a new optimizer's own state into it
        self._running.change = (f"resumed, policy {policy}", before) if self.steps else None
        for after in self._optimizer_load_state_dict_post_hooks.values():
            after(self)

    def _loaded_acts(self, saved: list[Mapping[str, Any]], step: int, policy: Policy) -> tuple[Act, ...]:
        """What is frozen and unfrozen after a load."""
        found = saved[0].get(KEY)
        return acts_of(found) if policy == "saved" else self._freezing.merged(found, step)

    def refuse(self, error: object) -> None:
        """Make no update before a state is loaded that fits."""
        self._running.refused = REFUSED.format(error)

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
        given = [{**hypers, **(groups or {}).get(index, {})} for index in range(len(self.param_groups))]
        with self._or_as_it_was():
            self.heal({(index, key) for index, asked in enumerate(given) for key in asked})
            found = replaced(self, counted, groups or {}, hypers)
            before = used(self, self.param_groups, self.steps)
        self._running.change = f"replaced, counted from {counted or 'any step'}", before
        self._running.used = self.last_lr if self.steps else None
        for group, (new, _) in zip(self.param_groups, found, strict=True):
            if "joined" not in new:
                group.pop("joined", None)
            group.update(new)
        self._running.follows = [follows for _, follows in found]
        self._running.given |= hypers
        self.defaults.update({key: first(key, given) for key, given in hypers.items()})
        self._running.refused = ""
        self._running.wrote((i, g) for i, g in enumerate(self.param_groups) if "lr" in given[i])
        self._running.prepared.clear()

    def extend(self, horizon: int, *, how: How) -> None:
        """A longer run: the schedules that end with it are left here and end at the new horizon.

        Args:
            horizon: the step at which the run now ends.
            how: "stretch" spreads what remains over the longer way; "hold" keeps the value at this step until the rest,
                at its own length, ends at the new horizon. Both are continuous here.

        Raises:
            ValueError: nothing here ends later than now, or the horizon is no later one.
        """
        with self._or_as_it_was():
            self.heal()
            found = lengthened(self, horizon, how)
            before = used(self, self.param_groups, self.steps)
        self._running.change = f"extended to {horizon} by {how}", before
        self._running.used = self.last_lr if self.steps else None
        self._running.follows = found
        for group, follows in zip(self.param_groups, found, strict=True):
            group["schedules"] = {name: str(schedule) for name, schedule in follows.items()}
        self._running.prepared.clear()

    def _outside_readout(self, call: str) -> None:
        if self._running.evaluates:
            raise RuntimeError(
                f"{call} within readout(), where the parameters hold weights to evaluate, not those that are trained; "
                "leave the block before"
            )

    def __getstate__(self) -> dict[str, Any]:
        self._outside_readout("a copy or a pickle")
        self.heal()
        return {**super().__getstate__(), "_running": self._running.copied()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._running.prepared.clear()
        self._thaw()
