"""torch's schedulers, live and at random, against what they are converted to: every step of every group."""

import re
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from tapered.convert import from_torch, to_lambda
from tapered.schedules import cosine_decay, exponential_decay, linear, parse, warmup

STEPS = 60
RATE = st.floats(1e-4, 1.0)
SPAN = st.integers(1, 50)
FACTOR = st.floats(0.05, 1.0)
LOW = st.floats(0.0, 1e-4)


def optimizer_of(rates):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates]
    return torch.optim.SGD(groups, lr=1.0, momentum=0.9)


def stepped(optimizer, scheduler, steps):
    """The rates of all groups at each step, from where it stands."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR and ChainedScheduler warn about torch's own calls
        for _ in range(steps):
            found.append([float(group["lr"]) for group in optimizer.param_groups])
            optimizer.step()
            scheduler.step()
    return found


def agrees(found, rates, *, text=True):
    """torch multiplies rates step by step, which rounds each time: 1e-11, as in test_schedules_torch."""
    for group, schedule in enumerate(found.schedules):
        theirs = [row[group] for row in rates]
        assert schedule.table(len(rates)).tolist() == pytest.approx(theirs, rel=1e-11, abs=1e-14)
        assert not text or parse(str(schedule)) == schedule


def slow(step):
    return 0.95**step


def factor(step):
    return 0.97 if step % 3 else 0.9


def wave(x):
    return 1 / (1 + x)


LEAVES = {
    "StepLR": st.fixed_dictionaries({"step_size": SPAN, "gamma": st.floats(0.0, 1.2)}),
    "MultiStepLR": st.fixed_dictionaries({"milestones": st.lists(st.integers(0, 70), max_size=5), "gamma": FACTOR}),
    "ConstantLR": st.fixed_dictionaries({"factor": FACTOR, "total_iters": SPAN}),
    "LinearLR": st.fixed_dictionaries(
        {"start_factor": FACTOR, "end_factor": st.floats(0.0, 1.0), "total_iters": st.integers(0, 50)}
    ),
    "ExponentialLR": st.fixed_dictionaries({"gamma": st.floats(0.5, 1.1) | st.just(0.0)}),
    "PolynomialLR": st.fixed_dictionaries({"total_iters": SPAN, "power": st.floats(0.3, 3.0) | st.just(0.0)}),
    "CosineAnnealingLR": st.fixed_dictionaries({"T_max": SPAN, "eta_min": LOW | RATE | st.just(0.0)}),
    "CosineAnnealingWarmRestarts": st.fixed_dictionaries(
        {"T_0": SPAN, "T_mult": st.integers(1, 3), "eta_min": LOW | RATE | st.just(0.0)}
    ),
    "CyclicLR": st.fixed_dictionaries(
        {
            "base_lr": RATE,
            "max_lr": RATE,
            "step_size_up": SPAN,
            "step_size_down": SPAN | st.none(),
            "mode": st.sampled_from(["triangular", "triangular2", "exp_range"]),
            "gamma": st.floats(0.8, 1.0),
        }
    ),
    "OneCycleLR": st.fixed_dictionaries(
        {
            "max_lr": RATE,
            "total_steps": st.integers(12, 90),
            "pct_start": st.floats(0.1, 0.9) | st.sampled_from([0.25, 0.5, 0.75]),
            "anneal_strategy": st.sampled_from(["cos", "linear"]),
            "div_factor": st.floats(1.5, 50.0),
            "final_div_factor": st.floats(1.5, 1e4),
            "three_phase": st.booleans(),
        }
    ),
    "LambdaLR": st.fixed_dictionaries({"lr_lambda": st.just(slow)}),
    "MultiplicativeLR": st.fixed_dictionaries({"lr_lambda": st.just(factor)}),
}
CODED = ("LambdaLR", "MultiplicativeLR")


def end_of(name, arguments):
    """The last step at which torch's curve is what it documents, or STEPS."""
    if name == "CosineAnnealingLR":
        return min(STEPS, arguments["T_max"])
    return min(STEPS, arguments["total_steps"] - 1) if name == "OneCycleLR" else STEPS


