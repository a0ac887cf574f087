"""TensorFlow 1's exponential, natural exponential and inverse-time decay.

Arguments bear TensorFlow's names; the learning rate is `initial` and is 1 where it is left out, and there is no
`global_step`: the step is what a schedule is called with.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, overload

import numpy as np

from tapered.schedules.base import Schedule
from tapered.schedules.called import shown
from tapered.schedules.checks import REQUIRED, NotNegative, Number, Positive, Span
from tapered.schedules.curves import Floats


@shown
@dataclass(frozen=True, repr=False, init=False)
class _Staired(Schedule):
    """What the three have in common. The argument `staircase` is kept as `stairs`: `.staircase(n)` is the operator."""

    _spelling: ClassVar[Mapping[str, str]] = {"stairs": "staircase"}
    initial: Number = 1.0
    decay_steps: Span = REQUIRED
    decay_rate: Number = REQUIRED
    stairs: bool = False

    @overload
    def __init__(
        self,
        initial: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,  # noqa: FBT001, FBT002  # TensorFlow's order
    ) -> None: ...
    @overload
    def __init__(
        self, initial: float = 1.0, *, decay_steps: float, decay_rate: float, staircase: bool = False
    ) -> None: ...
    def __init__(
        self,
        initial: float = 1.0,
        decay_steps: float = REQUIRED,
        decay_rate: float = REQUIRED,
        staircase: bool = False,  # noqa: FBT001, FBT002  # TensorFlow's order
    ) -> None:
        given = {"initial": initial, "decay_steps": decay_steps, "decay_rate": decay_rate, "stairs": staircase}
        for field, value in given.items():
            object.__setattr__(self, field, value)
        self.__post_init__()

    def _periods(self, steps: Floats) -> Floats:
        """steps / decay_steps, rounded down on a staircase."""
        periods = steps / self.decay_steps
        return np.floor(periods) if self.stairs else periods

    def _marks(self) -> Iterator[tuple[int, str]]:
        numbers = itertools.count(1) if self.stairs else ()
        return ((math.ceil(number * self.decay_steps), "stair") for number in numbers)


@shown
@dataclass(frozen=True, repr=False, init=False)
class exponential_decay(_Staired):
    """value(k) = initial * decay_rate^p, p = k / decay_steps, rounded down where `staircase`.

    TensorFlow's exponential_decay; with decay_steps=1 torch's ExponentialLR(gamma), with a staircase torch's
    StepLR(step_size, gamma). It never ends. `half_life=n` in place of the other two says in how many steps it halves,
    and is the form decay_steps=n, decay_rate=0.5; the attribute `half_life` reads on both.

    Args:
        initial: the value at step 0.
        decay_steps: the steps in which it falls by decay_rate; above 0, need not be whole.
        decay_rate: the factor over decay_steps; above 0. Above 1 the value grows.
        staircase: falls at once every decay_steps.
        half_life: the steps in which it halves.

    Raises:
        TypeError: both half_life and the other two are given, or neither.

    Example:
        >>> decay = exponential_decay(0.15, decay_steps=1, decay_rate=0.9999)
        >>> decay(0), round(decay(10_000), 4), round(decay.half_life, 1)
        (0.15, 0.0552, 6931.1)
        >>> exponential_decay(0.15, half_life=6931)
        exponential_decay(0.15, decay_steps=6931, decay_rate=0.5)
    """

    _example: ClassVar[str] = "exponential_decay(0.15, decay_steps=1, decay_rate=0.9999)"
    decay_rate: Positive = REQUIRED

    @overload
    def __init__(
        self,
        initial: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,  # noqa: FBT001, FBT002  # TensorFlow's order
    ) -> None: ...
    @overload
    def __init__(
        self, initial: float = 1.0, *, decay_steps: float, decay_rate: float, staircase: bool = False
    ) -> None: ...
    @overload
    def __init__(self, initial: float = 1.0, *, half_life: float, staircase: bool = False) -> None: ...
    def __init__(
        self,
        initial: float = 1.0,
        decay_steps: float | None = None,
        decay_rate: float | None = None,
        staircase: bool = False,  # noqa: FBT001, FBT002  # TensorFlow's order
        *,
        half_life: float | None = None,
    ) -> None:
        if half_life is not None:
            if decay_steps is not None or decay_rate is not None:
                raise TypeError(
                    "exponential_decay takes half_life or decay_steps and decay_rate, not both; write for example "
                    f"exponential_decay({initial}, half_life={half_life})"
                )
            decay_steps, decay_rate = half_life, 0.5
        steps, rate = (REQUIRED if given is None else given for given in (decay_steps, decay_rate))
        super().__init__(initial, steps, rate, staircase)

    @property
    def half_life(self) -> float:
        """The steps in which it halves; infinite where it does not fall."""
        return math.inf if self.decay_rate >= 1 else self.decay_steps * (math.log(0.5) / math.log(self.decay_rate))

    def _values(self, steps: Floats) -> Floats:
        return self.initial * np.power(self.decay_rate, self._periods(steps))


@shown
@dataclass(frozen=True, repr=False, init=False)
class natural_exp_decay(_Staired):
    """value(k) = initial * (e^-decay_rate)^p, p = k / decay_steps, rounded down where `staircase`.

    TensorFlow's natural_exp_decay: the power of e^-decay_rate, as there, which rounds otherwise than e^(-decay_rate p).

    Args:
        initial: the value at step 0.
        decay_steps: the steps of one period, above 0, need not be whole.
        decay_rate: the value falls by a factor of e^decay_rate in a period.
        staircase: falls at once every decay_steps.

    Example:
        >>> decay = natural_exp_decay(0.1, decay_steps=100, decay_rate=1.0)
        >>> decay(0), round(decay(100), 6)
        (0.1, 0.036788)
    """

    _example: ClassVar[str] = "natural_exp_decay(0.1, decay_steps=1000, decay_rate=0.5)"

    def _values(self, steps: Floats) -> Floats:
        return self.initial * np.power(math.exp(-self.decay_rate), self._periods(steps))


@shown
@dataclass(frozen=True, repr=False, init=False)
class inverse_time_decay(_Staired):
    """value(k) = initial / (1 + decay_rate * p), p = k / decay_steps, rounded down where `staircase`.

    TensorFlow's inverse_time_decay. A negative rate, which TensorFlow takes, has a pole and is refused.

    Args:
        initial: the value at step 0.
        decay_steps: the steps of one period, above 0, need not be whole.
        decay_rate: by how much the divisor grows in a period, not below 0.
        staircase: falls at once every decay_steps.

    Example:
        >>> decay = inverse_time_decay(0.1, decay_steps=100, decay_rate=1.0)
        >>> decay(0), decay(100), decay(300)
        (0.1, 0.05, 0.025)
    """

    _example: ClassVar[str] = "inverse_time_decay(0.1, decay_steps=1000, decay_rate=0.5)"
    decay_rate: NotNegative = REQUIRED

    def _values(self, steps: Floats) -> Floats:
        return self.initial / (1.0 + self.decay_rate * self._periods(steps))
