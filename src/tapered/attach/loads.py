"""What a clock does when states are loaded, in any order: the right rate at the next step, or a refusal there.

An optimizer with a clock writes `clock` into the groups of its state dict: step, schedules as text, base values. So the
optimizer's state alone is enough, and a clock's own state that does not belong to it is noticed. Two counts are kept:
`clock.step`, and `made`, the updates that the optimizer's own state went through. They must agree at every update;
`clock.ready` is both, where nothing has to be looked at first.
"""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from tapered.attach.changing import loaded
from tapered.attach.following import Bases, base_values
from tapered.attach.places import places, put
from tapered.attach.places import read as shown_at
from tapered.attach.saved import KEY, counted, taken, whole
from tapered.optim.freezing import KEY as ACTS
from tapered.optim.freezing import read as acts_of
from tapered.optim.late import read
from tapered.optim.policies import ADVICE, Rates, Reload

if TYPE_CHECKING:
    from tapered.attach.clock import Clock

REFUSED = (
    "the state that was to be loaded was refused ({0}), and going on without it would be another run; load one that "
    "fits, or, to go on with what there is, optimizer.load_state_dict(optimizer.state_dict())"
)
WHY = {
    "resume": "resumed, the same schedule",
    "saved": "resumed with the saved schedule",
    "replace": "resumed with another schedule, counted from {0.counted}",
    "extend": "resumed to a later horizon by {0.how}",
}


