"""The plain pieces: hold, linear, warmup and cooldown. They begin or end at 1, so that a peak multiplies them."""

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

import numpy as np

from tapered.schedules import curves
from tapered.schedules.base import CooldownShape, Schedule
from tapered.schedules.called import kind, required
from tapered.schedules.checks import REQUIRED, Number, Positive, Span, Steps, Unit
from tapered.schedules.curves import Floats


@kind
class hold(Schedule):
    """value(k) = value, for `steps` steps: the constant that something can follow.

    Args:
        steps: a whole number from 1 up.
        value: at each of them.

    Example:
        >>> warmup(200).then(hold(1600)).horizon
        1800
    """

    _example: ClassVar[str] = "hold(1600)"
    steps: Steps = required()
    value: Number = 1.0

    def _values(self, steps: Floats) -> Floats:
        return np.full_like(steps, self.value)

    @property
    def horizon(self) -> int:
        """`steps`."""
        return self.steps


@kind
class linear(Schedule):
    """value(k) = initial + (end - initial) * min(k / steps, 1).

    From 1 to 0 where no values are given: linear decay to zero (Defazio et al. 2023; Bergsma et al. 2025). With
    `linear(a, b, n)` it is torch's LinearLR(start_factor=a, end_factor=b, total_iters=n).

    Args:
        initial: the value at step 0.
        end: the value from step `steps` on.
        steps: the steps from one to the other, above 0, need not be whole.

    Example:
        >>> decay = linear(steps=100)
        >>> decay(0), decay(75), decay(100), decay(101)
        (1.0, 0.25, 0.0, 0.0)
    """

    _example: ClassVar[str] = "linear(0.1, end=0.0, steps=1000)"
    initial: Number = 1.0
    end: Number = 0.0
    steps: Span = REQUIRED

    if TYPE_CHECKING:

        @overload
        def __init__(self, initial: float, end: float, steps: float) -> None: ...
        @overload
        def __init__(self, initial: float = 1.0, end: float = 0.0, *, steps: float) -> None: ...
        def __init__(self, *given: Any, **named: Any) -> None: ...

    def _values(self, steps: Floats) -> Floats:
        u = np.minimum(steps / self.steps, 1.0)
        return self.initial * (1.0 - u) + self.end * u

    @property
    def horizon(self) -> int:
        """The first step at or after `steps`."""
        return math.ceil(self.steps)


@kind
class warmup(Schedule):
    """value(k) = start + (1 - start) * shape(fraction of the ramp at k), then 1.

    Args:
        steps: the length of the ramp, N.
        start: the value the ramp begins from, a fraction of the peak; 0 unless given.
        ramp: the fraction at step t; frameworks differ in it. "t/N", the default, trains the first step at `start`
            (Transformers, Keras, optax); "(t+1)/N" does not, and is full at step N - 1 (pytorch_warmup, schedulefree,
            torchtitan); "(t+1)/(N+1)" does not either, and is full at step N (heavyball).
        shape: "linear"; "cosine", (1 - cos(pi u)) / 2; or "1-sqrt", 1 - sqrt(1 - u); the last two as Transformers'
            warmup-stable-decay has them.

    Example:
        >>> warmup(4)(0), warmup(4)(3), warmup(4)(4), warmup(4, ramp="(t+1)/N")(0)
        (0.0, 0.75, 1.0, 0.25)
    """

    _example: ClassVar[str] = "warmup(200)"
    steps: Steps = required()
    start: Unit = 0.0
    ramp: Literal["t/N", "(t+1)/N", "(t+1)/(N+1)"] = "t/N"
    shape: Literal["linear", "cosine", "1-sqrt"] = "linear"

    def _values(self, steps: Floats) -> Floats:
        first = 0.0 if self.ramp == "t/N" else 1.0
        length = self.steps + 1.0 if self.ramp == "(t+1)/(N+1)" else float(self.steps)
        u = np.minimum((steps + first) / length, 1.0)
        # Every shape is a cooldown's read backwards; the linear one is kept exact.
        risen = u if self.shape == "linear" else curves.fall(self.shape, 1.0 - u)
        return self.start + (1.0 - self.start) * risen

    @property
    def horizon(self) -> int:
        """`steps`, in every convention."""
        return self.steps


@kind
class exponential_warmup(Schedule):
    """value(k) = 1 - exp(-(k + 1) / period), which tends to 1 and has no horizon.

    `untuned_exponential_warmup(beta2)` chooses the period for Adam (Ma and Yarats 2019).

    Args:
        period: the steps in which what is missing falls by a factor of e, above 0.

    Example:
        >>> round(exponential_warmup(1000)(999), 4)
        0.6321
    """

    _example: ClassVar[str] = "exponential_warmup(1000)"
    period: Positive = required()

    def _values(self, steps: Floats) -> Floats:
        return -np.expm1(-(steps + 1.0) / self.period)


@kind
class cooldown(Schedule):
    """value(k) = floor + (1 - floor) * shape(u), u = min(k / steps, 1), from 1 to `floor`.

    Shapes: "linear" 1 - u; "cosine" (1 + cos(pi u)) / 2; "1-sqrt" 1 - sqrt(u); "square" 1 - u^2; "mirror cosine"
    2 (1 - u) - cosine; "exponential" floor^u, which needs a floor above 0; "rex" (1 - u) / (1 - u / 2). The first six
    are compared in Haegele et al. 2024, who find "1-sqrt" best; "rex" is Chen et al. 2021.

    Args:
        steps: the steps to the floor, a whole number from 1 up.
        shape: see above.
        floor: the last value, a fraction of the first, from 0 to 1.

    Raises:
        ValueError: an exponential cooldown has no floor above 0.

    Example:
        >>> fall = cooldown(400, shape="1-sqrt")
        >>> fall(0), fall(100), fall(400), fall(401)
        (1.0, 0.5, 0.0, 0.0)
    """

    _example: ClassVar[str] = 'cooldown(400, shape="1-sqrt")'
    steps: Steps = required()
    shape: CooldownShape = "linear"
    floor: Unit = 0.0

    def _check(self) -> None:
        if self.shape == "exponential" and self.floor == 0.0:
            self._refuse("floor", "above 0 for an exponential cooldown")

    def _values(self, steps: Floats) -> Floats:
        return curves.cooled(self.shape, self.floor, np.minimum(steps / self.steps, 1.0))

    @property
    def horizon(self) -> int:
        """`steps`."""
        return self.steps
