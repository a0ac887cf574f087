"""Laws of schedules over generated expressions."""

import json
import math

import numpy as np
from hypothesis import given, reject
from hypothesis import strategies as st

from tapered.schedules import (
    constant,
    cooldown,
    cosine_decay,
    cosine_decay_restarts,
    cyclic,
    exponential_decay,
    from_dict,
    hold,
    inverse_sqrt,
    inverse_time_decay,
    linear,
    linear_cosine_decay,
    natural_exp_decay,
    noisy_linear_cosine_decay,
    parse,
    piecewise_constant,
    piecewise_interpolate,
    polynomial_decay,
    power_decay,
    tanh_decay,
    warmup,
)

numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
rates = st.floats(1e-9, 10.0)
unit = st.floats(0.0, 1.0)
steps = st.integers(1, 400)
spans = st.one_of(steps, st.floats(0.5, 400.0))
shapes = st.sampled_from(["linear", "cosine", "1-sqrt", "square", "mirror cosine", "rex"])
ramps = st.sampled_from(["t/N", "(t+1)/N", "(t+1)/(N+1)"])


@st.composite
def points(draw):
    boundaries = sorted(draw(st.sets(st.integers(1, 500), min_size=1, max_size=5)))
    values = draw(st.lists(numbers, min_size=len(boundaries) + 1, max_size=len(boundaries) + 1))
    return boundaries, values


@st.composite
def floored(draw, kind, **arguments):
    initial = draw(rates)
    given = {name: draw(strategy) for name, strategy in arguments.items()}
    floor = draw(st.sampled_from([{}, {"alpha": draw(unit)}, {"end": initial * draw(unit)}]))
    return kind(initial, draw(spans), **given, **floor)


ending = st.one_of(
    st.builds(hold, steps, value=numbers),
    st.builds(linear, numbers, numbers, spans),
    st.builds(warmup, steps, start=unit, ramp=ramps, shape=st.sampled_from(["linear", "cosine", "1-sqrt"])),
    st.builds(cooldown, steps, shape=shapes, floor=unit),
    st.builds(cooldown, steps, shape=st.just("exponential"), floor=st.floats(1e-9, 1.0)),
    st.builds(polynomial_decay, st.just(1.0), spans, unit, power=st.floats(0.1, 4.0), k_decay=st.floats(0.5, 2.0)),
    st.builds(tanh_decay, rates, spans),
    floored(cosine_decay, exponent=st.floats(0.5, 3.0), num_periods=st.floats(0.1, 3.0)),
    floored(cosine_decay_restarts, t_mul=st.floats(1.0, 3.0), m_mul=unit.filter(bool), cycles=st.integers(1, 5)),
    st.builds(linear_cosine_decay, rates, spans, num_periods=unit),
    st.builds(noisy_linear_cosine_decay, rates, spans, seed=st.integers(0, 2**40)),
    points().map(lambda given: piecewise_constant(*given)),
    points().map(lambda given: piecewise_interpolate(*given, shape="cosine")),
)
endless = st.one_of(
    st.builds(constant, numbers),
    st.builds(exponential_decay, rates, spans, st.floats(0.1, 1.0), st.booleans()),
    st.builds(natural_exp_decay, rates, spans, unit, st.booleans()),
    st.builds(inverse_time_decay, rates, spans, unit, st.booleans()),
    st.builds(polynomial_decay, st.just(1.0), spans, unit, cycle=st.just(value=True)),
    st.builds(inverse_sqrt, rates, timescale=rates, shift=rates),
    st.builds(power_decay, rates, st.floats(-2.0, 1.0)),
    st.builds(cyclic, st.just(1.0), unit, spans, st.none() | spans, st.sampled_from(["triangular", "triangular2"])),
)


def times(left, right):
    """left * right, but for those that are refused: an absolute end times a number."""
    try:
        return left * right
    except ValueError:
        reject()