class Loads:
    """The part of a clock that knows which states were loaded since the last update."""

    def __init__(self, clock: "Clock", step: int | None) -> None:
        self.clock = clock
        self._made: int | None = 0
        self._said_step = step
        self._doubt = ""  # why the next step is refused
        self._loaded = False  # the clock's own state or schedules were set since the last update
        self._texts: list[Any] | None = None  # the schedules of the clock's state that was loaded
        self._change: tuple[str, Rates] | None = None  # why there is something to report, and the rates before
        self._found: list[dict[str, Any]] = []
        self._rates: dict[tuple[int, str], float] = {}

    @property
    def made(self) -> int | None:
        """The updates that the optimizer's state went through; None: it has a state that counts nothing."""
        return self._made if self.clock.ready < 0 else self.clock.ready

    @made.setter
    def made(self, made: int | None) -> None:
        self._made, self.clock.ready = made, -1

    def first(self) -> int:
        """Where the count starts: at what was said, at what an already loaded optimizer carries, or at 0."""
        if self._said_step is not None:
            return whole(self._said_step)
        return max((taken(dict(group))["step"] for group in self.clock.groups if KEY in group), default=0)

    def begin(self) -> None:
        """Compare with what an already loaded optimizer carries, and take it out of its groups."""
        carried = [taken(group) for group in self.clock.groups]
        self.made = counted(self.clock.maker)
        if self._said_step is not None:
            self.made = self.clock.step
        elif any(carried):
            self._arrive(carried)

    def base(self, group: dict[str, Any], hypers: Iterable[str]) -> Bases:
        """A group's base values: those that a loaded state carries, before those that it shows."""
        carried = group.get(KEY) or {}
        shown = base_values(group, hypers)
        return {name: carried.get("base", {}).get(name, value) for name, value in shown.items()}

    def hooks(self, optimizer: torch.optim.Optimizer) -> list[Any]:
        """torch's hooks on the optimizer's own state dict."""
        return [
            optimizer.register_state_dict_pre_hook(self._saving),
            optimizer.register_state_dict_post_hook(self._saved),
            optimizer.register_load_state_dict_pre_hook(self._arriving),
            optimizer.register_load_state_dict_post_hook(self._arrived),
        ]

    def carried(self, index: int) -> dict[str, Any]:
        """What a group's saved state says of its clock."""
        clock = self.clock
        own = clock.first_late is not None and index >= clock.first_late and "lr" in clock.plan.own(clock.groups, index)
        how: dict[str, Any] = {"joined": True} if index in clock.joined else {"own": True} if own else {}
        if acts := clock._freezing.saved:  # noqa: SLF001  # the clock's other half
            how[ACTS] = acts
        return {
            "schedules": {name: str(schedule) for name, schedule in clock.followed[index].items()},
            "base": dict(clock.bases[index]),
            **how,
        }

    def load(self, state: Mapping[str, Any], reload: Reload) -> None:
        """A clock's state; see `Clock.load_state_dict`. After a refusal the next step is refused, too."""
        try:
            with self.clock.anew():
                found, why = loaded(self.clock, state, reload), WHY[reload.policy].format(reload)
                saved, own = state["groups"][0].get(ACTS), self.clock._freezing  # noqa: SLF001  # as above
                acts = acts_of(saved) if reload.policy == "saved" else own.merged(saved, found.step)
                self.clock.change(found.followed, found.bases, why, found.step, found.before)
                self._texts = found.texts
                own.take(acts)
                self.clock._thaw()  # noqa: SLF001  # as above
        except Exception as error:
            self.refuse(error)
            raise

    def refuse(self, error: object) -> None:
        """Let no step be made on what was refused: a framework may have swallowed that."""
        self.made, self._doubt = self.made, REFUSED.format(error)

    def resumed(self, why: str, before: Rates) -> None:
        """Schedules or the step were set on purpose: doubts are over, and the next step reports."""
        self._change, self._doubt, self._loaded, self._texts = (why, before), "", True, None
        self.made = self.made  # settled anew before the next update

    def settle(self) -> None:
        """Before an update: what was loaded fits together.

        Raises:
            ValueError: the clock's and the optimizer's states are of different moments, or of different schedules.
        """
        step, unknown = self.clock.step, self.made is None
        if self._doubt:
            raise ValueError(self._doubt)
        self.clock._freezing.settle(self.clock.groups)  # noqa: SLF001  # the clock's other half
        if self.clock.joined:
            self.clock.unfollowed()
        if unknown and step == 0:
            raise ValueError(
                "the optimizer has a state of earlier updates that does not say how many, and its clock stands at step "
                "0; load the clock's state too (clock.load_state_dict), or say the step: attach(optimizer, ..., "
                "step=n), step=0 for a new optimizer that makes its state at once"
            )
        if not unknown and self.made != step:
            raise ValueError(
                f"the clock stands at step {step}, but the optimizer's state went through {self.made} updates; load "
                f"both from one checkpoint (optimizer.load_state_dict and clock.load_state_dict, in any order), or say "
                f"where the schedule stands: attach(optimizer, ..., step={self.made}), or step=0 to begin it now"
            )
        self.made, self._loaded = step, False
        self.clock.ready = step
        if self._change is not None:
            why, before = self._change
            self._change = None
            self.clock.say(before, why)

    def _saving(self, optimizer: torch.optim.Optimizer) -> None:  # noqa: ARG002  # torch's call
        """Before the state dict is made: groups that have joined are known, and hold numbers."""
        self.clock.look()

    def _saved(self, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002  # torch's call
        """The optimizer's state dict carries the clock's."""
        clock = self.clock
        known = range(len(clock.bases))
        groups = [
            {**group, KEY: {"step": clock.step, "counted": counted(clock.maker), **self.carried(i)}}
            if i in known
            else group
            for i, group in enumerate(state["param_groups"])
        ]
        return {**state, "param_groups": groups}

    def _arriving(self, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any] | None:  # noqa: ARG002  # torch's call
        """Before the optimizer loads: what is scheduled is not taken from the state, only looked at."""
        if not isinstance(state.get("param_groups"), list):
            return None  # torch says what is wrong
        clock = self.clock
        self.refuse("the optimizer did not take it")  # until it has
        with clock.anew():
            groups = [dict(group) for group in state["param_groups"]]
            self._found = [taken(group) for group in groups]
        self._rates = {}
        for index, (group, own) in enumerate(zip(groups, clock.groups, strict=False)):
            known, saved = places(own), places(group)
            for name in clock.followed[index] if index < len(clock.bases) else ():
                key, _ = known[name]
                if name in saved:
                    self._rates[index, name] = float(shown_at(group, saved[name]))
                    put(group, saved[name], shown_at(own, known[name]))
                else:
                    group[key] = own[key]
        return {**state, "param_groups": groups}

    def _arrived(self, optimizer: torch.optim.Optimizer) -> None:
        """The optimizer has loaded a state: its groups are other dicts now, its tensors copies."""
        self.clock.holder = optimizer
        self.made = counted(self._counts())
        self.clock.forget()
        self._doubt = ""
        if any(self._found):
            self._arrive(self._found)
        elif not self._loaded and self._foreign():
            shown = ", ".join(f"{name} {value!r} in group {i}" for (i, name), value in self._rates.items())
            self._doubt = (
                f"the optimizer's state was loaded without its clock, and at step {self.clock.step} its {shown} is "
                f"not what its schedules give; load the clock's state too, or attach(optimizer, ..., step=n) after it"
            )
        self.clock.write()

    def _counts(self) -> torch.optim.Optimizer:
        """The layer whose state says how many updates there were: SAM's base takes its own after the load."""
        holder = self.clock.holder
        return holder if holder.state else self.clock.maker

    def unseen(self) -> None:
        """The optimizer loaded a state by a method of its own, without torch's hooks (bitsandbytes')."""
        self._found = [taken(group) for group in self.clock.groups]
        self._arrived(self.clock.holder)

    def _foreign(self) -> bool:
        """The loaded hypers are neither this step's, nor the last one's, nor the base values."""
        clock = self.clock
        step, made = clock.step, {(s.index, s.name): s for s in clock._slots}  # noqa: SLF001  # the clock's other half
        for (index, name), value in self._rates.items():
            slot = made[index, name]
            fitting = (slot.at(step), slot.at(max(step - 1, 0)), clock.bases[index][name])
            if not any(math.isclose(value, fit, rel_tol=1e-6, abs_tol=0.0) for fit in fitting):
                return True
        return False

    def _arrive(self, carried: list[dict[str, Any]]) -> None:
        """The state that was loaded has been under a clock: at which step, and by which schedules."""
        clock = self.clock
        steps = {found["step"] for found in carried if found}
        if len(steps) != 1:
            self._doubt = f"the groups of the loaded state stand at different steps, {sorted(steps)}; it is damaged"
            return
        self.made, own = steps.pop(), counted(self._counts())
        then = next(found.get("counted") for found in carried if found)
        if own != then:
            self._doubt = (
                f"the clock was left at step {self.made}, where the optimizer's state counted {then} updates; it "
                f"counts {own} now, so it went on without the clock; say where the schedule stands: attach(..., step=n)"
            )
        if self._other_acts(next(found for found in carried if found), self.made):
            return
        saved = [found.get("schedules", {}) for found in carried]
        if self._loaded:  # the clock was set on purpose; the next step compares the counts
            if self._texts is not None and saved != self._texts:
                self._doubt = (
                    f"the optimizer's state followed {saved}, the clock's that was loaded {self._texts}; load both "
                    "from one checkpoint"
                )
            return
        clock.step = self.made
        if self._differ(saved, carried):
            return
        for base, found in zip(clock.bases, carried, strict=False):
            base.update(found.get("base", {}))
        if self.made:  # accelerate loads a new optimizer's own state into it
            self._change = ("resumed with the optimizer's state, the same schedule", clock.in_force(self.made))

    def _other_acts(self, carried: Mapping[str, Any], step: int) -> bool:
        """Take what the state has frozen; whether it contradicts what is frozen here, which is a doubt."""
        own = self.clock._freezing  # noqa: SLF001  # the clock's other half
        try:
            own.take(own.merged(carried.get(ACTS), step))
        except ValueError as error:
            self._doubt = str(error)
            return True
        return False

    def _differ(self, saved: list[dict[str, str]], carried: list[dict[str, Any]]) -> bool:
        """Whether a group was under another schedule, which is a doubt; late groups go on as they were left."""
        clock = self.clock
        here = [{name: str(schedule) for name, schedule in found.items()} for found in clock.followed]
        for index, (theirs, ours) in enumerate(zip(saved, here, strict=False)):
            if clock.takes(index, carried[index]):
                kept = {name: read(text, clock.all_followed) for name, text in theirs.items()}
                clock.rejoin(index, kept, carried[index])
                continue
            for name in sorted({*theirs, *ours}):
                if theirs.get(name) != ours.get(name) and not clock.goes_on(index, name, theirs.get(name)):
                    self._doubt = (
                        f"`{name}` in group {index} differs: the loaded state followed {theirs.get(name, 'none')} "
                        f"up to step {self.made}, this clock {ours.get(name, 'none')}; {ADVICE}: "
                        "clock.load_state_dict(saved_clock, policy=...), or clock.replace(...)"
                    )
                    return True
        return False
