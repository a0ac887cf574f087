"""Laws that every schedule keeps, over the table of cases."""

import copy
import json
import pickle
import tomllib

import numpy as np
import pytest
from schedule_cases import CODED, ENDING, ENDLESS, SCHEDULES, TEXTS, WRITTEN, halved

from tapered import schedules
from tapered.schedules import (
    Schedule,
    constant,
    cooldown,
    cosine_decay,
    exponential_decay,
    from_dict,
    from_function,
    hold,
    inverse_sqrt,
    linear,
    parse,
    tabulate,
    warmup,
    warmup_stable_decay,
)

every = pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
written = pytest.mark.parametrize("schedule", WRITTEN, ids=str)
KINDS = [kind for kind in vars(schedules).values() if isinstance(kind, type) and issubclass(kind, Schedule)]


def test_the_cases_hold_every_kind():
    used = " ".join(map(str, SCHEDULES))
    assert [kind.__name__ for kind in KINDS if kind is not Schedule and f"{kind.__name__}(" not in used] == []


@every
def test_a_table_holds_the_bits_of_the_calls(schedule):
    random = np.random.default_rng(1)
    whole = schedule.table(150)
    assert whole.dtype == np.float64
    assert whole.tolist() == [schedule(step) for step in range(150)]
    for _ in range(40):
        start = int(random.integers(0, 149))
        stop = int(random.integers(start, 151))
        assert schedule.table(stop, start).tobytes() == whole[start:stop].tobytes()
    for start in range(0, 130, 9):
        assert schedule.table(start + 1, start).tobytes() == whole[start : start + 1].tobytes()


@written
def test_a_table_holds_the_bits_of_the_calls_far_out(schedule):
    random = np.random.default_rng(2)
    for _ in range(15):
        start, length = int(random.integers(0, 2_000_000)), int(random.integers(1, 67))
        table = schedule.table(start + length, start)
        assert table.tolist() == [schedule(step) for step in range(start, start + length)]


@every
@pytest.mark.parametrize("length", [8191, 8192, 8193, 16_385])
def test_long_tables_hold_the_bits_of_short_ones(schedule, length):
    whole = schedule.table(3 + length, 3)
    assert len(whole) == length
    for edge in range(8180, min(8200, length)):
        assert whole[edge] == schedule(3 + edge)
    assert whole[-20:].tobytes() == schedule.table(3 + length, length - 17).tobytes()
    assert whole[-1] == schedule(2 + length)


@pytest.mark.parametrize("text", ENDING)
def test_past_its_horizon_it_holds_its_last_value(text):
    schedule = parse(text)
    last = schedule(schedule.horizon)
    tail = schedule.table(schedule.horizon + 300, schedule.horizon)
    assert set(tail.tolist()) == {last}
    assert schedule(10**9) == schedule(2**53) == last


@pytest.mark.parametrize("text", ENDLESS)
def test_what_never_ends_has_no_horizon(text):
    assert parse(text).horizon is None


@written
def test_text_brings_it_back(schedule):
    again = parse(str(schedule))
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert str(again) == repr(again) == str(schedule)
    assert again.table(60).tobytes() == schedule.table(60).tobytes()


@written
def test_a_dict_brings_it_back_through_json(schedule):
    assert from_dict(json.loads(json.dumps(schedule.to_dict()))) == schedule


def test_a_dict_brings_it_back_from_toml():
    text = 'lr = {name = "scaled", factor = 0.1, schedule = {name = "warmup", steps = 200}}'
    assert from_dict(tomllib.loads(text)["lr"]) == 0.1 * warmup(200)
    values = {"name": "piecewise_constant", "boundaries": [3, 9], "values": [0.1, 0.2, 0.3]}
    assert from_dict(values) == schedules.piecewise_constant((3, 9), (0.1, 0.2, 0.3))


