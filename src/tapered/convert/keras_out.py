"""Our schedules to the constructors of Keras's, by kind; factors are pushed inwards first."""

import math
from dataclasses import replace
from typing import Any

from tapered.convert.calls import Call
from tapered.schedules import (
    Schedule,
    constant,
    cosine_decay,
    cosine_decay_restarts,
    exponential_decay,
    inverse_time_decay,
    linear,
    natural_exp_decay,
    piecewise_constant,
    polynomial_decay,
    warmup,
)
from tapered.schedules.methods import then
from tapered.schedules.operators import scaled

WARMTH = 1e-15  # two peaks that meet, but for rounding, beside their size


def number(schedule: Schedule) -> float | None:
    """The value of what never changes, which is a plain number in Keras; None of others."""
    inward = _inward(schedule, 1.0)
    return inward.value if isinstance(inward, constant) else None


def config(schedule: Schedule) -> Call:
    """The name and arguments of Keras's class.

    Raises:
        ValueError: Keras has none.
    """
    inward = _inward(schedule, 1.0)
    if (plain := number(inward)) is not None:
        raise ValueError(f"{schedule} is a plain number in Keras: learning_rate={plain}")
    found = _falling(inward) or _lasting(inward)
    if found is None:
        raise ValueError(f"Keras has no schedule for {_part(inward)}")
    return found


def _lasting(schedule: Schedule) -> Call | None:
    """Those that never end."""
    match schedule:
        case exponential_decay():
            return _staired("ExponentialDecay", schedule, schedule.decay_rate)
        case natural_exp_decay():
            return _staired("ExponentialDecay", schedule, math.exp(-schedule.decay_rate))
        case inverse_time_decay():
            return _staired("InverseTimeDecay", schedule, schedule.decay_rate)
        case cosine_decay_restarts(scales="cosine", cycles=None, k_decay=1.0):
            return _restarts(schedule)
    return None


def _falling(schedule: Schedule) -> Call | None:
    """Those that end, and the polynomial one, which may not."""
    match schedule:
        case polynomial_decay(k_decay=1.0):
            return _polynomial(schedule.initial, schedule.decay_steps, schedule.end, schedule.power, schedule.cycle)
        case linear():
            return _polynomial(schedule.initial, schedule.steps, schedule.end)
        case piecewise_constant():
            return _piecewise(schedule)
        case cosine_decay():
            return _cosine(schedule, None)
        case then(schedule=linear() as rise, following=cosine_decay() as fall):
            return _cosine(fall, rise) if abs(rise.end - fall.initial) <= WARMTH * abs(fall.initial) else None
    return None


def _part(schedule: Schedule) -> Schedule:
    """The innermost part that Keras lacks, as far as one can say which."""
    if isinstance(schedule, then):
        for piece in (schedule.schedule, schedule.following):
            try:
                config(piece)
            except ValueError:
                return piece if isinstance(piece, then) else schedule if isinstance(piece, constant) else piece
    return schedule


def _call(class_name: str, **kwargs: Any) -> Call:
    return Call(class_name, (), kwargs)


def _staired(name: str, decay: Any, rate: float) -> Call:
    return _call(
        name,
        initial_learning_rate=decay.initial,
        decay_steps=decay.decay_steps,
        decay_rate=rate,
        staircase=decay.stairs,
        name=name,
    )


def _polynomial(initial: float, steps: float, end: float, power: float = 1.0, cycle: bool = False) -> Call:  # noqa: FBT001, FBT002  # Keras's order
    return _call(
        "PolynomialDecay",
        initial_learning_rate=initial,
        decay_steps=steps,
        end_learning_rate=end,
        power=power,
        cycle=cycle,
        name="PolynomialDecay",
    )


def _piecewise(schedule: piecewise_constant) -> Call:
    before = [math.ceil(at) - 1 for at in schedule.boundaries]  # Keras has the old value at a boundary
    stones = list(schedule.boundaries) if schedule.switch == "after" else before
    return _call("PiecewiseConstantDecay", boundaries=stones, values=list(schedule.values), name="PiecewiseConstant")


def _alpha(decay: cosine_decay | cosine_decay_restarts) -> float:
    if decay.end is None:
        return decay.alpha
    if not decay.initial:
        raise ValueError(f"Keras has a floor as a fraction of the initial value only, which is 0 in {decay}")
    return decay.end / decay.initial


def _cosine(decay: cosine_decay, rise: linear | None) -> Call:
    if (decay.exponent, decay.num_periods, decay.k_decay) != (1.0, 0.5, 1.0):
        raise ValueError(f"Keras's CosineDecay has no exponent, num_periods or k_decay, as {decay} does")
    return _call(
        "CosineDecay",
        initial_learning_rate=decay.initial if rise is None else rise.initial,
        decay_steps=decay.decay_steps,
        alpha=_alpha(decay),
        name="CosineDecay",
        warmup_target=None if rise is None else decay.initial,
        warmup_steps=0 if rise is None else rise.steps,
    )


def _restarts(decay: cosine_decay_restarts) -> Call:
    return _call(
        "CosineDecayRestarts",
        initial_learning_rate=decay.initial,
        first_decay_steps=decay.first_decay_steps,
        t_mul=decay.t_mul,
        m_mul=decay.m_mul,
        alpha=_alpha(decay),
        name="SGDRDecay",
    )


def _inward(schedule: Schedule, factor: float) -> Schedule:
    """The same values, with the factor in the parts' own arguments, and a plain warmup as a line."""
    found: Any = schedule
    match found:
        case scaled():
            found = _inward(found.schedule, factor * found.factor)
        case then():
            found = then(_inward(found.schedule, factor), _inward(found.following, factor))
        case warmup(ramp="t/N", shape="linear"):
            found = linear(factor * found.start, factor, found.steps)
        case constant():
            found = constant(factor * found.value)
        case piecewise_constant():
            found = replace(found, values=tuple(factor * value for value in found.values))
        case exponential_decay() | natural_exp_decay() | inverse_time_decay():
            found = type(found)(factor * found.initial, found.decay_steps, found.decay_rate, staircase=found.stairs)
        case linear() | polynomial_decay() | cosine_decay() | cosine_decay_restarts():
            ends: dict[str, Any] = {} if found.end is None else {"end": factor * found.end}
            found = replace(found, initial=factor * found.initial, **ends)
        case _ if factor != 1.0:
            found = scaled(factor, found)
    return found  # type: ignore[no-any-return]  # a schedule in each case
