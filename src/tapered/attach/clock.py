"""A clock beside any torch optimizer: it counts applied updates and writes each scheduled hyper for the next one.

between two updates:  group["lr"] = schedule(step) * group["lr_scale"]      after one that was applied:  step = step + 1
"""

import contextlib
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from tapered.attach.changing import lengthened, replaced
from tapered.attach.following import (
    Bases,
    Plan,
    as_another,
    check_bases,
    check_tensors,
    late_with_a_rate,
    of_base,
)
from tapered.attach.layers import HOOKS, apart, around, has, maker
from tapered.attach.loads import Loads
from tapered.attach.saved import KEY
from tapered.attach.slots import Slot
from tapered.attach.updates import Groups, alone, moves, skipped, untraced
from tapered.optim.late import reanchored
from tapered.optim.multipliers import factor, warn_of_others
from tapered.optim.parameters import only_initialises, uncounted
from tapered.optim.policies import Counted, Rates, Reload, report
from tapered.schedules import Schedule
from tapered.schedules.changes import How
from tapered.schedules.operators import scaled


class Clock:
    """One counter of an optimizer's applied updates, and what follows it. Made by `attach`.

    `step` counts completed updates: update k uses `schedule(k)` in every group. Steps without any gradient, steps that
    a GradScaler skips, accumulation and evaluations of a closure do not move it.

    Between two steps `group["lr"]` is the rate that the next update will use, as under torch's schedulers, `last_lr`
    what the last one used, and `group["initial_lr"]` the base that the group was made with. `report` is the line about
    the latest resumption or change: rate before, rate now, and why; the logger "tapered" has it, too.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        plan: Plan,
        step: int | None,
        multiplier: str | None,
        *,
        joined: Iterable[int] = (),
    ) -> None:
        self.optimizer, self.maker, self.holder = optimizer, maker(optimizer), optimizer
        self.multiplier = multiplier
        self.report = ""
        self.bases: list[Bases] = []
        self.plan = plan
        self._slots: list[Slot] = []
        self.joined = set(joined)  # groups that came late with a rate of their own
        self.first_late: int | None = None  # groups from here on came after `attach`
        self._applied = self._initialises = self._within = False
        self._used: tuple[float, ...] | None = None
        self.ready = -1  # the step whose update may be made without a look at what was loaded; below 0 none
        self._loads = Loads(self, step)
        self.step = self._loads.first()
        plan.check(self.groups)
        self._join()
        self.first_late = len(self.bases)
        self._loads.begin()
        self._handles: list[Any] = []
        self.write()
        self._handles = self._hooked()

    def _hooked(self) -> list[Any]:
        """Where the updates are made, they are counted; an optimizer around that one may read the rate after it."""
        outer, inner = self.optimizer, self.maker
        handles = [inner.register_step_pre_hook(self._before), inner.register_step_post_hook(self._after)]
        for optimizer in {id(o): o for o in (outer, inner) if has(o, *HOOKS[2:])}.values():
            handles += self._loads.hooks(optimizer)
        if outer is not inner:
            handles += [outer.register_step_pre_hook(self._enter), outer.register_step_post_hook(self._leave)]
            if hasattr(outer, "second_step"):
                around(outer, "second_step", self._enter, self._leave)
        elif hasattr(outer, "first_step"):  # steps of its own, which no hook sees
            handles += [outer.register_step_pre_hook(self._enter), outer.register_step_post_hook(self._leave)]
            around(outer, "first_step", self._by_step, lambda: None)
        return handles

    @property
    def groups(self) -> Groups:
        """The optimizer's own."""
        return self.holder.param_groups

    @property
    def schedules(self) -> tuple[dict[str, Schedule], ...]:
        """What each group follows, by the name of the hyper (betas are beta1, beta2)."""
        if self._handles:
            self.regroup()
        return self.followed

    @property
    def followed(self) -> tuple[dict[str, Schedule], ...]:
        """The same for the groups that are known."""
        found: tuple[dict[str, Schedule], ...] = tuple({} for _ in self.bases)
        for slot in self._slots:
            found[slot.index][slot.name] = slot.live.schedule
        return found

    @property
    def rates(self) -> tuple[float, ...]:
        """The rate of each group that the next update will use, as floats."""
        return tuple(float(group["lr"]) for group in self.groups)

    @property
    def last_lr(self) -> tuple[float, ...]:
        """The rate of the last update, one a group; before the first one, the rate that it will use."""
        if self._used is not None and len(self._used) == len(self.groups):
            return self._used
        before = {(s.index, s.name): s.at(max(self.step - 1, 0)) for s in self._slots}
        return tuple(before.get((i, "lr"), float(group["lr"])) for i, group in enumerate(self.groups))

    def __repr__(self) -> str:
        kinds = "; ".join(f"group {i}: {found}" for i, found in enumerate(self.followed))
        return f"Clock(step={self.step}, {kinds})"

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
        followed, bases = replaced(self, plan, Reload("replace", counted))
        self.plan = self.plan.and_then(plan)
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
        followed, end = lengthened(self, horizon, how)
        self.change(followed, self.bases, f"horizon {end} extended to {horizon} by {how}")

    def state_dict(self) -> dict[str, Any]:
        """The step, and for each group its schedules as text and its base values: plain values only."""
        self.regroup()
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
            raise ValueError("this clock was detached; try clock = attach(optimizer, ...)")
        step = self.step if step is None else step
        every = ((i, *pair) for i, found in enumerate(followed) for pair in found.items())
        slots = [self._slot(i, name, schedule) for i, name, schedule in every]
        for slot in slots:
            slot.at(step)
        self._loads.resumed(why, self.in_force(step) if before is None else before)
        self._used = self.last_lr if step == self.step and step else None
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

    def _show_base(self, index: int) -> None:
        if "lr" in self.bases[index]:
            self.groups[index]["initial_lr"] = self.bases[index]["lr"]

    def say(self, before: Rates, why: str) -> None:
        """Keep and log the line on the first step after a change."""
        self.report = report(self.step, before, {(s.index, s.name): s.at(self.step) for s in self._slots}, why)

    def known(self) -> list[tuple[int, dict[str, Any]]]:
        """The groups that are followed, with their numbers."""
        return list(enumerate(self.groups[: len(self.bases)]))

    def _slot(self, index: int, name: str, schedule: Schedule) -> Slot:
        return Slot(index, name, self.groups[index], schedule, self.multiplier, joined=index in self.joined)

    def _join(self) -> None:
        """Take groups in that are not followed yet; checked first."""
        groups, plan, known = self.groups, self.plan, len(self.bases)
        late = range(known, len(groups))
        bases = [*self.bases, *(self._loads.base(groups[i], plan.names(groups, i)) for i in late)]
        joined = set[int]() if self.first_late is None else set(late_with_a_rate(groups, plan, bases, known))
        check_bases(plan, groups, bases, self.joined | joined)
        before, self.joined = self.joined, self.joined | joined
        try:
            slots = [self._slot(i, name, s) for i in late for name, s in self._joining(i, bases).items()]
            for slot in slots:
                slot.at(self.step)
            check_tensors([*self._slots, *slots], groups)
        except ValueError:
            self.joined = before
            raise
        scheduled = {slot.index: groups[slot.index] for slot in slots if slot.name == "lr"}
        warn_of_others(scheduled, self.multiplier, self.maker.defaults)
        self.bases = bases
        self._slots += slots
        for slot in slots:
            slot.write(groups[slot.index], slot.at(self.step))
        for i in late:
            self._show_base(i)

    def _joining(self, late: int, bases: list[Bases]) -> dict[str, Schedule]:
        """What a group follows from now on: as the groups before it do, whose schedules may have been changed.

        One that came with a rate r at step k follows theirs in proportion, r * schedule(j) / schedule(k).
        """
        groups, shared = self.groups, self.plan.shared(self.groups, late)
        found = self.plan.schedules(groups, late, bases[late])
        for name in shared:
            for index, followed in enumerate(self.followed):
                if name in followed and name in self.plan.shared(groups, index):
                    found[name] = as_another(followed[name], bases[index][name], bases[late][name], shared[name])
                    break
        if late in self.joined and self.step == 0:
            del found["lr"]  # a load may say what it follows; if none does, the first step refuses
        elif late in self.joined:
            times = factor(groups[late], self.multiplier, late) or 1.0
            found["lr"] = reanchored(found["lr"], float(groups[late]["lr"]), self.step, late, times)
            if isinstance(shared.get("lr"), of_base) and isinstance(found["lr"], scaled):
                bases[late]["lr"] = found["lr"].factor
        return found

    def takes(self, index: int, saved: Mapping[str, Any]) -> bool:
        """A group came late, without a schedule of its own: what it followed when it was saved holds."""
        late = self.first_late is not None and index >= self.first_late and bool(saved.get("schedules"))
        return late and "lr" not in self.plan.own(self.groups, index)

    def rejoin(self, index: int, schedules: Mapping[str, Schedule]) -> None:
        """A late group goes on with what it followed when it was saved."""
        self.joined.add(index)
        kept = [slot for slot in self._slots if slot.index != index]
        self._slots = [*kept, *(self._slot(index, name, schedule) for name, schedule in schedules.items())]

    def forget(self) -> None:
        """What was used before a load is not known any more."""
        self._used = None

    def unfollowed(self) -> None:
        """Every group follows what was asked for.

        Raises:
            ValueError: one was added with a rate of its own before the first update.
        """
        followed = {slot.index for slot in self._slots if slot.name == "lr"}
        check_bases(self.plan, self.groups, self.bases, self.joined & followed)

    @untraced
    def _before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        """Whether nobody else has written what the coming update uses.

        An ordinary step (plain rates that nobody touched, checked ahead) calls nothing: after an update of a large
        model this code is in no cache, and each line of it costs.
        """
        own, step = optimizer.__dict__, self.step
        groups = own["param_groups"]
        params = groups[0]["params"]
        if (
            len(args) != 1  # args[0] is the optimizer
            or kwargs
            or "found_inf" in own
            or "step" in own
            or len(groups) != len(self.bases)
            or not params
            or params[0].grad is None
            or self.ready != step
        ):
            return self._carefully(optimizer, args, kwargs)  # type: ignore[no-any-return]  # torch's decorator
        for slot in self._slots:
            group = groups[slot.index]
            shown = group[slot.key] is slot.shown
            if not shown or step not in slot.ahead or group.get(slot.multiplier) is not slot.times:
                return self._carefully(optimizer, args, kwargs)  # type: ignore[no-any-return]  # as above
        self._applied = True
        return None

    @torch._dynamo.disable  # type: ignore[untyped-decorator]  # noqa: SLF001  # torch.compile would trace into it
    def _carefully(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        """The same for any step; everything is checked before anything is written."""
        self._applied = self._initialises = False
        groups = optimizer.param_groups
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is None and (skipped(optimizer) or not moves(groups)):
            return None
        if closure is None and not optimizer.state and only_initialises(optimizer):
            self._initialises = True
            return None
        if "step" in optimizer.__dict__:
            alone(optimizer)
        if len(groups) != len(self.bases):
            self.regroup()
        if KEY in groups[0]:
            self._loads.unseen()
        if self.ready != self.step:
            self._loads.settle()
        step, slots = self.step, self._slots
        values = [slot.coming(groups[slot.index], step) for slot in slots]
        for slot, value in zip(slots, values, strict=True):
            slot.write(groups[slot.index], value)
        for slot in slots:
            slot.look_ahead()
        if closure is None:
            self._applied = True
            return None
        watched = self._watched(closure)
        return ((args[0], watched, *args[2:]), kwargs) if len(args) > 1 else (args, {**kwargs, "closure": watched})

    @untraced
    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ARG002  # torch's call
        """Count the update, if there was one, and write the next one's values.

        Once, also where a class calls its parent's `step`.
        """
        if not self._applied:
            if self._initialises:
                self._uncount(optimizer)
            return
        self._applied, self._used = False, None
        self.ready = self.step = step = self.step + 1
        groups = optimizer.param_groups
        if self._within or len(groups) != len(self.bases):
            return
        for slot in self._slots:
            value = slot.ahead.get(step)
            if value is None:
                self._show_next()
                return
            groups[slot.index][slot.key] = slot.shown = value

    @torch._dynamo.disable  # type: ignore[untyped-decorator]  # noqa: SLF001  # as above
    def _show_next(self) -> None:
        """Write the next update's values, where there are any: that update will say what is wrong with them."""
        for slot in self._slots:
            group = self.groups[slot.index]
            with contextlib.suppress(Exception):  # a user's function may end; the update that was made stands
                slot.write(group, slot.at(self.step))
                slot.look_ahead()

    def _enter(self, *_: Any) -> None:
        """An optimizer around the one that makes the updates reads the rate until it is left."""
        self._within = True

    def _leave(self, *_: Any) -> None:
        self._within = False
        self._show_next()

    def _by_step(self) -> None:
        if not self._within:
            kind = type(self.optimizer).__name__
            raise ValueError(
                f"{kind} makes an update by first_step and the steps after it, which no hook sees, so the rate would "
                f"stand still; drive it by optimizer.step(closure), or clock.detach() and write group['lr'] yourself"
            )

    @torch._dynamo.disable  # type: ignore[untyped-decorator]  # noqa: SLF001  # as above
    def _uncount(self, optimizer: torch.optim.Optimizer) -> None:
        self._initialises = False
        uncounted(optimizer)

    def _watched(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        """The closure; after it ran there are gradients, or there are none."""

        @functools.wraps(closure)
        def watched() -> Any:
            loss = closure()
            self._applied = moves(self.groups)
            return loss

        return watched

    def regroup(self) -> None:
        """Take in groups that were added."""
        if len(self.groups) == len(self.bases):
            return
        if len(self.groups) < len(self.bases):
            raise ValueError(
                f"got {len(self.groups)} groups at step {self.step}, of {len(self.bases)} that the clock wrote before; "
                "groups that are taken away leave schedules without a group; try clock.detach() first, then attach"
            )
        self._join()
