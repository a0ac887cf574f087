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
        self.value = 0.0
        self.shown: float | Tensor | None = None
        self.version = 0

    def at(self, step: int) -> float:
        """The schedule's value.

        Raises:
            ValueError: out of the hyper's range.
        """
        return self.live.now(self.name, step, self.index, self.bounds)

    def untouched(self, group: dict[str, Any], step: int) -> None:
        """Nobody else writes here.

        Raises:
            ValueError: naming both values, the group and the fix.
        """
        found = read(group, self.place)
        if found is self.shown and (type(found) is float or found._version == self.version):  # type: ignore[union-attr]  # noqa: SLF001  # torch's own count of writes
            return
        if same(found, self.value):
            self.seen(group)
            return
        given = found.item() if isinstance(found, Tensor) else found
        raise ValueError(
            f"`{self.name}` in group {self.index} was set to {given!r} from outside at step {step}, but it follows "
            f"{self.live.schedule}, which gives {self.at(step)!r}; keep one of the two: take the other scheduler (or "
            f"the line that writes it) away, or clock.replace({self.name}={given!r}) or clock.detach()"
        )

    def own(self, group: dict[str, Any]) -> None:
        """A tensor becomes this group's own: another group, or another optimizer, may fill the one that was given."""
        found = read(group, self.place)
        if isinstance(found, Tensor):
            put(group, self.place, found.detach().clone())

    def write(self, group: dict[str, Any], value: float) -> None:
        """Put the value in force."""
        write(group, self.place, value)
        self.value = value
        self.seen(group)

    def seen(self, group: dict[str, Any]) -> None:
        """Remember what stands there now as ours."""
        self.shown = read(group, self.place)
        if isinstance(self.shown, Tensor):
            self.version = self.shown._version  # noqa: SLF001  # as above
