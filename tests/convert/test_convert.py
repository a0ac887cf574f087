"""Transformers live and at random, calls as text, callables for optax, and the command line."""

import json
import math
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import optimization

from tapered.cli.main import main
from tapered.convert import Conversion, from_keras, from_torch, from_transformers, to_optax
from tapered.convert.calls import Call, read_call
from tapered.convert.transformers import NAMES
from tapered.schedules import constant, cosine_decay, exponential_decay, linear, parse, warmup

STEPS = 90
RATE = st.floats(1e-4, 1.0)


def live(name, rates, *, default=None, **arguments):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates]
    optimizer = torch.optim.SGD(groups, lr=rates[0] if default is None else default)
    asked = {key: arguments.pop(key, None) for key in ("num_warmup_steps", "num_training_steps")}
    return optimizer, optimization.get_scheduler(name, optimizer, **asked, scheduler_specific_kwargs=arguments)


def curve(optimizer, scheduler, steps):
    found = []
    for _ in range(steps):
        found.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return found


STEPPED = {"num_warmup_steps": st.integers(0, 30), "num_training_steps": st.integers(31, 80)}
HALVES = st.integers(1, 8).map(lambda number: number / 2)
FLOOR = {"min_lr_rate": st.floats(0.0, 1.0)}
SHAPE = st.sampled_from(["linear", "cosine", "1-sqrt"])
ARGUMENTS = {
    "constant": {},
    "constant_with_warmup": {"num_warmup_steps": STEPPED["num_warmup_steps"]},
    "linear": STEPPED,
    "cosine": STEPPED | {"num_cycles": HALVES},
    "cosine_with_restarts": STEPPED | {"num_cycles": st.sampled_from([1, 2])},
    "polynomial": STEPPED | {"lr_end": st.floats(0.0, 9e-5), "power": st.floats(0.3, 3.0)},
    "inverse_sqrt": {"num_warmup_steps": STEPPED["num_warmup_steps"], "timescale": st.integers(1, 99) | st.none()},
    "cosine_with_min_lr": STEPPED | {"num_cycles": HALVES} | FLOOR,
    "cosine_warmup_with_min_lr": (
        STEPPED | FLOOR | {"num_warmup_steps": st.integers(2, 30), "warmup_lr_rate": st.floats(0.0, 1.0) | st.none()}
    ),
    "warmup_stable_decay": {
        "num_warmup_steps": STEPPED["num_warmup_steps"],
        "num_stable_steps": st.integers(0, 30),
        "num_decay_steps": st.integers(0, 30),
        "warmup_type": SHAPE,
        "decay_type": SHAPE,
        "min_lr_ratio": st.floats(0.0, 1.0),
        "num_cycles": HALVES,
    },
}


def end_of(name, arguments):
    """The last step at which Transformers' curve has not begun to rise again."""
    return arguments["num_training_steps"] - ("warmup_with" in name) if name.startswith("cosine") else STEPS - 1


@pytest.mark.parametrize("name", ARGUMENTS)
@settings(max_examples=60)
@given(data=st.data())
def test_transformers_at_random(name, data):
    """By name, and from the live LambdaLR, whose function is known; with exact=True past the end as well."""
    arguments = data.draw(st.fixed_dictionaries(ARGUMENTS[name]))
    rate = data.draw(RATE)
    optimizer, scheduler = live(name, [rate], **arguments)
    found, kept = (from_transformers(name, lr=rate, exact=exact, **arguments) for exact in (False, True))
    assert parse(str(found.schedule)) == found.schedule
    spoken = from_torch(scheduler).schedule
    assert spoken.serialisable
    assert spoken.table(STEPS) == pytest.approx(found.schedule.table(STEPS), rel=1e-12, abs=1e-16)
    theirs = [row[0] for row in curve(optimizer, scheduler, STEPS)]
    end = end_of(name, arguments) + 1
    assert found.schedule.table(end).tolist() == pytest.approx(theirs[:end], rel=1e-11, abs=1e-15)
    assert kept.schedule.table(STEPS).tolist() == pytest.approx(theirs, rel=1e-11, abs=1e-14)
    if end < STEPS and "restarts" not in name:
        assert "rises again; kept: its last value, held" in found.notes[0]
        assert found.schedule(STEPS) == found.schedule(end - 1)


def test_all_twelve_are_known():
    assert set(NAMES) == {kind.value for kind in optimization.SchedulerType}
    assert set(NAMES) - set(ARGUMENTS) == {"reduce_lr_on_plateau", "greedy"}


