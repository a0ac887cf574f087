"""Half precision beside plain torch loops with autocast and GradScaler: forward and loss, parameters, skipped steps."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from tapered import Workload, rules
from tapered.draws import generator_seed
from tapered.run.setting import setting_of
from tapered.run.single import Single
from tapered.schedules import exponential_decay
from tapered.study.store.runs import Branch, Run
from tapered.study.store.text import rows_from_tensors, rows_to_tensors
from tapered.training import modes
from tapered.training.advance import Mode, advance, evaluate
from tapered.training.loop import gradients
from tapered.training.measures import measures
from tapered.training.precision import cast, cast_rows, tolerance
from tapered.training.recipe import Recipe
from tapered.training.rows import start, tabulate

LOOP, ROWS = Mode("loop", 1, "tried"), Mode("rows", 8, "tried")
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
STEPS, DECAY, PEAK = 14, 0.8, 0.05


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def problem(size=30.0, **recipe):
    """A regression whose gradients are larger than 1, so that float16's first scale overflows."""
    x = torch.randn(96, 8, generator=torch.Generator().manual_seed(3))
    y = size * x[:, :1] + x[:, 1:2] ** 2
    return Workload(
        name="half",
        model=lambda: nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.25), nn.Tanh(), nn.Linear(16, 1)),
        loss=nn.functional.mse_loss,
        train=TensorDataset(x[:64], y[:64]),
        valid=TensorDataset(x[64:], y[64:]),
        batch_size=8,
        metrics={"error": lambda outputs, targets: (outputs - targets).abs().mean(-1)},
        recipe=Recipe(**recipe),
    )


def steady(**recipe):
    """The same without dropout, so that it stacks."""
    found = problem(**recipe)
    return replace(found, model=lambda: nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1)))


def plain(of, make, steps, dtype, *, scaled, clip=None):
    """A loop as anybody writes it, but that its schedule counts updates: its model, losses, and what was skipped."""
    model, scaler, made, losses = of.build(0).train(), torch.amp.GradScaler("cpu", enabled=scaled), 0, []
    optimizer = make(list(model.parameters()))
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = PEAK * DECAY**made
        torch.manual_seed(generator_seed(0, "step", step))
        inputs, targets = (tensor[of.batch(0, step)] for tensor in of.train.tensors)
        with torch.autocast("cpu", dtype):
            loss = of.loss(model(inputs), targets)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        before = scaler.get_scale()
        scaler.step(optimizer)
        scaler.update()
        made += scaler.get_scale() >= before
        losses.append(loss.item())
    return model, losses, steps - made, scaler


def trained(of, rule, steps=STEPS, mode=LOOP, seeds=(0,), rows=None, **hypers):
    path = tabulate(rule, STEPS, lr=PEAK * exponential_decay(decay_steps=1, decay_rate=DECAY), **hypers)
    return advance(of, rows or start(of, rule, seeds), [path] * len(seeds), steps, mode=mode)


RULES = {
    "Adam": (rules.Adam(), {}, lambda params: torch.optim.Adam(params, fused=True)),
    "SGD": (rules.SGD(momentum=True), {"momentum": 0.9}, lambda params: torch.optim.SGD(params, momentum=0.9)),
}


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", RULES)
def test_a_loop_under_autocast_is_torchs(name, precision):
    rule, hypers, make = RULES[name]
    of = problem(precision=precision)
    rows = trained(of, rule, **hypers)
    model, losses, skipped, _ = plain(of, make, STEPS, DTYPES[precision], scaled=precision == "float16")
    assert [loss for _, loss in rows.losses[0]] == losses
    for key, param in model.named_parameters():
        assert torch.allclose(rows.params[key][0], param, rtol=1e-5, atol=1e-7)
    assert (skipped > 0) == (precision == "float16")
    assert {int(count) for count in rows.counts.values()} == {STEPS - skipped}


def test_skipped_steps_move_no_count_no_moment_and_no_schedule():
    of = problem(precision="float16")
    _, _, skipped, scaler = plain(of, RULES["Adam"][2], STEPS, torch.float16, scaled=True)
    rows = trained(of, rules.Adam())
    assert rows.steps == (STEPS,)
    assert int(rows.scaler["skipped"]) == skipped >= 2
    assert float(rows.scaler["scale"]) == scaler.get_scale()
    assert int(rows.scaler["growth"]) == scaler.state_dict()["_growth_tracker"]
    first = trained(of, rules.Adam(), steps=1)
    assert int(first.scaler["skipped"]) == 1
    begun = start(of, rules.Adam(), [0])
    assert all(torch.equal(first.params[key], begun.params[key]) for key in begun.params)
    assert not any(part["exp_avg"].any() for part in first.state.values())


