"""One scheduled hyper of one group: its schedule, and what was last written there."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor

from tapered.attach.places import Place, bounds, places, put, read, same, write
from tapered.optim.hypers import Live
from tapered.optim.late import reanchored
from tapered.optim.multipliers import factor
from tapered.schedules import Schedule


class Slot:
    """Writes one hyper, and knows whether somebody else did.

    Args:
        index, name: the group's number, and the hyper's name.
        group: the group.
        schedule: what it follows.
        multiplier: the group's key that multiplies it; None for none.
        joined: the group came late with a number, so that another number may be written: it is followed from there.
    """

    def __init__(
        self,
        index: int,
        name: str,
        group: dict[str, Any],
        schedule: Schedule,
        multiplier: str | None = None,
        *,
        joined: bool = False,
    ) -> None:
        self.index, self.name = index, name
        self.place: Place = places(group)[name]
        self.bounds = bounds(name)
        self.live = Live(schedule)
        self.multiplier = multiplier if name == "lr" else None
        self.joined = joined and name == "lr"
        self.times: Any = None  # the multiplier as it stood in the group; None where there is none
        self.scale = 1.0  # and as a number
        self._value = 0.0
        self.shown: Any = None
        self.version = -1  # of a tensor: torch's count of writes
        self.key = self.place[0]
        self.ahead: dict[int, float] = {}  # step -> value of the coming ones, all of them in range; none of a tensor
        self._table: list[float] = []  # what `ahead` was made from
        self.scaled(group)

    @property
    def value(self) -> float:
        """What was last written."""
        return self.shown if type(self.shown) is float else self._value

    def scaled(self, group: dict[str, Any]) -> None:
        """Read the group's multiplier."""
        times = group.get(self.multiplier) if self.multiplier is not None else None
        if times is not self.times or isinstance(times, Tensor):
            self.scale = factor(group, self.multiplier, self.index)
            self.times, self._table, self.ahead = times, [], {}

    def at(self, step: int) -> float:
        """The schedule's value, times the group's multiplier.

        Raises:
            ValueError: out of the hyper's range.
        """
        return self.live.now(self.name, step, self.index, self.bounds, self.scale)

    def coming(self, group: dict[str, Any], step: int) -> float:
        """The value that the coming update uses, once nobody else has written here.

        Raises:
            ValueError: written from outside, or out of range.
        """
        key, part = self.place
        found = group[key] if part is None else group[key][part]
        taken = None
        if found is not self.shown or (self.version >= 0 and found._version != self.version):  # noqa: SLF001  # torch's own
            taken = self.untouched(group, step)
        self.scaled(group)
        value = self.at(step)
        return value if taken is None else taken

    def follow(self, schedule: Schedule) -> None:
        """Another schedule from here on; what was looked ahead to goes."""
        self.live = Live(schedule)
        self._table, self.ahead = [], {}

    def look_ahead(self) -> None:
        """Which values of the coming steps may be written without another look."""
        values, start = self.live.values, self.live.start
        if self.place[1] is not None or type(self.shown) is not float or isinstance(self.times, Tensor):
            self._table, self.ahead = [], {}
        elif self._table is not values:
            scaled = values if self.scale == 1.0 else [value * self.scale for value in values]
            fits = all(value in self.bounds for value in scaled)
            self._table, self.ahead = values, dict(enumerate(scaled, start)) if fits else {}

    def untouched(self, group: dict[str, Any], step: int) -> float | None:
        """What stands here is another object, but the value that was written; or a late group's new rate, given back.

        Raises:
            ValueError: naming both values, the group and the fix.
        """
        self.heal(group, step)
        found = read(group, self.place)
        if same(found, self.value):
            self.seen(group)
            return None
        given = found.item() if isinstance(found, Tensor) else found
        if self.joined:
            self.follow(reanchored(self.live.schedule, float(given), step, self.index, self.scale))
            self.seen(group)
            return float(given)
        raise ValueError(
            f"`{self.name}` in group {self.index} was set to {given!r} from outside at step {step}, but it follows "
            f"{self.live.schedule}, which gives {self.at(step)!r}; keep one of the two: take the other scheduler (or "
            f"the line that writes it) away (code that insists on one takes as_lr_scheduler(clock)), or "
            f"clock.replace({self.name}={given!r}) or clock.detach()"
        )

    def heal(self, group: dict[str, Any], step: int) -> None:
        """Put the number in force in the place of the schedule in force.

        Raises:
            TypeError: another schedule stands there.
        """
        found = read(group, self.place)
        if isinstance(found, Schedule):
            self.ours(found)
            self.free(group, step)

    def ours(self, found: Schedule) -> None:
        """A schedule that was written into the group is the one in force.

        Raises:
            TypeError: naming the schedule, the group and the fix.
        """
        if found != self.live.schedule:
            raise TypeError(
                f"got the schedule {found} written into `{self.name}` of group {self.index}, where the number in force "
                f"stands; try clock.replace({self.name}=..., counted='now' or 'start')"
            )

    def free(self, group: dict[str, Any], step: int) -> None:
        """Put the number in force there, whatever stands there."""
        put(group, self.place, self.at(step))
        self.seen(group)

    def write(self, group: dict[str, Any], value: float) -> None:
        """Put the value in force."""
        key, part = self.place
        self._value = value
        if part is None and type(self.shown) is float:
            group[key] = self.shown = value
        else:
            write(group, self.place, value)
            self.seen(group)

    def wrote(self, group: dict[str, Any], step: int) -> None:
        """What stands there was written for this step by the clock that this one is a copy of."""
        with contextlib.suppress(ValueError):  # there is no value, which the step says
            self._value = self.at(step)
        self.seen(group)

    def seen(self, group: dict[str, Any]) -> None:
        """Remember what stands there now as ours."""
        self.shown = read(group, self.place)
        self.version = self.shown._version if isinstance(self.shown, Tensor) else -1  # noqa: SLF001  # torch's own


@contextlib.contextmanager
def as_before(slots: Iterable[Slot]) -> Iterator[None]:
    """Where the block refuses, these follow what they did, and know what they wrote."""
    kept = [(slot, dict(vars(slot))) for slot in slots]
    try:
        yield
    except Exception:
        for slot, before in kept:
            vars(slot).update(before)
        raise