def usable(name, arguments):
    """torch itself divides by zero where a phase of OneCycleLR has no length."""
    if name != "OneCycleLR":
        return True
    total, start = arguments["total_steps"], arguments["pct_start"] * arguments["total_steps"] - 1
    return start > 0 and not (arguments["three_phase"] and 2 * start == total - 1)


@pytest.mark.parametrize("name", LEAVES)
@settings(max_examples=60)
@given(data=st.data())
def test_every_class_at_random(name, data):
    """Live, from its state dict, and after steps; on two groups; up to the end, and past it where exact."""
    arguments = data.draw(LEAVES[name].filter(lambda drawn: usable(name, drawn)))
    rates = data.draw(st.lists(RATE, min_size=1, max_size=2))
    optimizer = optimizer_of(rates)
    scheduler = getattr(lr_scheduler, name)(optimizer, **arguments)
    found, kept = from_torch(scheduler), from_torch(scheduler, exact=True)
    assert len(found.schedules) == len(rates)
    if name not in CODED:
        groups = optimizer.state_dict()["param_groups"]
        assert from_torch(scheduler.state_dict(), groups=groups).schedules == found.schedules
        text = f"{name}(optimizer, {', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
        spoken = from_torch(text, lr=rates)
        for ours, theirs in zip(spoken.schedules, found.schedules, strict=True):
            assert ours.table(STEPS) == pytest.approx(theirs.table(STEPS), rel=1e-13, abs=1e-16)
    end = end_of(name, arguments)
    curve = stepped(optimizer, scheduler, STEPS if name != "OneCycleLR" else end + 1)
    agrees(found, curve[: end + 1], text=name not in CODED)
    agrees(kept, curve, text=name not in CODED)
    for schedule in found.schedules:
        assert schedule(STEPS + 100) == pytest.approx(schedule(end), rel=1e-12) or end == STEPS
    if name != "OneCycleLR":  # which now stands past its end
        assert from_torch(scheduler).schedules == found.schedules
    assert end == STEPS or any("kept" in note for note in found.notes)


PARTS = [name for name in LEAVES if name not in ("CyclicLR", "OneCycleLR")]


@settings(max_examples=80)
@given(data=st.data())
def test_sequences_at_random(data):
    rates = data.draw(st.lists(RATE, min_size=1, max_size=2))
    names = data.draw(st.lists(st.sampled_from(PARTS), min_size=1, max_size=4))
    stones = data.draw(st.lists(st.integers(1, 30), min_size=len(names) - 1, max_size=len(names) - 1, unique=True))
    optimizer = optimizer_of(rates)
    # torch divides by zero at the milestone of a LinearLR of no steps
    drawn = [data.draw(LEAVES[name].filter(lambda of: of.get("total_iters") != 0)) for name in names]
    parts = [getattr(lr_scheduler, name)(optimizer, **of) for name, of in zip(names, drawn, strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = lr_scheduler.SequentialLR(optimizer, parts, sorted(stones))
    found, coded = from_torch(scheduler, exact=True), bool(set(names) & set(CODED))
    assert coded or from_torch(scheduler.state_dict(), exact=True).schedules == found.schedules
    agrees(found, stepped(optimizer, scheduler, STEPS), text=not coded)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda of: lr_scheduler.OneCycleLR(of, 0.3, 50), "OneCycleLR"),
        (lambda of: lr_scheduler.CyclicLR(of, 0.01, 0.3, 5), "CyclicLR"),
    ],
)
def test_cycles_rewrite_the_base_rates_of_their_neighbours(make, name, reverse):
    optimizer = optimizer_of([0.1, 0.2])
    kinds = [make, lambda of: lr_scheduler.LinearLR(of, 0.1, 1.0, 9)][:: -1 if reverse else 1]
    scheduler = lr_scheduler.SequentialLR(optimizer, [kind(optimizer) for kind in kinds], [12])
    found = from_torch(scheduler)
    agrees(found, stepped(optimizer, scheduler, 45))
    assert any(f"{name} writes its first rate over the base rate" in note for note in found.notes)