def test_numbers_of_a_product_in_a_dict_go_to_the_front():
    scaled = (0.1 * warmup(5)).to_dict()
    made = from_dict({"name": "product", "left": hold(9).to_dict(), "right": scaled})
    assert made == hold(9) * (0.1 * warmup(5)) == 0.1 * (hold(9) * warmup(5))


@every
def test_copies_and_pickles_are_equal(schedule):
    assert copy.deepcopy(schedule) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule


@pytest.mark.parametrize("text", TEXTS)
def test_marks_are_rising_and_few(text):
    marks = parse(text).marks(limit=10)
    steps = [step for step, _ in marks]
    assert len(marks) <= 10
    assert steps == sorted(set(steps))
    assert all(isinstance(step, int) and note for step, note in marks)


@pytest.mark.parametrize("text", ENDING)
def test_the_last_mark_is_the_horizon(text):
    schedule = parse(text)
    ends = [step for step, _ in schedule.marks()]
    assert ends[-1] == schedule.horizon


def test_warmup_stable_decay_may_have_no_warmup():
    without = warmup_stable_decay(0.1, warmup_steps=0, stable_steps=4, decay_steps=5)
    assert without == 0.1 * hold(4).then(cooldown(5, shape="1-sqrt"))
    assert warmup_stable_decay(warmup_steps=0, stable_steps=4, decay_steps=5) == hold(4).then(cooldown(5, "1-sqrt"))


def test_marks_say_what_happens():
    assert warmup(20).then(cosine_decay(decay_steps=50)).cooldown(40, 5).marks() == (
        (20, "warmup ends, cosine_decay begins"),
        (40, "cooldown begins"),
        (45, "cooldown ends"),
    )
    notes = dict((0.1 * cosine_decay(decay_steps=10).repeat(2)).then(linear(steps=5)).delayed(100).marks())
    assert notes[100] == "cosine_decay begins"
    assert notes[110] == "restart"
    assert notes[120] == "cosine_decay ends, linear begins"
    assert notes[125] == "linear ends"
    assert dict((warmup(5) + inverse_sqrt().until(5)).marks()) == {5: "inverse_sqrt is held, warmup ends"}
    assert (warmup(4) * cooldown(9)).then(hold(2)).marks()[1] == (9, "cooldown ends, hold begins")


def test_values_are_equal_by_what_they_say():
    assert exponential_decay(0.15, 1, 0.9999) == exponential_decay(0.15, decay_steps=1.0, decay_rate=np.float64(0.9999))
    assert exponential_decay(0.15, half_life=6931) == exponential_decay(0.15, 6931, 0.5)
    assert warmup(200) != warmup(201)
    assert warmup(200) != hold(200)
    assert {warmup(200), warmup(200.0), warmup(np.int64(200))} == {warmup(200)}
    assert str(constant(-0.0)) == "constant(0.0)"


def test_half_life_reads_both_ways():
    assert exponential_decay(0.15, half_life=6931).half_life == 6931
    assert exponential_decay(0.15, 1, 0.9999).half_life == pytest.approx(6931.125226, rel=1e-9)
    assert exponential_decay(0.15, 1, 1.5).half_life == float("inf")


def test_numbers_go_to_the_front_of_products():
    shape = warmup(20) * cosine_decay(decay_steps=90)
    assert 3e-4 * shape == shape * 3e-4 == 3e-4 * warmup(20) * cosine_decay(decay_steps=90)
    assert warmup(20) * (3e-4 * cosine_decay(decay_steps=90)) == 3e-4 * shape
    assert str((2 * hold(3)) * (3 * hold(4))) == "2.0 * (3.0 * hold(3) * hold(4))"


