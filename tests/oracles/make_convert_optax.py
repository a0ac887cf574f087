"""Writes convert_optax.json beside it: optax's schedules by call, each with its values in float64.

Run with a Python that has optax 0.2.8: JAX_ENABLE_X64=1 python make_convert_optax.py
"""

import json
import random
from pathlib import Path

import jax
import optax

STEPS = [*range(0, 40, 3), *range(40, 60), 79, 80, 81, 99, 100, 101, 119, 120, 121, 160, 200, 201, 400, 1001]
FIXED = [
    "constant_schedule(0.1)",
    "linear_schedule(0.0, 0.1, 100)",
    "linear_schedule(0.1, 0.01, 50, transition_begin=20)",
    "polynomial_schedule(0.1, 0.01, 2, 100)",
    "polynomial_schedule(0.01, 0.1, 0.5, 100, 20)",
    "polynomial_schedule(init_value=0.1, end_value=0.0, power=3.0, transition_steps=50, transition_begin=-5)",
    "piecewise_constant_schedule(0.1, {30: 0.5, 80: 0.1})",
    "piecewise_constant_schedule(0.1, {0: 0.5, 80: 0.0})",
    "piecewise_constant_schedule(0.1)",
    "piecewise_interpolate_schedule('linear', 0.01, {30: 10.0, 100: 0.01})",
    "piecewise_interpolate_schedule('cosine', 0.01, {30: 10.0, 100: 0.01})",
    "exponential_decay(0.1, 20, 0.9)",
    "exponential_decay(0.1, 20, 0.9, staircase=True)",
    "exponential_decay(0.1, 20, 0.9, transition_begin=10, end_value=0.06)",
    "exponential_decay(0.1, 20, 1.1, end_value=0.2)",
    "cosine_decay_schedule(0.1, 100, 0.1)",
    "cosine_decay_schedule(0.1, 100, 1.5, exponent=2.0)",
    "warmup_constant_schedule(0.0, 0.1, 20)",
    "warmup_cosine_decay_schedule(0.0, 1.0, 50, 1000)",
    "warmup_cosine_decay_schedule(0.01, 0.1, 20, 100, 0.005, 2.0)",
    "warmup_cosine_decay_schedule(0.0, 0.1, 0, 100)",
    "warmup_exponential_decay_schedule(0.0, 0.1, 20, 30, 0.5, end_value=0.002)",
    "warmup_exponential_decay_schedule(0.0, 0.1, 20, 30, 0.5, 10, True)",
    (
        "sgdr_schedule([dict(init_value=0.0, peak_value=0.1, warmup_steps=10, decay_steps=40, end_value=0.01), "
        "{'init_value': 0.01, 'peak_value': 0.05, 'warmup_steps': 20, 'decay_steps': 80, 'end_value': 0.0}])"
    ),
    "linear_onecycle_schedule(200, 0.1)",
    "linear_onecycle_schedule(101, 0.1, 0.2, 0.7, 10.0, 100.0)",
    "cosine_onecycle_schedule(101, 0.1, 0.2)",
    "join_schedules([linear_schedule(0.0, 0.1, 20), constant_schedule(0.1), linear_schedule(0.1, 0.0, 40)], [20, 80])",
    (
        "join_schedules([exponential_decay(0.1, 9, 0.9), "
        "join_schedules([constant_schedule(0.2), constant_schedule(0.1)], [50])], [30])"
    ),
    "join_schedules([constant_schedule(0.3), cosine_decay_schedule(0.1, 20), constant_schedule(0.2)], [0, 90])",
    # boundaries at step 0 and before, and turns that meet
    "piecewise_interpolate_schedule('linear', 0.1, {0: 0.5, 80: 0.1})",
    "piecewise_interpolate_schedule('cosine', 0.1, {0: 0.5, 80: 0.1, 30: 3.0})",
    "piecewise_interpolate_schedule('cosine', 0.1, {0: 0.5})",
    "piecewise_interpolate_schedule('linear', 0.1, {-5: 0.5, 10: 2.0, 40: 0.1})",
    "piecewise_interpolate_schedule('linear', 0.1, {-5: 0.5, -2: 3.0})",
    "piecewise_interpolate_schedule('cosine', 0.1, {-5: 0.5, 0: 3.0, 7: 0.0})",
    "piecewise_interpolate_schedule('linear', 0.1)",
    "piecewise_constant_schedule(0.1, {-5: 0.5, 0: 3.0, 40: 0.1})",
    "linear_onecycle_schedule(30, 0.1, 0.01)",
    "linear_onecycle_schedule(30, 0.1, 0.3, 1.0)",
    "linear_onecycle_schedule(30, 0.1, 0.5, 0.5)",
    "cosine_onecycle_schedule(30, 0.1, 0.01)",
    "cosine_onecycle_schedule(30, 0.1, 1.0)",
    "join_schedules([constant_schedule(0.3), linear_schedule(0.1, 0.0, 20), constant_schedule(0.2)], [0, 0])",
    "join_schedules([piecewise_interpolate_schedule('linear', 0.1, {0: 0.5, 9: 2.0}), constant_schedule(0.2)], [50])",
    "linear_schedule(0.1, 0.0, 20, -5)",
    "exponential_decay(0.1, 20, 0.9, -5)",
    # what optax repairs silently
    "warmup_constant_schedule(0.0, 1.0, 0)",
    "exponential_decay(0.1, 20, 0)",
    "polynomial_schedule(0.1, 0.0, 2, 0)",
]


def drawn(dice):
    """Calls with random arguments."""
    rate, low = dice.uniform(1e-4, 1.0), dice.uniform(0.0, 1e-4)
    steps, warm, power = dice.randint(5, 150), dice.randint(1, 40), dice.uniform(0.2, 3.0)
    factor, stairs = dice.uniform(0.1, 0.99), dice.random() < 0.5
    stones = {at: dice.uniform(0.1, 2.0) for at in [dice.choice([0, 1]), *dice.sample(range(2, 200), 3)]}
    return [
        f"polynomial_schedule({rate}, {low}, {power}, {steps}, {warm})",
        f"polynomial_schedule({low}, {rate}, {power}, {steps})",
        f"piecewise_constant_schedule({rate}, {stones})",
        f"piecewise_interpolate_schedule('cosine', {rate}, {stones})",
        f"exponential_decay({rate}, {steps}, {factor}, {warm}, {stairs}, {rate * 0.3})",
        f"cosine_decay_schedule({rate}, {steps}, {factor}, {power})",
        f"warmup_cosine_decay_schedule({low}, {rate}, {warm}, {warm + steps}, {rate * factor}, {power})",
        f"warmup_exponential_decay_schedule({low}, {rate}, {warm}, {steps}, {factor}, {warm}, {stairs})",
        f"join_schedules([linear_schedule({low}, {rate}, {steps}), cosine_decay_schedule({rate}, {steps})], [{warm}])",
    ]


if not jax.config.jax_enable_x64:
    raise SystemExit("run with JAX_ENABLE_X64=1")
dice = random.Random(0)
calls = [*FIXED, *(call for _ in range(5) for call in drawn(dice))]
names = {name: getattr(optax, name) for name in dir(optax) if not name.startswith("_")}
cases = [{"call": call, "values": [float(eval(call, names)(step)) for step in STEPS]} for call in calls]
found = {"optax": optax.__version__, "steps": STEPS, "cases": cases}
Path(__file__).with_name("convert_optax.json").write_text(json.dumps(found) + "\n")