CHAINABLE = ("StepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR", "MultiplicativeLR")


@settings(max_examples=60)
@given(data=st.data())
def test_chains_at_random(data):
    rates = data.draw(st.lists(RATE, min_size=1, max_size=2))
    names = data.draw(st.lists(st.sampled_from(CHAINABLE), min_size=1, max_size=3))
    optimizer = optimizer_of(rates)
    parts = [getattr(lr_scheduler, name)(optimizer, **data.draw(LEAVES[name])) for name in names]
    scheduler = lr_scheduler.ChainedScheduler(parts)
    found = from_torch(scheduler)
    agrees(found, stepped(optimizer, scheduler, STEPS), text="MultiplicativeLR" not in names)


NESTED = {
    "a chain in a sequence": (
        "SequentialLR([ChainedScheduler([ConstantLR(0.5, 9), ExponentialLR(0.9)]), StepLR(30)], [20])"
    ),
    "a sequence in a chain": (
        "ChainedScheduler([SequentialLR([LinearLR(0.1, 1.0, 9), StepLR(9)], [9]), ExponentialLR(0.9)])"
    ),
    "a floor in a chain": "ChainedScheduler([LinearLR(0.1, 1.0, 9), CosineAnnealingLR(50, eta_min=0.01)])",
    "restarts in a chain": "ChainedScheduler([LinearLR(0.1, 1.0, 9), CosineAnnealingWarmRestarts(20)])",
    "a sequence in a sequence": (
        "SequentialLR([SequentialLR([LinearLR(0.1, 1.0, 5), ExponentialLR(0.9)], [5]), ConstantLR(0.5, 90)], [30])"
    ),
}


