"""TensorFlow's linear cosine decay, plain and with noise (Bello et al. 2017)."""

import math
from typing import TYPE_CHECKING, Any, ClassVar, overload

import numpy as np

from tapered.schedules import curves
from tapered.schedules.base import Schedule
from tapered.schedules.called import kind
from tapered.schedules.checks import REQUIRED, Index, NotNegative, Number, Span
from tapered.schedules.curves import Floats


@kind
class linear_cosine_decay(Schedule):
    """value(k) = initial * ((alpha + (d - s) / d) * (1 + cos(2 pi num_periods s / d)) / 2 + beta), s = min(k, d).

    d = decay_steps. TensorFlow's linear_cosine_decay; it starts at initial * (1 + alpha + beta).

    Args:
        initial: what every value is a multiple of.
        decay_steps: the steps to the last value, above 0, need not be whole.
        num_periods: whole waves of the cosine up to decay_steps.
        alpha: what is added to the line.
        beta: what is added to the product, and left at the end.

    Example:
        >>> decay = linear_cosine_decay(0.1, decay_steps=100)
        >>> round(decay(0), 6), round(decay(50), 6), round(decay(100), 6)
        (0.1001, 0.0251, 0.0001)
    """

    _example: ClassVar[str] = "linear_cosine_decay(0.1, decay_steps=1000)"
    initial: Number = 1.0
    decay_steps: Span = REQUIRED
    num_periods: NotNegative = 0.5
    alpha: Number = 0.0
    beta: Number = 0.001

    if TYPE_CHECKING:

        @overload
        def __init__(
            self,
            initial: float,
            decay_steps: float,
            num_periods: float = 0.5,
            alpha: float = 0.0,
            beta: float = 0.001,
        ) -> None: ...
        @overload
        def __init__(
            self,
            initial: float = 1.0,
            *,
            decay_steps: float,
            num_periods: float = 0.5,
            alpha: float = 0.0,
            beta: float = 0.001,
        ) -> None: ...
        def __init__(self, *given: Any, **named: Any) -> None: ...

    def _values(self, steps: Floats) -> Floats:
        return _decayed(self, np.minimum(steps, self.decay_steps), 0.0)

    @property
    def horizon(self) -> int:
        """The first step at or after decay_steps."""
        return math.ceil(self.decay_steps)


@kind
class noisy_linear_cosine_decay(Schedule):
    """linear_cosine_decay with noise: its (d - s) / d becomes (d - s) / d + e.

    e is normal with mean 0 and variance initial_variance / (1 + s)^variance_decay, drawn from `seed` and the step, so a
    step read twice has one value (TensorFlow draws afresh at each reading). As in TensorFlow a value can fall below 0,
    which no optimizer takes: write `.clamp(0.0)` after it.

    Args:
        initial: what every value is a multiple of.
        decay_steps: the steps to the last value, above 0, need not be whole.
        initial_variance: of the noise at step 0.
        variance_decay: the power of 1 + s by which it falls.
        num_periods: whole waves of the cosine up to decay_steps.
        alpha: what is added to the line.
        beta: what is added to the product, and left at the end.
        seed: what the noise follows, a whole number from 0 up.

    Example:
        >>> decay = noisy_linear_cosine_decay(0.1, decay_steps=100, seed=3).clamp(0.0)
        >>> decay(20) == decay(20) != decay(21)
        True
    """

    _example: ClassVar[str] = "noisy_linear_cosine_decay(0.1, decay_steps=1000).clamp(0.0)"
    initial: Number = 1.0
    decay_steps: Span = REQUIRED
    initial_variance: NotNegative = 1.0
    variance_decay: NotNegative = 0.55
    num_periods: NotNegative = 0.5
    alpha: Number = 0.0
    beta: Number = 0.001
    seed: Index = 0

    if TYPE_CHECKING:

        @overload
        def __init__(
            self,
            initial: float,
            decay_steps: float,
            initial_variance: float = 1.0,
            variance_decay: float = 0.55,
            num_periods: float = 0.5,
            alpha: float = 0.0,
            beta: float = 0.001,
            seed: int = 0,
        ) -> None: ...
        @overload
        def __init__(
            self,
            initial: float = 1.0,
            *,
            decay_steps: float,
            initial_variance: float = 1.0,
            variance_decay: float = 0.55,
            num_periods: float = 0.5,
            alpha: float = 0.0,
            beta: float = 0.001,
            seed: int = 0,
        ) -> None: ...
        def __init__(self, *given: Any, **named: Any) -> None: ...

    def _values(self, steps: Floats) -> Floats:
        at = np.minimum(steps, self.decay_steps)
        deviation = np.sqrt(self.initial_variance / np.power(1.0 + at, self.variance_decay))
        return _decayed(self, at, deviation * _normal(self.seed, np.ceil(at)))

    @property
    def horizon(self) -> int:
        """The first step at or after decay_steps."""
        return math.ceil(self.decay_steps)


def _decayed(of: linear_cosine_decay | noisy_linear_cosine_decay, at: Floats, noise: Floats | float) -> Floats:
    line = (of.decay_steps - at) / of.decay_steps + noise
    wave = curves.half_cosine(2.0 * of.num_periods * (at / of.decay_steps))
    return of.initial * ((of.alpha + line) * wave + of.beta)


def _normal(seed: int, steps: Floats) -> Floats:
    """A standard normal number for each whole step: Box and Muller's, of Philox's block number `step`."""
    known, place = np.unique(steps.astype(np.int64), return_inverse=True)
    stretches = np.split(known, np.flatnonzero(np.diff(known) != 1) + 1)  # steps that follow one another
    raw = [np.random.Philox(key=seed, counter=int(part[0])).random_raw(4 * len(part)) for part in stretches]
    drawn = (np.concatenate(raw).reshape(-1, 4)[:, :2] >> np.uint64(11)) * 2.0**-53
    u, v = np.ascontiguousarray(drawn[place].T)
    normal: Floats = np.sqrt(-2.0 * np.log1p(-u)) * np.cos(2.0 * math.pi * v)
    return normal
