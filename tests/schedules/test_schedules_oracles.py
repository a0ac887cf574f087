"""Every value against somebody else's: TensorFlow, optax and timm by files that they wrote, decimals, and by hand."""

import decimal
import json
import math
from pathlib import Path

import numpy as np
import pytest

from tapered import schedules
from tapered.schedules import (
    cooldown,
    cosine_decay_restarts,
    cyclic,
    exponential_decay,
    inverse_sqrt,
    linear,
    noisy_linear_cosine_decay,
    parse,
    power,
    power_decay,
    rex_decay,
    untuned_exponential_warmup,
    untuned_linear_warmup,
    warmup,
)

ORACLES = Path(__file__).parents[1] / "oracles"


def golden(name):
    return json.loads((ORACLES / name).read_text())


TENSORFLOW, OPTAX, TIMM = map(golden, ("tensorflow_schedules.json", "optax_schedules.json", "timm_schedules.json"))


def from_tensorflow(case):
    """Its call, with our names: learning_rate is initial, end_learning_rate is end."""
    arguments = {name.removesuffix("_learning_rate"): value for name, value in case["arguments"].items()}
    if case["learning_rate"] is not None:
        arguments["initial"] = case["learning_rate"]
    if case["name"] == "cosine_decay_restarts":
        arguments["tf_exact"] = True
    return getattr(schedules, case["name"])(**arguments)


@pytest.mark.parametrize("case", TENSORFLOW["cases"], ids=lambda case: str(from_tensorflow(case)))
def test_tensorflow(case):
    schedule = from_tensorflow(case)
    # Both in float64 but for the noisy one, which TensorFlow has in float32 only.
    near = {"rel": 1e-5, "abs": 1e-8} if case["name"].startswith("noisy") else {"rel": 1e-12, "abs": 1e-16}
    assert [schedule(step) for step in TENSORFLOW["steps"]] == pytest.approx(case["values"], **near)


@pytest.mark.parametrize("moment", TENSORFLOW["noisy"]["at"], ids=lambda moment: f"step {moment['step']}")
def test_noise_is_distributed_as_tensorflow_s(moment):
    arguments = TENSORFLOW["noisy"]["arguments"]
    draws = [noisy_linear_cosine_decay(0.1, **arguments, seed=seed)(moment["step"]) for seed in range(4000)]
    standard_error = moment["deviation"] * math.sqrt(1 / 4000 + 1 / TENSORFLOW["noisy"]["draws"])
    assert np.mean(draws) == pytest.approx(moment["mean"], abs=4 * standard_error)
    assert np.std(draws) == pytest.approx(moment["deviation"], rel=0.08)


def test_noise_is_normal_and_independent_between_steps():
    noise = noisy_linear_cosine_decay(decay_steps=10**9, variance_decay=0.0, seed=7).table(20_000) - 1.001
    assert abs(noise.mean()) < 0.03
    assert noise.std() == pytest.approx(1.0, abs=0.02)
    assert (np.abs(noise) < 1.959964).mean() == pytest.approx(0.95, abs=0.006)
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.03


@pytest.mark.parametrize("case", OPTAX["cases"], ids=lambda case: case["text"])
def test_optax(case):
    schedule = parse(case["text"])
    assert [schedule(step) for step in OPTAX["steps"]] == pytest.approx(case["values"], rel=1e-12, abs=1e-16)


@pytest.mark.parametrize("case", TIMM["cases"], ids=lambda case: case["text"])
def test_timm(case):
    schedule = parse(case["text"])
    assert [schedule(step) for step in case["steps"]] == pytest.approx(case["values"], rel=1e-12, abs=1e-16)


def test_the_question_s_decay_in_decimals():
    decay = exponential_decay(0.15, decay_steps=1, decay_rate=0.9999)
    with decimal.localcontext(prec=60):
        rate, initial = map(decimal.Decimal, (0.9999, 0.15))
        exact = {step: initial * rate**step for step in (0, 1, 1000, 10_000, 20_000, 73_128, 73_129, 1_000_000)}
    for step, value in exact.items():
        assert decay(step) == pytest.approx(float(value), rel=1e-15 + 2e-16 * step / 10_000)
    below = int(np.argmax(decay.table(80_000) <= 1e-4))
    with decimal.localcontext(prec=60):
        assert exact[below] <= decimal.Decimal("1e-4") < initial * rate ** (below - 1)
    assert below == 73_129


