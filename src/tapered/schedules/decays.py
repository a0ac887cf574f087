"""TensorFlow's polynomial decay, power laws of the step, and timm's hyperbolic tangent."""

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, overload

import numpy as np

from tapered.schedules.base import Schedule
from tapered.schedules.called import kind
from tapered.schedules.checks import REQUIRED, Number, Positive, Span
from tapered.schedules.curves import Floats


@kind
class polynomial_decay(Schedule):
    """value(k) = (initial - end) * (1 - (s / d)^k_decay)^power + end, s = min(k, d), d = decay_steps.

    TensorFlow's polynomial_decay, also torch's PolynomialLR (end=0) and Transformers' (end=1e-7).

    Args:
        initial: the value at step 0.
        decay_steps: d, in steps, above 0, need not be whole.
        end: the value at the end, absolute; 1e-4 unless given, as in TensorFlow. At most `initial`.
        power: 1 is a straight line.
        cycle: as TensorFlow has it, d grows to the next multiple of decay_steps that is not below k: at each multiple
            the value is `end`, one step later it jumps up, to peaks that fall as 1 / 2, 1 / 3, ... It never ends.
        k_decay: bends the steps, as timm does; 1 does not.

    Raises:
        ValueError: end is above initial.

    Example:
        >>> decay = polynomial_decay(1.0, decay_steps=10, end=0.1, cycle=True)
        >>> decay(0), decay(10), round(decay(11), 3), round(decay(21), 3)
        (1.0, 0.1, 0.505, 0.37)
    """

    _example: ClassVar[str] = "polynomial_decay(0.1, decay_steps=1000, end=1e-4, power=2.0)"
    initial: Number = 1.0
    decay_steps: Span = REQUIRED
    end: Number = 1e-4
    power: Positive = 1.0
    cycle: bool = False
    k_decay: Positive = 1.0

    if TYPE_CHECKING:

        @overload
        def __init__(
            self,
            initial: float,
            decay_steps: float,
            end: float = 1e-4,
            power: float = 1.0,
            cycle: bool = False,  # noqa: FBT001, FBT002  # TensorFlow's order
            k_decay: float = 1.0,
        ) -> None: ...
        @overload
        def __init__(
            self,
            initial: float = 1.0,
            *,
            decay_steps: float,
            end: float = 1e-4,
            power: float = 1.0,
            cycle: bool = False,
            k_decay: float = 1.0,
        ) -> None: ...
        def __init__(self, *given: Any, **named: Any) -> None: ...

    def _anchored(self) -> Iterator[Schedule]:
        return iter((self,) if self.end else ())

    def _check(self) -> None:
        if self.end > self.initial:
            self._refuse("end", f"at most initial, {self.initial} (linear(...) is there to rise)")

    def _values(self, steps: Floats) -> Floats:
        length = self.decay_steps * (np.maximum(np.ceil(steps / self.decay_steps), 1.0) if self.cycle else 1.0)
        u = np.minimum(steps / length, 1.0)
        u = u if self.k_decay == 1.0 else np.power(u, self.k_decay)
        return (self.initial - self.end) * np.power(1.0 - u, self.power) + self.end

    @property
    def horizon(self) -> int | None:
        """The first step at or after decay_steps; none where it cycles."""
        return None if self.cycle else math.ceil(self.decay_steps)

    def _marks(self) -> Iterator[tuple[int, str]]:
        if not self.cycle:
            return super()._marks()
        return ((math.ceil(cycle * self.decay_steps), "cycle ends") for cycle in itertools.count(1))


@kind
class inverse_sqrt(Schedule):
    """value(k) = initial * sqrt(timescale / (k + shift)).

    As it stands, initial / sqrt(t) with t = k + 1: the rate of Adam's convergence theorem (Kingma and Ba 2015, Theorem
    4.1). It never ends. Transformers' inverse_sqrt after N warmup steps is
    `warmup(N).then(inverse_sqrt(timescale=N, shift=N))`; the transformer paper's is
    `warmup(N, ramp="(t+1)/N").then(inverse_sqrt(timescale=N, shift=N + 1))`; T5's is
    `hold(N).then(inverse_sqrt(timescale=N, shift=N))`, each times its peak.

    Args:
        initial: the value where k + shift = timescale.
        timescale: in steps, above 0.
        shift: steps that are added to k, above 0.

    Example:
        >>> decay = inverse_sqrt(0.1)
        >>> decay(0), decay(3), decay(99)
        (0.1, 0.05, 0.01)
    """

    _example: ClassVar[str] = "inverse_sqrt(0.01)"
    initial: Number = 1.0
    timescale: Positive = 1.0
    shift: Positive = 1.0

    def _values(self, steps: Floats) -> Floats:
        return self.initial / np.sqrt((steps + self.shift) / self.timescale)


