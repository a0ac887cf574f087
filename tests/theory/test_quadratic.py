"""Expected losses against closed forms, torch's Adam without noise, and plain simulated runs with it."""

import math

import numpy as np
import pytest
import torch

from tapered.schedules import constant, cosine_decay, exponential_decay, linear
from tapered.theory import quadratic
from tapered.workloads.quadratics import adam_floor, sgd_floor

SMALL = {"dimensions": 4, "condition": 20.0}


def test_one_curvature_has_a_best_schedule_that_is_known():
    """The rate 1 / (k + 2) gives E w^2 = 1 / (T + 1), the least of all schedules."""
    rates = 1 / np.arange(2, 202)
    found = quadratic(rates, 200, rule="SGD", dimensions=1, condition=1.0)
    np.testing.assert_allclose(found.losses, 0.5 / np.arange(1, 202), rtol=1e-13)
    rng = np.random.default_rng(0)
    for _ in range(5):
        other = rates * np.exp(0.2 * rng.normal(size=200))
        assert quadratic(other, 200, rule="SGD", dimensions=1, condition=1.0).final > found.final


def test_sgd_as_a_product_of_factors():
    rates, h, n = np.linspace(0.08, 0.0, 30), np.geomspace(1, 20, 4), 0.6**2 / 2
    keep = (1 - rates[:, None] * h) ** 2
    after = np.array([keep[k + 1 :].prod(0) for k in range(30)])
    want = (h * (keep.prod(0) + ((rates[:, None] * h) ** 2 * n * after).sum(0))).sum() / 2
    assert quadratic(rates, 30, rule="SGD", sigma=0.6, batch_size=2, **SMALL).final == pytest.approx(want, rel=1e-13)


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.5), (0.95, 0.9)])
def test_without_noise_adam_is_torch_s(betas):
    h, start = torch.from_numpy(np.geomspace(1, 20, 4)), [1.0, -0.3, 0.0, 2.0]
    w = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer, losses = torch.optim.Adam([w], betas=betas, eps=1e-3), []
    shape = 0.1 * cosine_decay(decay_steps=60)
    for step in range(61):
        losses.append(float(h @ w.detach() ** 2 / 2))
        w.grad = h * w.detach()
        optimizer.param_groups[0]["lr"] = shape(step)
        optimizer.step()
    found = quadratic(shape, 60, sigma=0.0, start=start, betas=betas, eps=1e-3, **SMALL)
    np.testing.assert_allclose(found.losses, losses, rtol=1e-9)


def simulated(rates, start, runs, *, dimensions, condition, sigma):
    rng, h = np.random.default_rng(1), np.geomspace(1, condition, dimensions)
    w = rng.standard_normal((runs, dimensions)) if start is None else np.tile(start, (runs, 1))
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, lr in enumerate(rates, 1):
        g = h * (w - sigma * rng.standard_normal(w.shape))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w = w - lr / (1 - 0.9**t) * m / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    losses = w * w @ h / 2
    return losses.mean(), losses.std() / runs**0.5


@pytest.mark.parametrize("start", [None, np.array([0.5, -2.0, 1.0, 0.1])], ids=["normal", "given"])
@pytest.mark.parametrize("peak", [0.003, 0.03, 0.3])
@pytest.mark.parametrize(
    "shape", [constant(1.0), linear(steps=300), exponential_decay(decay_steps=300, decay_rate=0.01)]
)
def test_adam_with_noise_is_near_the_mean_of_runs(shape, peak, start):
    rates = peak * shape.table(300)
    mean, error = simulated(rates, start, 1500, sigma=0.7, **SMALL)
    found = quadratic(rates, 300, sigma=0.7, start=start, **SMALL)
    assert abs(found.final - mean) < 0.06 * mean + 3 * error


