"""Keras, optax and timm against files that they wrote: every step, in float64; and Keras's configs both ways."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapered.convert import from_keras, from_optax, from_timm, to_keras
from tapered.schedules import (
    constant,
    cosine_decay,
    cosine_decay_restarts,
    exponential_decay,
    hold,
    inverse_time_decay,
    linear,
    natural_exp_decay,
    parse,
    piecewise_constant,
    polynomial_decay,
    warmup,
)

ORACLES = Path(__file__).parents[1] / "oracles"
KERAS, OPTAX, TIMM = (json.loads((ORACLES / f"convert_{name}.json").read_text()) for name in ("keras", "optax", "timm"))
NEAR = {"rel": 1e-12, "abs": 1e-16}
SILENT = (
    "warmup_constant_schedule(0.0, 1.0, 0)",
    "exponential_decay(0.1, 20, 0)",
    "polynomial_schedule(0.1, 0.0, 2, 0)",
)


def agrees(schedule, steps, values, near=NEAR):
    assert parse(str(schedule)) == schedule
    assert [schedule(step) for step in steps] == pytest.approx(values, **near)


@pytest.mark.parametrize("case", KERAS["cases"], ids=lambda case: case["config"]["class_name"])
def test_keras(case):
    found = from_keras(case["config"], exact=True)
    agrees(found.schedule, KERAS["steps"], case["values"], {"rel": 1e-12, "abs": 1e-15})
    assert from_keras(json.dumps(case["config"])).schedules
    # an optimizer's config holds it as well
    assert from_keras({"class_name": "Adam", "config": {"learning_rate": case["config"]}}, exact=True) == found


@pytest.mark.parametrize("case", KERAS["cases"], ids=lambda case: case["config"]["class_name"])
def test_keras_configs_come_back_as_keras_wrote_them(case):
    """All that Keras needs: the same class, and the same arguments."""
    schedule = from_keras(case["config"]).schedule
    risen = case["values"][0] < case["values"][-1] and "Poly" in case["config"]["class_name"]
    if case["config"]["config"].get("alpha", 0.0) > 1 or risen:
        with pytest.raises(ValueError, match="Keras has no schedule for"):
            to_keras(schedule)
        return
    back = to_keras(schedule)
    assert (back["module"], back["class_name"]) == (case["config"]["module"], case["config"]["class_name"])
    assert back["registered_name"] is case["config"]["registered_name"]
    if case["config"]["config"].get("warmup_target", 0) is not None:  # without a target Keras reads no warmup_steps
        assert back["config"] == case["config"]["config"]
    assert from_keras(back).schedule == schedule


RATE = st.floats(1e-6, 10.0)
SPAN = st.integers(1, 10_000)
PART = st.floats(0.0, 1.0)
EACH = {
    "exponential": st.builds(exponential_decay, RATE, SPAN, st.floats(1e-3, 2.0), st.booleans()),
    "inverse time": st.builds(inverse_time_decay, RATE, SPAN, st.floats(0.0, 9.0), st.booleans()),
    "polynomial": st.builds(polynomial_decay, RATE, SPAN, st.floats(0.0, 1e-6), st.floats(0.1, 4.0), st.booleans()),
    "cosine": st.builds(cosine_decay, RATE, SPAN, PART),
    "restarts": st.builds(cosine_decay_restarts, RATE, SPAN, st.floats(1.0, 3.0), st.floats(0.1, 2.0), PART),
    "piecewise": st.lists(SPAN, min_size=1, max_size=5, unique=True).flatmap(
        lambda stones: st.builds(
            piecewise_constant,
            st.just(tuple(sorted(stones))),
            st.lists(RATE, min_size=len(stones) + 1, max_size=len(stones) + 1),
        )
    ),
    "warmup and cosine": st.builds(
        lambda low, peak, warm, steps, alpha: linear(low, peak, warm).then(cosine_decay(peak, steps, alpha)),
        PART, RATE, SPAN, SPAN, PART,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", EACH)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_to_keras_and_back(kind, data):
    schedule = data.draw(EACH[kind])
    config = json.loads(json.dumps(to_keras(schedule), allow_nan=False))
    assert from_keras(config).schedule == schedule == parse(str(schedule))


@pytest.mark.parametrize(
    "schedule",
    [
        0.3 * warmup(9, start=0.1).then(cosine_decay(decay_steps=40, alpha=0.1)),
        cosine_decay(0.3, 40, end=0.01),
        cosine_decay_restarts(0.5, 7, end=0.01).times(0.3),
        linear(0.1, end=0.4, steps=30),
        natural_exp_decay(0.3, 10, 0.5),
        0.3 * piecewise_constant((10, 20.5), (1.0, 0.1, 0.2), switch="at"),
        polynomial_decay(decay_steps=30).times(0.3),
    ],
    ids=str,
)
def test_to_keras_in_other_words(schedule):
    assert from_keras(to_keras(schedule)).schedule.table(90) == pytest.approx(schedule.table(90), rel=1e-12, abs=1e-16)


@pytest.mark.parametrize(
    ("schedule", "part"),
    [
        (constant(0.1), r"is a plain number in Keras: learning_rate=0\.1"),
        (hold(5), r"no schedule for hold\(5\)"),
        (0.1 * warmup(5).then(hold(5)), r"no schedule for 0\.1 \* hold\(5\)"),
        (warmup(5).then(cosine_decay(0.5, 9)), r"no schedule for linear\(0\.0, end=1\.0, steps=5\)\.then"),
        (cosine_decay(decay_steps=9, exponent=2.0), "has no exponent"),
        (cosine_decay(decay_steps=9) * warmup(3), "no schedule for cosine_decay"),
        (cosine_decay_restarts(first_decay_steps=9, cycles=3), "no schedule for cosine_decay_restarts"),
        (cosine_decay(0.0, 9, end=-0.1), "fraction of the initial value only"),
        (warmup(9, ramp="(t+1)/N"), "no schedule for warmup"),
    ],
    ids=str,
)
def test_what_keras_lacks_is_named(schedule, part):
    with pytest.raises(ValueError, match=part):
        to_keras(schedule)


def test_keras_s_oddities_are_said():
    ignored = from_keras(
        {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.1, "decay_steps": 9, "warmup_steps": 3}}
    )
    assert "passes over warmup_steps" in ignored.notes[0]
    cut = {"class_name": "PiecewiseConstantDecay", "config": {"boundaries": [9.5], "values": [0.1, 0.2]}}
    assert from_keras(cut).schedule(9) == from_keras(cut, exact=True).schedule(9) == 0.1
    assert from_keras(cut).notes[0].endswith("kept: them as given (exact=True keeps Keras's)")
    assert from_keras(0.1).schedule == constant(0.1)


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ("{", ValueError, "no JSON"),
        ("[]", ValueError, "no Keras config"),
        ({"class_name": "CosineDecy", "config": {}}, ValueError, "did you mean CosineDecay"),
        ({"class_name": "CosineDecay", "config": 3}, ValueError, "must be a mapping"),
        ({"class_name": "CosineDecay", "config": {"decay_steps": 9}}, TypeError, "missing a required argument"),
        ({"class_name": "CosineDecay", "config": {"initial_learning_rate": "x"}}, ValueError, "numbers"),
        ({"class_name": "CosineDecay", "config": {"decay_stepz": 9}}, TypeError, "did you mean decay_steps"),
        (
            {"class_name": "CosineDecay", "config": {"initial_learning_rate": 1, "decay_steps": 0}},
            ValueError,
            "decay_steps must be",
        ),
    ],
)
def test_no_keras_config(config, error, message):
    with pytest.raises(error, match=message):
        from_keras(config)


@pytest.mark.parametrize("case", OPTAX["cases"], ids=lambda case: case["call"][:60])
def test_optax(case):
    if case["call"] in SILENT:
        with pytest.raises(ValueError, match="silently"):
            from_optax(case["call"])
    found = from_optax(case["call"], exact=case["call"] in SILENT)
    agrees(found.schedule, OPTAX["steps"], case["values"])


def test_optax_by_name_and_arguments():
    assert from_optax("linear_schedule", 0.0, end_value=0.1, transition_steps=9).schedule == linear(0.0, 0.1, 9)
    assert from_optax("optax.linear_schedule(0.0, 0.1, 9)", scale=3.0).schedule == 3.0 * linear(0.0, 0.1, 9)
    both = from_optax("join_schedules", [linear(0.0, 0.1, 9), "constant_schedule(0.1)"], [9])
    assert both.schedule == linear(0.0, 0.1, 9).then(constant(0.1))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ("cosine_schedule(0.1, 9)", ValueError, "did you mean cosine"),
        ("cosine_decay_schedule(0.1)", TypeError, "missing a required argument: 'decay_steps'"),
        ("cosine_decay_schedule(0.1, decay_step=3)", TypeError, "did you mean decay_steps"),
        ("cosine_decay_schedule(0.1, -3)", ValueError, "decay_steps"),
        ("warmup_cosine_decay_schedule(0.0, 0.1, 50, 50)", ValueError, "decay_steps must be above warmup_steps"),
        ("join_schedules([constant_schedule(0.1)], [3])", ValueError, "optax drops the rest silently"),
        ("join_schedules([constant_schedule(0.1), constant_schedule(0.2)], [-3])", ValueError, "rising whole steps"),
        ("join_schedules([0.1, 0.2], [3])", TypeError, "takes calls as text or schedules"),
        ("piecewise_constant_schedule(0.1, {3: -1.0})", ValueError, "from 0 up"),
        ("sgdr_schedule([])", ValueError, "one for each cycle"),
        ("warmup_cosine_decay_schedule(0.0, 0.1, -3, 50)", ValueError, "warmup_steps must be from 0 up, got -3"),
        ("warmup_exponential_decay_schedule(0.0, 0.1, -3, 9, 0.5)", ValueError, "warmup_steps must be from 0 up"),
        ("piecewise_interpolate_schedule('cosine', 0.1, {-3: 1.0, 9: 0.5})", ValueError, "begun before step 0"),
        ("piecewise_interpolate_schedule('linear', 0.1, {3.2: 1.0, 4.1: 0.5})", ValueError, "at least a step apart"),
        ("piecewise_interpolate_schedule('square', 0.1, {3: 1.0})", ValueError, "shape must be"),
    ],
)
def test_no_optax_call(call, error, message):
    with pytest.raises(error, match=message):
        from_optax(call)


def named(case):
    return f"{case['name']} {sorted(case['arguments'])}"[:70]


@pytest.mark.parametrize("case", TIMM["cases"], ids=named)
def test_timm(case):
    """Also at step 0, which has the rate after construction."""
    found = from_timm(case["name"], lr=TIMM["rates"], exact=True, **case["arguments"])
    if not any("misses" in note for note in found.notes):
        assert found == from_timm(case["name"], lr=TIMM["rates"], **case["arguments"])
    for group, schedule in enumerate(found.schedules):
        agrees(schedule, TIMM["steps"], [values[group] for values in case["values"]], {"rel": 1e-12, "abs": 1e-15})


@pytest.mark.parametrize("case", TIMM["noisy"], ids=named)
def test_timm_s_noise_is_kept_where_asked(case):
    found = from_timm(case["name"], lr=TIMM["rates"], exact=True, **case["arguments"])
    plain = from_timm(case["name"], lr=TIMM["rates"], **case["arguments"])
    assert any("without it (exact=True keeps it)" in note for note in plain.notes)
    assert not found.schedules[0].serialisable
    for group, schedule in enumerate(found.schedules):
        values = [values[group] for values in case["values"]]
        assert [schedule(step) for step in TIMM["steps"]] == pytest.approx(values, rel=1e-12, abs=1e-15)
        assert [plain.schedules[group](step) for step in TIMM["steps"]] != pytest.approx(values, rel=1e-3)


@pytest.mark.parametrize("case", [case for case in TIMM["cases"] + TIMM["noisy"] if "class" in case], ids=named)
def test_timm_live(case):
    """An object of the live scheduler's class name and attributes."""
    live = type(case["class"], (), {})()
    vars(live).update(case["attributes"])
    for group, schedule in enumerate(from_timm(live, exact=True).schedules):
        values = [values[group] for values in case["values"]]
        assert [schedule(step) for step in TIMM["steps"]] == pytest.approx(values, rel=1e-12, abs=1e-15)