@kind
class power_decay(Schedule):
    """value(k) = initial * ((k + shift) / timescale)^exponent.

    The power law of Shen et al. 2024 (exponent -0.51; see the function `power`) and timm's stable phase "power"
    (shift = timescale). It never ends.

    Args:
        initial: the value where k + shift = timescale.
        exponent: below 0 for a decay.
        timescale: in steps, above 0.
        shift: steps that are added to k, above 0.

    Example:
        >>> decay = power_decay(0.1, exponent=-1.0, timescale=10, shift=10)
        >>> decay(0), decay(10)
        (0.1, 0.05)
    """

    _example: ClassVar[str] = "power_decay(0.1, exponent=-0.51)"
    initial: Number = 1.0
    exponent: Number = REQUIRED
    timescale: Positive = 1.0
    shift: Positive = 1.0

    if TYPE_CHECKING:

        @overload
        def __init__(self, initial: float, exponent: float, timescale: float = 1.0, shift: float = 1.0) -> None: ...
        @overload
        def __init__(
            self, initial: float = 1.0, *, exponent: float, timescale: float = 1.0, shift: float = 1.0
        ) -> None: ...
        def __init__(self, *given: Any, **named: Any) -> None: ...

    def _values(self, steps: Floats) -> Floats:
        return self.initial * np.power((steps + self.shift) / self.timescale, self.exponent)


@kind
class tanh_decay(Schedule):
    """value(k) = end + (initial - end) * (1 - tanh(lower (1 - u) + upper u)) / 2, u = min(k / decay_steps, 1).

    timm's TanhLRScheduler up to decay_steps, where timm jumps to its floor and this holds its last value.

    Args:
        initial: what the value at step 0 is close to.
        decay_steps: the steps to the last value, above 0, need not be whole.
        lower: where on the hyperbolic tangent it begins.
        upper: where it ends.
        end: what the last value is close to, an absolute value (timm's lr_min).

    Raises:
        ValueError: end is above initial, or lower is not below upper.

    Example:
        >>> decay = tanh_decay(decay_steps=100)
        >>> round(decay(0), 6), round(decay(70), 6), round(decay(100), 6)
        (0.999999, 0.5, 0.002473)
    """

    _example: ClassVar[str] = "tanh_decay(0.1, decay_steps=1000)"
    initial: Number = 1.0
    decay_steps: Span = REQUIRED
    lower: Number = -7.0
    upper: Number = 3.0
    end: Number = 0.0

    if TYPE_CHECKING:

        @overload
        def __init__(
            self, initial: float, decay_steps: float, lower: float = -7.0, upper: float = 3.0, end: float = 0.0
        ) -> None: ...
        @overload
        def __init__(
            self, initial: float = 1.0, *, decay_steps: float, lower: float = -7.0, upper: float = 3.0, end: float = 0.0
        ) -> None: ...
        def __init__(self, *given: Any, **named: Any) -> None: ...

    def _anchored(self) -> Iterator[Schedule]:
        return iter((self,) if self.end else ())

    def _check(self) -> None:
        if self.end > self.initial:
            self._refuse("end", f"at most initial, {self.initial}")
        if self.lower >= self.upper:
            self._refuse("lower", f"below upper, {self.upper}")

    def _values(self, steps: Floats) -> Floats:
        u = np.minimum(steps / self.decay_steps, 1.0)
        fall = 0.5 * (1.0 - np.tanh(self.lower * (1.0 - u) + self.upper * u))
        return self.end + (self.initial - self.end) * fall

    @property
    def horizon(self) -> int:
        """The first step at or after decay_steps."""
        return math.ceil(self.decay_steps)
