"""A clock beside any torch optimizer: it counts applied updates and writes each scheduled hyper for the next one.

between two updates:  group["lr"] = schedule(step) * group["lr_scale"]      after one that was applied:  step = step + 1
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tapered.attach.changing import lengthened, replaced
from tapered.attach.following import Bases, Plan
from tapered.attach.joining import Joining
from tapered.attach.layers import apart
from tapered.attach.loads import Loads
from tapered.attach.observing import observe
from tapered.optim.freezing import Freezing
from tapered.optim.freezing import Groups as Params
from tapered.optim.policies import Counted, Rates, Reload, report
from tapered.optim.showing import Shows
from tapered.schedules import Schedule
from tapered.schedules.changes import How

DETACHED = "this clock was detached; try clock = attach(optimizer, ...)"


@dataclass(frozen=True)
class Kept:
    """A clock as a copy of its optimizer takes it along."""

    plan: Plan
    step: int
    multiplier: str | None
    followed: tuple[dict[str, Schedule], ...]
    bases: list[Bases]
    joined: set[int]
    first_late: int | None
    used: tuple[float, ...] | None
    ready: int
    loads: Mapping[str, Any]
    freezing: Freezing


class Clock(Shows, Joining):
    """One counter of an optimizer's applied updates, and what follows it. Made by `attach`.

    `step` counts completed updates: update k uses `schedule(k)` in every group. Steps without any gradient, steps that
    a GradScaler skips, accumulation and evaluations of a closure do not move it.

    Between two steps `group["lr"]` is the rate that the next update will use, as under torch's schedulers, `last_lr`
    what the last one used, and `group["initial_lr"]` the base that the group was made with. `report` is the line about
    the latest resumption or change: rate before, rate now, and why; the logger "tapered" has it, too.

    Example:
        >>> import torch, tapered
        >>> from tapered.attach import attach
        >>> weight = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = torch.optim.SGD([weight], lr=0.1)
        >>> clock = attach(optimizer, lr=tapered.linear(0.1, 0.0, steps=4))
        >>> for _ in range(2):
        ...     weight.square().sum().backward()
        ...     optimizer.step()
        >>> clock.step, round(clock.last_lr[0], 3), optimizer.param_groups[0]["lr"]
        (2, 0.075, 0.05)
        >>> clock.replace(lr=0.01)
        >>> optimizer.param_groups[0]["lr"]
        0.01
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        plan: Plan,
        step: int | None,
        multiplier: str | None,
        kept: Kept | None = None,
    ) -> None:
        super().__init__(optimizer, plan, multiplier)
        self.report = ""
        self._freezing = Freezing()
        self._loads = Loads(self, step)
        if kept is None:
            self.step = self._loads.first()
            plan.check(self.groups)
            self._join()
            self.first_late = min(self.joined, default=len(self.bases))
            self._loads.begin()
            self._spared()
            self.write()
        else:
            self._goes_on(kept)
        self._handles = self._hooked()

    def _goes_on(self, kept: Kept) -> None:
        self.step, self.bases, self.first_late = kept.step, [dict(base) for base in kept.bases], kept.first_late
        self.joined, self._used = set(kept.joined), kept.used
        self._slots = [self._slot(i, *pair) for i, found in enumerate(kept.followed) for pair in found.items()]
        for slot in self._slots:
            slot.wrote(self.groups[slot.index], self.step)
        vars(self._loads).update(kept.loads)
        self._freezing = kept.freezing
        self.ready = kept.ready

    def kept(self) -> Kept:
        """What a copy of the optimizer takes along.

        Raises:
            TypeError: another schedule was written into a group.
        """
        self.look()
        loads = {name: value for name, value in vars(self._loads).items() if name != "clock"}
        own = self.plan, self.step, self.multiplier, self.followed, self.bases, self.joined, self.first_late
        return Kept(*own, self._used, self.ready, loads, self._freezing.copied())

    def _standing(self) -> tuple[Params, int]:
        return self.groups, self.step

    def _act(self, *args: Any, **kwargs: Any) -> None:
        if not self._handles:
            raise ValueError(DETACHED)
        self.look()
        super()._act(*args, **kwargs)

    def regroup(self) -> None:
        """Take in groups that were added, and freeze what is frozen of them.

        Raises:
            ValueError: groups were taken away.
        """
        known = self.followers
        super().regroup()
        if self.followers != known:
            self._thaw()

    def _told(self, line: str) -> None:
        self.report = line

    @property
    def schedules(self) -> tuple[dict[str, Schedule], ...]:
        """What each group follows, by the name of the hyper (betas are beta1, beta2)."""
        if self._handles:
            self.look()
        return self.followed

    @property
    def rates(self) -> tuple[float, ...]:
        """The rate of each group that the next update will use, as floats."""
        if self._handles:
            self.heal()
        return tuple(float(group["lr"]) for group in self.groups)

    def _followed(self) -> Sequence[Mapping[str, Schedule]]:
        return self.followed

    def replace(
        self,
        *,
        counted: Counted | None = None,
        groups: Mapping[Any, Mapping[str, Any]] | None = None,
        **hypers: Any,
    ) -> None:
        """Other schedules from here on; hypers that are not named go on as they are.

        Args:
            counted: "now": the new schedules' step 0 is this step; "start": it is the start of the run. A number needs
                neither.
            groups: as in `attach`.
            hypers: as in `attach`.

        Raises:
            TypeError, ValueError: as `attach`; nothing has changed then.

        Example:
            >>> import torch
            >>> from tapered.attach import attach
            >>> from tapered.schedules import linear
            >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
            >>> clock = attach(optimizer, lr=linear(0.1, 0.0, steps=10))
            >>> clock.replace(lr=0.01)
            >>> optimizer.param_groups[0]["lr"]
            0.01
        """
        plan = Plan(hypers, groups or {})
        with self.anew() as written:
            followed, bases = replaced(self, plan, Reload("replace", counted), written)
            given = {index for index, _ in self.known() if "lr" in plan.names(self.groups, index)}
            self.plan, self.joined = self.plan.and_then(plan), self.joined - given
            self.change(followed, bases, f"replaced, counted from {counted or 'any step'}")

    def extend(self, horizon: int, *, how: How) -> None:
        """A longer run: those schedules that end with it are left here and end at the new horizon.

        Args:
            horizon: the step at which the run now ends.
            how: "stretch" spreads what remains over the longer way; "hold" keeps the value at this step until the rest,
                at its own length, ends at the new horizon. Both are continuous here.

        Raises:
            ValueError: no schedule ends later than now, or the horizon is no later one.
        """
        with self.anew() as written:
            for slot, schedule in written:
                slot.ours(schedule)
            followed, end = lengthened(self, horizon, how)
            self.change(followed, self.bases, f"horizon {end} extended to {horizon} by {how}")

    def observe(self, value: Any) -> None:
        """Tell the loss, or whatever is watched, to the controllers that hypers follow; their rates hold from now on.

        Every call counts, as every `step(loss)` of torch's ReduceLROnPlateau does: call it once an evaluation. Values
        told while a controller's head lasts (a warmup) are passed over. Of several processes each has to be told the
        same value: the mean over all of them.

        Args:
            value: a number, or a tensor or numpy scalar that holds one; NaN is no improvement.

        Raises:
            TypeError, ValueError: no real number, nothing here that follows one, or a rate that somebody else wrote;
                nothing has changed then.

        Example:
            >>> import torch
            >>> from tapered.attach import attach
            >>> from tapered.schedules import plateau
            >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
            >>> clock = attach(optimizer, lr=plateau(0.1, factor=0.5, patience=0))
            >>> clock.observe(1.0), clock.observe(1.0)
            (None, None)
            >>> optimizer.param_groups[0]["lr"], clock.report
            (0.05, 'step 0: lr 0.1 -> 0.05 (group 0): plateau was told 1')
        """
        observe(self, value)

    def state_dict(self) -> dict[str, Any]:
        """The step, and for each group its schedules as text and its base values: plain values only."""
        self.look()
        return {"format": 1, "step": self.step, "groups": [self._loads.carried(i) for i, _ in self.known()]}

    def load_state_dict(self, state: Mapping[str, Any], **reload: Any) -> None:
        """Go on from a saved step; load the optimizer's state, too, before or after.

        Args:
            state: what `state_dict()` returned.
            reload: `policy` "resume" (the same schedules, or a refusal), "saved", "replace" (with `counted`) or
                "extend" (with `how`); see `tapered.optim.policies`.

        Raises:
            TypeError, ValueError: what does not fit or differs; nothing has changed then.
        """
        self._loads.load(state, Reload(**reload))

    def refuse(self, error: object) -> None:
        """Make no update before a state is loaded that fits."""
        self._loads.refuse(error)

    def detach(self) -> None:
        """Let the optimizer go: base values stand in its groups again, and nothing follows this clock any more."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        for name in ("first_step", "second_step"):
            apart(self.optimizer, name)
        for slot in self._slots:
            slot.write(self.groups[slot.index], self.bases[slot.index][slot.name])
        for index, base in enumerate(self.bases):
            if "lr" in base:
                self.groups[index].pop("initial_lr", None)
        self.optimizer.__dict__.pop("__reduce_ex__", None)

    def change(
        self,
        followed: list[dict[str, Schedule]],
        bases: list[Bases],
        why: str,
        step: int | None = None,
        before: Rates | None = None,
    ) -> None:
        """Follow other schedules from the next step on; checked first, then all or nothing."""
        if not self._handles:
            raise ValueError(DETACHED)
        step = self.step if step is None else step
        every = ((i, *pair) for i, found in enumerate(followed) for pair in found.items())
        slots = [self._slot(i, name, schedule) for i, name, schedule in every]
        for slot in slots:
            slot.at(step)
        self._loads.resumed(why, self.in_force(step) if before is None else before)
        self._used = self._last(len(self.bases)) if step == self.step and step else None
        self._slots, self.bases, self.step = slots, bases, step
        self.write()

    def in_force(self, step: int) -> Rates:
        """The values of the update before `step` by the schedules of now; the bases before the first one."""
        return {(s.index, s.name): s.at(step - 1) if step else self.bases[s.index][s.name] for s in self._slots}

    def write(self) -> None:
        """Put the values of the next update in force; all are checked first."""
        values = [slot.at(self.step) for slot in self._slots]
        for slot, value in zip(self._slots, values, strict=True):
            slot.write(self.groups[slot.index], value)
        for index, _ in self.known():
            self._show_base(index)
        self._thaw()

    def say(self, before: Rates, why: str) -> None:
        """Keep and log the line on the first step after a change."""
        self.report = report(self.step, before, {(s.index, s.name): s.at(self.step) for s in self._slots}, why)

    def known(self) -> list[tuple[int, dict[str, Any]]]:
        """The groups that are followed, with their numbers."""
        return list(enumerate(self.groups[: len(self.bases)]))
