from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from tapered import rules
from tapered.draws import generator_seed
from tapered.schedules import exponential_decay
from tapered.training.advance import advance, evaluate
from tapered.training.rows import Path, start, tabulate
from tapered.training.workload import Workload, quadratic
from tapered.workloads import bmi


def noisy(loss=nn.functional.cross_entropy, model=None):
    """Dropout and BatchNorm: everything that makes a restart go wrong."""
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(1))
    y = (x.sum(1) > 0).long()

    def make():
        return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))

    return Workload("noisy", model or make, loss, TensorDataset(x, y), TensorDataset(x, y), batch_size=10)


def go(problem, rows, path, to_step, **options):
    """All rows along one path."""
    return advance(problem, rows, [path] * len(rows), to_step, **options)


def tensors(rows):
    parts = {
        **rows.params,
        **{f"b/{k}": v for k, v in rows.buffers.items()},
        **{f"n/{k}": v for k, v in rows.counts.items()},
    }
    return parts | {f"{name}/{key}": v for name, state in rows.state.items() for key, v in state.items()}


def assert_same(a, b):
    left, right = tensors(a), tensors(b)
    assert left.keys() == right.keys()
    for name in left:
        assert torch.equal(left[name], right[name]), name
    assert (a.steps, a.losses, a.diverged) == (b.steps, b.losses, b.diverged)


@pytest.mark.parametrize("rule", [rules.Adam(), rules.SGD(momentum=True), rules.ScheduleFreeAdamW()])
def test_in_two_parts_is_the_same_as_at_once(rule):
    problem, hypers = noisy(), {"momentum": 0.9} if "momentum" in rule.hypers else {}
    path = tabulate(rule, 200, lr=exponential_decay(0.01, 50, 0.5), **hypers)
    row = start(problem, rule, [3])
    whole = go(problem, row, path, 200)
    torch.manual_seed(17)  # nothing outside may matter
    half = go(problem, row, path, 97)
    parts = go(problem, half, path, 200)
    assert half.steps == (97,)
    assert_same(whole, parts)


def test_rows_given_are_not_written():
    problem, rule = noisy(), rules.Adam()
    row = go(problem, start(problem, rule, [0]), tabulate(rule, 40, lr=0.01), 20)
    before = {name: t.clone() for name, t in tensors(row).items()}
    go(problem, row, tabulate(rule, 40, lr=0.01), 40)
    evaluate(problem, row, "valid")
    for name, t in tensors(row).items():
        assert torch.equal(t, before[name]), name


def test_sgd_on_the_quadratic_against_numpy():
    problem, rule = quadratic(), rules.SGD()
    schedule = exponential_decay(0.05, 10, 0.5)
    row = start(problem, rule, [2])
    h, w = np.logspace(0, 1, 4), row.params["w"][0].double().numpy()
    for step in range(60):
        x = problem.train.tensors[0][problem.batch(2, step)].double().numpy()
        w = w - 0.05 * 0.5 ** (step / 10) * h * (w - x.mean(0))
    row = go(problem, row, tabulate(rule, 60, lr=schedule), 60)
    np.testing.assert_allclose(row.params["w"][0], w, rtol=1e-4, atol=1e-6)
    assert evaluate(problem, row, "valid")[0]["loss"] == pytest.approx((h * w**2).sum() / 2, rel=1e-4)


