"""Bad input is refused by name, with the value and a line to paste."""

import decimal
import fractions
import re

import numpy as np
import pytest
import torch

from tapered import schedules
from tapered.schedules import (
    Schedule,
    constant,
    cooldown,
    cosine_decay,
    cosine_decay_restarts,
    cumulative_product,
    cyclic,
    exponential_decay,
    from_dict,
    from_function,
    hold,
    inverse_sqrt,
    inverse_time_decay,
    linear,
    multistep_decay,
    one_cycle,
    parse,
    piecewise_constant,
    piecewise_interpolate,
    polynomial_decay,
    power,
    step_decay,
    tabulate,
    tanh_decay,
    untuned_exponential_warmup,
    untuned_linear_warmup,
    warmup,
    warmup_stable_decay,
)

NAN, INF = float("nan"), float("inf")
HORIZONS = {
    "decay_steps": lambda value: cosine_decay(0.1, decay_steps=value),
    "steps": warmup,
    "first_decay_steps": lambda value: cosine_decay_restarts(first_decay_steps=value),
    "up": lambda value: cyclic(up=value),
}


@pytest.mark.parametrize("field", HORIZONS)
@pytest.mark.parametrize("value", [0, -3, NAN, INF, 10**400, 2.0**60], ids=repr)
def test_row_21_horizons_that_are_none(field, value):
    with pytest.raises(ValueError, match=rf"{field} must be a .*number of steps .*, got .*; write for example \w+\("):
        HORIZONS[field](value)


@pytest.mark.parametrize("field", HORIZONS)
@pytest.mark.parametrize(
    "value", ["4", None, True, 4j, [4], np.array([4]), np.bool_(True), decimal.Decimal(4)], ids=repr
)
def test_row_21_horizons_of_another_type(field, value):
    with pytest.raises(TypeError, match=rf"{field} must be a .*number of steps .*, got "):
        HORIZONS[field](value)


def test_row_22_a_step_past_the_end_holds():
    assert cosine_decay(0.1, 50, end=0.02)(10**6) == pytest.approx(0.02)
    assert one_cycle(0.1, total_steps=50)(10**6) == pytest.approx(0.1 / 25 / 1e4)


def test_row_23_a_warmup_as_long_as_the_run_cannot_be_said():
    # Pieces are put one after the other, so what is left of a run after its warmup is given, and is above 0.
    with pytest.raises(ValueError, match=r"decay_steps must be a number of steps above 0, got 0"):
        warmup(100).then(cosine_decay(decay_steps=100 - 100))
    with pytest.raises(ValueError, match=r"steps must be a whole number of steps from 1 up, got -20"):
        warmup_stable_decay(warmup_steps=120, stable_steps=100 - 120, decay_steps=10)
    with pytest.raises(ValueError, match=r"steps must be a whole number of steps from 1 up, got 0"):
        warmup_stable_decay(warmup_steps=10, stable_steps=10, decay_steps=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda end: cosine_decay(0.1, 50, end=end),
        lambda end: cosine_decay_restarts(0.1, 50, end=end),
        lambda end: polynomial_decay(0.1, 50, end=end),
        lambda end: tanh_decay(0.1, 50, end=end),
    ],
)
def test_row_24_a_floor_above_the_peak(make):
    with pytest.raises(ValueError, match=r"end must be at most initial, 0.1.*, got 0.2; write for example"):
        make(0.2)
    with pytest.raises(ValueError, match=r"end must be a finite number.*, got nan"):
        make(NAN)


def test_row_24_other_floors():
    with pytest.raises(ValueError, match=r"cosine_decay: alpha must be a number from 0 to 1, got 1.5"):
        cosine_decay(0.1, 50, alpha=1.5)
    with pytest.raises(ValueError, match=r"alpha must be left out where end=0.01 is given"):
        cosine_decay(0.1, 50, alpha=0.1, end=0.01)
    with pytest.raises(ValueError, match=r"cyclic: low must be at most high, 0.1, got 0.2"):
        cyclic(0.1, low=0.2)
    with pytest.raises(ValueError, match=r"floor must be above 0 for an exponential cooldown, got 0.0"):
        cooldown(40, shape="exponential")
    with pytest.raises(ValueError, match=r"cooled: floor must be above 0 for an exponential cooldown"):
        constant(1).cooldown(40, 10, "exponential")
    with pytest.raises(ValueError, match=r"tanh_decay: lower must be below upper, 3.0, got 4.0"):
        tanh_decay(0.1, 50, lower=4)