@pytest.mark.parametrize("cut", range(1, STEPS, 3))
def test_float16_goes_on_where_it_stood(cut):
    of = problem(precision="float16", clip_norm=1.0)
    whole = trained(of, rules.Adam())
    begun = trained(of, rules.Adam(), steps=cut)
    branch = Branch((Run("key", "arm", None, 0, STEPS),), step=cut, losses=begun.losses[0])
    kept = rows_from_tensors(rows_to_tensors(begun), [branch], rules.Adam())
    again = trained(of, rules.Adam(), rows=kept)
    mine, theirs = rows_to_tensors(whole), rows_to_tensors(again)
    assert mine.keys() == theirs.keys() >= {"scaler/scale", "scaler/growth", "scaler/skipped"}
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert whole.losses == again.losses


def test_gradients_are_clipped_after_the_scale_is_taken_off():
    of = problem(precision="float16", clip_norm=1.0)
    rows = trained(of, rules.Adam())
    model, *_ = plain(of, RULES["Adam"][2], STEPS, torch.float16, scaled=True, clip=1.0)
    for key, param in model.named_parameters():
        assert torch.allclose(rows.params[key][0], param, rtol=1e-5, atol=1e-7)
    _, found = gradients(of, replace(rows, scaler={**rows.scaler, "scale": torch.ones(1)}))
    assert sum(float(grad.square().sum()) for grad in found.values()) <= 1.0001


def squared(outputs, targets):
    """The mean square by a product, which autocast makes in 16 bits."""
    apart = (outputs - targets).flatten()
    return (apart[None] @ apart[:, None]).squeeze() / len(apart)


@pytest.mark.parametrize("loss", [nn.functional.mse_loss, squared])
def test_evaluation_is_under_autocast_and_metrics_are_of_its_outputs(loss):
    of = replace(problem(precision="bfloat16"), loss=loss)
    rows = trained(of, rules.Adam())
    model = of.build(0).eval()
    with torch.no_grad():
        for key, param in model.named_parameters():
            param.copy_(rows.params[key][0])
        inputs, targets = of.valid.tensors
        with torch.autocast("cpu", torch.bfloat16):
            outputs = model(inputs)
            expected = of.loss(outputs, targets)
    assert outputs.dtype == torch.bfloat16
    found = evaluate(of, rows, "valid")[0]
    assert found["loss"] == expected.item()
    assert math.isclose(found["error"], (outputs - targets).abs().mean().item(), rel_tol=1e-6)


@pytest.mark.parametrize("recipe", [{"precision": "bfloat16"}, {"params": "bfloat16"}], ids=str)
def test_stacked_rows_differ_by_no_more_than_rounding(recipe):
    of = steady(size=1.0, **recipe)
    seeds = (0, 1, 2)
    alone, stacked = (trained(of, rules.SGD(), mode=each, seeds=seeds) for each in (LOOP, ROWS))
    within = tolerance(of.recipe, 0.0)
    for mine, theirs in zip(alone.losses, stacked.losses, strict=True):
        assert np.allclose([loss for _, loss in mine], [loss for _, loss in theirs], rtol=within)
    for mine, theirs in zip(evaluate(of, stacked, "valid", mode=ROWS), evaluate(of, stacked, "valid"), strict=True):
        assert math.isclose(mine["loss"], theirs["loss"], rel_tol=within)
    assert modes.fixed(of, rules.SGD(), "rows", 8, 10).mode.kind == "rows"


NORMS = {
    "layer": lambda: nn.LayerNorm(6),
    "layer without weights": lambda: nn.LayerNorm(6, elementwise_affine=False),
    "batch": lambda: nn.BatchNorm2d(4),
    "batch without weights": lambda: nn.BatchNorm2d(4, affine=False),
    "instance": lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
    "group": lambda: nn.GroupNorm(2, 4),
    "root mean square": lambda: nn.RMSNorm(6),
}


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")  # torch of its own RMSNorm
def test_norms_of_stacked_rows_are_those_of_the_loop(name):
    """Outputs bit for bit, in the same dtype; what autocast's own kernels keep beside them to single precision."""
    random = torch.Generator().manual_seed(0)
    norm = NORMS[name]()
    x = (2 + torch.randn(3, 5, 4, 6, 6, generator=random)).bfloat16()
    far = torch.randn(3, 5, 4, 6, 6, generator=random)
    tensors = dict(norm.named_parameters()) | dict(norm.named_buffers())
    rows = {key: torch.stack([value.detach() + (row if value.is_floating_point() else 0) for row in range(3)])
            for key, value in tensors.items()}  # fmt: skip

    def loss(mine, inputs, far):
        given = {key: value.clone() for key, value in mine.items()}
        outputs = torch.func.functional_call(norm, given, (inputs,))
        return (outputs.float() * far).square().mean(), (outputs, {key: given[key] for key, _ in norm.named_buffers()})

    gradient = torch.func.grad(loss, argnums=1, has_aux=True)
    with cast_rows(Recipe(precision="bfloat16")):
        moved, (outputs, buffers) = torch.func.vmap(gradient)(rows, x, far)
    for row in range(3):
        with cast(Recipe(precision="bfloat16")):
            inputs = x[row].clone().requires_grad_()
            value, (wanted, kept) = loss({key: part[row] for key, part in rows.items()}, inputs, far[row])
            value.backward()
        assert outputs.dtype == wanted.dtype
        assert torch.equal(outputs[row], wanted) or torch.allclose(outputs[row], wanted, rtol=2**-7, atol=0)
        assert (outputs[row] != wanted).sum() <= 1  # where single precision lies between two halves
        assert torch.allclose(moved[row].float(), inputs.grad.float(), rtol=2**-7, atol=1e-6)
        for key, buffer in kept.items():
            assert torch.allclose(buffers[key][row], buffer, rtol=1e-5)


