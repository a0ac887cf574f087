"""Schedules given by points, and torch's cyclic ones."""
# ruff: noqa: SLF001  # what two kinds check alike stands beside them

import itertools
import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import numpy as np

from tapered.schedules import checks, curves
from tapered.schedules.base import Schedule
from tapered.schedules.called import kind, required
from tapered.schedules.checks import NotNegative, Number, OrNone, Span
from tapered.schedules.curves import Floats

_BOUNDARY = checks.Within("a step", least=0, most=checks.LARGEST_STEP, whole="where it is")
Boundaries = Annotated[tuple[float, ...], checks.Each("a list of steps from 0 up", _BOUNDARY)]
Values = Annotated[tuple[float, ...], checks.Each("a list of two or more finite numbers", checks.NUMBER, least=2)]
MaybeSpan = Annotated[float | None, OrNone(Span.__metadata__[0])]


def _check_points(schedule: "piecewise_constant | piecewise_interpolate", *, above: float) -> None:
    points = (above, *schedule.boundaries)
    if any(after <= before for before, after in itertools.pairwise(points)):
        schedule._refuse("boundaries", f"rising and above {above}" if above >= 0 else "rising")
    if len(schedule.values) != len(schedule.boundaries) + 1:
        schedule._refuse("values", f"one more than the {len(schedule.boundaries)} boundaries")


@kind
class piecewise_constant(Schedule):
    """value(k) = values[i], i the number of boundaries that lie before k.

    Args:
        boundaries: rising steps.
        values: one more than boundaries.
        switch: what boundary step b itself has: "after", the old value, as TensorFlow and Keras have it, where the
            new one starts at b + 1; or "at", the new one, as torch's MultiStepLR and optax have it. (timm has it one
            step earlier still.)

    Raises:
        ValueError: boundaries do not rise, or values are not one more.

    Example:
        >>> rate = piecewise_constant((100, 200), (0.1, 0.01, 0.001))
        >>> rate(100), rate(101), piecewise_constant((100,), (0.1, 0.01), switch="at")(100)
        (0.1, 0.01, 0.01)
    """

    _example: ClassVar[str] = "piecewise_constant((1000, 2000), values=(0.1, 0.01, 0.001))"
    boundaries: Boundaries = required()
    values: Values = required()
    switch: Literal["after", "at"] = "after"

    def _check(self) -> None:
        _check_points(self, above=0 if self.switch == "at" else -1)

    def _values(self, steps: Floats) -> Floats:
        side: Literal["left", "right"] = "left" if self.switch == "after" else "right"
        return np.array(self.values)[np.searchsorted(np.array(self.boundaries, dtype=np.float64), steps, side=side)]

    @property
    def horizon(self) -> int:
        """The first step of the last value."""
        return self._first(self.boundaries[-1])

    def _first(self, boundary: float) -> int:
        return math.floor(boundary) + 1 if self.switch == "after" else math.ceil(boundary)

    def _marks(self) -> Iterator[tuple[int, str]]:
        return ((self._first(boundary), "next value") for boundary in self.boundaries)


@kind
class piecewise_interpolate(Schedule):
    """value(k) from values[0] at step 0 through values[i + 1] at boundaries[i], between them a line or half a cosine.

    optax's piecewise_interpolate_schedule, which takes the ratios of the values in their place.

    Args:
        boundaries: the steps, rising, at which all values but the first are reached.
        values: one more than there are boundaries.
        shape: of the way between two: "linear", or "cosine", half a wave.

    Raises:
        ValueError: boundaries do not rise, or values are not one more.

    Example:
        >>> rate = piecewise_interpolate((100, 200), (0.0, 1.0, 0.5))
        >>> rate(0), rate(50), rate(100), rate(150), rate(201)
        (0.0, 0.5, 1.0, 0.75, 0.5)
    """

    _example: ClassVar[str] = "piecewise_interpolate((300, 1000), values=(0.01, 0.1, 0.0))"
    boundaries: Boundaries = required()
    values: Values = required()
    shape: Literal["linear", "cosine"] = "linear"

    def _check(self) -> None:
        _check_points(self, above=0)

    def _values(self, steps: Floats) -> Floats:
        points, values = np.array((0.0, *self.boundaries)), np.array(self.values)
        piece = np.minimum(np.searchsorted(points, steps, side="right"), len(points) - 1)
        u = np.minimum((steps - points[piece - 1]) / (points[piece] - points[piece - 1]), 1.0)
        left = curves.fall(self.shape, u)
        interpolated: Floats = values[piece - 1] * left + values[piece] * (1.0 - left)
        return interpolated

    @property
    def horizon(self) -> int:
        """The first step at or after the last boundary."""
        return math.ceil(self.boundaries[-1])

    def _marks(self) -> Iterator[tuple[int, str]]:
        return ((math.ceil(boundary), "turn") for boundary in self.boundaries)


@kind
class cyclic(Schedule):
    """value(k) = low + (high - low) * x * height, x rising from 0 to 1 over `up` steps and falling over `down`.

    torch's CyclicLR (Smith 2017): the height is 1 ("triangular"), 1 / 2^cycle ("triangular2") or gamma^k ("exp_range").
    It never ends.

    Args:
        high: the peak of the first cycle; torch's max_lr.
        low: between the peaks; torch's base_lr.
        up: steps from low to high; torch's step_size_up.
        down: steps back; as many as up unless given.
        mode: how the peaks fall.
        gamma: the factor a step of "exp_range".

    Raises:
        ValueError: low is above high.

    Example:
        >>> rate = cyclic(0.1, low=0.0, up=10, mode="triangular2")
        >>> rate(0), rate(5), rate(10), rate(20), rate(30)
        (0.0, 0.05, 0.1, 0.0, 0.05)
    """

    _example: ClassVar[str] = "cyclic(0.1, low=0.001, up=2000)"
    high: Number = 1.0
    low: Number = 0.0
    up: Span = 2000
    down: MaybeSpan = None
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular"
    gamma: NotNegative = 1.0

    def _check(self) -> None:
        if self.low > self.high:
            self._refuse("low", f"at most high, {self.high}")

    @property
    def _period(self) -> float:
        return self.up + (self.up if self.down is None else self.down)

    def _values(self, steps: Floats) -> Floats:
        cycle = np.floor(steps / self._period)
        at = steps - cycle * self._period
        x: Floats = np.where(at <= self.up, at / self.up, (self._period - at) / (self._period - self.up))
        height: Floats = np.power(self.gamma, steps) if self.mode == "exp_range" else np.power(0.5, cycle)
        values: Floats = self.low + (self.high - self.low) * (x if self.mode == "triangular" else x * height)
        return values

    def _marks(self) -> Iterator[tuple[int, str]]:
        turns = itertools.chain.from_iterable(
            ((cycle * self._period + self.up, "peak"), ((cycle + 1) * self._period, "low"))
            for cycle in itertools.count()
        )
        return ((math.ceil(at), note) for at, note in turns)