@pytest.mark.parametrize("value", [-1, 0, NAN, INF])
def test_row_25_factors(value):
    with pytest.raises(ValueError, match=r"exponential_decay: decay_rate must be a finite number above 0, got "):
        exponential_decay(0.1, 10, value)
    with pytest.raises(ValueError, match=r"decay_rate must be a finite number"):
        step_decay(0.1, step_size=10, gamma=value)


def test_row_25_step_sizes():
    for size in (0, -1):
        with pytest.raises(ValueError, match=r"decay_steps must be a number of steps above 0, got"):
            step_decay(0.1, step_size=size)
        with pytest.raises(ValueError, match=r"staircase: steps must be a whole number of steps from 1 up, got"):
            inverse_sqrt().staircase(size)
    with pytest.raises(ValueError, match=r"staircase: steps must be a whole number of steps from 1 up, got 1.5"):
        inverse_sqrt().staircase(1.5)
    with pytest.raises(ValueError, match=r"inverse_time_decay: decay_rate must be a finite number from 0 up, got -0.5"):
        inverse_time_decay(0.1, 10, -0.5)
    with pytest.raises(ValueError, match=r"cosine_decay_restarts: t_mul must be at least 1: .*, got 0.5"):
        cosine_decay_restarts(0.1, 10, t_mul=0.5)


@pytest.mark.parametrize("boundaries", [(9, 3), (3, 3)])
def test_row_26_milestones_that_do_not_rise(boundaries):
    with pytest.raises(ValueError, match=r"piecewise_constant: boundaries must be rising"):
        piecewise_constant(boundaries, (0.1, 0.2, 0.3))
    with pytest.raises(ValueError, match=r"piecewise_interpolate: boundaries must be rising"):
        piecewise_interpolate(boundaries, (0.1, 0.2, 0.3))
    with pytest.raises(ValueError, match=r"boundaries must be rising"):
        multistep_decay(0.1, milestones=boundaries)


def test_row_26_other_milestones():
    with pytest.raises(ValueError, match=r"boundaries must be a list of steps from 0 up, got \(3, nan\)"):
        piecewise_constant((3, NAN), (0.1, 0.2, 0.3))
    with pytest.raises(ValueError, match=r"boundaries must be rising and above 0, got \(0,\)"):
        multistep_decay(0.1, milestones=[0])
    assert piecewise_constant((0,), (0.1, 0.2)).table(2).tolist() == [
        0.1,
        0.2,
    ]  # TensorFlow's convention has a use for it
    with pytest.raises(ValueError, match=r"values must be one more than the 2 boundaries, got \(0.1, 0.2\)"):
        piecewise_constant((3, 9), (0.1, 0.2))
    with pytest.raises(ValueError, match=r"boundaries must be a list of steps from 0 up, got \(\)"):
        piecewise_constant((), (0.1, 0.2))
    with pytest.raises(TypeError, match=r"boundaries must be a list of steps from 0 up, got '39'"):
        piecewise_constant("39", (0.1, 0.2))
    with pytest.raises(TypeError, match=r"boundaries must be a list of steps from 0 up, got 39"):
        piecewise_constant(39, (0.1, 0.2))
    with pytest.raises(ValueError, match=r"one_cycle has no step before its peak, got total_steps=3"):
        one_cycle(0.1, total_steps=3)


@pytest.mark.parametrize(
    "value",
    [NAN, None, "x", INF, 1j, True, [0.1], 10**400, torch.tensor([0.1, 0.2])],
    ids=lambda value: str(value)[:12],
)
@pytest.mark.parametrize("kind", [from_function, cumulative_product])
def test_row_27_functions_that_give_no_number(kind, value):
    schedule = 0.1 * kind(lambda step: value if step == 7 else 0.5)
    said = r"gave .* at step 7, a schedule's value must be a finite number; return a float for every step"
    with pytest.raises(ValueError, match=said):
        schedule(7)
    with pytest.raises(ValueError, match=said):
        schedule.table(20)
    assert schedule(6) > 0


def test_row_27_what_a_function_may_give():
    assert from_function(lambda _: -1)(0) == -1.0  # the optimizer says whether it can use that
    for value in (np.float32(0.5), np.array(0.5), torch.tensor(0.5), fractions.Fraction(1, 2)):
        assert from_function(lambda _, value=value: value)(3) == 0.5


