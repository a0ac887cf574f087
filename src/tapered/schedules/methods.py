"""What the methods of a schedule make: `then`, `clamp`, `delayed`, `until`, `staircase`, `cooldown`, `repeat`."""

# ruff: noqa: SLF001  # a schedule asks the schedules it is made of
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tapered.schedules import curves
from tapered.schedules.base import CooldownShape, Part, Schedule
from tapered.schedules.called import kind, required, shown
from tapered.schedules.checks import LARGEST_STEP, REQUIRED, Index, MaybeNumber, Positive, Steps, Unit
from tapered.schedules.curves import Floats
from tapered.schedules.operators import bracketed


@kind
class _Method(Schedule):
    """An operator that is called as a method of `schedule`, and printed so."""

    _method: ClassVar[str] = ""  # its name as a method, where that is not the class's
    schedule: Part = required()

    def _marks(self) -> Iterator[tuple[int, str]]:
        return self.schedule._marks()

    def _edge(self, *, last: bool) -> str:
        return self.schedule._edge(last=last)

    def __str__(self) -> str:
        name = self._method or type(self).__name__
        return f"{bracketed(self.schedule, self.schedule._loose)}.{name}({self._arguments(skip=1)})"


def _before(schedule: Schedule, stop: int) -> Iterator[tuple[int, str]]:
    return itertools.takewhile(lambda mark: mark[0] < stop, schedule._marks())


def _after(schedule: Schedule, start: int) -> Iterator[tuple[int, str]]:
    return ((at + start, note) for at, note in schedule._marks())


@kind
class then(_Method):
    """The schedule up to its horizon, then `following` from its own step 0."""

    _example: ClassVar[str] = "hold(1600).then(cooldown(400))"
    following: Part = required()

    def _check(self) -> None:
        if self.schedule.horizon is None:
            advice = "write hold(steps) in place of constant(...), or .until(steps) before .then"
            raise ValueError(f"{self.schedule} never ends, so nothing can come after it; {advice}")

    @property
    def _join(self) -> int:
        return self.schedule.horizon or 0

    def _values(self, steps: Floats) -> Floats:
        later = steps - self._join
        before = later < 0
        if before.all():
            return self.schedule._values(steps)
        following = self.following._values(np.maximum(later, 0.0))
        return np.where(before, self.schedule._values(steps), following) if before.any() else following

    @property
    def horizon(self) -> int | None:
        """The sum of the two."""
        end = self.following.horizon
        return None if end is None else self._join + end

    def _marks(self) -> Iterator[tuple[int, str]]:
        yield from _before(self.schedule, self._join)
        yield self._join, f"{self.schedule._edge(last=True)} ends, {self.following._edge(last=False)} begins"
        yield from _after(self.following, self._join)

    def _edge(self, *, last: bool) -> str:
        return (self.following if last else self.schedule)._edge(last=last)


@kind
class clamp(_Method):
    """The schedule, no lower than `low` and no higher than `high`."""

    _example: ClassVar[str] = "schedule.clamp(1e-5, high=1e-3)"
    low: MaybeNumber = None
    high: MaybeNumber = None

    def _check(self) -> None:
        if self.low is None and self.high is None:
            self._refuse("low", "a number where high is not given")
        if self.low is not None and self.high is not None and self.low > self.high:
            self._refuse("low", f"at most high, {self.high}")

    def _values(self, steps: Floats) -> Floats:
        return np.clip(self.schedule._values(steps), self.low, self.high)

    @property
    def horizon(self) -> int | None:
        """The schedule's own."""
        return self.schedule.horizon


@kind
class delayed(_Method):
    """The schedule's first value for `steps` steps, then the schedule from its step 0."""

    _example: ClassVar[str] = "schedule.delayed(500)"
    steps: Index = required()

    def _values(self, steps: Floats) -> Floats:
        return self.schedule._values(np.maximum(steps - self.steps, 0.0))

    @property
    def horizon(self) -> int | None:
        """The schedule's own, that much later."""
        end = self.schedule.horizon
        return None if end is None else end + self.steps

    def _marks(self) -> Iterator[tuple[int, str]]:
        yield self.steps, f"{self.schedule._edge(last=False)} begins"
        yield from _after(self.schedule, self.steps)


