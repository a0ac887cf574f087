"""What `*`, `times` and `+` make of schedules, and `constant`, which numbers become between them."""
# ruff: noqa: SLF001  # a schedule asks the schedules it is made of

import heapq
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tapered.schedules.base import Part, Schedule
from tapered.schedules.called import kind, required
from tapered.schedules.checks import Number
from tapered.schedules.curves import Floats


@kind
class constant(Schedule):
    """value(k) = value, for ever.

    It has no horizon; `hold(steps, value)` is the constant that something can follow.

    Args:
        value: at every step.

    Example:
        >>> constant(1e-4)(10**9)
        0.0001
    """

    _example: ClassVar[str] = "constant(1e-4)"
    value: Number = required()

    def _values(self, steps: Floats) -> Floats:
        return np.full_like(steps, self.value)


def latest(*schedules: Schedule) -> int | None:
    """The horizon of what is made of several schedules at once: the last one's, constants aside."""
    ends = [schedule.horizon for schedule in schedules if not isinstance(schedule, constant)]
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None


@kind
class scaled(Schedule):
    """factor * schedule."""

    _example: ClassVar[str] = "3e-4 * warmup(200)"
    factor: Number = required()
    schedule: Part = required()

    def _values(self, steps: Floats) -> Floats:
        return self.factor * self.schedule._values(steps)

    @property
    def horizon(self) -> int | None:
        """The schedule's own."""
        return self.schedule.horizon

    def _marks(self) -> Iterator[tuple[int, str]]:
        return self.schedule._marks()

    def _edge(self, *, last: bool) -> str:
        return self.schedule._edge(last=last)

    @property
    def _loose(self) -> bool:
        return not any(self._anchored())

    def __str__(self) -> str:
        if any(self._anchored()):  # where `*` would refuse
            return f"{bracketed(self.schedule, self.schedule._loose)}.times({self.factor})"
        # `2 * a * b` reads as 2 * (a * b), since numbers go to the front of a product.
        return f"{self.factor} * {bracketed(self.schedule, isinstance(self.schedule, (scaled, added)))}"


@kind
class _Pair(Schedule):
    left: Part = required()
    right: Part = required()

    @property
    def _loose(self) -> bool:
        return True

    @property
    def horizon(self) -> int | None:
        """The later of the two."""
        return latest(self.left, self.right)

    def _marks(self) -> Iterator[tuple[int, str]]:
        return heapq.merge(self.left._marks(), self.right._marks())

    def _edge(self, *, last: bool) -> str:
        return self.right._edge(last=last)


@kind
class product(_Pair):
    """left * right."""

    _example: ClassVar[str] = "warmup(200) * cosine_decay(decay_steps=2000)"

    def _values(self, steps: Floats) -> Floats:
        return self.left._values(steps) * self.right._values(steps)

    def __str__(self) -> str:
        left = bracketed(self.left, isinstance(self.left, added))
        return f"{left} * {bracketed(self.right, isinstance(self.right, (added, product)))}"


@kind
class added(_Pair):
    """left + right."""

    _example: ClassVar[str] = "1e-5 + cosine_decay(1e-3, decay_steps=2000)"

    def _values(self, steps: Floats) -> Floats:
        return self.left._values(steps) + self.right._values(steps)

    def __str__(self) -> str:
        return f"{self.left} + {bracketed(self.right, isinstance(self.right, added))}"


def bracketed(schedule: Schedule, needed: bool) -> str:  # noqa: FBT001  # reads well where it is called
    """The schedule's text, in brackets where they are needed."""
    return f"({schedule})" if needed else str(schedule)


def multiplied(left: Schedule, right: Schedule) -> Schedule:
    """left * right as it is kept: numbers to the front, so that arms that differ in their peak share a table."""
    if isinstance(left, scaled):
        return scaled(left.factor, multiplied(left.schedule, right))
    return scaled(right.factor, multiplied(left, right.schedule)) if isinstance(right, scaled) else product(left, right)


def check_factor(before: Schedule, schedule: Schedule) -> None:
    """Refuses to move the absolute `end` of a schedule by the number that stands before another.

    Raises:
        ValueError: `peak * warmup(n) * cosine_decay(..., end=...)`, whose end would be multiplied by the peak.
    """
    factor = _number(before)
    anchored = next(schedule._anchored(), None) if factor != 1.0 else None
    if anchored is not None:
        end, initial = anchored.end, anchored.initial  # type: ignore[attr-defined]  # those that are anchored have both
        raise ValueError(
            f"{factor} * {schedule} would end at {factor * end:.6g}: the end={end} of {type(anchored).__name__} is an "
            f"absolute value, and would be multiplied too; {_advice(anchored, factor * initial, end)}, or "
            f".times({factor}) in place of {factor} * where the end is to be multiplied"
        )


def _number(schedule: Schedule) -> float:
    if isinstance(schedule, scaled):
        return schedule.factor * _number(schedule.schedule)
    return schedule.value if isinstance(schedule, constant) else 1.0


def _advice(anchored: Schedule, peak: float, end: float) -> str:
    """What to write for that very end."""
    if not hasattr(anchored, "alpha"):
        return f"write end=0.0, or initial={peak:.6g} in it and no factor"
    alpha = end / peak if peak else 0.0
    return f"write alpha={alpha:.6g}, a fraction of the peak" if 0 < alpha <= 1 else "write alpha=, a fraction"
