"""TensorFlow 1's names give TensorFlow's numbers: golden values of `tf.compat.v1.train`, see tests/oracles/."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tapered import tensorflow1

ORACLES = Path(__file__).parents[1] / "oracles"
OPTIMIZERS = json.loads((ORACLES / "tensorflow_optimizers.json").read_text())
DECAYS = json.loads((ORACLES / "tensorflow_schedules.json").read_text())


@pytest.mark.parametrize(
    "case", OPTIMIZERS["cases"], ids=lambda case: f"{case['optimizer']}-{case['arguments']}-{case['rate']}"
)
def test_optimizers(case) -> None:
    rate = OPTIMIZERS["rates"][case["rate"]]
    rate = tensorflow1.exponential_decay(**rate) if isinstance(rate, dict) else rate
    weight = torch.nn.Parameter(torch.tensor(OPTIMIZERS["start"], dtype=torch.float64))
    optimizer = getattr(tensorflow1, case["optimizer"])([weight], rate, **case["arguments"])
    compared = 0
    for step, gradient in enumerate(OPTIMIZERS["gradients"], 1):
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        if str(step) in case["parameters"]:
            np.testing.assert_allclose(weight.detach().numpy(), case["parameters"][str(step)], rtol=1e-9)
            compared += 1
    assert compared == len(case["parameters"]) == 4


MISSED = {(3.0, 12_100), (1.2, 364)}  # (t_mul, step): restarts that TensorFlow's logarithm does not see


@pytest.mark.parametrize("case", DECAYS["cases"], ids=lambda case: f"{case['name']}-{case['arguments']}")
def test_decays(case) -> None:
    first = {"learning_rate": case["learning_rate"]} if case["name"] != "piecewise_constant" else {}
    decay = getattr(tensorflow1, case["name"])(**first, **case["arguments"])
    # TensorFlow draws its noise in float32, even where its variance is 0
    tolerance = {"abs": 1e-7} if case["name"].startswith("noisy") else {"rel": 1e-9, "abs": 1e-15}
    for step, theirs in zip(DECAYS["steps"], case["values"], strict=True):
        if (case["arguments"].get("t_mul"), step) in MISSED:
            assert decay(step) > theirs
        elif theirs is not None:
            assert decay(step) == pytest.approx(theirs, **tolerance), step


def test_signatures_are_tensorflows() -> None:
    names = {
        "AdamOptimizer": ["params", "learning_rate", "beta1", "beta2", "epsilon"],
        "RMSPropOptimizer": ["params", "learning_rate", "decay", "momentum", "epsilon", "centered"],
        "AdagradOptimizer": ["params", "learning_rate", "initial_accumulator_value"],
        "AdadeltaOptimizer": ["params", "learning_rate", "rho", "epsilon"],
        "MomentumOptimizer": ["params", "learning_rate", "momentum", "use_nesterov"],
        "GradientDescentOptimizer": ["params", "learning_rate"],
        "exponential_decay": ["learning_rate", "decay_steps", "decay_rate", "staircase"],
        "piecewise_constant": ["boundaries", "values"],
    }
    assert {name: list(inspect.signature(getattr(tensorflow1, name)).parameters) for name in names} == names


def test_a_global_step_that_still_stands_second_is_refused() -> None:
    with pytest.raises(TypeError, match="staircase"):
        tensorflow1.exponential_decay(0.15, 7, 1, 0.9999)


def test_the_questions_second_program() -> None:
    """0.15 * 0.9999^k reaches 1e-4 at k = 73,129, and a first Adam step moves each weight by the rate."""
    rate = tensorflow1.exponential_decay(0.15, 1, 0.9999)
    assert rate(73_128) > 1e-4 > rate(73_129)
    weight = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = tensorflow1.AdamOptimizer([weight], rate)
    optimizer.minimize((weight**2).sum())
    np.testing.assert_allclose(weight.detach().numpy(), 1 - 0.15, rtol=1e-6)
    assert optimizer.steps == 1
