"""Which schedules a clock's groups follow, those that join late included."""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from tapered.attach.following import Bases, Plan, as_another, check_bases, check_tensors, late_with_a_rate, of_base
from tapered.attach.places import put, read
from tapered.attach.saved import KEY, taken
from tapered.attach.slots import Slot, as_before
from tapered.attach.stepping import Stepping
from tapered.optim import Optimizer
from tapered.optim.late import reanchored
from tapered.optim.multipliers import factor, warn_of_others
from tapered.optim.policies import resumable
from tapered.schedules import Schedule
from tapered.schedules import followed as read_back
from tapered.schedules.controllers import steered
from tapered.schedules.operators import scaled


class Joining(Stepping):
    """The groups of a clock and what each follows.

    Args:
        optimizer: as it was given.
        plan: what was asked for.
        multiplier: the group key that multiplies a scheduled rate.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, plan: Plan, multiplier: str | None) -> None:
        super().__init__(optimizer)
        self.plan, self.multiplier = plan, multiplier
        self.bases: list[Bases] = []
        # groups that came late with a rate of their own; a loaded state says so
        self.joined = {i for i, g in enumerate(self.groups) if isinstance(g.get(KEY), dict) and g[KEY].get("joined")}
        self.first_late: int | None = None  # groups from here on came after `attach`

    @property
    def followers(self) -> int:
        """How many groups are followed."""
        return len(self.bases)

    @property
    def followed(self) -> tuple[dict[str, Schedule], ...]:
        """What each group that is known follows."""
        found: tuple[dict[str, Schedule], ...] = tuple({} for _ in self.bases)
        for slot in self._slots:
            found[slot.index][slot.name] = slot.live.schedule
        return found

    @property
    def all_followed(self) -> list[Schedule]:
        """Every schedule that a group follows."""
        return [slot.live.schedule for slot in self._slots]

    @property
    def attached(self) -> bool:
        """It has not been detached."""
        return bool(self._handles)

    @property
    def steered(self) -> list[Slot]:
        """The hypers that follow a controller."""
        return [slot for slot in self._slots if isinstance(slot.live.schedule, steered)]

    def taken_in(self) -> None:
        """A state that the optimizer loaded without torch's hooks is known."""
        self._loads.unseen()

    @property
    def last_lr(self) -> tuple[float, ...]:
        """The rate of the last update, one a group; before the first one, the rate that it will use."""
        if self._handles:
            self.regroup()
        return self._last(len(self.groups))

    def _last(self, count: int) -> tuple[float, ...]:
        if self._used is not None and len(self._used) == count:
            return self._used
        before = {(s.index, s.name): s.at(max(self.step - 1, 0)) for s in self._slots}
        return tuple(
            before[i, "lr"] if (i, "lr") in before else float(group["lr"])
            for i, group in enumerate(self.groups[:count])
        )

    def heal(self) -> None:
        """Put the numbers in force where a schedule was written into a group (fastai writes the one in force).

        Raises:
            TypeError: it is another.
        """
        for slot in self._slots:
            if slot.index < len(self.groups):
                slot.heal(self.groups[slot.index], self.step)

    @contextlib.contextmanager
    def anew(self) -> Iterator[list[tuple[Slot, Schedule]]]:
        """Every group is known and shows numbers, and what of them was a schedule is given.

        Where the block refuses, all stands again as others wrote it, and is followed as before.
        """
        here = [slot for slot in self._slots if slot.index < len(self.groups)]
        found = [(slot, read(self.groups[slot.index], slot.place)) for slot in here]
        written: list[tuple[Slot, Any]] = [(slot, given) for slot, given in found if isinstance(given, Schedule)]
        asked = None
        with as_before(here):
            try:
                for slot, _ in written:
                    slot.free(self.groups[slot.index], self.step)
                self.regroup()
                asked = self.plan, set(self.joined)
                yield written
            except Exception:
                for slot, schedule in written:
                    put(self.groups[slot.index], slot.place, schedule)
                if asked is not None:
                    self.plan, self.joined = asked
                raise

    def regroup(self) -> None:
        """Take in groups that were added.

        Raises:
            ValueError: groups were taken away.
        """
        if len(self.groups) < len(self.bases):
            raise ValueError(
                f"got {len(self.groups)} groups at step {self.step}, of {len(self.bases)} that the clock wrote before; "
                "groups that are taken away leave schedules without a group; try clock.detach() first, then attach"
            )
        if len(self.groups) > len(self.bases):
            self.heal()
            used = self._last(len(self.bases)) if self.step and self.bases else None
            self._join()
            new = tuple(float(group["lr"]) for group in self.groups[len(used or ()) :] if "lr" in group)
            self._used = None if used is None else (*used, *new)

    def look(self, but: Collection[tuple[int, str]] = ()) -> None:
        """Know what others have put into the groups: new ones, schedules, numbers in late ones.

        Args:
            but: groups and hypers that are about to be given anew, whatever stands there.

        Raises:
            TypeError, ValueError: what cannot stand there.
        """
        self.heal()
        self.regroup()
        late = [slot for slot in self._slots if slot.joined and (slot.index, slot.name) not in but]
        if late and KEY not in self.groups[0]:  # else a state has been put in that was not looked at yet
            with self.numbers_of(late):
                for slot in late:
                    slot.untouched(self.groups[slot.index], self.step)

    @contextlib.contextmanager
    def numbers_of(self, late: list[Slot]) -> Iterator[None]:
        """Around a look at numbers that others may have written; what the last update used stays known.

        Where one is refused, all follow what they did.
        """
        used = self._last(len(self.bases)) if self.step else None
        before = [slot.live for slot in late]
        with as_before(late):
            yield
        if [slot.live for slot in late] != before:
            self._used = used

    def _slot(self, index: int, name: str, schedule: Schedule) -> Slot:
        return Slot(index, name, self.groups[index], schedule, self.multiplier, joined=index in self.joined)

    def _show_base(self, index: int) -> None:
        if "lr" in self.bases[index]:
            self.groups[index]["initial_lr"] = self.bases[index]["lr"]

    def _join(self) -> None:
        """Take groups in that are not followed yet; checked first."""
        groups, known = self.groups, len(self.bases)
        late = range(known, len(groups))
        if isinstance(self.maker, Optimizer) and any(groups[i]["schedules"] for i in late):
            raise ValueError(
                f"group {next(i for i in late if groups[i]['schedules'])} of this {type(self.maker).__name__} follows "
                f"schedules of its own, and a clock writes the others; give it numbers, or clock.detach() before"
            )
        for i in late if self.first_late is not None else ():
            rate = groups[i].get("lr")
            if isinstance(rate, Tensor) and any(rate is d.get("lr") for d in self._defaults()):
                groups[i]["lr"] = rate.clone()
        own = self._own(late) if self.first_late is not None else {}
        plan = self.plan = self.plan.and_of(own)
        bases = [*self.bases, *(self._loads.base(groups[i], plan.names(groups, i)) for i in late)]
        joined = set[int]()
        if self.first_late is not None:
            joined = set(late_with_a_rate(groups, plan, bases, known, range(self.first_late)))
        check_bases(plan, groups, bases, self.joined if self.first_late is None else late, known)
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
        if late in self.joined and self.first_late is None:  # a loaded state says what it follows
            return {name: read_back(text) for name, text in taken(dict(self.groups[late]))["schedules"].items()}
        groups, shared = self.groups, self.plan.shared(self.groups, late)
        found = self.plan.schedules(groups, late, bases[late])
        known = self.followed
        for name in shared:
            alike = {i for i, _ in enumerate(known) if name in self.plan.shared(groups, i)}
            # those that came late with a rate of their own follow the others in proportion, and are asked last
            those = [i for i, follows in enumerate(known) if name in follows]
            those.sort(key=lambda i: (i in self.joined, i not in alike))
            if isinstance(shared[name], of_base):
                those = [i for i in those if i in alike]
            for nearest in those[:1]:
                found[name] = known[nearest][name]  # where none follows what was asked for all any more
                if nearest in alike:
                    base, mine = bases[nearest][name], bases[late][name]
                    found[name] = as_another(found[name], base, mine, shared[name])
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

    def rejoin(self, index: int, schedules: Mapping[str, Schedule], saved: Mapping[str, Any]) -> None:
        """A late group goes on with what it followed when it was saved."""
        self.as_left(index, schedules, saved)
        kept = [slot for slot in self._slots if slot.index != index]
        self._slots = [*kept, *(self._slot(index, name, schedule) for name, schedule in schedules.items())]

    def goes_on(self, index: int, name: str, text: str | None) -> bool:
        """A controller goes on in the state in which it was saved, where it is the same one."""
        for slot in self.steered:
            path = resumable(slot.live.schedule, text or "") if (slot.index, slot.name) == (index, name) else None
            if path is not None:
                slot.follow(path)
                return True
        return False

    def as_left(self, index: int, schedules: Mapping[str, Schedule], saved: Mapping[str, Any]) -> None:
        """A late group is as it was when it was saved: with a number, with a schedule of its own, or as the others."""
        (self.joined.add if saved.get("joined") else self.joined.discard)(index)
        if saved.get("own"):
            self.plan = self.plan.and_of({index: {**self.plan.groups.get(index, {}), "lr": schedules["lr"]}})

    def forget(self) -> None:
        """What was used before a load is not known any more."""
        self._used = None

    def unfollowed(self) -> None:
        """Every group that joined follows something.

        Raises:
            ValueError: one was added with a rate of its own before the first update.
        """
        lost = self.joined - {slot.index for slot in self._slots if slot.name == "lr"}
        if lost:
            index = min(lost)
            raise ValueError(
                f"got lr={self.bases[index]['lr']!r} for group {index}, which was added before the first update, where "
                f"nothing has decayed that it could follow in proportion; say what it follows: "
                f"clock.replace(groups={{{index}: {{'lr': ...}}}})"
            )

    def _spared(self) -> None:
        """What a group gets that brings no rate is no tensor that a schedule fills: that is the caller's own."""
        for defaults in self._defaults():
            if isinstance(defaults.get("lr"), Tensor):
                defaults["lr"] = defaults["lr"].clone()
        if isinstance(self.maker, Optimizer) and isinstance(self.maker.defaults["lr"], Tensor):
            self.maker._running.given["lr"] = self.maker.defaults["lr"]  # noqa: SLF001  # the same, for tapered's

    def _defaults(self) -> list[dict[str, Any]]:
        """What groups get that do not say it; a wrapper may have none."""
        found = (getattr(optimizer, "defaults", None) for optimizer in (self.optimizer, self.maker))
        return [defaults for defaults in found if isinstance(defaults, dict)]

    def _own(self, late: range) -> dict[int, dict[str, Schedule]]:
        """The schedules that late groups came with; a number stands in their place from now on."""
        found = {i: {k: v for k, v in self.groups[i].items() if isinstance(v, Schedule)} for i in late}
        for index, given in found.items():
            for key, schedule in given.items():
                self.groups[index][key] = schedule(self.step)
        return {index: given for index, given in found.items() if given}