def test_functions_are_asked_for_whole_steps_and_not_written():
    bent = from_function(lambda step: 1.0, steps=10).repeat(3, t_mul=1.5)  # noqa: ARG005
    with pytest.raises(ValueError, match=r"takes whole steps only; write \.repeat\(times\) without t_mul"):
        bent.table(30)
    for bad in (3, "x", None, warmup(3)):
        with pytest.raises(TypeError, match=r"from_function: function must be a function of the step, got"):
            from_function(bad)
    with pytest.raises(ValueError, match=r"holds Python code, which no text or JSON can carry"):
        (0.1 * from_function(abs)).to_dict()
    with pytest.raises(ValueError, match=r'cannot read "from_function": it holds Python code, which no text can carry'):
        parse(str(0.1 * from_function(abs)))
    with pytest.raises(ValueError, match=r"from_function holds Python code, which no dict can carry"):
        from_dict({"name": "from_function"})


@pytest.mark.parametrize("step", [-1, np.int64(-5), 2**53 + 1, 10**400])
def test_steps_out_of_range(step):
    with pytest.raises(ValueError, match=r"step must be a number of completed updates from 0 to 2\*\*53, got "):
        warmup(5)(step)


@pytest.mark.parametrize("step", [1.0, NAN, True, np.bool_(True), "3", None, np.float64(2), np.array([1, 2])], ids=repr)
def test_steps_of_another_type(step):
    with pytest.raises(TypeError, match=r"step must be a whole number of completed updates, got "):
        warmup(5)(step)


def test_steps_that_are_whole_numbers_in_other_clothes():
    assert warmup(5)(np.int32(2)) == warmup(5)(torch.tensor(2)) == warmup(5)(np.array(2)) == warmup(5)(2)
    assert warmup(5).table(np.int64(3)).shape == (3,)


def test_tables_out_of_range():
    with pytest.raises(ValueError, match=r"stop must be a number of completed updates"):
        warmup(5).table(-1)
    with pytest.raises(ValueError, match=r"table needs stop >= start, got stop=2, start=5; write table\(5, 2\)"):
        warmup(5).table(2, 5)
    with pytest.raises(TypeError, match=r"start must be a whole number"):
        warmup(5).table(2, 0.5)
    assert warmup(5).table(5, 5).shape == (0,)


def test_overflow_is_said_with_its_step():
    grows = exponential_decay(1.0, 1, 2.0)
    with pytest.raises(ValueError, match=r"is inf at step 1024, .*; bound it with .until\(1024\)"):
        grows.table(2000)
    with pytest.raises(ValueError, match=r"is inf at step 1024"):
        grows(1024)
    with pytest.raises(ValueError, match=r"is inf at step 1022"):
        tabulate([grows.until(1023), 4.0 * grows.until(1023)], 2000)


@pytest.mark.parametrize(
    "number", ["x", None, True, NAN, INF, 1j, [1.0], np.ones(2), 10**400], ids=lambda value: str(value)[:12]
)
def test_what_schedules_are_not_multiplied_by(number):
    with pytest.raises(
        (TypeError, ValueError), match=r"scaled: factor must be a finite number, got .*; write for example"
    ):
        warmup(5) * number
    with pytest.raises(
        (TypeError, ValueError), match=r"(factor|value) must be a finite number, got .*; write for example"
    ):
        number * warmup(5)
    with pytest.raises((TypeError, ValueError), match=r"constant: value must be a finite number, got .*"):
        warmup(5) + number
    with pytest.raises((TypeError, ValueError), match=r"constant: value must be a finite number, got .*"):
        warmup(5).then(number)


def test_operators_that_need_what_is_not_there():
    with pytest.raises(
        ValueError, match=r"constant\(0.1\) never ends, .*write hold\(steps\) in place of constant\(...\)"
    ):
        constant(0.1).then(warmup(5))
    with pytest.raises(ValueError, match=r"or \.until\(steps\) before \.then"):
        (2 * inverse_sqrt()).then(warmup(5))
    with pytest.raises(ValueError, match=r"never ends, so it cannot repeat; write \.until\(steps\) before \.repeat"):
        inverse_sqrt().repeat(3)
    with pytest.raises(ValueError, match=r"repeat: t_mul must be at least 1: .*, got 0.5"):
        warmup(3).repeat(3, t_mul=0.5)
    with pytest.raises(ValueError, match=r"clamp: low must be a number where high is not given, got None"):
        warmup(3).clamp()
    with pytest.raises(ValueError, match=r"clamp: low must be at most high, 0.1, got 0.5"):
        warmup(3).clamp(0.5, 0.1)
    with pytest.raises(TypeError, match=r"scaled: schedule must be a schedule, got 3"):
        type(0.1 * warmup(3))(0.1, 3)