def test_a_cycle_cut_short_drops_to_zero():
    arguments = {"num_warmup_steps": 5, "num_training_steps": 45, "num_cycles": 2.5}
    theirs = [row[0] for row in curve(*live("cosine_with_restarts", [0.1], **arguments), 60)]
    found = from_transformers("cosine_with_restarts", lr=0.1, **arguments).schedule
    assert found.table(60).tolist() == pytest.approx(theirs, rel=1e-11, abs=1e-15)


@pytest.mark.parametrize(("name", "floor"), [("polynomial", "lr_end"), ("cosine_with_min_lr", "min_lr")])
def test_floors_that_transformers_scales_to_each_group(name, floor):
    rates, arguments = [0.1, 0.02], {"num_warmup_steps": 5, "num_training_steps": 45, floor: 0.01}
    theirs = np.array(curve(*live(name, rates, **arguments), 46))
    exact = from_transformers(name, lr=rates, exact=True, **arguments)
    for group, schedule in enumerate(exact.schedules):
        assert schedule.table(46) == pytest.approx(theirs[:, group], rel=1e-11)
    found = from_transformers(name, lr=rates, **arguments)
    assert found.notes[-1].endswith("kept: the floor as given, for each group (exact=True keeps transformers')")
    assert [schedule(45) for schedule in found.schedules] == pytest.approx([0.01, 0.01])
    assert theirs[45] == pytest.approx([0.01, 0.002])
    on_default = from_transformers(name, lr=rates[1:], default_lr=0.1, exact=True, **arguments)
    assert on_default.schedules == exact.schedules[1:]


def test_cosines_that_begin_a_step_late():
    for warm in (0, 1):
        arguments = {"num_warmup_steps": warm, "num_training_steps": 45, "min_lr_rate": 0.1}
        theirs = [row[0] for row in curve(*live("cosine_warmup_with_min_lr", [0.1], **arguments), 45)]
        found = from_transformers("cosine_warmup_with_min_lr", lr=0.1, **arguments).schedule
        assert found.table(45).tolist() == pytest.approx(theirs, rel=1e-11)


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        ("reduce_lr_on_plateau", {"min_lr_rate": 0.1}, TypeError, "it is called as ReduceLROnPlateau"),
        ("greedy", {"factor": 1.0}, ValueError, "greedy: factor must be"),
        ("cosin", {}, ValueError, "did you mean cosine"),
        ("cosine", {"num_warmup_steps": 3}, TypeError, "missing a required argument: 'num_training_steps'"),
        ("cosine", {"num_cycle": 3}, TypeError, "did you mean num_cycles"),
        ("cosine", {"num_warmup_steps": 3, "num_training_steps": 9, "min_lr_rate": 0.1}, TypeError, "no min_lr_rate"),
        ("cosine_with_min_lr", {"num_warmup_steps": 3, "num_training_steps": 9}, ValueError, "one of the two"),
        ("polynomial", {"num_warmup_steps": 3, "num_training_steps": 9, "lr_end": 1.0}, ValueError, "smaller than"),
        ("warmup_stable_decay", {"num_warmup_steps": 3, "num_decay_steps": 9}, ValueError, "num_training_steps or"),
        (
            "warmup_stable_decay",
            {"num_warmup_steps": 3, "num_decay_steps": 9, "num_training_steps": 9},
            ValueError,
            "-3 steps between",
        ),
        (
            "cosine_warmup_with_min_lr",
            {"num_warmup_steps": 0, "num_training_steps": 9, "min_lr_rate": 0.1, "num_cycles": 2},
            ValueError,
            "middle of its cosine",
        ),
    ],
)
def test_no_transformers_name(name, arguments, error, message):
    with pytest.raises(error, match=message):
        from_transformers(name, lr=0.1, **arguments)


@pytest.mark.parametrize("lr", [None, "x", float("nan"), [], True, [0.1, None]])
def test_no_rate(lr):
    with pytest.raises(ValueError, match="lr must be a finite number"):
        from_transformers("constant", lr=lr)


def test_calls():
    text = "a.b.Kind(optimizer, [1, -2.5e-3, (True, None)], {30: 0.5}, x=dict(y=1/4, z='w'), k=Inner(3 * 2))"
    kwargs = {"x": {"y": 0.25, "z": "w"}, "k": Call("Inner", (6,), {})}
    assert read_call(text) == Call("Kind", ((1, -0.0025, (True, None)), {30: 0.5}), kwargs)