def test_timm_by_text_and_in_words():
    words = from_timm("create_scheduler_v2(optimizer, sched='cosine', num_epochs=90)", lr=0.1)
    assert words == from_timm("cosine", lr=0.1, num_epochs=90)
    (epochs,) = words.notes
    assert epochs.startswith("timm counts epochs here; kept: that, so one step of the schedule is one epoch; found.")
    assert words == from_timm("CosineLRScheduler(optimizer, t_initial=90)", lr=0.1)
    assert from_timm("CosineLRScheduler(optimizer, 90, t_in_epochs=False)", lr=0.1).notes == ()
    assert from_timm("cosine", lr=0.1, num_epochs=9, step_on_epochs=False, updates_per_epoch=10).notes == ()
    assert from_timm("CosineLRScheduler(optimizer, t_initial=90)", lr=0.1).schedule == cosine_decay(0.1, 90)
    jump = from_timm("cosine", lr=0.1, num_epochs=80, warmup_epochs=10).notes
    assert any(
        "ends in a jump, from 0.090001 to 0.0961940 where 0.1".replace("0.0961940", "0.096194") in note for note in jump
    )


def test_timm_s_step_0_is_said_where_it_is_off_the_curve():
    tanh = from_timm("TanhLRScheduler", lr=0.1, t_initial=10, lb=-1.0)
    assert tanh.schedule(0) == 0.1
    assert tanh.notes[1] == (
        "timm trains step 0 at the rate that its constructor writes, 0.1, where its formula has 0.0880797; kept: that "
        "(step(0) and step_update(0) would write the formula's)"
    )
    missed = from_timm("TanhLRScheduler", lr=0.1, t_initial=1, cycle_mul=3.0, cycle_limit=6, exact=True)
    assert "misses those at 121; kept: each where it is" in missed.notes[1]
    kept = from_timm("CosineLRScheduler", lr=0.1, t_initial=1, cycle_mul=3.0, cycle_limit=6, exact=True)
    assert "misses those at 121; kept: that" in kept.notes[1]


