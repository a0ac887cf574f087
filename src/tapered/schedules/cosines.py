"""Cosine decays: TensorFlow's four, with the arguments in which optax, torch, Transformers and timm differ."""
# ruff: noqa: SLF001  # what two kinds check alike stands beside them

import itertools
import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

import numpy as np

from tapered.schedules import curves
from tapered.schedules.base import Schedule
from tapered.schedules.called import kind
from tapered.schedules.checks import LARGEST_STEP, REQUIRED, MaybeNumber, MaybeSteps, Number, Positive, Span, Unit
from tapered.schedules.curves import Floats


def _floor(schedule: "cosine_decay | cosine_decay_restarts") -> float:
    return schedule.alpha * schedule.initial if schedule.end is None else schedule.end


def _check_floor(schedule: "cosine_decay | cosine_decay_restarts") -> None:
    if schedule.end is not None and schedule.alpha:
        schedule._refuse("alpha", f"left out where end={schedule.end} is given, since both are the floor")
    if schedule.end is not None and schedule.end > schedule.initial:
        schedule._refuse("end", f"at most initial, {schedule.initial}")


def _power(t: float, i: int) -> float:
    try:
        return t**i
    except OverflowError:
        return math.inf


@kind
class cosine_decay(Schedule):
    """value(k) = floor + (initial - floor) * ((1 + cos(2 pi num_periods u^k_decay)) / 2)^exponent.

    u = min(k / decay_steps, 1); the floor is alpha * initial, or `end`. TensorFlow's cosine_decay with the defaults.
    torch's CosineAnnealingLR(T_max, eta_min) is `cosine_decay(lr, T_max, end=eta_min)` up to T_max; there torch's and
    Transformers' rise again, and this holds.

    Args:
        initial: the value at step 0.
        decay_steps: the steps to the floor, above 0, need not be whole. Warmup is not among them: it is put before.
        alpha: the floor as a fraction of initial (TensorFlow, optax; Transformers' min_lr_rate).
        end: the floor as an absolute value, in place of alpha (torch's eta_min, timm's lr_min).
        exponent: optax's.
        num_periods: whole waves up to decay_steps; half a wave unless given (Transformers' num_cycles).
        k_decay: bends the steps, as timm does; 1 does not.

    Raises:
        ValueError: both alpha and end are given, or end is above initial.

    Example:
        >>> decay = cosine_decay(0.1, decay_steps=100, alpha=0.1)
        >>> decay(0), round(decay(50), 6), round(decay(100), 6), decay(100) == decay(10_000)
        (0.1, 0.055, 0.01, True)
    """

    _example: ClassVar[str] = "cosine_decay(0.1, decay_steps=1000)"
    initial: Number = 1.0
    decay_steps: Span = REQUIRED
    alpha: Unit = 0.0
    end: MaybeNumber = None
    exponent: Positive = 1.0
    num_periods: Positive = 0.5
    k_decay: Positive = 1.0

    if TYPE_CHECKING:

        @overload
        def __init__(
            self,
            initial: float,
            decay_steps: float,
            alpha: float = 0.0,
            end: float | None = None,
            exponent: float = 1.0,
            num_periods: float = 0.5,
            k_decay: float = 1.0,
        ) -> None: ...
        @overload
        def __init__(
            self,
            initial: float = 1.0,
            *,
            decay_steps: float,
            alpha: float = 0.0,
            end: float | None = None,
            exponent: float = 1.0,
            num_periods: float = 0.5,
            k_decay: float = 1.0,
        ) -> None: ...
        def __init__(self, *given: Any, **named: Any) -> None: ...

    def _anchored(self) -> Iterator[Schedule]:
        return iter((self,) if self.end else ())

    def _check(self) -> None:
        _check_floor(self)

    def _values(self, steps: Floats) -> Floats:
        u = np.minimum(steps / self.decay_steps, 1.0)
        u = u if self.k_decay == 1.0 else np.power(u, self.k_decay)
        wave = curves.half_cosine(2.0 * self.num_periods * u)
        wave = wave if self.exponent == 1.0 else np.power(wave, self.exponent)
        floor = _floor(self)
        return floor + (self.initial - floor) * wave

    @property
    def horizon(self) -> int:
        """The first step at or after decay_steps."""
        return math.ceil(self.decay_steps)


