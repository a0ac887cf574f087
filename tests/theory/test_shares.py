"""What AdamW's weights are made of, against torch's own AdamW in float64."""

import math

import numpy as np
import pytest
import torch

from tapered.schedules import constant, cosine_decay, exponential_decay, linear
from tapered.theory import shares


@pytest.mark.parametrize("decay", [0.0, 1.0, 400.0], ids=["none", "some", "more than all"])
def test_torch_s_adamw_is_put_together_again(decay):
    steps, rng = 300, np.random.default_rng(0)
    lr, wd = 3e-3 * cosine_decay(decay_steps=steps).table(steps), decay * linear(steps=steps).table(steps)
    w = torch.nn.Parameter(torch.from_numpy(rng.standard_normal(5)))
    optimizer, start, updates = torch.optim.AdamW([w], lr=1.0), w.detach().clone(), []
    for k in range(steps):
        w.grad, before = torch.from_numpy(rng.standard_normal(5)), w.detach().clone()
        optimizer.param_groups[0].update(lr=lr[k], weight_decay=wd[k])
        optimizer.step()
        updates.append((before * (1 - lr[k] * wd[k]) - w.detach()) / lr[k])
    found = shares(lr, wd, steps)
    again = found.start * start.numpy() - found.updates @ torch.stack(updates).numpy()
    np.testing.assert_allclose(again, w.detach().numpy(), atol=1e-12, rtol=1e-11)


def test_a_constant_rate_is_an_exponential_mean():
    found = shares(0.01, 0.5, 200)
    keep = 1 - 0.01 * 0.5
    assert found.start == pytest.approx(keep**200)
    np.testing.assert_allclose(found.updates, 0.01 * keep ** np.arange(199, -1, -1), rtol=1e-12)
    p = found.updates / found.updates.sum()
    assert found.effective == pytest.approx(1 / (p**2).sum())
    assert found.half == np.searchsorted(np.cumsum(p), 0.5)


def test_a_falling_rate_weakens_the_decay():
    shapes = {
        (0.050, 603): constant(1.0),
        (0.222, 886): linear(steps=1000),
        (0.223, 774): cosine_decay(decay_steps=1000),
        (0.524, 518): exponential_decay(decay_steps=1000, decay_rate=0.01),
    }
    for (left, effective), shape in shapes.items():
        found = shares(3e-3 * shape, 1.0, 1000)
        assert found.start == pytest.approx(left, abs=6e-4)
        assert found.effective == pytest.approx(effective, abs=0.6)
    alike = shares(constant(3e-3), 1.0, 1000)
    assert shares(0.003, constant(1.0), 1000).start == alike.start == shares([3e-3] * 1000, 1, 1000).start


def test_nothing_is_left_of_nothing():
    still = shares(0.0, 0.1, 4)
    assert (still.start, still.effective, still.half) == (1.0, 0.0, None)
    gone = shares(1.0, 1.0, 4)  # each step forgets all before it
    assert (gone.start, gone.updates.tolist(), gone.effective, gone.half) == (0.0, [0.0, 0.0, 0.0, 1.0], 1.0, 3)
    late = shares(linear(1.0, steps=3), 0.0, 100)
    assert (late.start, late.half) == (1.0, 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((-0.1, 0.1, 3), "lr is -0.1 at step 0"),
        ((0.1, math.inf, 3), "weight_decay is inf at step 0"),
        ((0.1, [0.1, 0.1], 3), r"weight_decay of shape \(2,\)"),
        ((0.1, 0.1, 0), "got steps=0"),
        (("fast", 0.1, 3), "as lr; expected a schedule"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(given, message):
    with pytest.raises((ValueError, TypeError), match=message):
        shares(*given)
