"""What a longer run makes of a schedule from a step on: what remains is stretched, or the value there is held."""

# ruff: noqa: SLF001  # a schedule asks the schedule it is made of
from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from tapered.schedules.base import Schedule
from tapered.schedules.called import kind, required
from tapered.schedules.checks import Index, Steps
from tapered.schedules.curves import Floats
from tapered.schedules.methods import _Method

How = Literal["stretch", "hold"]


@kind
class stretched(_Method):
    """The schedule up to step `at`; what remains of it is spread over the steps up to a new horizon.

        value(k) = s(k)                                          k <= at
        value(k) = s(at + (k - at) * (end - at) / (horizon - at))    k > at, end the horizon of s

    Continuous at `at`, and at the new horizon where s was at its own.

    Example:
        >>> from tapered.schedules import linear
        >>> linear(1.0, 0.0, steps=4).stretched(2, horizon=6).table(8)
        array([1.   , 0.75 , 0.5  , 0.375, 0.25 , 0.125, 0.   , 0.   ])
    """

    _example: ClassVar[str] = "schedule.stretched(600, horizon=2000)"
    at: Index = required()
    horizon: Steps = required()  # a field here, a property elsewhere

    def _check(self) -> None:
        end = self.schedule.horizon
        if end is None:
            raise ValueError(
                f"{self.schedule} never ends, so it has no remainder to stretch; write .until(steps) first"
            )
        if not self.at < end:
            self._refuse("at", f"below the schedule's horizon, {end}")
        if not self.at < self.horizon:
            self._refuse("horizon", f"above at, {self.at}")

    def _values(self, steps: Floats) -> Floats:
        end = float(self.schedule.horizon or 0)
        share = np.minimum((steps - self.at) / (self.horizon - self.at), 1.0)
        return self.schedule._values(np.where(steps <= self.at, steps, self.at + share * (end - self.at)))

    def _marks(self) -> Iterator[tuple[int, str]]:
        grown = (self.horizon - self.at) / ((self.schedule.horizon or 0) - self.at)
        for at, note in self.schedule._marks():
            yield (at if at <= self.at else int(np.ceil(self.at + (at - self.at) * grown))), note


@kind
class held(_Method):
    """The schedule with a pause: its value at step `at` is held for `steps` more steps, then it goes on.

        value(k) = s(min(k, at))     k < at + steps
        value(k) = s(k - steps)      from there on

    Continuous; every piece that comes later keeps its length.

    Example:
        >>> from tapered.schedules import linear
        >>> linear(1.0, 0.0, steps=4).held(2, steps=3).table(8)
        array([1.  , 0.75, 0.5 , 0.5 , 0.5 , 0.5 , 0.25, 0.  ])
    """

    _example: ClassVar[str] = "schedule.held(600, steps=1000)"
    at: Index = required()
    steps: Steps = required()

    def _values(self, steps: Floats) -> Floats:
        return self.schedule._values(np.where(steps <= self.at, steps, np.maximum(steps - self.steps, self.at)))

    @property
    def horizon(self) -> int | None:
        """The schedule's own, `steps` later; its own where it ends before the pause."""
        end = self.schedule.horizon
        return end if end is None or end <= self.at else end + self.steps

    def _marks(self) -> Iterator[tuple[int, str]]:
        for at, note in self.schedule._marks():
            yield (at if at <= self.at else at + self.steps), note


def extended(schedule: Schedule, at: int, horizon: int, how: How) -> Schedule:
    """A schedule that is left at step `at` with a later horizon: stretched to it, or held until the rest fits.

    Raises:
        ValueError: it never ends, has ended at `at`, or would not end later.
    """
    end = schedule.horizon
    if how not in ("stretch", "hold"):
        raise ValueError(
            f'got how={how!r}; expected "stretch" (spread what remains) or "hold" (the value at this step)'
        )
    if end is None:
        raise ValueError(f"{schedule} never ends, so there is nothing to extend")
    if not max(at, 0) < end < horizon:
        raise ValueError(
            f"got horizon={horizon} at step {at} for {schedule}, which ends at step {end}; an extension needs "
            f"step < {end} < horizon; try replace with a schedule of its own for what follows"
        )
    return schedule.stretched(at, horizon) if how == "stretch" else schedule.held(at, horizon - end)