def test_half_life_or_the_other_two():
    with pytest.raises(TypeError, match=r"takes half_life or decay_steps and decay_rate, not both; write for example"):
        exponential_decay(0.1, 10, 0.5, half_life=3)
    with pytest.raises(TypeError, match=r"exponential_decay needs decay_steps; write for example exponential_decay\("):
        exponential_decay(0.1)
    with pytest.raises(TypeError, match=r"exponential_decay needs decay_rate; write for example"):
        exponential_decay(0.1, 10)
    with pytest.raises(ValueError, match=r"decay_steps must be a number of steps above 0, got -1"):
        exponential_decay(0.1, half_life=-1)


def test_strings_and_flags():
    with pytest.raises(ValueError, match=r'shape must be one of "linear", "cosine", .*, got .sqrt.'):
        cooldown(40, shape="sqrt")
    with pytest.raises(TypeError, match=r"shape must be one of .*, got 3"):
        cooldown(40, shape=3)
    with pytest.raises(TypeError, match=r"exponential_decay: staircase must be True or False, got 1"):
        exponential_decay(0.1, 10, 0.5, 1)
    assert exponential_decay(0.1, 10, 0.5, np.bool_(True)) == exponential_decay(0.1, 10, 0.5, staircase=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("total_steps", 0),
        ("total_steps", "9"),
        ("pct_start", 1.5),
        ("div_factor", 0),
        ("final_div_factor", NAN),
        ("convention", "keras"),
        ("peak", None),
    ],
)
def test_arguments_of_one_cycle(field, value):
    with pytest.raises((TypeError, ValueError), match=rf"one_cycle: {field} must be .*; write for example one_cycle\("):
        one_cycle(**{"total_steps": 100, field: value})


def test_arguments_of_other_recipes():
    with pytest.raises(ValueError, match=r"multistep_decay: gamma must be a finite number above 0, got -1"):
        multistep_decay(0.1, milestones=(3,), gamma=-1)
    with pytest.raises(TypeError, match=r"multistep_decay: milestones must be a list of steps from 0 up, got 3"):
        multistep_decay(0.1, milestones=3)
    with pytest.raises(ValueError, match=r"power: tokens_per_step must be a finite number above 0, got 0"):
        power(0.02, tokens_per_step=0, batch_size=1, a=4.6, b=-0.51)


@pytest.mark.parametrize("beta2", [1.0, -0.1, 1.5])
def test_untuned_warmups_of_no_adam(beta2):
    for untuned in (untuned_linear_warmup, untuned_exponential_warmup):
        with pytest.raises(ValueError, match=r"beta2 must be a number from 0 to below 1, got "):
            untuned(beta2)


def test_every_line_to_paste_can_be_pasted():
    for kind in vars(schedules).values():
        if isinstance(kind, type) and issubclass(kind, Schedule) and kind is not Schedule:
            made = eval(kind._example, vars(schedules))
            assert isinstance(made, Schedule), kind