def test_a_model_with_norms_is_stacked_in_half_precision():
    def make():
        head = nn.Flatten(), nn.LayerNorm(64), nn.Linear(64, 1)
        return nn.Sequential(nn.Unflatten(1, (1, 2, 4)), nn.Conv2d(1, 8, 1), nn.BatchNorm2d(8), nn.Tanh(), *head)

    of = replace(steady(size=1.0, precision="bfloat16"), model=make)
    alone, stacked = (trained(of, rules.SGD(), 4, mode=each, seeds=(0, 1, 2)) for each in (LOOP, ROWS))
    within = tolerance(of.recipe, 0.0)
    for mine, theirs in zip(alone.losses, stacked.losses, strict=True):
        assert np.allclose([loss for _, loss in mine], [loss for _, loss in theirs], rtol=within)
    assert torch.allclose(alone.buffers["2.running_var"], stacked.buffers["2.running_var"], rtol=within)
    assert modes.fixed(of, rules.SGD(), "rows", 8, 10).mode.kind == "rows"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_parameters_of_16_bits_are_torchs(precision):
    of = problem(params="bfloat16", precision=precision)
    rows = trained(of, rules.Adam())
    model = of.build(0).train()
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = PEAK * DECAY**step
        torch.manual_seed(generator_seed(0, "step", step))
        inputs, targets = (tensor[of.batch(0, step)] for tensor in of.train.tensors)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = of.loss(model(inputs.bfloat16()), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert rows.losses[0][-1][1] == loss.item()
    for key, param in model.named_parameters():
        assert torch.equal(rows.params[key][0], param)
    assert {value.dtype for part in rows.state.values() for value in part.values()} == {torch.bfloat16}


def test_float16_is_trained_one_row_after_another():
    of = steady(precision="float16")
    found = modes.choose(of, rules.SGD(), rows=16, steps=20)
    assert (found.kind, "scale of its own" in found.reason) == ("loop", True)
    with pytest.raises(modes.ModeError, match='mode = "rows" cannot be taken, since in float16'):
        modes.fixed(of, rules.SGD(), "rows", 16, 20)
    with pytest.raises(ValueError, match='mode = "rows" cannot be taken, since in float16'):
        trained(of, rules.SGD(), mode=ROWS)


def test_what_a_loss_is_does_not_depend_on_precision():
    """Under bfloat16 the mean of parts differs from the whole by rounding, and is a mean all the same."""
    assert measures(problem(precision="bfloat16", params="bfloat16")).mean


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"precision": "half"}, "got precision='half'; expected one of float32, bfloat16, float16"),
        ({"precision": 16}, "got precision=16"),
        ({"params": "float16"}, "got params='float16'; expected \"bfloat16\""),
        ({"params": "bfloat16", "precision": "float16"}, "whose scaler is for gradients of more bits"),
    ],
)
def test_other_precisions_are_refused(fields, told):
    with pytest.raises(ValueError, match=told):
        Recipe(**fields)


def test_a_run_keeps_its_scaler():
    run = Single(setting_of("bmi", "Adam", "0.01", 5, 0))
    run.workload = replace(run.workload, recipe=Recipe(precision="float16"))
    run.rows = start(run.workload, rules.Adam(), [0])
    run.train(3)
    state, rows = run.state_dict(), run.rows
    run.rows = start(run.workload, rules.Adam(), [0])
    run.load_state_dict(state)
    assert all(torch.equal(run.rows.scaler[name], rows.scaler[name]) for name in ("scale", "growth", "skipped"))