@pytest.mark.parametrize(
    "text",
    [
        "StepLR", "3", "StepLR(", "", "__import__('os').system('true')", "StepLR(open('x'))[0]", "f(*a)", "f(**a)",
        "f(x=1, x=2)", "f(1 if 2 else 3)", "f([i for i in 'x'])", "f(2 ** 99)", "f('a' * 3)", "f(1 / 0)", "f(-'x')",
        "f(1)(2)", "f(x)(3)", "f({**a})", "f(y=x)", "(lambda: f)()", "f(lambda k: k)", "f(f'{x}')", "f({(1,): 2})",
        "f" + "(f" * 500, "f(" + "-" * 50_000 + "1)",
    ],
)  # fmt: skip
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match=r"cannot read|it is no call"):
        read_call(text)


def test_to_optax_on_numbers():
    schedule = 0.1 * warmup(4).then(cosine_decay(decay_steps=20))
    ours = to_optax(schedule)
    assert [ours(count) for count in range(30)] == schedule.table(30).tolist()
    assert ours(np.int32(3)) == schedule(3)


@pytest.mark.parametrize("numbers", ["numpy in its place", "jax"])
def test_to_optax_on_arrays(numbers, monkeypatch):
    if numbers == "jax":
        pytest.importorskip("jax")
    else:
        monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(numpy=np))
        monkeypatch.setitem(sys.modules, "jax.numpy", np)
    schedule = 0.1 * warmup(4).then(cosine_decay(decay_steps=20))
    counts = np.array([0, 3, 23, 24, 25, 10_000, -1])
    expected = [schedule(max(int(count), 0)) for count in counts]
    assert np.asarray(to_optax(schedule)(counts)).tolist() == pytest.approx(expected, rel=1e-6)
    endless = exponential_decay(0.1, 9, 0.5)
    with pytest.raises(ValueError, match=r"never ends, so a traced count needs a table"):
        to_optax(endless)(counts)
    held = np.asarray(to_optax(endless, steps=24)(counts))
    assert held.tolist() == pytest.approx([endless(min(max(int(at), 0), 24)) for at in counts], rel=1e-6)
    with pytest.raises(ValueError, match="a table is kept"):
        to_optax(endless, steps=-1)


def test_to_optax_under_jit_vmap_and_scan():
    jax = pytest.importorskip("jax")
    schedule = 0.1 * warmup(4).then(cosine_decay(decay_steps=20))
    ours, expected = to_optax(schedule), pytest.approx(schedule.table(30), rel=1e-6)
    counts = jax.numpy.arange(30)
    assert np.array([jax.jit(ours)(count) for count in counts]) == expected
    assert np.asarray(jax.vmap(ours)(counts)) == expected
    assert np.asarray(jax.lax.scan(lambda count, _: (count + 1, ours(count)), 0, None, length=30)[1]) == expected
    optax = pytest.importorskip("optax")
    optimizer = optax.sgd(ours)
    state = optimizer.init(1.0)
    for step in range(6):
        update, state = jax.jit(optimizer.update)(jax.numpy.float32(1.0), state)
        assert float(update) == pytest.approx(-schedule(step), rel=1e-6)


def run(capsys, *words):
    code = main(["convert", *words])
    return (code, *capsys.readouterr())


def test_the_command(capsys):
    code, out, err = run(capsys, "torch", "CosineAnnealingLR(T_max=100, eta_min=1e-5)", "--lr", "0.1")
    assert (code, out) == (0, "cosine_decay(0.1, decay_steps=100, end=1e-05)\n")
    assert "note: torch's CosineAnnealingLR rises again from step 100 on" in err
    assert max(map(len, err.splitlines())) <= 80
    words = ("transformers", "cosine", "--lr", "3e-4", "--warmup", "100", "--steps", "1000")
    assert run(capsys, *words)[1] == "0.0003 * warmup(100).then(cosine_decay(decay_steps=900))\n"
    call = "cosine_with_min_lr(num_warmup_steps=9, num_training_steps=99, min_lr_rate=0.5)"
    assert (
        run(capsys, "transformers", call, "--lr", "1")[1] == "warmup(9).then(cosine_decay(decay_steps=90, alpha=0.5))\n"
    )
    assert run(capsys, "timm", "cosine(num_epochs=9)", "--lr", "0.1", "0.2")[1] == (
        "cosine_decay(0.1, decay_steps=9)\ncosine_decay(0.2, decay_steps=9)\n"
    )
    _, out, _ = run(capsys, "optax", "linear_schedule(0.0, 1.0, 9)", "--json")
    line = "linear(0.0, end=1.0, steps=9)"
    assert json.loads(out) == {
        "schedules": [line], "horizons": [9], "controllers": [], "notes": [], "to": "text", "converted": [line],
    }  # fmt: skip