@kind
class cosine_decay_restarts(Schedule):
    """value(k) = floor + (initial - floor) * m_mul^i * (1 + cos(pi u)) / 2, u the way through cycle i = 0, 1, ...

    Cycle i is first_decay_steps * t_mul^i steps long; the floor is alpha * initial, or `end`. TensorFlow's
    cosine_decay_restarts, except that a restart is found where it is: TensorFlow looks for it by logarithms, which miss
    it by rounding (with t_mul=3, first_decay_steps=100 at step 12,100 its value is the floor, not the peak);
    `tf_exact=True` misses it too. torch's CosineAnnealingWarmRestarts(T_0, T_mult, eta_min) is
    `cosine_decay_restarts(lr, T_0, t_mul=T_mult, end=eta_min)`.

    Args:
        initial: the peak of the first cycle.
        first_decay_steps: the length of the first cycle in steps, above 0.
        t_mul: how much longer each cycle is than the one before; at least 1.
        m_mul: how high each peak is beside the one before.
        alpha: the floor as a fraction of initial.
        end: the floor as an absolute value, in place of alpha (torch's eta_min, timm's lr_min).
        scales: what m_mul scales: "cosine", the part above the floor (TensorFlow), or "peak", all of it (timm's
            cycle_decay): floor + (initial * m_mul^i - floor) * (1 + cos(pi u)) / 2.
        cycles: how many there are, after which the floor is held (timm's cycle_limit); unless given, no end.
        k_decay: bends the steps of a cycle, as timm does; 1 does not.
        tf_exact: finds restarts as TensorFlow does in float64.

    Raises:
        ValueError: both alpha and end are given, end is above initial, or t_mul is below 1.

    Example:
        >>> decay = cosine_decay_restarts(0.1, first_decay_steps=100, t_mul=2.0, m_mul=0.5)
        >>> decay(0), round(decay(50), 6), decay(100), decay(300)
        (0.1, 0.05, 0.05, 0.025)
    """

    _example: ClassVar[str] = "cosine_decay_restarts(0.1, first_decay_steps=100)"
    initial: Number = 1.0
    first_decay_steps: Span = REQUIRED
    t_mul: Positive = 2.0
    m_mul: Positive = 1.0
    alpha: Unit = 0.0
    end: MaybeNumber = None
    scales: Literal["cosine", "peak"] = "cosine"
    cycles: MaybeSteps = None
    k_decay: Positive = 1.0
    tf_exact: bool = False

    if TYPE_CHECKING:

        @overload
        def __init__(
            self,
            initial: float,
            first_decay_steps: float,
            t_mul: float = 2.0,
            m_mul: float = 1.0,
            alpha: float = 0.0,
            end: float | None = None,
            scales: Literal["cosine", "peak"] = "cosine",
            cycles: int | None = None,
            k_decay: float = 1.0,
            tf_exact: bool = False,  # noqa: FBT001, FBT002  # as the fields stand
        ) -> None: ...
        @overload
        def __init__(
            self,
            initial: float = 1.0,
            *,
            first_decay_steps: float,
            t_mul: float = 2.0,
            m_mul: float = 1.0,
            alpha: float = 0.0,
            end: float | None = None,
            scales: Literal["cosine", "peak"] = "cosine",
            cycles: int | None = None,
            k_decay: float = 1.0,
            tf_exact: bool = False,
        ) -> None: ...
        def __init__(self, *given: Any, **named: Any) -> None: ...

    def _anchored(self) -> Iterator[Schedule]:
        return iter((self,) if self.end else ())

    def _check(self) -> None:
        _check_floor(self)
        if self.t_mul < 1.0:
            self._refuse("t_mul", "at least 1: shrinking cycles are over after finitely many steps")

    def _place(self, steps: Floats) -> tuple[Floats, Floats]:
        """The cycle each step is in, and the way through it."""
        if self.tf_exact and self.t_mul != 1.0:
            return self._tf_place(steps / self.first_decay_steps)
        index, local, length = curves.cycles(steps, self.first_decay_steps, self.t_mul)
        return index, local / length

    def _tf_place(self, way: Floats) -> tuple[Floats, Floats]:
        # Element by element with Python's logarithm: numpy's may differ from it by the one bit that this is about.
        t = self.t_mul
        passed = [min(1.0 - c * (1.0 - t), sys.float_info.max) for c in way.tolist()]
        index = np.array([math.floor(math.log(of) / math.log(t)) for of in passed])
        lengths = np.array([_power(t, i) for i in index.tolist()])
        return index.astype(np.float64), (way - (1.0 - lengths) / (1.0 - t)) / lengths

    def _values(self, steps: Floats) -> Floats:
        index, u = self._place(steps)
        u = u if self.k_decay == 1.0 else np.power(u, self.k_decay)
        wave, floor = curves.half_cosine(u), _floor(self)
        height = np.power(self.m_mul, index)
        above = height * (self.initial - floor) if self.scales == "cosine" else height * self.initial - floor
        values = floor + above * wave
        return values if self.cycles is None else np.where(index < self.cycles, values, floor)

    @property
    def horizon(self) -> int | None:
        """The end of the last cycle; none where `cycles` is not given."""
        if self.cycles is None:
            return None
        return curves.cycle_start(self.cycles, self.first_decay_steps, self.t_mul)

    def _marks(self) -> Iterator[tuple[int, str]]:
        starts = curves.cycles_within(self.first_decay_steps, self.t_mul, LARGEST_STEP)
        for start, _ in itertools.islice(starts, 1, self.cycles):
            yield math.ceil(start), "restart"
        yield from super()._marks()
