"""What a scheduler holds that is easily left behind: functions, momentum, factors in the groups, the unit of a step."""

import copy
import functools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_convert_torch import STEPS, agrees, made, optimizer_of, stepped
from torch.optim import lr_scheduler
from transformers import optimization

from tapered.convert import from_torch, from_transformers, to_lambda
from tapered.schedules import constant, cosine_decay, parse, warmup

RATE = st.floats(1e-4, 1.0)
SPAN = st.integers(1, 30)


class Fall:
    """A callable object: what it holds is in the state dict, what it does is not."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, x):
        return self.rate**x

    def method(self, x):
        return self.rate / x if x else 0.0


def halved(x):
    return 0.5**x


FUNCTIONS = {
    "function": halved,
    "lambda": lambda x: 1.0 / (1.0 + x),
    "object": Fall(0.9),
    "method": Fall(0.9).method,
    "partial": functools.partial(pow, 0.7),
}
CYCLES = st.fixed_dictionaries(
    {
        "base_lr": RATE,
        "max_lr": RATE,
        "step_size_up": SPAN,
        "step_size_down": SPAN | st.none(),
        "mode": st.sampled_from(["triangular", "triangular2", "exp_range", "own"]),
        "scale_mode": st.sampled_from(["cycle", "iterations"]),
        "cycle_momentum": st.booleans(),
    }
)


def saved(scheduler):
    """Its state dict; torch 2.13 raises for what has no __dict__, as a method."""
    try:
        return scheduler.state_dict()
    except AttributeError:
        return None


def read(state):
    """The refusal, if it is one, and the notes."""
    try:
        return "", from_torch(state).notes
    except ValueError as error:
        return str(error), ()


@pytest.mark.parametrize("function", FUNCTIONS)
@settings(max_examples=40)
@given(arguments=CYCLES, steps=st.integers(0, 40))
def test_a_scale_fn_at_random(function, arguments, steps):
    """Live it is kept; from the state dict there is the curve, a refusal, or a note on what cannot be seen there."""
    optimizer = optimizer_of([0.1, 0.2])
    scheduler = lr_scheduler.CyclicLR(optimizer, scale_fn=FUNCTIONS[function], **arguments)
    found = from_torch(scheduler)
    assert not found.schedules[0].serialisable
    assert any("holds a function of your own; kept: that, as a function" in note for note in found.notes)
    assert arguments["cycle_momentum"] == any("moves momentum" in note for note in found.notes)
    agrees(found, stepped(optimizer, scheduler, STEPS), text=False)
    stepped(optimizer, scheduler, steps)
    state = saved(scheduler)
    if state is None:
        return
    refused, notes = read(state)
    if function not in ("function", "lambda") or refused:
        assert "with a scale_fn does not hold" in refused
    else:
        assert any("does not hold a scale_fn that is a function; kept: mode=" in note for note in notes)


@pytest.mark.parametrize(
    ("function", "arguments", "step", "what"),
    [
        (Fall(0.5), {}, 0, "the code of its callable object, but its attributes alone"),
        (functools.partial(pow, 0.5), {}, 0, "the code of its callable object"),
        (halved, {"scale_mode": "iterations"}, 0, "its function"),
        (halved, {"mode": "exp_range"}, 0, "its function"),
        (halved, {"mode": "own"}, 0, "its function"),
        (halved, {}, 1, "its function"),  # whose rate no mode gives
        (halved, {"mode": "triangular2"}, 13, "its function"),
    ],
)
@pytest.mark.parametrize("place", ["alone", "in a sequence", "in a chain"])
def test_a_saved_scale_fn_is_refused(function, arguments, step, what, place):
    optimizer = optimizer_of([0.1])
    scheduler = lr_scheduler.CyclicLR(optimizer, 0.1, 0.5, 4, scale_fn=function, **arguments)
    if place == "in a sequence":
        scheduler = lr_scheduler.SequentialLR(optimizer, [scheduler, lr_scheduler.StepLR(optimizer, 3)], [50])
    elif place == "in a chain":
        scheduler = lr_scheduler.ChainedScheduler([scheduler])
    stepped(optimizer, scheduler, step)
    with pytest.raises(ValueError, match=f"a CyclicLR with a scale_fn does not hold {what}.*convert the live"):
        from_torch(copy.deepcopy(scheduler.state_dict()))


@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
def test_a_saved_cycle_of_torch_s_own_is_converted_at_every_step(mode):
    optimizer = optimizer_of([0.1, 0.2])
    scheduler = lr_scheduler.CyclicLR(optimizer, [0.5, 0.01], [0.1, 0.3], 7, 4, mode=mode, gamma=0.97)
    live = from_torch(scheduler)
    assert not any("scale_fn" in note for note in live.notes)
    for _ in range(60):
        back = from_torch(scheduler.state_dict())
        assert back.schedules == live.schedules
        assert any("does not hold a scale_fn that is a function" in note for note in back.notes)
        stepped(optimizer, scheduler, 1)


def test_functions_inside_compositions():
    optimizer = optimizer_of([0.1, 0.2])
    parts = [
        lr_scheduler.LinearLR(optimizer, 0.1, 1.0, 5),
        lr_scheduler.CyclicLR(optimizer, 0.01, 0.3, 4, scale_fn=Fall(0.9), scale_mode="iterations"),
        lr_scheduler.LambdaLR(optimizer, [halved, Fall(0.8)]),
    ]
    scheduler = lr_scheduler.SequentialLR(optimizer, parts, [6, 25])
    found = from_torch(scheduler)
    for name in ("CyclicLR", "LambdaLR"):
        assert any(f"torch's {name} holds a function of your own" in note for note in found.notes)
    assert any("CyclicLR moves momentum" in note for note in found.notes)
    agrees(found, stepped(optimizer, scheduler, 50), text=False)
    chained = from_torch("ChainedScheduler([CyclicLR(0.1, 0.5, 4), StepLR(3)])", lr=0.1, exact=True)
    assert any("CyclicLR moves momentum" in note for note in chained.notes)


@pytest.mark.parametrize("kind", [lr_scheduler.LambdaLR, lr_scheduler.MultiplicativeLR])
@pytest.mark.parametrize("function", [halved, Fall(0.9), functools.partial(pow, 0.9)])
@pytest.mark.parametrize("nested", [False, True])
def test_a_saved_function_is_refused(kind, function, nested):
    optimizer = optimizer_of([0.1])
    scheduler = kind(optimizer, function)
    if nested:
        scheduler = lr_scheduler.SequentialLR(optimizer, [lr_scheduler.StepLR(optimizer, 3), scheduler], [5])
    with pytest.raises(ValueError, match="does not hold its function, of a callable object its attributes at most"):
        from_torch(scheduler.state_dict())


def test_a_saved_scheduler_of_transformers_is_refused_by_its_other_name():
    scheduler = optimization.get_scheduler("cosine", optimizer_of([0.1]), 5, 40)
    with pytest.raises(ValueError, match=r"write from_transformers\(name, lr="):
        from_torch(scheduler.state_dict())
    assert from_torch(scheduler).schedule.serialisable


EPOCHS = {
    "StepLR(30)": "StepLR",
    "MultiStepLR([30, 60])": "MultiStepLR",
    "ConstantLR()": "ConstantLR",
    "LinearLR()": "LinearLR",
    "ExponentialLR(0.9)": "ExponentialLR",
    "PolynomialLR()": "PolynomialLR",
    "CosineAnnealingLR(90)": "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts(90)": "CosineAnnealingWarmRestarts",
    "SequentialLR([LinearLR(), OneCycleLR(0.1, 90)], [5])": "SequentialLR",
    "ChainedScheduler([LinearLR(), StepLR(3)])": "ChainedScheduler",
    "OneCycleLR(0.1, 90)": None,
    "CyclicLR(0.1, 0.5)": None,
    "ChainedScheduler([CyclicLR(0.1, 0.5)])": None,
}


@pytest.mark.parametrize("text", EPOCHS)
def test_what_one_step_of_it_is(text):
    """Said for schedulers that are usually stepped once an epoch, live, saved and as text."""
    optimizer = optimizer_of([0.1])
    live = made(text, optimizer)
    groups = optimizer.state_dict()["param_groups"]
    for found in (from_torch(text, lr=0.1), from_torch(live), from_torch(live.state_dict(), groups=groups)):
        said = [note for note in found.notes if "in_epochs" in note]
        name = EPOCHS[text]
        assert said == [] if name is None else said == [found.notes[-1]]
        if name is not None:
            assert said[0] == (
                f"one step of the schedule is one call of torch's {name}.step(); where that was once an epoch, take "
                "found.schedule.in_epochs(steps_per_epoch)"
            )


def test_functions_for_updates_are_not_taken_for_epochs():
    optimizer = optimizer_of([0.1])
    for function in (
        to_lambda(warmup(5), lr=0.1),
        optimization.get_scheduler("linear", optimizer, 5, 40).lr_lambdas[0],
    ):
        assert not any("in_epochs" in note for note in from_torch(lr_scheduler.LambdaLR(optimizer, function)).notes)
    for kind in (lr_scheduler.LambdaLR, lr_scheduler.MultiplicativeLR):
        assert "in_epochs" in from_torch(kind(optimizer, halved)).notes[-1]


def test_an_epoch_s_scheduler_in_updates():
    """As a user does it: once an epoch there, once an update here."""
    optimizer, epoch = optimizer_of([0.1]), 7
    scheduler = lr_scheduler.MultiStepLR(optimizer, [3, 5])
    ours = from_torch(scheduler).schedule.in_epochs(epoch)
    theirs = [row[0] for row in stepped(optimizer, scheduler, 8) for _ in range(epoch)]
    assert ours.table(8 * epoch).tolist() == pytest.approx(theirs, rel=1e-12)


def test_an_lr_scale_that_torch_passes_over():
    optimizer = optimizer_of([0.1, 0.1])
    optimizer.param_groups[0]["lr_scale"] = 0.5
    scheduler = lr_scheduler.StepLR(optimizer, 3)
    found = from_torch(scheduler)
    assert any("lr_scale, which torch's schedulers pass over; kept: that" in note for note in found.notes)
    agrees(found, stepped(optimizer, scheduler, 9))
    optimizer.param_groups[0]["lr_scale"] = 1.0
    assert not any("lr_scale" in note for note in from_torch(scheduler).notes)


@pytest.mark.parametrize(
    "name", [kind.value for kind in optimization.SchedulerType if kind.value not in ("reduce_lr_on_plateau", "greedy")]
)
def test_scheduler_specific_kwargs_as_a_dict(name):
    specific = {
        "cosine": {"num_cycles": 1.5},
        "cosine_with_restarts": {"num_cycles": 3},
        "polynomial": {"lr_end": 1e-5, "power": 2.0},
        "inverse_sqrt": {"timescale": 30},
        "cosine_with_min_lr": {"min_lr": 0.01},
        "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1, "warmup_lr_rate": 0.2},
        "warmup_stable_decay": {"num_decay_steps": 12, "min_lr_ratio": 0.1, "decay_type": "1-sqrt"},
    }.get(name, {})
    optimizer = optimizer_of([0.1])
    optimizer.defaults["lr"] = 0.1
    scheduler = optimization.get_scheduler(name, optimizer, 5, 40, scheduler_specific_kwargs=dict(specific))
    asked = {"lr": 0.1, "num_warmup_steps": 5, "num_training_steps": 40, "exact": True}
    found = from_transformers(name, scheduler_specific_kwargs=specific, **asked)
    assert found == from_transformers(name, **specific, **asked)
    agrees(found, stepped(optimizer, scheduler, 60))
    if specific:
        key = next(iter(specific))
        with pytest.raises(TypeError, match=f"{key} is given by name and in scheduler_specific_kwargs"):
            from_transformers(name, scheduler_specific_kwargs=specific, **{key: 3}, **asked)


def test_what_transformers_passes_over_is_said():
    still = from_transformers("constant", lr=0.1, num_warmup_steps=9)
    assert still.schedule == 0.1 * constant(1.0)
    assert still.notes == (
        "transformers' constant passes over num_warmup_steps, which constant_with_warmup reads; kept: that",
    )
    stable = {"num_stable_steps": 5, "num_decay_steps": 5}
    both = from_transformers("warmup_stable_decay", lr=0.1, num_warmup_steps=2, num_training_steps=90, **stable)
    assert both.schedule.horizon == 12
    assert "passes over num_training_steps where num_stable_steps is given" in both.notes[0]
    scaled = from_transformers("inverse_sqrt", lr=0.1, num_warmup_steps=2, timescale=30)
    assert "transformers before 5.4 passes over the timescale of inverse_sqrt" in scaled.notes[0]
    for wrong in ("num_cycles=2", 3, [("num_cycles", 2)]):
        with pytest.raises(TypeError, match="must be a dict"):
            from_transformers(
                "cosine", lr=0.1, num_warmup_steps=3, num_training_steps=9, scheduler_specific_kwargs=wrong
            )


def test_floors_in_chains_are_scaled_with_them():
    optimizer = optimizer_of([0.1])
    fall = to_lambda(cosine_decay(0.2, decay_steps=9, end=0.05), lr=0.1)
    parts = [lr_scheduler.LambdaLR(optimizer, fall), lr_scheduler.ConstantLR(optimizer, 0.5, 4)]
    found = from_torch(lr_scheduler.ChainedScheduler(parts)).schedule
    assert math.isclose(found(20), 0.05, rel_tol=1e-12)
    assert math.isclose(found(2), 0.5 * cosine_decay(0.2, decay_steps=9, end=0.05)(2), rel_tol=1e-12)
    parts = [lr_scheduler.CosineAnnealingLR(optimizer, 9, eta_min=0.01), lr_scheduler.LambdaLR(optimizer, fall)]
    both = from_torch(lr_scheduler.ChainedScheduler(parts)).schedule
    assert both(20) == pytest.approx(0.01 * 0.05 / 0.1, rel=1e-12)
    assert parse(str(both)) == both