def operators_with_a_horizon(inner):
    return st.one_of(
        st.builds(lambda s, factor: s.times(factor), inner, numbers),
        st.builds(lambda s, n: s.in_epochs(n), inner, steps),
        st.builds(lambda s, n: s.in_samples(n), inner, steps),
        st.builds(lambda s, n: s.in_tokens(n), inner, steps),
        st.builds(times, inner, inner),
        st.builds(lambda s, other: s + other, inner, inner),
        st.builds(lambda s, number: number + s, inner, numbers),
        st.builds(lambda s, other: s.then(other), inner, inner),
        st.builds(lambda s, low, more: s.clamp(low, low + more), inner, numbers, rates),
        st.builds(lambda s, n: s.delayed(n), inner, st.integers(0, 50)),
        st.builds(lambda s, n: s.repeat(n, t_mul=1.5, m_mul=0.9), inner, st.integers(1, 4)),
        st.builds(lambda s, n: s.staircase(n), inner, steps),
        st.builds(lambda s, at, n, shape: s.cooldown(at, n, shape), inner, st.integers(0, 300), steps, shapes),
        st.builds(lambda s, n: s.until(n), inner | endless, steps),
    )


finite = st.recursive(ending, operators_with_a_horizon, max_leaves=6)
every = st.one_of(
    finite, endless, st.builds(times, finite, endless), st.builds(lambda a, b: a.then(b), finite, endless)
)


@given(every)
def test_text_brings_every_expression_back(schedule):
    again = parse(str(schedule))
    assert again == schedule
    assert str(again) == str(schedule)
    assert again.table(64).tobytes() == schedule.table(64).tobytes()


@given(every)
def test_json_brings_every_expression_back(schedule):
    assert from_dict(json.loads(json.dumps(schedule.to_dict()))) == schedule


@given(every, st.integers(0, 3000), st.integers(1, 40))
def test_tables_hold_the_bits_of_calls(schedule, start, length):
    table = schedule.table(start + length, start)
    assert len(table) == length
    assert table.tolist() == [schedule(step) for step in range(start, start + length)]
    assert schedule.table(start + length, 0)[start:].tobytes() == table.tobytes()


@given(finite, st.integers(0, 10**6))
def test_past_the_horizon_nothing_moves(schedule, further):
    assert schedule(schedule.horizon + further) == schedule(schedule.horizon)


@given(finite, every)
def test_then_is_one_and_then_the_other(first, following):
    both, join = first.then(following), first.horizon
    assert both.table(join).tobytes() == first.table(join).tobytes()
    assert both.table(join + 30, join).tobytes() == following.table(30).tobytes()
    if following.horizon is not None:
        assert both.horizon == join + following.horizon


@given(every, numbers, rates)
def test_clamped_values_are_within(schedule, low, more):
    values = schedule.clamp(low, low + more).table(100)
    assert low <= values.min() <= values.max() <= low + more


@given(
    st.one_of(st.builds(warmup, steps, start=unit, ramp=ramps), st.builds(cooldown, steps, shape=shapes, floor=unit))
)
def test_ramps_stay_between_their_ends_and_go_one_way(schedule):
    values = schedule.table(schedule.horizon + 5)
    ways = np.diff(values)
    assert values.min() >= -1e-15
    assert values.max() <= 1 + 1e-15
    assert (ways >= -1e-15).all() or (ways <= 1e-15).all()


@given(steps, shapes, unit)
def test_warmup_hold_and_cooldown_join_without_a_jump(length, shape, floor):
    path = warmup(length).then(hold(length)).then(cooldown(length, shape=shape, floor=floor))
    assert path(length) == path(2 * length) == 1.0
    assert math.isclose(path(path.horizon), floor, abs_tol=1e-12)


@given(every)
def test_marks_rise_and_end_at_the_horizon(schedule):
    marks = [step for step, _ in schedule.marks(limit=500)]
    assert marks == sorted(set(marks))
    if schedule.horizon is not None and len(marks) < 500:
        assert marks[-1] == schedule.horizon