def test_adam_ends_where_its_floor_is():
    """To first order in the rate, so that half the rate has half the difference."""
    off = []
    for rate in (0.02, 0.01):
        found = quadratic(constant(rate), 3000, start=np.zeros(4), sigma=0.5, batch_size=2, **SMALL).final
        off.append(found / adam_floor(rate, sigma=0.5, batch_size=2, **SMALL) - 1)
    assert -0.02 < off[0] < 0
    assert off[1] == pytest.approx(off[0] / 2, rel=0.05)
    gone = quadratic(constant(0.01), 9000, rule="SGD", start=np.zeros(4), **SMALL)
    assert gone.final == pytest.approx(sgd_floor(0.01, **SMALL))


@pytest.mark.parametrize("rule", ["SGD", "Adam"])
def test_the_best_peak_is_that_of_a_fine_grid_and_knows_no_scale(rule):
    shape = 5e-3 * linear(steps=200)
    found = quadratic(shape, 200, rule=rule, **SMALL).best()
    grid = [quadratic(f * found.peak * shape, 200, rule=rule, **SMALL).final for f in np.geomspace(0.2, 5, 41)]
    assert found.loss == pytest.approx(min(grid), rel=2e-3)
    assert quadratic(found.peak * shape, 200, rule=rule, **SMALL).final == pytest.approx(found.loss, rel=1e-12)
    assert quadratic(1e-3 * shape, 200, rule=rule, **SMALL).best().peak == pytest.approx(1e3 * found.peak)


def test_known_orders():
    """Expected losses at best peaks, as THEORY has them of 64 dimensions and condition 100: exponential is best."""
    known = {0.001: 1.50, 0.01: 2.12}
    for rate, loss in known.items():
        shape = exponential_decay(decay_steps=1000, decay_rate=rate)
        found = quadratic(shape, 1000, rule="SGD", dimensions=64, condition=100.0).best()
        assert found.loss == pytest.approx(loss, abs=6e-3)
    for shape, loss in ((cosine_decay(decay_steps=1000), 2.90), (linear(steps=1000), 3.52), (constant(1.0), 11.4)):
        found = quadratic(shape, 1000, rule="SGD", dimensions=64, condition=100.0).best()
        assert found.loss == pytest.approx(loss, rel=5e-3)


def test_what_diverges_is_infinite():
    found = quadratic(constant(10.0), 3000, rule="SGD", **SMALL)
    assert found.final == math.inf
    assert found.best().loss < found.losses[0]
    assert np.isfinite(quadratic(constant(1e3), 100, **SMALL).losses).all()
    still = quadratic(constant(0.0), 3, **SMALL)
    assert still.losses == pytest.approx([np.geomspace(1, 20, 4).sum() / 2] * 4)
    assert still.best() == (1.0, still.final)
    assert quadratic(constant(0.1), 3, sigma=0.0, start=np.zeros(4), eps=0.0, **SMALL).final == 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rule": "AdamW"}, "got rule='AdamW'"),
        ({"dimensions": 0}, "got dimensions=0"),
        ({"dimensions": 1}, "condition=1000 for dimensions=1"),
        ({"condition": 0.5}, r"condition=0\.5"),
        ({"condition": math.inf}, "got condition=inf"),
        ({"sigma": -1.0}, "got sigma=-1"),
        ({"batch_size": 0}, "got batch_size=0"),
        ({"start": [1.0]}, "expected dimensions=16 finite numbers"),
        ({"start": [math.nan] * 16}, "expected dimensions=16 finite numbers"),
        ({"betas": (0.9, 1.0)}, r"got betas=\(0.9, 1.0\)"),
        ({"betas": (-0.9, 0.999)}, r"got betas\[0\]=-0.9"),
        ({"eps": math.nan}, "got eps=nan"),
        ({"schedule": constant(-0.1)}, "schedule is -0.1 at step 0"),
    ],
    ids=lambda value: str(value).partition(" at 0x")[0][:40],
)
def test_what_is_out_of_range_is_refused_by_name(change, message):
    given = {"schedule": constant(0.1), **change}
    with pytest.raises((ValueError, TypeError), match=message):
        quadratic(given.pop("schedule"), 10, **given)