def test_the_command_goes_to_other_frameworks(capsys, tmp_path):
    text = "linear(0.0, end=0.1, steps=9).then(cosine_decay(0.1, decay_steps=90))"
    config = tmp_path / "config.json"
    config.write_text(run(capsys, "tapered", text, "--to", "keras")[1])
    assert str(from_keras(config.read_text()).schedule) == text
    assert run(capsys, "keras", str(config))[1] == run(capsys, "keras", config.read_text())[1] == text + "\n"
    for target, options in (("lambdalr", ["--lr", "0.1"]), ("optax", ["--steps", "50"])):
        code, out, _ = run(capsys, "keras", str(config), "--to", target, *options)
        *imports, expression = out.splitlines()
        names = {}
        exec("\n".join(imports), names)
        made = eval(expression, names)
        assert (code, made.schedule) == (0, parse(text))
        assert made(3) == pytest.approx(parse(text)(3) / (0.1 if target == "lambdalr" else 1.0))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["torch", "StepLR(30)"], "no base rate; give lr"),
        (["torch", "ReduceLROnPlateau()"], "no base rate; give lr"),
        (["torch", "ReduceLROnPlateau()", "--lr", "1", "--to", "keras"], "leave --to out"),
        (["torch", "__import__('os')", "--lr", "1"], "no scheduler of torch"),
        (["transformers", "cosine", "--warmup", "3", "--steps", "9"], "lr must be a finite number"),
        (["transformers", "cosine(3)", "--lr", "1"], "arguments by name"),
        (["keras", "no.json"], "no file 'no.json'"),
        (["optax", "linear_schedule(0.0, 1.0, 9)", "--lr", "0.1"], "--lr has no part in converting optax to text"),
        (["torch", "StepLR(3)", "--lr", "1", "--warmup", "3"], "--warmup has no part"),
        (["tapered", "warmup(3).delayed(9)", "--to", "keras"], "Keras has no schedule for warmup(3).delayed(9)"),
        (
            ["torch", "ChainedScheduler([StepLR(3), CosineAnnealingLR(9)])", "--lr", "1", "--exact"],
            "holds Python code, which no text can carry",
        ),
    ],
)
def test_the_command_refuses(capsys, words, message):
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert re.search(re.escape(message), err)


def test_a_conversion_is_a_value():
    both = [Conversion((linear(steps=9),), ("so",)) for _ in range(2)]
    assert both[0] == both[1]
    assert hash(both[0]) == hash(both[1])
    assert both[0].schedule == linear(steps=9)
    assert math.isclose(Conversion((constant(0.1),)).schedule(9), 0.1)


def test_a_star_brings_no_framework_s_name():
    names = {}
    exec("from tapered.convert import *", names)
    assert {"from_torch", "to_keras"} <= set(names)
    assert not {"torch", "keras", "optax", "timm", "transformers"} & set(names)


@pytest.mark.parametrize("name", ["constant", "constant_with_warmup", "linear", "cosine", "inverse_sqrt"])
def test_a_wrong_resume_is_noted_where_it_happens(name):
    """transformers' own schedulers in the order of torch's tutorial: load the optimizer, build, load."""

    def built(optimizer):
        return optimization.get_scheduler(name, optimizer, 5, 40)

    def made():
        return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)

    optimizer = made()
    scheduler = built(optimizer)
    for _ in range(7):
        optimizer.step()
        scheduler.step()
    again = made()
    again.load_state_dict(optimizer.state_dict())
    built(again).load_state_dict(scheduler.state_dict())
    found = from_transformers(name, lr=0.1, num_warmup_steps=5, num_training_steps=40)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(found.schedule(7))
    wrong = again.param_groups[0]["lr"] != optimizer.param_groups[0]["lr"]
    assert wrong == (name != "constant")
    assert any("is at its first rate for a step; kept: the curve" in note for note in found.notes) == wrong