A, B, C = hold(3), linear(0.3, end=0.1, steps=7), warmup(5)


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (A * B * C, "hold(3) * linear(0.3, end=0.1, steps=7) * warmup(5)"),
        (A * (B * C), "hold(3) * (linear(0.3, end=0.1, steps=7) * warmup(5))"),
        (A + B + C, "hold(3) + linear(0.3, end=0.1, steps=7) + warmup(5)"),
        (A + (B + C), "hold(3) + (linear(0.3, end=0.1, steps=7) + warmup(5))"),
        (A * C + B, "hold(3) * warmup(5) + linear(0.3, end=0.1, steps=7)"),
        (A * (C + B), "hold(3) * (warmup(5) + linear(0.3, end=0.1, steps=7))"),
        ((A + C) * B, "(hold(3) + warmup(5)) * linear(0.3, end=0.1, steps=7)"),
        (2 * (A + C), "2.0 * (hold(3) + warmup(5))"),
        (2 * (3 * A), "2.0 * (3.0 * hold(3))"),
        (2 * A * (C * A), "2.0 * hold(3) * (warmup(5) * hold(3))"),
        ((2 * A).then(C), "(2.0 * hold(3)).then(warmup(5))"),
        (2 * A.then(C), "2.0 * hold(3).then(warmup(5))"),
        ((A * C).until(2), "(hold(3) * warmup(5)).until(2)"),
        ((A + C).until(2), "(hold(3) + warmup(5)).until(2)"),
        (A.then(C).then(A), "hold(3).then(warmup(5)).then(hold(3))"),
        (A.then(C.then(A)), "hold(3).then(warmup(5).then(hold(3)))"),
        (A.then(2 * C + 1), "hold(3).then(2.0 * warmup(5) + constant(1.0))"),
    ],
)
def test_brackets_stand_where_they_are_needed(schedule, text):
    assert str(schedule) == text
    assert parse(text) == schedule


def test_numpy_numbers_multiply_from_both_sides():
    assert np.float64(0.5) * warmup(9) == warmup(9) * np.float64(0.5) == 0.5 * warmup(9)
    assert np.float64(0.5) + warmup(9) == constant(0.5) + warmup(9)
    assert warmup(9) + np.array(0.5) == warmup(9) + constant(0.5)


def test_operators_do_what_they_say():
    fall = linear(steps=10)
    assert fall.table(4, 2).tolist() == [0.8, 0.7]
    assert fall.delayed(5).table(8, 4).tolist() == [1.0, 1.0, 0.9, 0.8]
    assert fall.until(3).table(6, 2).tolist() == [0.8, 0.7, 0.7, 0.7]
    assert fall.staircase(4).table(9).tolist() == [1.0] * 4 + [0.6] * 4 + [fall(8)]
    assert fall.clamp(0.25, 0.75).table(11).min() == 0.25
    assert fall.clamp(0.25, 0.75).table(11).max() == 0.75
    assert fall.repeat(2).table(22, 8).tolist() == pytest.approx([0.2, 0.1, *(1 - k / 10 for k in range(10)), 0, 0])
    assert fall.repeat(2)(10) == 1.0
    assert fall.repeat(2).horizon == 20
    assert fall.repeat(3, t_mul=2.0, m_mul=0.5).horizon == 70
    assert fall.repeat(3, t_mul=2.0, m_mul=0.5).table(71)[[0, 10, 20, 30, 50, 70]].tolist() == [
        1,
        0.5,
        0.25,
        0.25,
        0.125,
        0,
    ]
    half = linear(1.0, 0.5, 10).repeat(3, m_mul=0.5)
    assert [half(step) for step in (0, 10, 20, 29, 30, 31, 10**6)] == [1, 0.5, 0.25, 0.25 * 0.55, 0.125, 0.125, 0.125]
    assert (fall + 1)(5) == (1 + fall)(5) == 1.5
    assert fall.then(0.5 * hold(3)).table(15, 9).tolist() == [fall(9), 0.5, 0.5, 0.5, 0.5, 0.5]
    left = constant(0.8).cooldown(10, 4)
    assert left.table(16, 8).tolist() == pytest.approx([0.8, 0.8, 0.8, 0.6, 0.4, 0.2, 0.0, 0.0])
    moving = fall.cooldown(5, 4)
    assert moving(5) == fall(5)
    assert moving(7) == 0.5 * fall(5)


