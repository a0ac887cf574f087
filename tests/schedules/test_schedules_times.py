"""Factors before a schedule that falls to an absolute end: refused, or asked for by `.times`."""

import pickle

import pytest

from tapered.schedules import (
    constant,
    cosine_decay,
    cosine_decay_restarts,
    from_dict,
    linear,
    parse,
    piecewise_interpolate,
    polynomial_decay,
    tanh_decay,
    warmup,
)

ENDS = [
    cosine_decay(decay_steps=90, end=3e-5),
    cosine_decay_restarts(first_decay_steps=90, end=3e-5),
    polynomial_decay(decay_steps=90, end=3e-5),
    polynomial_decay(decay_steps=90),  # whose default is TensorFlow's 1e-4
    tanh_decay(decay_steps=90, end=3e-5),
]
ended = pytest.mark.parametrize("schedule", ENDS, ids=str)


def test_a_floor_that_a_peak_would_move():
    with pytest.raises(ValueError, match="absolute") as said:
        3e-4 * warmup(10).then(cosine_decay(decay_steps=90, end=3e-5))
    assert str(said.value) == (
        "0.0003 * warmup(10).then(cosine_decay(decay_steps=90, end=3e-05)) would end at 9e-09: the end=3e-05 of "
        "cosine_decay is an absolute value, and would be multiplied too; write alpha=0.1, a fraction of the peak, or "
        ".times(0.0003) in place of 0.0003 * where the end is to be multiplied"
    )
    advised = 3e-4 * warmup(10).then(cosine_decay(decay_steps=90, alpha=0.1))
    assert advised(100) == pytest.approx(3e-5, rel=1e-12)


@ended
@pytest.mark.parametrize(
    "made",
    [
        lambda s: 3e-4 * s,
        lambda s: s * 3e-4,
        lambda s: 3e-4 * warmup(10) * s,
        lambda s: s * (3e-4 * warmup(10)),
        lambda s: constant(3e-4) * s,
        lambda s: s * constant(3e-4),
        lambda s: 3e-4 * warmup(10).then(s),
        lambda s: 3e-4 * (warmup(10) + s),
        lambda s: 3e-4 * (2.0 * warmup(10)).then(s.until(50).in_epochs(3)),
        lambda s: 3e-4 * (1.0 * s),
        lambda s: 3e-4 * s.times(2.0),
        lambda s: parse(f"3e-4 * {s}"),
        lambda s: 0 * s,
    ],
)
def test_wherever_the_factor_and_the_end_stand(schedule, made):
    with pytest.raises(ValueError, match=r"is an absolute value, and would be multiplied too; write .*\.times\("):
        made(schedule)


@ended
def test_what_no_factor_moves_is_left_alone(schedule):
    assert (warmup(10) * schedule)(50) == schedule(50)
    assert (1.0 * schedule)(50) == schedule(50)
    assert (1e-5 + schedule)(50) == 1e-5 + schedule(50)
    assert parse(str(1.0 * schedule)) == 1.0 * schedule


@ended
def test_times_multiplies_all_of_it(schedule):
    for made in (
        schedule.times(0.3),
        warmup(10).then(schedule).times(0.3),
        schedule.times(0.3) * warmup(10),
        (schedule + 0.5 * warmup(10)).times(2),
        schedule.times(0.3).times(2.0),
        schedule.times(0.3).then(warmup(9)) if schedule.horizon else schedule.times(0.3).delayed(9),
        linear(steps=9).times(2.0).then(schedule.times(-1.0)),
        (warmup(10) * schedule).times(0.5).clamp(0.0),
    ):
        assert parse(str(made)) == made
        assert from_dict(made.to_dict()) == made
        assert pickle.loads(pickle.dumps(made)) == made
        assert str(parse(str(made))) == str(made)
    assert schedule.times(0.3).table(200).tolist() == [0.3 * value for value in schedule.table(200)]
    assert str(schedule.times(0.3)) == f"{schedule}.times(0.3)"
    assert schedule.times(0.3).horizon == schedule.horizon


@pytest.mark.parametrize(
    "shape",
    [
        linear(1.0, 0.1, steps=90),
        piecewise_interpolate((5, 9), (0.0, 1.0, 0.1)),
        cosine_decay(decay_steps=90, alpha=0.1),
        cosine_decay(decay_steps=90, end=0.0),
        polynomial_decay(decay_steps=90, end=0.0),
        tanh_decay(decay_steps=90),
        warmup(9).clamp(0.1),
    ],
    ids=str,
)
def test_shapes_go_on_as_shapes(shape):
    assert 3e-4 * shape == shape * 3e-4 == shape.times(3e-4)
    assert str(shape.times(3e-4)) == f"0.0003 * {shape}"
    assert (3e-4 * shape)(90) == 3e-4 * shape(90)


def test_what_times_takes():
    for wrong, error in (("2", TypeError), (None, TypeError), (warmup(3), TypeError), (float("nan"), ValueError)):
        with pytest.raises(error, match="factor must be a finite number"):
            warmup(3).times(wrong)
    assert warmup(3).repeat(2).times(0.5) == parse("0.5 * warmup(3).repeat(2)")
    assert warmup(3).repeat(2) == warmup(3).repeat(times=2) == parse("warmup(3).repeat(times=2)")
