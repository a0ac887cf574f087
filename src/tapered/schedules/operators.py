"""What `*` and `+` make of schedules, and `constant`, which numbers become between them."""
# ruff: noqa: SLF001  # a schedule asks the schedules it is made of

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tapered.schedules.base import Part, Schedule
from tapered.schedules.checks import REQUIRED, Number
from tapered.schedules.curves import Floats


@dataclass(frozen=True, repr=False)
class constant(Schedule):
    """value(k) = value, for ever.

    It has no horizon; `hold(steps, value)` is the constant that something can follow.

    Example:
        >>> constant(1e-4)(10**9)
        0.0001
    """

    _example: ClassVar[str] = "constant(1e-4)"
    value: Number = REQUIRED

    def _values(self, steps: Floats) -> Floats:
        return np.full_like(steps, self.value)


def latest(*schedules: Schedule) -> int | None:
    """The horizon of what is made of several schedules at once: the last one's, constants aside."""
    ends = [schedule.horizon for schedule in schedules if not isinstance(schedule, constant)]
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None


@dataclass(frozen=True, repr=False)
class scaled(Schedule):
    """factor * schedule."""

    _example: ClassVar[str] = "3e-4 * warmup(200)"
    _loose: ClassVar[bool] = True
    factor: Number = REQUIRED
    schedule: Part = REQUIRED

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

    def __str__(self) -> str:
        # `2 * a * b` reads as 2 * (a * b), since numbers go to the front of a product.
        return f"{self.factor} * {bracketed(self.schedule, isinstance(self.schedule, (scaled, added)))}"


@dataclass(frozen=True, repr=False)
class _Pair(Schedule):
    left: Part = REQUIRED
    right: Part = REQUIRED
    _loose: ClassVar[bool] = True

    @property
    def horizon(self) -> int | None:
        """The later of the two."""
        return latest(self.left, self.right)

    def _marks(self) -> Iterator[tuple[int, str]]:
        return heapq.merge(self.left._marks(), self.right._marks())

    def _edge(self, *, last: bool) -> str:
        return self.right._edge(last=last)


@dataclass(frozen=True, repr=False)
class product(_Pair):
    """left * right."""

    _example: ClassVar[str] = "warmup(200) * cosine_decay(decay_steps=2000)"

    def _values(self, steps: Floats) -> Floats:
        return self.left._values(steps) * self.right._values(steps)

    def __str__(self) -> str:
        left = bracketed(self.left, isinstance(self.left, added))
        return f"{left} * {bracketed(self.right, isinstance(self.right, (added, product)))}"


@dataclass(frozen=True, repr=False)
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
