"""Against torch's and Transformers' schedulers, live, on the steps where they are right."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler
from transformers import optimization

from tapered.schedules import (
    Schedule,
    constant,
    cooldown,
    cosine_decay,
    cosine_decay_restarts,
    cumulative_product,
    cyclic,
    exponential_decay,
    from_function,
    hold,
    inverse_sqrt,
    linear,
    multistep_decay,
    one_cycle,
    piecewise_constant,
    polynomial_decay,
    step_decay,
    warmup,
    warmup_stable_decay,
)

RATE = 0.1
NEAR = {"rel": 1e-11, "abs": 1e-15}  # torch multiplies rates step by step, which rounds each time


def theirs(make, steps, rate=RATE):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate, momentum=0.9)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SequentialLR and ChainedScheduler warn about torch's own calls
            scheduler.step()
    return rates


def slow(step):
    return 0.95**step


def factor(step):
    return 0.97 if step % 3 else 0.9


torch_cases = {
    "StepLR": (step_decay(RATE, step_size=30), lambda o: lr_scheduler.StepLR(o, 30), 200),
    "MultiStepLR": (
        multistep_decay(RATE, milestones=(30, 80), gamma=0.5),
        lambda o: lr_scheduler.MultiStepLR(o, [30, 80], 0.5),
        120,
    ),
    "ConstantLR": (
        piecewise_constant((5,), (RATE / 3, RATE), switch="at"),
        lambda o: lr_scheduler.ConstantLR(o, 1 / 3, 5),
        20,
    ),
    "LinearLR": (RATE * linear(0.1, 0.7, 20), lambda o: lr_scheduler.LinearLR(o, 0.1, 0.7, 20), 60),
    "ExponentialLR": (exponential_decay(RATE, 1, 0.99), lambda o: lr_scheduler.ExponentialLR(o, 0.99), 300),
    "PolynomialLR": (
        polynomial_decay(RATE, 50, end=0.0, power=2.0),
        lambda o: lr_scheduler.PolynomialLR(o, 50, 2.0),
        90,
    ),
    "CosineAnnealingLR": (
        cosine_decay(RATE, 50, end=0.01),
        lambda o: lr_scheduler.CosineAnnealingLR(o, 50, 0.01),
        51,  # torch's rises again
    ),
    "CosineAnnealingWarmRestarts": (
        cosine_decay_restarts(RATE, 10, t_mul=2, end=0.01),
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 10, 2, 0.01),
        200,
    ),
    "CosineAnnealingWarmRestarts of one length": (
        cosine_decay_restarts(RATE, 10, t_mul=1),
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 10),
        45,
    ),
    "CyclicLR triangular": (
        cyclic(0.3, low=0.1, up=7, down=5),
        lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.3, 7, 5),
        60,
    ),
    "CyclicLR triangular2": (
        cyclic(0.3, low=0.1, up=7, mode="triangular2"),
        lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.3, 7, mode="triangular2"),
        60,
    ),
    "CyclicLR exp_range": (
        cyclic(0.3, low=0.1, up=7, mode="exp_range", gamma=0.98),
        lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.3, 7, mode="exp_range", gamma=0.98),
        60,
    ),
    "OneCycleLR": (one_cycle(0.3, total_steps=100), lambda o: lr_scheduler.OneCycleLR(o, 0.3, 100), 99),
    "OneCycleLR linear": (
        one_cycle(0.3, total_steps=90, pct_start=0.25, shape="linear", div_factor=10, final_div_factor=100),
        lambda o: lr_scheduler.OneCycleLR(
            o, 0.3, 90, pct_start=0.25, anneal_strategy="linear", div_factor=10, final_div_factor=100
        ),
        89,
    ),
    "OneCycleLR in three phases": (
        one_cycle(0.3, total_steps=100, three_phase=True),
        lambda o: lr_scheduler.OneCycleLR(o, 0.3, 100, three_phase=True),
        99,
    ),
    "LambdaLR": (RATE * from_function(slow), lambda o: lr_scheduler.LambdaLR(o, slow), 50),
    "MultiplicativeLR": (
        RATE * cumulative_product(factor),
        lambda o: lr_scheduler.MultiplicativeLR(o, factor),
        50,
    ),
    "SequentialLR": (
        RATE * linear(0.1, 1.0, 10).until(10).then(exponential_decay(decay_steps=1, decay_rate=0.9)),
        lambda o: lr_scheduler.SequentialLR(
            o, [lr_scheduler.LinearLR(o, 0.1, 1.0, 10), lr_scheduler.ExponentialLR(o, 0.9)], [10]
        ),
        60,
    ),
    "ChainedScheduler": (
        RATE * (hold(20, 0.1).then(constant(1.0)) * exponential_decay(decay_steps=1, decay_rate=0.9)),
        lambda o: lr_scheduler.ChainedScheduler(
            [lr_scheduler.ConstantLR(o, 0.1, 20), lr_scheduler.ExponentialLR(o, 0.9)]
        ),
        60,
    ),
}


@pytest.mark.parametrize("name", torch_cases)
def test_torch(name):
    ours, make, steps = torch_cases[name]
    assert ours.table(steps).tolist() == pytest.approx(theirs(make, steps), **NEAR)


def test_where_torch_rises_again_the_last_value_is_held():
    torch_s = theirs(lambda o: lr_scheduler.CosineAnnealingLR(o, 50), 101)
    assert torch_s[100] == pytest.approx(RATE)
    assert cosine_decay(RATE, 50)(100) == pytest.approx(0.0, abs=1e-15)


transformers_cases = {
    "constant_with_warmup": (warmup(10), lambda o: optimization.get_constant_schedule_with_warmup(o, 10), 60),
    "linear": (
        warmup(10).then(linear(steps=40)),
        lambda o: optimization.get_linear_schedule_with_warmup(o, 10, 50),
        80,
    ),
    "cosine": (
        warmup(10).then(cosine_decay(decay_steps=40)),
        lambda o: optimization.get_cosine_schedule_with_warmup(o, 10, 50),
        51,  # rises again
    ),
    "cosine of more waves": (
        warmup(10).then(cosine_decay(decay_steps=40, num_periods=1.5)),
        lambda o: optimization.get_cosine_schedule_with_warmup(o, 10, 50, 1.5),
        51,
    ),
    "cosine_with_restarts": (
        warmup(10).then(cosine_decay_restarts(first_decay_steps=10, t_mul=1.0, cycles=4)),
        lambda o: optimization.get_cosine_with_hard_restarts_schedule_with_warmup(o, 10, 50, 4),
        80,
    ),
    "cosine_with_min_lr": (
        warmup(10).then(cosine_decay(decay_steps=40, alpha=0.1)),
        lambda o: optimization.get_cosine_with_min_lr_schedule_with_warmup(o, 10, 50, min_lr_rate=0.1),
        51,
    ),
    "cosine_warmup_with_min_lr": (
        warmup(10, ramp="(t+1)/N").then(cosine_decay(decay_steps=40, alpha=0.1)),
        lambda o: optimization.get_cosine_with_min_lr_schedule_with_warmup_lr_rate(o, 10, 50, min_lr_rate=0.1),
        10,  # its cosine is one step early
    ),
    "polynomial": (
        warmup(10).then(polynomial_decay(decay_steps=40, end=1e-3 / RATE, power=2.0)),
        lambda o: optimization.get_polynomial_decay_schedule_with_warmup(o, 10, 50, 1e-3, 2.0),
        80,
    ),
    "inverse_sqrt": (
        warmup(10).then(inverse_sqrt(timescale=10, shift=10)),
        lambda o: optimization.get_inverse_sqrt_schedule(o, 10),
        80,
    ),
    "inverse_sqrt with a timescale": (
        warmup(10).then(inverse_sqrt(timescale=30, shift=30)),
        lambda o: optimization.get_inverse_sqrt_schedule(o, 10, 30),
        80,
    ),
    "warmup_stable_decay": (
        warmup_stable_decay(warmup_steps=10, stable_steps=20, decay_steps=15, shape="linear"),
        lambda o: optimization.get_wsd_schedule(o, 10, 15, num_stable_steps=20, decay_type="linear"),
        80,
    ),
}
for shape in ("linear", "cosine", "1-sqrt"):
    transformers_cases[f"warmup_stable_decay {shape} to a floor"] = (
        warmup(10, start=0.1, shape=shape).then(hold(20)).then(cooldown(15, shape=shape, floor=0.1)),
        lambda o, shape=shape: optimization.get_wsd_schedule(
            o, 10, 15, num_stable_steps=20, warmup_type=shape, decay_type=shape, min_lr_ratio=0.1
        ),
        80,
    )


@pytest.mark.parametrize("name", transformers_cases)
def test_transformers(name):
    ours, make, steps = transformers_cases[name]
    assert isinstance(ours, Schedule)
    assert ours.times(RATE).table(steps).tolist() == pytest.approx(theirs(make, steps), **NEAR)


def test_the_transformer_s_and_t5_s_rates():
    width, n = 512, 40
    noam = width**-0.5 * n**-0.5 * warmup(n, ramp="(t+1)/N").then(inverse_sqrt(timescale=n, shift=n + 1))
    t5 = 0.1 * hold(n).then(inverse_sqrt(timescale=n, shift=n))
    for step in range(200):
        t = step + 1
        assert noam(step) == pytest.approx(width**-0.5 * min(t**-0.5, t * n**-1.5), rel=1e-12)
        assert t5(step) == pytest.approx(0.1 * math.sqrt(n) / math.sqrt(max(step, n)), rel=1e-12)
    assert np.diff(t5.table(200)).max() <= 0
