"""A clock beside any torch optimizer: it counts applied updates and writes each scheduled hyper before its update.

before update k:  group["lr"] = schedule(k)        after it, if it was applied:  step = k + 1
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch

from tapered.attach.changing import lengthened, replaced
from tapered.attach.following import Bases, Plan, as_another, check_bases
from tapered.attach.loads import Loads
from tapered.attach.saved import KEY
from tapered.attach.slots import Slot
from tapered.attach.updates import Groups, alone, moves, skipped, untraced
from tapered.optim.parameters import only_initialises, uncounted
from tapered.optim.policies import Counted, Rates, Reload, report
from tapered.schedules import Schedule
from tapered.schedules.changes import How


class Clock:
    """One counter of an optimizer's applied updates, and what follows it. Made by `attach`.

    `step` counts completed updates: update k uses `schedule(k)` in every group. Steps without any gradient, steps that
    a GradScaler skips, accumulation and evaluations of a closure do not move it.

    `group["lr"]` shows the rate in force at the latest update (before the first one, the first one's), and
    `group["initial_lr"]` the base that the group was made with. `report` is the line about the latest resumption or
    change: rate before, rate now, and why; the logger "tapered" has it, too.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, plan: Plan, step: int | None) -> None:
        self.optimizer = optimizer
        self.report = ""
        self.bases: list[Bases] = []
        self.plan = plan
        self._slots: list[Slot] = []
        self._applied = self._initialises = False
        self.ready = -1  # the step whose update may be made without a look at what was loaded; below 0 none
        self._loads = Loads(self, step)
        self.step = self._loads.first()
        plan.check(self.groups)
        self._join()
        self._loads.begin()
        self._handles: list[Any] = []
        self.write()
        self._handles = [
            optimizer.register_step_pre_hook(self._before),
            optimizer.register_step_post_hook(self._after),
            *self._loads.hooks(),
        ]

    @property
    def groups(self) -> Groups:
        """The optimizer's own."""
        return self.optimizer.param_groups

    @property
    def schedules(self) -> tuple[dict[str, Schedule], ...]:
        """What each group follows, by the name of the hyper (betas are beta1, beta2)."""
        found: tuple[dict[str, Schedule], ...] = tuple({} for _ in self.bases)
        for slot in self._slots:
            found[slot.index][slot.name] = slot.live.schedule
        return found

    @property
    def rates(self) -> tuple[float, ...]:
        """The rate in force of each group, as floats."""
        return tuple(float(group["lr"]) for group in self.groups)

    def __repr__(self) -> str:
        kinds = "; ".join(f"group {i}: {found}" for i, found in enumerate(self.schedules))
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

    def detach(self) -> None:
        """Let the optimizer go: base values stand in its groups again, and nothing follows this clock any more."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
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
        slots = [Slot(i, name, self.groups[i], schedule) for i, name, schedule in every]
        for slot in slots:
            slot.at(step)
        self._loads.resumed(why, self.in_force(step) if before is None else before)
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

    def _join(self) -> None:
        """Take groups in that are not followed yet; checked first."""
        groups, plan = self.groups, self.plan
        late = range(len(self.bases), len(groups))
        bases = [*self.bases, *(self._loads.base(groups[i], plan.names(groups, i)) for i in late)]
        check_bases(plan, groups, bases)
        slots = [Slot(i, name, groups[i], schedule) for i in late for name, schedule in self._joining(i, bases).items()]
        for slot in slots:
            slot.at(self.step)
        self.bases = bases
        self._slots += slots
        for slot in slots:
            slot.own(groups[slot.index])
            slot.write(groups[slot.index], slot.at(self.step))
        for i in late:
            self._show_base(i)

    def _joining(self, late: int, bases: list[Bases]) -> dict[str, Schedule]:
        """What a group follows from now on: as the groups before it do, whose schedules may have been changed."""
        groups, shared = self.groups, self.plan.shared(self.groups, late)
        found = self.plan.schedules(groups, late, bases[late])
        for name in shared:
            for index, followed in enumerate(self.schedules):
                if name in followed and name in self.plan.shared(groups, index):
                    found[name] = as_another(followed[name], bases[index][name], bases[late][name], shared[name])
                    break
        return found

    @untraced
    def _before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        """Write what the coming update uses; everything is checked before anything is written.

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
            slot.next = slot.ahead.get(step)
            if slot.next is None or groups[slot.index][slot.key] is not slot.shown:
                return self._carefully(optimizer, args, kwargs)  # type: ignore[no-any-return]  # as above
        for slot in self._slots:
            groups[slot.index][slot.key] = slot.shown = slot.next
        self._applied = True
        return None

    @torch._dynamo.disable  # type: ignore[untyped-decorator]  # noqa: SLF001  # torch.compile would trace into it
    def _carefully(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        """The same for any step."""
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
        if closure is None:
            self._applied = True
            return None
        watched = self._watched(closure)
        return ((args[0], watched, *args[2:]), kwargs) if len(args) > 1 else (args, {**kwargs, "closure": watched})

    @untraced
    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ARG002  # torch's call
        """Count the update, if there was one; once, also where a class calls its parent's `step`."""
        if self._applied:
            self._applied = False
            self.ready = self.step = self.step + 1
        elif self._initialises:
            self._uncount(optimizer)

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
