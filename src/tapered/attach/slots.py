"""One scheduled hyper of one group: its schedule, and what was last written there."""

from typing import Any

from torch import Tensor

from tapered.attach.places import Place, bounds, places, put, read, same, write
from tapered.optim.hypers import Live
from tapered.schedules import Schedule


class Slot:
    """Writes one hyper, and knows whether somebody else did."""

    def __init__(self, index: int, name: str, group: dict[str, Any], schedule: Schedule) -> None:
        self.index, self.name = index, name
        self.place: Place = places(group)[name]
        self.bounds = bounds(name)
        self.live = Live(schedule)
        self._value = 0.0
        self.shown: Any = None
        self.version = -1  # of a tensor: torch's count of writes
        self.key = self.place[0]
        self.ahead: dict[int, float] = {}  # step -> value of the coming ones, all of them in range; none of a tensor
        self.next: float | None = None
        self._table: list[float] = []  # what `ahead` was made from

    @property
    def value(self) -> float:
        """What was last written."""
        return self.shown if type(self.shown) is float else self._value

    def at(self, step: int) -> float:
        """The schedule's value.

        Raises:
            ValueError: out of the hyper's range.
        """
        return self.live.now(self.name, step, self.index, self.bounds)

    def coming(self, group: dict[str, Any], step: int) -> float:
        """The value that the coming update uses, once nobody else has written here; every step comes through this.

        Raises:
            ValueError: written from outside, or out of range.
        """
        key, part = self.place
        found = group[key] if part is None else group[key][part]
        if found is not self.shown or (self.version >= 0 and found._version != self.version):  # noqa: SLF001  # as above
            self.untouched(group, step)
        value = self.at(step)
        self._ahead()
        return value

    def _ahead(self) -> None:
        """Which values of the coming steps may be written without another look."""
        values, start = self.live.values, self.live.start
        if self.place[1] is not None or type(self.shown) is not float:
            self._table, self.ahead = [], {}
        elif self._table is not values:
            fits = all(value in self.bounds for value in values)
            self._table, self.ahead = values, dict(enumerate(values, start)) if fits else {}

    def untouched(self, group: dict[str, Any], step: int) -> None:
        """What stands here is another object, but the value that was written.

        Raises:
            ValueError: naming both values, the group and the fix.
        """
        found = read(group, self.place)
        if same(found, self.value):
            self.seen(group)
            return
        given = found.item() if isinstance(found, Tensor) else found
        raise ValueError(
            f"`{self.name}` in group {self.index} was set to {given!r} from outside at step {step}, but it follows "
            f"{self.live.schedule}, which gives {self.at(step)!r}; keep one of the two: take the other scheduler (or "
            f"the line that writes it) away (code that insists on one takes as_lr_scheduler(clock)), or "
            f"clock.replace({self.name}={given!r}) or clock.detach()"
        )

    def own(self, group: dict[str, Any]) -> None:
        """A tensor becomes this group's own: another group, or another optimizer, may fill the one that was given."""
        found = read(group, self.place)
        if isinstance(found, Tensor):
            put(group, self.place, found.detach().clone())

    def write(self, group: dict[str, Any], value: float) -> None:
        """Put the value in force."""
        key, part = self.place
        self._value = value
        if part is None and type(self.shown) is float:
            group[key] = self.shown = value
        else:
            write(group, self.place, value)
            self.seen(group)

    def seen(self, group: dict[str, Any]) -> None:
        """Remember what stands there now as ours."""
        self.shown = read(group, self.place)
        self.version = self.shown._version if isinstance(self.shown, Tensor) else -1  # noqa: SLF001  # torch's own