@pytest.mark.parametrize("case", TIMM["scaled"], ids=named)
def test_timm_s_lr_scale(case):
    """In `.schedules` it is multiplied in, as timm does; `.schedule` is the curve before it."""
    live = type(case["class"], (), {})()
    vars(live).update(case["attributes"])
    live.optimizer = SimpleNamespace(param_groups=[{"lr_scale": scale} for scale in case["scales"]])
    found = from_timm(live)
    for group, schedule in enumerate(found.schedules):
        agrees(schedule, TIMM["steps"], [values[group] for values in case["values"]], {"rel": 1e-12, "abs": 1e-15})
        assert schedule == found.schedule.times(case["scales"][group])
    assert found.schedule == from_timm(case["class"], lr=0.1, **case["arguments"]).schedule
    assert "timm multiplies by each group's lr_scale" in found.notes[-1]
    live.optimizer.param_groups.append({"lr_scale": 1.0})
    assert any("group 2 came after the scheduler" in note for note in from_timm(live).notes)
    with pytest.raises(ValueError, match="got 4 rates for 3 groups"):
        from_timm(live, lr=[0.1] * 4)


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        (
            "CosineLRScheduler(optimizer, 9, 0.0, 1.0, 1.0, 1, 0, 0.0, False, True)",
            {},
            TypeError,
            "too many positional",
        ),
        ("cosine", {"noise": [0.5], "num_epochs": 0}, ValueError, "decay_steps must be"),
        ("CosineLRScheduler", {"t_initial": 9, "noise_range_t": [3]}, ValueError, "one number, from there on, or two"),
        ("plateau", {"step_on_epochs": False, "updates_per_epoch": 9}, ValueError, "once an epoch"),
        (object(), {}, TypeError, "takes a name, a call as text or a timm scheduler"),
        ("PlateauLRScheduler", {"mode": "auto"}, ValueError, 'one of "min", "max"'),
        ("cosine", {"num_epoch": 3}, TypeError, "did you mean num_epochs"),
        ("cosinus(3)", {}, ValueError, "did you mean cosine"),
        ("cosine", {"step_on_epochs": False}, ValueError, "updates_per_epoch must be above 0"),
        ("cosine", {"cycle_mul": 0.5, "cycle_limit": 2}, ValueError, "t_mul"),
        ("wsd", {"num_epochs": 9, "decay_epochs": 20}, ValueError, "decay_t must be above 0 and at most"),
        ("WSDLRScheduler", {"t_initial": 9, "decay_t": 3, "stable_fn": "x"}, ValueError, "stable_fn must be"),
        ("WSDLRScheduler", {"t_initial": 9, "decay_t": 3, "decay_fn": abs}, ValueError, "decay_fn must be"),
    ],
)
def test_no_timm_scheduler(name, arguments, error, message):
    with pytest.raises(error, match=message):
        from_timm(name, lr=0.1, **arguments)