def test_adam_against_a_plain_torch_loop():
    problem, rule = bmi(), rules.Adam()
    model = problem.build(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    for step in range(50):
        inputs, targets = problem.fetch("train", problem.batch(1, step))
        optimizer.zero_grad()
        problem.loss(model(inputs), targets).backward()
        optimizer.step()
        scheduler.step()
    row = go(problem, start(problem, rule, [1]), tabulate(rule, 50, lr=exponential_decay(0.01, 1, 0.99)), 50)
    for name, p in model.named_parameters():
        torch.testing.assert_close(row.params[name][0], p.detach(), rtol=1e-5, atol=1e-7)


def test_dropout_follows_seed_and_step():
    problem, rule, expected = noisy(), rules.SGD(), []
    model = problem.build(0).train()
    for step in range(3):
        torch.manual_seed(generator_seed(0, "step", step))
        inputs, targets = problem.fetch("train", problem.batch(0, step))
        expected.append((step, problem.loss(model(inputs), targets).item()))
    row = go(problem, start(problem, rule, [0]), tabulate(rule, 3, lr=0.0), 3)
    assert list(row.losses[0]) == expected


def test_divergence_is_where_numpy_says():
    problem, rule = quadratic(), rules.SGD()
    begun = start(problem, rule, [1])
    row = go(problem, begun, tabulate(rule, 300, lr=3.0), 300)
    h, w, step = np.logspace(0, 1, 4), begun.params["w"][0].numpy(), 0
    with np.errstate(over="ignore"):
        while True:
            x = problem.train.tensors[0][problem.batch(1, step)].numpy()
            if not np.isfinite((h.astype(np.float32) * (w - x) ** 2).sum(1).mean() / 2):
                break
            w, step = (w - 3.0 * h * (w - x.mean(0))).astype(np.float32), step + 1
    assert row.diverged == row.steps == (step,)
    assert step < 300


def test_every_update_is_reported():
    problem, rule, seen = quadratic(), rules.SGD(), []
    go(problem, start(problem, rule, [0, 1]), tabulate(rule, 30, lr=0.01), 30, on_step=seen.append)
    assert sum(seen) == 60


def test_losses_are_bounded_and_even(monkeypatch):
    monkeypatch.setattr("tapered.training.losses.LOSSES_KEPT", 16)
    problem, rule = quadratic(), rules.SGD()
    path, row = tabulate(rule, 200, lr=0.01), start(problem, rule, [0])
    every = []
    monkeypatch.setattr("tapered.training.loop.keep", lambda _, step, value: every.append((step, value)))
    go(problem, row, path, 200)
    monkeypatch.undo()
    monkeypatch.setattr("tapered.training.losses.LOSSES_KEPT", 16)
    row = go(problem, row, path, 200)
    assert [step for step, _ in row.losses[0]] == list(range(0, 200, 16))
    assert list(row.losses[0]) == every[::16]


def test_evaluation_uses_the_readout_and_evaluation_mode():
    problem, rule = noisy(), rules.ScheduleFreeAdamW()
    row = go(problem, start(problem, rule, [0]), tabulate(rule, 30, lr=0.05), 30)
    model = problem.build(0).eval()
    state = {name: {key: value[0] for key, value in part.items()} for name, part in row.state.items()}
    weights = {name: rule.readout(p[0], state[name]) for name, p in row.params.items()}
    assert any(not torch.equal(weights[name], row.params[name][0]) for name in weights)
    model.load_state_dict(weights | {name: b[0] for name, b in row.buffers.items()})
    with torch.no_grad():
        expected = problem.loss(model(problem.valid.tensors[0]), problem.valid.tensors[1]).item()
    assert evaluate(problem, row, "valid")[0]["loss"] == pytest.approx(expected, rel=1e-6)


def test_evaluation_in_parts_is_the_mean_over_examples():
    problem, rule = bmi(), rules.Adam()
    row = start(problem, rule, [0])
    [whole] = evaluate(problem, row, "valid")
    [parts] = evaluate(replace(problem, eval_batch_size=300), row, "valid")  # 300, 300, 300, 100
    assert parts == pytest.approx(whole, rel=1e-5)


def test_a_parameter_without_gradient_is_not_counted():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x):
            return self.used(x)

    problem, rule = noisy(model=Half), rules.Adam()
    row = start(problem, rule, [0])
    after = go(problem, row, tabulate(rule, 5, lr=0.1), 5)
    assert after.counts["used.weight"] == 5
    assert after.counts["idle.weight"] == 0
    assert torch.equal(after.params["idle.weight"], row.params["idle.weight"])


def test_torchs_own_settings_are_restored():
    problem, rule = noisy(), rules.Adam()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    seen = []
    asked = lambda _: seen.append(torch.are_deterministic_algorithms_enabled())  # noqa: E731
    go(problem, start(problem, rule, [0]), tabulate(rule, 3, lr=0.1), 3, on_step=asked)
    assert seen == [True] * 3
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("loss", [lambda outputs, _: outputs, lambda *_: 1.0, lambda *_: None])
def test_a_loss_that_is_no_scalar_is_refused(loss):
    problem, rule = noisy(loss), rules.SGD()
    with pytest.raises(TypeError, match=r"loss returned .* at step 0; expected a scalar tensor"):
        go(problem, start(problem, rule, [0]), tabulate(rule, 1, lr=0.1), 1)


def test_paths_that_do_not_fit_are_refused():
    rule = rules.SGD()
    with pytest.raises(ValueError, match="got lr=nan at step 0; expected a finite number in"):
        tabulate(rule, 3, lr=float("nan"))
    with pytest.raises(ValueError, match="tabulate"):
        Path(rule, {"lr": np.ones(3)})
    with pytest.raises(ValueError, match="betas"):
        tabulate(rule, 3, lr=0.1, betas=3)
