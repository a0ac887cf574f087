"""Writes optax_schedules.json beside it: optax's schedules in float64, each beside the text that should equal it.

Run with a Python that has optax 0.2.8: JAX_ENABLE_X64=1 python make_optax.py
"""

import json
from pathlib import Path

import jax
import optax

STEPS = [*range(45), 59, 60, 79, 80, 81, 84, 85, 86, 99, 100, 101, 119, 120, 121, 150, 199, 200, 201, 250, 500]
JOINED = [optax.linear_schedule(0.0, 0.1, 20), optax.constant_schedule(0.1), optax.linear_schedule(0.1, 0.0, 40)]
CYCLES = [
    {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 10, "decay_steps": 40, "end_value": 0.01},
    {"init_value": 0.01, "peak_value": 0.05, "warmup_steps": 20, "decay_steps": 80, "end_value": 0.0},
]
CASES = [
    ("constant(0.1)", optax.constant_schedule(0.1)),
    ("linear(0.0, end=0.1, steps=100)", optax.linear_schedule(0.0, 0.1, 100)),
    ("polynomial_decay(0.1, 100, 0.01, power=2)", optax.polynomial_schedule(0.1, 0.01, 2, 100)),
    ("polynomial_decay(0.1, 100, 0.01, power=0.5).delayed(20)", optax.polynomial_schedule(0.1, 0.01, 0.5, 100, 20)),
    (
        'piecewise_constant((30, 80), (0.1, 0.05, 0.005), switch="at")',
        optax.piecewise_constant_schedule(0.1, {30: 0.5, 80: 0.1}),
    ),
    (
        "piecewise_interpolate((30, 100), (0.01, 0.1, 0.001))",
        optax.piecewise_interpolate_schedule("linear", 0.01, {30: 10.0, 100: 0.01}),
    ),
    (
        'piecewise_interpolate((30, 100), (0.01, 0.1, 0.001), "cosine")',
        optax.piecewise_interpolate_schedule("cosine", 0.01, {30: 10.0, 100: 0.01}),
    ),
    ("exponential_decay(0.1, 20, 0.9)", optax.exponential_decay(0.1, 20, 0.9)),
    ("exponential_decay(0.1, 20, 0.9, True)", optax.exponential_decay(0.1, 20, 0.9, staircase=True)),
    (
        "exponential_decay(0.1, 20, 0.9).clamp(0.06).delayed(10)",
        optax.exponential_decay(0.1, 20, 0.9, transition_begin=10, end_value=0.06),
    ),
    ("cosine_decay(0.1, 100, alpha=0.1)", optax.cosine_decay_schedule(0.1, 100, 0.1)),
    ("cosine_decay(0.1, 100, exponent=2.0)", optax.cosine_decay_schedule(0.1, 100, exponent=2.0)),
    ("0.1 * warmup(20)", optax.warmup_constant_schedule(0.0, 0.1, 20)),
    (
        "0.1 * warmup(20, start=0.1).then(cosine_decay(decay_steps=80, alpha=0.05))",
        optax.warmup_cosine_decay_schedule(0.01, 0.1, 20, 100, 0.005),
    ),
    (
        "0.1 * warmup(20).then(exponential_decay(decay_steps=30, decay_rate=0.5).clamp(0.02))",
        optax.warmup_exponential_decay_schedule(0.0, 0.1, 20, 30, 0.5, end_value=0.002),
    ),
    (
        (
            "(0.1 * warmup(10).then(cosine_decay(decay_steps=30, alpha=0.1)))"
            ".then(0.05 * warmup(20, start=0.2).then(cosine_decay(decay_steps=60)))"
        ),
        optax.sgdr_schedule(CYCLES),
    ),
    (
        'one_cycle(0.1, total_steps=200, shape="linear", three_phase=True, convention="optax")',
        optax.linear_onecycle_schedule(200, 0.1),
    ),
    (
        'one_cycle(0.1, total_steps=101, pct_start=0.2, convention="optax")',
        optax.cosine_onecycle_schedule(101, 0.1, 0.2),
    ),
    (
        "0.1 * warmup(20).then(hold(60)).then(cooldown(40))",
        optax.join_schedules(JOINED, [20, 80]),
    ),
]

if not jax.config.jax_enable_x64:
    raise SystemExit("run with JAX_ENABLE_X64=1")
cases = [{"text": text, "values": [float(schedule(step)) for step in STEPS]} for text, schedule in CASES]
found = {"optax": optax.__version__, "steps": STEPS, "cases": cases}
Path(__file__).with_name("optax_schedules.json").write_text(json.dumps(found) + "\n")
