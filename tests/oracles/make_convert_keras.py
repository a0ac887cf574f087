"""Writes convert_keras.json beside it: configs as Keras serializes them, each with its schedule's values in float64.

Run with a Python that has keras 3.15 and a backend: KERAS_BACKEND=tensorflow python make_convert_keras.py
"""

import json
import os
import random
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras.optimizers import schedules

STEPS = [*range(0, 40, 3), *range(40, 60), 79, 80, 81, 99, 100, 101, 119, 120, 121, 160, 200, 201, 400, 1001]
FIXED = [
    schedules.ExponentialDecay(0.15, 1, 0.9999),
    schedules.ExponentialDecay(0.1, 20, 0.9, staircase=True),
    schedules.InverseTimeDecay(0.1, 20, 0.5),
    schedules.InverseTimeDecay(0.1, 20, 0.5, staircase=True),
    schedules.PiecewiseConstantDecay([10, 80, 100], [0.1, 0.05, 0.01, 0.001]),
    schedules.PolynomialDecay(0.1, 100),
    schedules.PolynomialDecay(0.1, 40, 0.01, power=2.0, cycle=True),
    schedules.PolynomialDecay(0.01, 100, 0.1, power=0.5),
    schedules.CosineDecay(0.1, 100),
    schedules.CosineDecay(0.1, 100, alpha=0.1),
    schedules.CosineDecay(0.1, 100, alpha=1.5),
    schedules.CosineDecay(0.0, 80, warmup_target=0.1, warmup_steps=20),
    schedules.CosineDecay(0.01, 80, alpha=0.05, warmup_target=0.1, warmup_steps=20),
    schedules.CosineDecay(0.1, 100, warmup_steps=20),
    schedules.CosineDecayRestarts(0.1, 40),
    schedules.CosineDecayRestarts(0.1, 40, t_mul=1.0, m_mul=0.9, alpha=0.1),
    schedules.CosineDecayRestarts(0.1, 40, t_mul=2.0, m_mul=0.5, alpha=0.05),
]


def drawn(dice):
    """A schedule of each class, with random arguments."""
    rate, low = dice.uniform(1e-4, 1.0), dice.uniform(0.0, 1e-4)
    steps, part = dice.randint(5, 150), dice.uniform(0.0, 1.0)
    stones = sorted(dice.sample(range(1, 200), 3))
    return [
        schedules.ExponentialDecay(rate, steps, dice.uniform(0.1, 1.1), dice.random() < 0.5),
        schedules.InverseTimeDecay(rate, steps, dice.uniform(0.0, 3.0), dice.random() < 0.5),
        schedules.PiecewiseConstantDecay(stones, [dice.uniform(0.0, 1.0) for _ in range(4)]),
        schedules.PolynomialDecay(rate, steps, low, dice.uniform(0.2, 3.0), dice.random() < 0.5),
        schedules.CosineDecay(rate, steps, part),
        schedules.CosineDecay(low, steps, part, warmup_target=rate, warmup_steps=dice.randint(1, 40)),
        schedules.CosineDecayRestarts(rate, steps, 1.0, dice.uniform(0.3, 1.2), part),
    ]


def value(schedule, step):
    """In float64, which a schedule computes in where its arguments are numpy's; Python's become float32 on the way."""
    config = schedule.get_config()
    for name, given in config.items():
        if isinstance(given, float):
            config[name] = np.float64(given)
        elif name == "values":
            config[name] = [np.float64(item) for item in given]
    found = np.asarray(type(schedule).from_config(config)(step))
    assert found.dtype == np.float64, (schedule, found.dtype)
    return float(found)


dice = random.Random(0)
made = [*FIXED, *(schedule for _ in range(5) for schedule in drawn(dice))]
cases = [
    {
        "config": schedules.serialize(schedule),
        "values": [value(schedule, step) for step in STEPS],
    }
    for schedule in made
]
found = {"keras": keras.__version__, "steps": STEPS, "cases": cases}
Path(__file__).with_name("convert_keras.json").write_text(json.dumps(found) + "\n")
