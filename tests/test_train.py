from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from tapered import rules, train
from tapered.schedules import exponential_decay
from tapered.train import Path, advance, evaluate, start, tabulate
from tapered.workload import Workload, gather, generator_seed, quadratic
from tapered.workloads import bmi


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Two threads on tiny tensors wait for each other wherever the cores are shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def noisy(loss=nn.functional.cross_entropy, model=None):
    """Dropout and BatchNorm: everything that makes a restart go wrong."""
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(1))
    y = (x.sum(1) > 0).long()

    def make():
        return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))

    return Workload("noisy", model or make, loss, TensorDataset(x, y), TensorDataset(x, y), batch_size=10)


def tensors(row):
    parts = {
        **row.params,
        **{f"b/{k}": v for k, v in row.buffers.items()},
        **{f"n/{k}": v for k, v in row.counts.items()},
    }
    return parts | {f"{name}/{key}": v for name, state in row.state.items() for key, v in state.items()}


def assert_same(a, b):
    left, right = tensors(a), tensors(b)
    assert left.keys() == right.keys()
    for name in left:
        assert torch.equal(left[name], right[name]), name
    assert (a.step, a.losses, a.diverged) == (b.step, b.losses, b.diverged)


@pytest.mark.parametrize("rule", [rules.Adam(), rules.SGD(momentum=True), rules.ScheduleFreeAdamW()])
def test_in_two_parts_is_the_same_as_at_once(rule):
    problem, hypers = noisy(), {"momentum": 0.9} if "momentum" in rule.hypers else {}
    path = tabulate(rule, 200, lr=exponential_decay(0.01, 50, 0.5), **hypers)
    row = start(problem, rule, seed=3)
    [whole] = advance(problem, [row], [path], 200)
    torch.manual_seed(17)  # nothing outside may matter
    [half] = advance(problem, [row], [path], 97)
    [parts] = advance(problem, [half], [path], 200)
    assert half.step == 97
    assert_same(whole, parts)


def test_rows_given_are_not_written():
    problem, rule = noisy(), rules.Adam()
    [row] = advance(problem, [start(problem, rule, 0)], [tabulate(rule, 40, lr=0.01)], 20)
    before = {name: t.clone() for name, t in tensors(row).items()}
    advance(problem, [row], [tabulate(rule, 40, lr=0.01)], 40)
    evaluate(problem, row, "valid")
    for name, t in tensors(row).items():
        assert torch.equal(t, before[name]), name


def test_sgd_on_the_quadratic_against_numpy():
    problem, rule = quadratic(), rules.SGD()
    schedule = exponential_decay(0.05, 10, 0.5)
    row = start(problem, rule, seed=2)
    h, w = np.logspace(0, 1, 4), row.params["w"].double().numpy()
    for step in range(60):
        x = problem.train.tensors[0][problem.batch(2, step)].double().numpy()
        w = w - 0.05 * 0.5 ** (step / 10) * h * (w - x.mean(0))
    [row] = advance(problem, [row], [tabulate(rule, 60, lr=schedule)], 60)
    np.testing.assert_allclose(row.params["w"], w, rtol=1e-4, atol=1e-6)
    assert evaluate(problem, row, "valid")["loss"] == pytest.approx((h * w**2).sum() / 2, rel=1e-4)