def made(text, optimizer):
    """The live scheduler that a test's own text writes."""
    names = {name: getattr(lr_scheduler, name) for name in lr_scheduler.__all__}
    written = re.sub(r"(?<!Chained)(LR|Restarts)\(", r"\1(optimizer, ", text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval(written, names | {"optimizer": optimizer})


@pytest.mark.parametrize("name", NESTED)
def test_where_torch_composes_otherwise_than_it_says(name):
    """Both are there: the composition as written, which is text, and torch's, to the bit."""
    meant, exact = (from_torch(NESTED[name], lr=0.1, exact=exact) for exact in (False, True))
    optimizer = optimizer_of([0.1])
    built = made(NESTED[name], optimizer)
    theirs = stepped(optimizer, built, 45)
    assert exact.schedule.table(45).tolist() == [row[0] for row in theirs]
    assert meant.schedule.table(45).tolist() != pytest.approx([row[0] for row in theirs], rel=1e-6)
    assert parse(str(meant.schedule)) == meant.schedule
    assert not exact.schedule.serialisable
    assert any("kept: the" in note for note in meant.notes)
    assert any("replayed" in note for note in exact.notes)


def test_the_composition_as_written():
    chain = from_torch(NESTED["restarts in a chain"], lr=0.1).schedule
    assert chain(3) == pytest.approx(0.1 * (0.1 + 0.9 / 3) * cosine_decay(decay_steps=20)(3), rel=1e-12)
    inner = from_torch(NESTED["a sequence in a sequence"], lr=0.1).schedule
    assert [inner(step) for step in (0, 5, 7, 30)] == pytest.approx([0.01, 0.1, 0.081, 0.05], rel=1e-12)


def test_what_torch_raises_is_said_where_it_is_asked_for():
    text = "SequentialLR([ConstantLR(0.5, 3), ChainedScheduler([StepLR(3)])], [6])"
    assert "NotImplementedError at its milestone" in " ".join(from_torch(text, lr=0.1).notes)
    exact = from_torch(text, lr=0.1, exact=True).schedule
    assert exact(5) == 0.1
    with pytest.raises(ValueError, match=r"SequentialLR.*raises at step 6, NotImplementedError"):
        exact(6)


def test_text_notes_and_momentum():
    found = from_torch("torch.optim.lr_scheduler.OneCycleLR(max_lr=0.1, epochs=4, steps_per_epoch=25)", lr=0.1)
    assert found.schedule.horizon == 99
    assert found.notes == (
        "torch's OneCycleLR moves momentum or betas[0] too; kept: the rate only",
        "torch's OneCycleLR raises after step 100; kept: its last value, of step 99",
        (
            "torch's OneCycleLR, built on a loaded optimizer and then loaded, is at another rate for a step; "
            "kept: the curve, which is a function of the step alone"
        ),
    )
    (epochs,) = from_torch("StepLR(30)", lr=[0.1, 0.2]).notes
    assert epochs.endswith("where that was once an epoch, take found.schedule.in_epochs(steps_per_epoch)")
    with pytest.raises(ValueError, match="2 groups have different schedules"):
        _ = from_torch("StepLR(30)", lr=[0.1, 0.2]).schedule
    with pytest.raises(ValueError, match="no base rate; give lr"):
        from_torch("StepLR(30)")


def test_one_cycle_without_a_way_up():
    optimizer = optimizer_of([0.1])
    scheduler = lr_scheduler.OneCycleLR(optimizer, 0.1, 50, pct_start=0.0)
    agrees(from_torch(scheduler), stepped(optimizer, scheduler, 50))


def test_a_height_of_the_user_s_own():
    for mode in ("cycle", "iterations"):
        optimizer = optimizer_of([0.1])
        scheduler = lr_scheduler.CyclicLR(optimizer, 0.01, 0.1, 7, 5, scale_fn=wave, scale_mode=mode)
        found = from_torch(scheduler)
        assert not found.schedule.serialisable
        agrees(found, stepped(optimizer, scheduler, STEPS), text=False)


def test_odd_arguments_that_torch_takes():
    for text in ("ConstantLR(0.5, total_iters=0)", "LinearLR(0.5, total_iters=0)", "MultiStepLR([2.5, 5])"):
        optimizer = optimizer_of([0.1])
        scheduler = made(text, optimizer)
        found = from_torch(text, lr=0.1, exact=True)
        assert found.notes
        agrees(found, stepped(optimizer, scheduler, 20))
    assert from_torch("ConstantLR(0.5, total_iters=0)", lr=0.1).schedule(3) == 0.1


def resumed_wrongly():
    """The order of torch's own tutorial: load the optimizer, build the scheduler, load it (PyTorch issue 65342)."""
    optimizer = optimizer_of([0.1])
    scheduler = lr_scheduler.LinearLR(optimizer, 0.1, 1.0, 20)
    stepped(optimizer, scheduler, 7)
    saved = optimizer.state_dict(), scheduler.state_dict()
    other = optimizer_of([0.1])
    other.load_state_dict(saved[0])
    again = lr_scheduler.LinearLR(other, 0.1, 1.0, 20)
    again.load_state_dict(saved[1])
    stepped(other, again, 1)
    return again


def test_a_wrong_resume_is_seen():
    found = from_torch(resumed_wrongly())
    assert found.schedule == 0.1 * linear(0.1, 1.0, 20)
    assert "multiplies by start_factor once more and stays so" in found.notes[0]
    assert "group 0 is at 0.0046 in torch, step 8, where its curve has 0.046: it resumed wrongly" in found.notes[1]


def test_a_group_added_later_is_left_to_the_user():
    optimizer = optimizer_of([0.1])
    scheduler = lr_scheduler.ExponentialLR(optimizer, 0.9)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.5})
    found = from_torch(scheduler)
    assert found.schedules == (exponential_decay(0.1, 1, 0.9),)
    assert "group 1 came after the scheduler, which has no base rate for it; convert it on its own" in found.notes


