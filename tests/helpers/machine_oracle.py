"""What must hold after any history, in plain Python: which updates were applied, and each rate as a function of them.

A `Curve` is a schedule twice: as the optimizer is given it, and as a function by hand. The `Oracle` knows of no tensor
and of no optimizer.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tapered import schedules
from tapered.schedules import Schedule


@dataclass(frozen=True, repr=False, eq=False)
class Curve:
    """A schedule, the same by hand, and the step at which it ends, if it does."""

    ours: Schedule
    at: Callable[[float], float]
    end: int | None = None

    def __repr__(self) -> str:
        return str(self.ours)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002, FBT001  # hypothesis's call
        printer.text(repr(self))

    def __rmul__(self, factor: float) -> "Curve":
        return Curve(factor * self.ours, lambda k: factor * self.at(k), self.end)

    def again(self) -> "Curve":
        """The same, given once more: groups that share one are told from those that were given the like."""
        return Curve(self.ours, self.at, self.end)

    def later(self, steps: int) -> "Curve":
        end = None if self.end is None else self.end + steps
        return Curve(self.ours.delayed(steps), lambda k: self.at(max(k - steps, 0)), end)

    def stretched(self, step: int, end: int) -> "Curve":
        def at(k: float) -> float:
            way = min((k - step) / (end - step), 1)
            return self.at(k if k <= step else step + way * (self.end - step))

        return Curve(self.ours.stretched(step, horizon=end), at, end)

    def held(self, step: int, end: int) -> "Curve":
        pause = end - self.end
        return Curve(
            self.ours.held(step, steps=pause), lambda k: self.at(k if k <= step else max(k - pause, step)), end
        )


def cosine(top: float, end: int) -> Curve:
    return Curve(
        schedules.cosine_decay(top, decay_steps=end),
        lambda k: top * (1 + math.cos(math.pi * min(k / end, 1))) / 2,
        end,
    )


def warm(top: float, end: int) -> Curve:
    """From 0, so that the first update moves nothing."""
    return Curve(top * schedules.warmup(end), lambda k: top * min(k / end, 1), end)


def exponential(top: float) -> Curve:
    return Curve(schedules.exponential_decay(top, decay_steps=1, decay_rate=0.9), lambda k: top * 0.9**k)


def pieces(top: float, first: int, second: int) -> Curve:
    """TensorFlow's: the step at a boundary has the value before it."""
    return Curve(
        schedules.piecewise_constant((first, second), (top, top / 2, top / 10)),
        lambda k: top if k <= first else top / 2 if k <= second else top / 10,
        second + 1,
    )


def sloped(first: float, last: float, end: int) -> Curve:
    return Curve(schedules.linear(first, last, steps=end), lambda k: first + (last - first) * min(k / end, 1), end)


def always(value: float) -> Curve:
    return Curve(schedules.constant(value), lambda k: value)  # noqa: ARG005  # a schedule's call


@dataclass
class Group:
    """What one group follows: a curve, or nothing, and then its number is anyone's to write."""

    follows: Curve | None
    number: float = 0.0
    scale: float = 1.0  # of a curve alone
    alone: bool = False  # it was given something of its own
    own: bool = False  # it came late with a schedule
    moved: bool = False  # it came late with a number: another one, written later, moves it
    others: dict[str, Curve] = field(default_factory=dict)  # weight_decay, momentum, beta1
    last: float | None = None  # of the last update
    sure: bool = True  # that every copy knows it

    def __post_init__(self) -> None:
        self.made = self.number  # what a script gives, whatever is written later


def apart(given: Curve | float) -> tuple[Curve | None, float]:
    """What is followed, and the number where nothing is."""
    return (given, 0.0) if isinstance(given, Curve) else (None, given)


class Oracle:
    """Groups, and the count of applied updates; `shared` is what every group was given that was given nothing else."""

    def __init__(self, shared: Curve | float, groups: list[Group], *, clock: bool) -> None:
        self.shared, self.groups, self.clock, self.step = shared, groups, clock, 0
        self.changed = False  # since the last update

    def rate(self, index: int) -> float:
        group = self.groups[index]
        return group.number if group.follows is None else group.follows.at(self.step) * group.scale

    def other(self, index: int) -> dict[str, float]:
        return {name: curve.at(self.step) for name, curve in self.groups[index].others.items()}

    def last(self, index: int) -> float:
        last = self.groups[index].last
        return self.rate(index) if last is None else last

    def applied(self) -> None:
        for index, group in enumerate(self.groups):
            group.last, group.sure = self.rate(index), True
        self.step, self.changed = self.step + 1, False

    def copied(self) -> None:
        """What was used for the last update is told by a schedule, as long as it is the same."""
        for group in self.groups:
            group.sure = group.sure and group.follows is not None and not self.changed

    def placed(self, curve: Curve, counted: str) -> Curve:
        moves = not isinstance(curve.ours, schedules.constant)
        return curve.later(self.step) if counted == "now" and self.step and moves else curve

    def others(self, before: int | None = None) -> Curve | float:
        """What a late group follows that says nothing of its own: as those before it.

        A clock knows which of them were given something of their own, and which came late with a number and follow the
        others themselves; those are asked last.
        """
        found = [group for group in self.groups[:before] if group.follows is not None]
        if self.clock:
            found = (
                sorted(found, key=lambda group: (group.moved, group.alone)) if isinstance(self.shared, Curve) else []
            )
        return found[0].follows if found else self.shared

    def join(self, given: Curve | float | None, scale: float, others: dict[str, Curve]) -> None:
        """A late number is this step's rate, and falls as the others do; before the first update it is a number."""
        follows = self.others()
        group = Group(*apart(follows if given is None else given), scale, others=dict(others), sure=not self.step)
        group.alone = group.own = isinstance(given, Curve)
        self.groups.append(group)
        if group.follows is None and isinstance(follows, Curve) and self.step:
            group.follows, group.moved, group.made = follows, True, given
            self.write(len(self.groups) - 1, given)

    def write(self, index: int, number: float) -> None:
        """By hand: of a number, or of a group that came late with one."""
        group = self.groups[index]
        if group.follows is None:
            group.number = number
        elif number != self.rate(index):
            group.follows, self.changed = number / self.rate(index) * group.follows, True

    def replace(self, index: int, given: Curve | float, counted: str, *, alone: bool) -> None:
        group = self.groups[index]
        group.alone, group.moved, self.changed = alone, False, True
        group.follows, group.number = apart(self.placed(given, counted) if isinstance(given, Curve) else given)
        group.made = group.number

    def end(self) -> int | None:
        return max((curve.end for curve in self.curves() if curve.end is not None), default=None)

    def curves(self) -> Iterator[Curve]:
        for group in self.groups:
            yield from group.others.values()
            if group.follows is not None:
                yield group.follows

    def extend(self, end: int, how: str) -> None:
        last, self.changed = self.end(), True
        found: dict[Curve | float | None, Curve] = {}  # groups that follow the same go on to do so

        def longer(curve: Curve | float | None) -> Curve | float | None:
            if not isinstance(curve, Curve) or curve.end != last:
                return curve
            if curve not in found:
                found[curve] = curve.stretched(self.step, end) if how == "stretch" else curve.held(self.step, end)
            return found[curve]

        self.shared = longer(self.shared)
        for group in self.groups:
            group.follows = longer(group.follows)
            group.others = {name: longer(curve) for name, curve in group.others.items()}