def test_adam_against_a_plain_torch_loop():
    problem, rule = bmi(), rules.Adam()
    model = problem.build(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    for step in range(50):
        inputs, targets = gather(problem.train, problem.batch(1, step))
        optimizer.zero_grad()
        problem.loss(model(inputs), targets).backward()
        optimizer.step()
        scheduler.step()
    [row] = advance(problem, [start(problem, rule, 1)], [tabulate(rule, 50, lr=exponential_decay(0.01, 1, 0.99))], 50)
    for name, p in model.named_parameters():
        torch.testing.assert_close(row.params[name], p.detach(), rtol=1e-5, atol=1e-7)


def test_dropout_follows_seed_and_step():
    problem, rule, expected = noisy(), rules.SGD(), []
    model = problem.build(0).train()
    for step in range(3):
        torch.manual_seed(generator_seed(0, "step", step))
        inputs, targets = gather(problem.train, problem.batch(0, step))
        expected.append((step, problem.loss(model(inputs), targets).item()))
    [row] = advance(problem, [start(problem, rule, 0)], [tabulate(rule, 3, lr=0.0)], 3)
    assert list(row.losses) == expected


def test_a_row_that_diverges_stops_and_its_neighbour_does_not_notice():
    problem, rule = quadratic(), rules.SGD()
    good, bad = tabulate(rule, 300, lr=0.01), tabulate(rule, 300, lr=3.0)
    rows = [start(problem, rule, seed) for seed in (0, 1, 2)]
    a, b, c = advance(problem, rows, [good, bad, good], 300)
    h, w, step = np.logspace(0, 1, 4), rows[1].params["w"].numpy(), 0
    with np.errstate(over="ignore"):
        while True:
            x = problem.train.tensors[0][problem.batch(1, step)].numpy()
            if not np.isfinite((h.astype(np.float32) * (w - x) ** 2).sum(1).mean() / 2):
                break
            w, step = (w - 3.0 * h * (w - x.mean(0))).astype(np.float32), step + 1
    assert b.diverged == b.step == step < 300
    assert torch.isfinite(b.params["w"]).all()
    assert (a.step, c.step, a.diverged, c.diverged) == (300, 300, None, None)
    assert_same(a, advance(problem, [rows[0]], [good], 300)[0])
    assert_same(c, advance(problem, [rows[2]], [good], 300)[0])
    assert advance(problem, [b], [bad], 300) == [b]


def test_a_stop_leaves_rows_where_they_are():
    problem, rule = noisy(), rules.Adam()
    path, rows, seen = tabulate(rule, 50, lr=0.01), [start(problem, rule, s) for s in (0, 1)], []
    stopped = advance(problem, rows, [path, path], 50, on_step=lambda n: seen.append(n) or sum(seen) == 7)
    assert [row.step for row in stopped] == [7, 0]
    assert sum(seen) == 7
    for a, b in zip(advance(problem, stopped, [path, path], 50), advance(problem, rows, [path, path], 50), strict=True):
        assert_same(a, b)


def test_every_update_is_reported():
    problem, rule, seen = quadratic(), rules.SGD(), []
    path = tabulate(rule, 30, lr=0.01)
    advance(problem, [start(problem, rule, s) for s in (0, 1)], [path, path], 30, on_step=seen.append)
    assert sum(seen) == 60


def test_losses_are_bounded_and_even(monkeypatch):
    monkeypatch.setattr(train, "LOSSES_KEPT", 16)
    problem, rule = quadratic(), rules.SGD()
    path, row = tabulate(rule, 200, lr=0.01), start(problem, rule, 0)
    every = []
    monkeypatch.setattr(train, "_keep", lambda _, step, value: every.append((step, value)))
    advance(problem, [row], [path], 200)
    monkeypatch.undo()
    monkeypatch.setattr(train, "LOSSES_KEPT", 16)
    [row] = advance(problem, [row], [path], 200)
    assert [step for step, _ in row.losses] == list(range(0, 200, 16))
    assert list(row.losses) == every[::16]


def test_evaluation_uses_the_readout_and_evaluation_mode():
    problem, rule = noisy(), rules.ScheduleFreeAdamW()
    [row] = advance(problem, [start(problem, rule, 0)], [tabulate(rule, 30, lr=0.05)], 30)
    model = problem.build(0).eval()
    weights = {name: rule.readout(p, row.state[name]) for name, p in row.params.items()}
    assert any(not torch.equal(weights[name], row.params[name]) for name in weights)
    model.load_state_dict(weights | dict(row.buffers))
    with torch.no_grad():
        expected = problem.loss(model(problem.valid.tensors[0]), problem.valid.tensors[1]).item()
    assert evaluate(problem, row, "valid")["loss"] == pytest.approx(expected, rel=1e-6)


def test_evaluation_in_parts_is_the_mean_over_examples(monkeypatch):
    problem, rule = bmi(), rules.Adam()
    row = start(problem, rule, 0)
    whole = evaluate(problem, row, "valid")
    monkeypatch.setattr(train, "EVALUATION_BATCH", 300)  # 300, 300, 300, 100
    assert evaluate(problem, row, "valid") == pytest.approx(whole, rel=1e-5)


def test_a_parameter_without_gradient_is_not_counted():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x):
            return self.used(x)

    problem, rule = noisy(model=Half), rules.Adam()
    row = start(problem, rule, 0)
    [after] = advance(problem, [row], [tabulate(rule, 5, lr=0.1)], 5)
    assert after.counts["used.weight"] == 5
    assert after.counts["idle.weight"] == 0
    assert torch.equal(after.params["idle.weight"], row.params["idle.weight"])


def test_torchs_own_settings_are_restored():
    problem, rule = noisy(), rules.Adam()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    seen = []
    advance(
        problem,
        [start(problem, rule, 0)],
        [tabulate(rule, 3, lr=0.1)],
        3,
        on_step=lambda _: seen.append(torch.are_deterministic_algorithms_enabled()),
    )
    assert seen == [True] * 3
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("loss", [lambda outputs, _: outputs, lambda *_: 1.0, lambda *_: None])
def test_a_loss_that_is_no_scalar_is_refused(loss):
    problem, rule = noisy(loss), rules.SGD()
    with pytest.raises(TypeError, match=r"loss returned .* at step 0; expected a scalar tensor"):
        advance(problem, [start(problem, rule, 0)], [tabulate(rule, 1, lr=0.1)], 1)


def test_paths_that_do_not_fit_are_refused():
    problem, rule = quadratic(), rules.SGD()
    row, path = start(problem, rule, 0), tabulate(rule, 10, lr=0.1)
    with pytest.raises(ValueError, match="covers 10 steps"):
        advance(problem, [row], [path], 11)
    with pytest.raises(ValueError, match="1 rows and 2 paths"):
        advance(problem, [row], [path, path], 5)
    with pytest.raises(ValueError, match="same rule"):
        advance(problem, [replace(row, rule=rules.Adam())], [path], 5)
    with pytest.raises(ValueError, match="'lr' is nan at step 0"):
        tabulate(rule, 3, lr=float("nan"))
    with pytest.raises(ValueError, match="tabulate"):
        Path(rule, {"lr": np.ones(3)})
    with pytest.raises(ValueError, match="betas"):
        tabulate(rule, 3, lr=0.1, betas=3)