def test_a_state_of_another_class():
    state = lr_scheduler.ExponentialLR(optimizer_of([0.1]), 0.9).state_dict()
    assert from_torch(state, name="ExponentialLR").schedule == exponential_decay(0.1, 1, 0.9)
    with pytest.raises(ValueError, match="StepLR, group 0: it has no step_size"):
        from_torch(state, name="StepLR")


def test_tensor_rates():
    parameter = torch.nn.Parameter(torch.zeros(1))
    scheduler = lr_scheduler.StepLR(
        torch.optim.Adam([parameter], lr=torch.tensor(0.25), capturable=False, foreach=False), 3
    )
    assert from_torch(scheduler).schedule == exponential_decay(0.25, 3, 0.1, True)


class Own(lr_scheduler.StepLR):
    """A scheduler of one's own."""


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (lambda: "SequentialLR([ReduceLROnPlateau(), StepLR(3)], [3])", ValueError, "by the loss"),
        (lambda: Own(optimizer_of([0.1]), 3), ValueError, "Own is no scheduler of torch"),
        (
            lambda: lr_scheduler.LambdaLR(optimizer_of([0.1]), slow).state_dict(),
            ValueError,
            "does not hold its function",
        ),
        (lambda: lr_scheduler.OneCycleLR(optimizer_of([0.1]), 1.0, 9).state_dict(), ValueError, "give groups="),
        (lambda: {"x": 1}, ValueError, "no torch scheduler has such a state dict"),
        (lambda: {"gamma": 0.5}, ValueError, "should have 'base_lrs'"),
        (lambda: 3, TypeError, "takes a torch scheduler, its state dict or a call"),
        (lambda: "StepLr(3)", ValueError, "did you mean StepLR"),
        (lambda: "StepLR(step=3)", TypeError, "did you mean step_size"),
        (lambda: "StepLR(0)", ValueError, "StepLR, group 0: exponential_decay: decay_steps"),
        (lambda: "LambdaLR(lambda step: 0.5)", ValueError, "a lambda is code"),
        (lambda: "SequentialLR([StepLR(3), StepLR(3)], [9, 3])", ValueError, "rising whole steps"),
        (lambda: "SequentialLR([StepLR(3)], [9])", ValueError, "one milestone less"),
        (lambda: "SequentialLR(StepLR(3), [9])", ValueError, "a list of schedulers"),
        (lambda: "OneCycleLR(0.1, 9, pct_start=0.05)", ValueError, "no step before its peak"),
    ],
)
def test_what_cannot_be_converted_is_refused(source, error, message):
    with pytest.raises(error, match=message):
        from_torch(source(), lr=0.1 if isinstance(source(), str) else None)


def test_to_lambda_is_a_lambda_lr_and_comes_back():
    schedule = 0.1 * warmup(5).then(cosine_decay(decay_steps=30))
    optimizer = optimizer_of([0.3, 0.3])
    scheduler = lr_scheduler.LambdaLR(optimizer, to_lambda(schedule, lr=0.3).check(optimizer))
    assert from_torch(scheduler).schedules == (schedule, schedule)
    state = scheduler.state_dict()
    assert state["lr_lambdas"] == [{}, {}]  # so that torch.save and weights_only loading stay possible
    curve = stepped(optimizer, scheduler, 50)
    for group in (0, 1):
        assert [row[group] for row in curve] == pytest.approx(schedule.table(50), rel=1e-15)
    scheduler.load_state_dict(state)


def test_to_lambda_on_another_base_rate_is_refused():
    with pytest.raises(ValueError, match=r"group 1 has the base rate 0\.2, but the factor is for lr=0\.1"):
        to_lambda(warmup(5), lr=0.1).check(optimizer_of([0.1, 0.2]))
    for wrong in (0, float("nan"), "x", True):
        with pytest.raises(ValueError, match="finite number other than 0"):
            to_lambda(warmup(5), lr=wrong)