@kind
class until(_Method):
    """The schedule up to step `steps`, whose value is held from there on."""

    _example: ClassVar[str] = "schedule.until(1000)"
    steps: Steps = required()

    def _values(self, steps: Floats) -> Floats:
        return self.schedule._values(np.minimum(steps, self.steps))

    @property
    def horizon(self) -> int | None:
        """`steps`, also where the schedule ends earlier: it is held up to here."""
        return self.steps

    def _marks(self) -> Iterator[tuple[int, str]]:
        yield from _before(self.schedule, self.steps)
        yield self.steps, f"{self._edge(last=True)} is held"


@kind
class staircase(_Method):
    """The schedule's value at the last multiple of `steps`."""

    _example: ClassVar[str] = "schedule.staircase(100)"
    steps: Steps = required()

    def _values(self, steps: Floats) -> Floats:
        return self.schedule._values(np.floor(steps / self.steps) * self.steps)

    @property
    def horizon(self) -> int | None:
        """The multiple of `steps` at or after the schedule's own."""
        end = self.schedule.horizon
        return None if end is None else -(-end // self.steps) * self.steps

    def _marks(self) -> Iterator[tuple[int, str]]:
        return ((-(-at // self.steps) * self.steps, note) for at, note in self.schedule._marks())


@kind
class cooled(_Method):
    """The schedule up to step `at`, then its value there times a cooldown's shape, over `steps` steps."""

    _example: ClassVar[str] = 'schedule.cooldown(1600, steps=400, shape="1-sqrt")'
    _method: ClassVar[str] = "cooldown"
    at: Index = required()
    steps: Steps = required()
    shape: CooldownShape = "linear"
    floor: Unit = 0.0

    def _check(self) -> None:
        if self.shape == "exponential" and self.floor == 0.0:
            self._refuse("floor", "above 0 for an exponential cooldown")

    def _values(self, steps: Floats) -> Floats:
        way = np.clip((steps - self.at) / self.steps, 0.0, 1.0)
        return self.schedule._values(np.minimum(steps, self.at)) * curves.cooled(self.shape, self.floor, way)

    @property
    def horizon(self) -> int | None:
        """at + steps."""
        return self.at + self.steps

    def _marks(self) -> Iterator[tuple[int, str]]:
        yield from _before(self.schedule, self.at)
        yield self.at, "cooldown begins"
        yield self.at + self.steps, "cooldown ends"


@shown
@dataclass(frozen=True, repr=False, init=False)
class repeat(_Method):
    """The schedule from 0 to its horizon, `times` times; each t_mul times as long and m_mul times as high.

    The argument `times` is kept as `cycles`: `.times(factor)` is the operator.
    """

    _example: ClassVar[str] = "cosine_decay(decay_steps=100).repeat(3, t_mul=2.0, m_mul=0.5)"
    _spelling: ClassVar[Mapping[str, str]] = {"cycles": "times"}
    cycles: Steps = REQUIRED
    t_mul: Positive = 1.0
    m_mul: Positive = 1.0

    def __init__(
        self, schedule: Schedule = REQUIRED, times: int = REQUIRED, t_mul: float = 1.0, m_mul: float = 1.0
    ) -> None:
        for field, value in {"schedule": schedule, "cycles": times, "t_mul": t_mul, "m_mul": m_mul}.items():
            object.__setattr__(self, field, value)
        self.__post_init__()

    def _check(self) -> None:
        if self.schedule.horizon is None:
            raise ValueError(f"{self.schedule} never ends, so it cannot repeat; write .until(steps) before .repeat")
        if self.t_mul < 1.0:
            self._refuse("t_mul", "at least 1: shrinking cycles are over after finitely many steps")

    @property
    def _period(self) -> float:
        return float(self.schedule.horizon or 1)

    def _values(self, steps: Floats) -> Floats:
        index, local, length = curves.cycles(np.minimum(steps, self.horizon), self._period, self.t_mul)
        local = np.where(index < self.cycles, local * (self._period / length), self._period)
        return np.power(self.m_mul, np.minimum(index, self.cycles - 1.0)) * self.schedule._values(local)

    @property
    def horizon(self) -> int:
        """The end of the last repetition."""
        return curves.cycle_start(self.cycles, self._period, self.t_mul)

    def _marks(self) -> Iterator[tuple[int, str]]:
        starts = curves.cycles_within(self._period, self.t_mul, LARGEST_STEP)
        cycles = itertools.islice(starts, self.cycles)
        for number, (start, length) in enumerate(cycles):
            if number:
                yield math.ceil(start), "restart"
            inside = _before(self.schedule, int(self._period))
            yield from ((math.ceil(start + at * length / self._period), note) for at, note in inside)
        yield self.horizon, "last repetition ends"
