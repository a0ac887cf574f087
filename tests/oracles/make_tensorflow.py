"""Writes tensorflow_schedules.json beside it: tf.compat.v1.train's decays in float64, the noisy one in float32.

Run with a Python that has tensorflow-cpu 2.21: python make_tensorflow.py
The tests read the file, since TensorFlow is too heavy to install for each run of them.
"""

import inspect
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from types import SimpleNamespace

import numpy as np
import tensorflow as tf
from tensorflow.python.keras.optimizer_v2 import learning_rate_schedule as bodies

# Eagerly, where these functions return one without arguments: as a graph, a cycling polynomial_decay takes no float64.
train = tf.compat.v1.train

EARLY = list(range(35))
LATE = [
    99,
    100,
    101,
    150,
    199,
    200,
    201,
    220,
    299,
    300,
    364,
    400,
    401,
    700,
    999,
    1000,
    1001,
    1300,
    1500,
    4000,
    12_099,
    12_100,
]
LONG = [12_101, 20_000, 73_129, 100_000]
STEPS = sorted({*EARLY, *LATE, *LONG})

# name of the function, its arguments as TensorFlow names them, without learning rate and step
CASES = [
    ("exponential_decay", 0.15, {"decay_steps": 1, "decay_rate": 0.9999}),
    ("exponential_decay", 0.1, {"decay_steps": 100, "decay_rate": 0.96}),
    ("exponential_decay", 0.1, {"decay_steps": 100, "decay_rate": 0.96, "staircase": True}),
    ("exponential_decay", 0.1, {"decay_steps": 7.5, "decay_rate": 0.9, "staircase": True}),
    ("exponential_decay", 0.001, {"decay_steps": 1000, "decay_rate": 1.5}),
    ("natural_exp_decay", 0.1, {"decay_steps": 100, "decay_rate": 0.5}),
    ("natural_exp_decay", 0.1, {"decay_steps": 100, "decay_rate": 0.5, "staircase": True}),
    ("natural_exp_decay", 0.1, {"decay_steps": 10_000, "decay_rate": -0.1}),
    ("inverse_time_decay", 0.1, {"decay_steps": 100, "decay_rate": 0.5}),
    ("inverse_time_decay", 0.1, {"decay_steps": 100, "decay_rate": 0.5, "staircase": True}),
    ("polynomial_decay", 0.1, {"decay_steps": 1000}),
    ("polynomial_decay", 0.1, {"decay_steps": 1000, "end_learning_rate": 0.01, "power": 0.5}),
    ("polynomial_decay", 0.1, {"decay_steps": 1000, "end_learning_rate": 0.01, "power": 2.0}),
    ("polynomial_decay", 1.0, {"decay_steps": 10, "end_learning_rate": 0.1, "cycle": True}),
    ("polynomial_decay", 1.0, {"decay_steps": 100, "end_learning_rate": 0.1, "power": 2.5, "cycle": True}),
    ("piecewise_constant", None, {"boundaries": [10, 200, 1000], "values": [0.1, 0.05, 0.01, 0.001]}),
    ("piecewise_constant", None, {"boundaries": [0, 10], "values": [0.1, 0.05, 0.01]}),
    ("cosine_decay", 0.1, {"decay_steps": 1000}),
    ("cosine_decay", 0.1, {"decay_steps": 1000, "alpha": 0.1}),
    ("cosine_decay", 0.1, {"decay_steps": 33.3}),
    ("cosine_decay_restarts", 0.1, {"first_decay_steps": 100}),
    ("cosine_decay_restarts", 0.1, {"first_decay_steps": 100, "t_mul": 1.0, "m_mul": 0.9, "alpha": 0.1}),
    ("cosine_decay_restarts", 0.1, {"first_decay_steps": 100, "t_mul": 3.0, "m_mul": 0.5}),
    ("cosine_decay_restarts", 0.1, {"first_decay_steps": 100, "t_mul": 1.2, "m_mul": 0.8, "alpha": 0.05}),
    ("linear_cosine_decay", 0.1, {"decay_steps": 1000}),
    ("linear_cosine_decay", 0.1, {"decay_steps": 1000, "num_periods": 2.5, "alpha": 0.2, "beta": 0.01}),
    ("noisy_linear_cosine_decay", 0.1, {"decay_steps": 1000, "initial_variance": 0.0}),
    ("noisy_linear_cosine_decay", 0.1, {"decay_steps": 300, "initial_variance": 0.0, "num_periods": 2.0, "alpha": 0.3}),
]
# mean and deviation over many draws, where each reading is another draw
NOISY = {"decay_steps": 1000, "initial_variance": 1.0, "variance_decay": 0.55}


def typed(value, number):
    """Python floats would become float32 in TensorFlow."""
    if isinstance(value, list):
        return [typed(item, number) for item in value]
    return number(value) if isinstance(value, float) else value


def value(name, rate, arguments, at):
    # The noise is float32 by TensorFlow's own default, so all of that function has to be.
    number = np.float32 if name.startswith("noisy") else np.float64
    # The cosines multiply by pi as a float32 constant, which refuses a float64 rate.
    bodies.constant_op = SimpleNamespace(constant=lambda constant: tf.constant(constant, number))
    parameters = inspect.signature(getattr(train, name)).parameters.values()
    defaults = {of.name: of.default for of in parameters if isinstance(of.default, float)}
    given = {key: item if key == "boundaries" else typed(item, number) for key, item in (defaults | arguments).items()}
    step = tf.constant(at, tf.int64)
    if name == "piecewise_constant":
        found = train.piecewise_constant(step, given["boundaries"], given["values"])()
    else:
        found = getattr(train, name)(number(rate), step, **given)()
    assert found.dtype == number, (name, found.dtype)
    return float(found)


def noise(at):
    drawn = np.array([value("noisy_linear_cosine_decay", 0.1, NOISY, at) for _ in range(2000)])
    return {"step": at, "mean": float(drawn.mean()), "deviation": float(drawn.std())}


tf.random.set_seed(0)
cases = [
    {
        "name": name,
        "learning_rate": rate,
        "arguments": arguments,
        "values": [value(name, rate, arguments, at) for at in STEPS],
    }
    for name, rate, arguments in CASES
]
found = {
    "tensorflow": tf.__version__,
    "steps": STEPS,
    "cases": cases,
    "noisy": {"arguments": NOISY, "draws": 2000, "at": [noise(at) for at in (0, 10, 500)]},
}
Path(__file__).with_name("tensorflow_schedules.json").write_text(json.dumps(found) + "\n")