TEXTS = {
    "": "invalid syntax|empty",
    "warmup(": "never closed at character",
    "warmup": 'cannot read "warmup": a schedule is written with names, numbers, .* only; write warmup\\(\\.\\.\\.\\)',
    "wramup": "methods only; did you mean warmup\\?$",
    "from_function": "methods only$",
    "wramup(3)": 'cannot read "wramup": no schedule has this name; did you mean warmup\\?',
    "zzz(3)": 'cannot read "zzz": no schedule has this name$',
    "warmup(3).than(hold(3))": "a schedule has no method than; did you mean then\\?",
    "warmup(3)._values(3)": "a schedule has no method _values",
    "warmup(3).__class__": "a schedule is written with",
    "(3).then(hold(3))": 'cannot read "3": only a schedule has methods',
    "warmup(3)(4)": "only names and methods can be called",
    "warmup(**{})": "each argument is written out once, without \\*\\*",
    "warmup(*[3])": "a schedule is written with",
    "warmup(3) - 1": "a schedule is written with",
    "warmup(3) / 2": "a schedule is written with",
    "2 ** 3": "a schedule is written with",
    "-warmup(3)": "a schedule is written with",
    "warmup(n)": 'cannot read "n": a schedule is written with',
    "[warmup(n) for n in (1, 2)]": "a schedule is written with",
    "lambda: 1": "a schedule is written with",
    "__import__('os').system('true')": 'cannot read "__import__": no schedule has this name',
    "'warmup(3)'": "it is no schedule; write for example 3e-4 \\* warmup\\(200\\)",
    "True": "it is no schedule",
    "None": "it is no schedule",
    "(1, 2)": "it is no schedule",
    "2j": "a schedule is written with",
    "'a' * 3": "only schedules and numbers can be multiplied and added",
    "3 * (1, 2)": "only schedules and numbers can be multiplied and added",
    "warmup(3) + None": "only schedules and numbers can be multiplied and added",
    "True * warmup(3)": "only schedules and numbers can be multiplied and added",
    "warmup(stpes=3)": "it has no argument stpes; did you mean steps\\? \\(it takes steps, start, ramp, shape\\)",
    "warmup(3, 0.5, 't/N', 'linear', 9)": "takes from 1 to 5 positional arguments|positional",
    "warmup(-3)": 'cannot read "warmup\\(-3\\)": warmup: steps must be a whole number of steps from 1 up, got -3',
    "warmup('3')": "warmup: steps must be a whole number of steps from 1 up, got '3'",
    "1e999": "value must be a finite number",
    "1e999 * warmup(3)": "factor must be a finite number",
    "constant(0.1).then(warmup(3))": "never ends",
    "warmup(steps=3, steps=4)": "each argument is written out once",
    "(" * 300 + "1" + ")" * 300: "too many nested|nested",
    "1 + " * 5000 + "warmup(3)": "too deeply nested",
    "warmup(3)\nwarmup(4)": "invalid syntax",
    "warmup(3\0)": "null",
}


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:40].replace("\0", "0"))
def test_text_that_is_no_schedule(text):
    with pytest.raises(ValueError, match=TEXTS[text]):
        parse(text)


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("0.1", constant(0.1)),
        ("  3e-4*warmup( 200 )  ", 3e-4 * warmup(200)),
        ("-1 + hold(3)", constant(-1) + hold(3)),
        ("+1 * hold(3)", 1.0 * hold(3)),
        ("2 * 0.5 * hold(3)", 1.0 * hold(3)),
        ("hold(3).then(0.5)", hold(3).then(constant(0.5))),
        ("piecewise_constant([3, 9], [0.1, 0.2, 0.3])", piecewise_constant((3, 9), (0.1, 0.2, 0.3))),
        ("exponential_decay(0.15, half_life=6931)", exponential_decay(0.15, 6931, 0.5)),
        ("linear(\n  1, 0,\n  steps=1e3)", linear(steps=1000)),
    ],
)
def test_text_as_a_person_types_it(text, schedule):
    assert parse(text) == schedule


def test_text_of_another_type():
    with pytest.raises(TypeError, match=r'parse takes a str, got 3; write parse\("3e-4 \* warmup\(200\)"\)'):
        parse(3)


DICTS = [
    ({}, "no schedule has the name 'None'; write for example"),
    ({"name": "wramup", "steps": 3}, "no schedule has the name 'wramup'; did you mean warmup\\?; write for example"),
    ({"name": "warmup", "stpes": 3}, "cannot read warmup: it has no argument stpes; did you mean steps\\?"),
    ({"name": "warmup", "steps": -3}, "steps must be a whole number of steps from 1 up, got -3"),
    ({"name": "one_cycle", "total_steps": 3}, "no schedule has the name 'one_cycle'"),
    ({"name": ["warmup"]}, "no schedule has the name"),
]


@pytest.mark.parametrize(("values", "said"), DICTS)
def test_dicts_that_are_no_schedule(values, said):
    with pytest.raises(ValueError, match=said):
        from_dict(values)


def test_dicts_of_another_type():
    with pytest.raises(TypeError, match=r"from_dict takes a mapping, got 'warmup\(3\)'"):
        from_dict("warmup(3)")
    with pytest.raises(TypeError, match=r"warmup needs steps; write for example warmup\(200\)"):
        from_dict({"name": "warmup"})


def test_a_schedule_of_no_kind_has_no_values():
    with pytest.raises(NotImplementedError):
        Schedule()(3)


def test_messages_are_one_line_and_short():
    for bad in (
        lambda: warmup("x" * 10_000),
        lambda: warmup(10**300),
        lambda: parse("x" * 10_000),
        lambda: parse("y(" * 90),
    ):
        with pytest.raises((TypeError, ValueError)) as caught:
            bad()
        assert len(str(caught.value)) < 500
        assert not re.search(r"\n", str(caught.value))