def test_horizons_of_compositions():
    assert (warmup(5) * cosine_decay(decay_steps=90)).horizon == 90
    assert (constant(2) * warmup(5)).horizon == 5
    assert (constant(2) + constant(3)).horizon is None
    assert (warmup(5) * inverse_sqrt()).horizon is None
    assert warmup(5).then(inverse_sqrt()).horizon is None
    assert warmup(5).then(constant(1)).horizon is None
    assert warmup(5).then(hold(9)).horizon == 14
    assert cosine_decay(decay_steps=10.5).horizon == 11
    assert cosine_decay(decay_steps=25).staircase(10).horizon == 30
    assert inverse_sqrt().staircase(10).horizon is None
    assert inverse_sqrt().delayed(10).horizon is None


def test_joins_are_continuous_where_the_pieces_meet():
    path = warmup(20).then(hold(30)).then(cooldown(40, shape="cosine"))
    jumps = np.abs(np.diff(path.table(120)))
    assert jumps.max() <= 1 / 20 + 1e-12
    for join in (20, 50):
        assert path(join) == 1.0


def test_many_tables_share_shapes():
    shape = warmup(5) * cosine_decay(decay_steps=20)
    arms = [shape, 0.1 * shape, 2 * shape, constant(0.5), 0.1 * warmup(3)]
    tables = tabulate(arms, 30, 2)
    assert tables.shape == (5, 28)
    for arm, table in zip(arms, tables, strict=True):
        assert arm.table(30, 2).tobytes() == table.tobytes()
    assert tabulate([], 10).shape == (0, 10)


def test_a_table_counts_evaluations_once_for_a_shared_shape():
    asked = []
    shape = from_function(lambda step: asked.append(step) or 1.0)
    tabulate([peak * shape for peak in (0.1, 0.2, 0.3)], 10)
    assert asked == list(range(10))


def test_a_function_is_marked_and_its_own():
    rate = 0.1 * from_function(halved)
    assert not rate.serialisable
    assert cosine_decay(decay_steps=3).serialisable
    assert str(rate) == "0.1 * from_function(halved)"
    assert from_function(halved) == from_function(halved)
    assert from_function(halved) != from_function(abs)
    assert from_function(halved, steps=5)(9) == halved(5)
    kinds = ["from_function", "from_function", "scaled", "staircase", "in_epochs", "in_samples"]
    assert [type(case).__name__ for case in CODED] == kinds

    class Rate:
        def __call__(self, step):
            return np.float32(step + 0.5)

        def __repr__(self):
            return "Rate()"

    assert str(from_function(Rate())) == "from_function(Rate())"
    assert from_function(Rate())(3) == 3.5


def test_warmup_conventions():
    assert warmup(4).table(6).tolist() == [0, 0.25, 0.5, 0.75, 1, 1]
    assert warmup(4, ramp="(t+1)/N").table(6).tolist() == [0.25, 0.5, 0.75, 1, 1, 1]
    assert warmup(4, ramp="(t+1)/(N+1)").table(6).tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])
    assert warmup(4, start=0.5).table(6).tolist() == [0.5, 0.625, 0.75, 0.875, 1, 1]


def test_every_picture_is_inline_svg():
    for schedule in SCHEDULES:
        picture = schedule._repr_html_()
        assert picture.startswith("<svg")
        assert "currentColor" in picture
        assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")
    shown = parse(
        "warmup_stable_decay(0.1, warmup_steps=3, stable_steps=400000, decay_steps=5, floor=0.3) + 0.25 * hold(3)"
    )
    assert "\N{HORIZONTAL ELLIPSIS}" in shown._repr_html_()
    assert "&lt;lambda&gt;" in from_function(lambda step: step)._repr_html_()