def test_restarts_are_where_they_are():
    ours = cosine_decay_restarts(0.1, first_decay_steps=100, t_mul=3.0)
    theirs = cosine_decay_restarts(0.1, first_decay_steps=100, t_mul=3.0, tf_exact=True)
    assert [ours(step) for step in (100, 400, 1300, 4000, 12_100)] == [0.1] * 5
    assert theirs(12_100) == pytest.approx(0.0, abs=1e-12)
    for t_mul in (1.1, 1.2, 1.5, 2.0, 2.5, 3.0, 7.0):
        schedule, start, length = cosine_decay_restarts(first_decay_steps=100, t_mul=t_mul), 0.0, 100.0
        for _ in range(12):
            assert schedule(math.ceil(start)) > 0.999
            assert schedule(math.ceil(start + length) - 1) < 0.001
            start, length = start + length, length * t_mul


def test_power_laws_by_hand():
    assert inverse_sqrt(0.3)(15) == 0.3 / 4
    assert inverse_sqrt(timescale=100, shift=100)(300) == 0.5
    assert power_decay(0.3, exponent=-2)(9) == pytest.approx(0.003, rel=1e-15)
    # Shen et al. 2024: min(eta_max, beta * a * n^b), n tokens
    assert power(0.02, tokens_per_step=2**20, batch_size=256, a=4.6, b=-0.51)(9999) == pytest.approx(
        256 * 4.6 * (2**20 * 10_000) ** -0.51, rel=1e-12
    )
    assert power(0.02, tokens_per_step=1, batch_size=256, a=4.6, b=-0.51)(3) == 0.02


def test_untuned_warmups_by_hand():
    # Ma and Yarats 2019, with t = step + 1
    for beta2 in (0.9, 0.99, 0.999):
        line, curve = untuned_linear_warmup(beta2), untuned_exponential_warmup(beta2)
        for t in (1, 2, 7, 10, 100, 2000, 3000):
            assert line(t - 1) == pytest.approx(min(1.0, (1 - beta2) / 2 * t), rel=1e-12)
            assert curve(t - 1) == pytest.approx(1 - math.exp(-(1 - beta2) * t), rel=1e-12)


def shapes(u):
    """Haegele et al. 2024, and REX of Chen et al. 2021."""
    cosine = 0.5 * (1 + math.cos(math.pi * u))
    return {
        "linear": 1 - u,
        "cosine": cosine,
        "1-sqrt": 1 - math.sqrt(u),
        "square": 1 - u**2,
        "mirror cosine": 2 * (1 - u) - cosine,
        "rex": (1 - u) / (0.5 + 0.5 * (1 - u)),
    }


@pytest.mark.parametrize("shape", shapes(0))
def test_cooldowns_by_hand(shape):
    for step in range(41):
        expected = shapes(step / 40)[shape]
        near = {"rel": 1e-12, "abs": 1e-15}
        assert cooldown(40, shape=shape)(step) == pytest.approx(expected, **near)
        assert cooldown(40, shape=shape, floor=0.2)(step) == pytest.approx(0.2 + 0.8 * expected, **near)
        assert warmup(10).cooldown(20, 40, shape)(20 + step) == pytest.approx(expected, **near)
    assert cooldown(40, shape="exponential", floor=0.01)(20) == pytest.approx(0.1, rel=1e-12)
    assert rex_decay(0.3, decay_steps=40)(10) == pytest.approx(0.3 * shapes(0.25)["rex"], rel=1e-12)


def test_cyclic_without_and_with_a_way_down():
    assert cyclic(1.0, low=0.0, up=4).table(10).tolist() == [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0, 0.25]
    assert cyclic(1.0, low=0.0, up=4, down=2).table(8).tolist() == [0, 0.25, 0.5, 0.75, 1, 0.5, 0, 0.25]


def test_linear_hits_both_ends():
    line = linear(0.1, end=0.3, steps=7)
    assert (line(0), line(7), line(8)) == (0.1, 0.3, 0.3)
