"""Writes tensorflow_optimizers.json beside it: parameters after steps of tf.compat.v1.train's optimizers in float64.

Run with a Python that has tensorflow-cpu 2.21: python make_tensorflow_optimizers.py
Graph mode, one variable of 12 elements, 60 given gradients of scales from 1e-3 to 1e3, applied with
apply_gradients(global_step=step). The file holds the gradients, the start, and the parameters after 1, 2, 10, 60 steps.
"""

import inspect
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1
tf1.disable_eager_execution()

STEPS, SIZE, KEPT = 60, 12, (1, 2, 10, 60)
CASES = [
    ("GradientDescentOptimizer", {}),
    ("MomentumOptimizer", {"momentum": 0.9}),
    ("MomentumOptimizer", {"momentum": 0.9, "use_nesterov": True}),
    ("AdamOptimizer", {}),
    ("AdamOptimizer", {"epsilon": 1e-3}),
    ("AdamOptimizer", {"epsilon": 1.0}),
    ("AdamOptimizer", {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3}),
    ("RMSPropOptimizer", {}),
    ("RMSPropOptimizer", {"momentum": 0.9}),
    ("RMSPropOptimizer", {"centered": True}),
    ("RMSPropOptimizer", {"momentum": 0.9, "centered": True}),
    ("RMSPropOptimizer", {"decay": 0.95, "momentum": 0.5, "epsilon": 1.0}),
    ("AdagradOptimizer", {}),
    ("AdagradOptimizer", {"initial_accumulator_value": 1.0}),
    ("AdadeltaOptimizer", {}),
    ("AdadeltaOptimizer", {"rho": 0.9, "epsilon": 1e-6}),
]
RATES = {"constant": 0.05, "decaying": {"learning_rate": 0.15, "decay_steps": 1, "decay_rate": 0.9999}}

random = np.random.default_rng(0)
START = random.normal(size=SIZE)
SCALES = 10.0 ** np.linspace(-3, 3, SIZE)
GRADIENTS = random.normal(size=(STEPS, SIZE)) * SCALES


def rate(kind, step):
    if kind == "constant":
        return tf.constant(RATES[kind], tf.float64)
    given = RATES[kind]
    return tf1.train.exponential_decay(
        np.float64(given["learning_rate"]), step, given["decay_steps"], np.float64(given["decay_rate"])
    )


def float64(name, arguments):
    """All of an optimizer's arguments; its Python floats, defaults too, would be rounded to float32 on the way."""
    parameters = inspect.signature(getattr(tf1.train, name).__init__).parameters.values()
    defaults = {of.name: of.default for of in parameters if of.default is not of.empty}
    given = {key: value for key, value in (defaults | arguments).items() if key not in {"learning_rate", "name"}}
    return {key: np.float64(value) if isinstance(value, float) else value for key, value in given.items()}


def trained(name, arguments, kind):
    """The parameters after the kept steps."""
    with tf.Graph().as_default(), tf1.Session() as session:
        step = tf1.train.get_or_create_global_step()
        variable = tf1.get_variable("w", initializer=tf.constant(START, tf.float64), use_resource=True)
        gradient = tf1.placeholder(tf.float64, shape=(SIZE,))
        optimizer = getattr(tf1.train, name)(rate(kind, step), **float64(name, arguments))
        update = optimizer.apply_gradients([(gradient, variable)], global_step=step)
        session.run(tf1.global_variables_initializer())
        kept = {}
        for at in range(STEPS):
            session.run(update, {gradient: GRADIENTS[at]})
            if at + 1 in KEPT:
                kept[at + 1] = session.run(variable).tolist()
        assert session.run(step) == STEPS
        return kept


cases = [
    {"optimizer": name, "arguments": arguments, "rate": kind, "parameters": trained(name, arguments, kind)}
    for name, arguments in CASES
    for kind in RATES
]
found = {
    "tensorflow": tf.__version__,
    "rates": RATES,
    "start": START.tolist(),
    "gradients": GRADIENTS.tolist(),
    "cases": cases,
}
Path(__file__).with_name("tensorflow_optimizers.json").write_text(json.dumps(found) + "\n")
