"""Writes timm_schedules.json beside it: timm's schedulers, each beside the text that should equal it.

timm itself imports torchvision, its schedulers do not: unzip `timm/scheduler/*` of the wheel timm 1.0.31 into a folder
and run with a Python that has torch: python make_timm.py FOLDER
"""

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, sys.argv[1])
from timm.scheduler.cosine_lr import CosineLRScheduler
from timm.scheduler.multistep_lr import MultiStepLRScheduler
from timm.scheduler.poly_lr import PolyLRScheduler
from timm.scheduler.step_lr import StepLRScheduler
from timm.scheduler.tanh_lr import TanhLRScheduler
from timm.scheduler.wsd_lr import WSDLRScheduler

STEPS = [*range(45), 50, 79, 80, 81, 99]
# text, scheduler, its arguments, the steps on which they agree (tanh: timm drops to the floor at the end)
CASES = [
    ("cosine_decay(0.1, 80)", CosineLRScheduler, {"t_initial": 80}, 100),
    (
        "cosine_decay(0.1, 80, end=0.01, k_decay=1.5)",
        CosineLRScheduler,
        {"t_initial": 80, "lr_min": 0.01, "k_decay": 1.5},
        100,
    ),
    (
        'cosine_decay_restarts(0.1, 10, t_mul=2.0, m_mul=0.5, end=0.01, scales="peak", cycles=3)',
        CosineLRScheduler,
        {"t_initial": 10, "lr_min": 0.01, "cycle_mul": 2.0, "cycle_decay": 0.5, "cycle_limit": 3},
        100,
    ),
    (
        'cosine_decay_restarts(0.1, 10, t_mul=1.0, m_mul=0.9, end=0.001, scales="peak", cycles=4, k_decay=0.5)',
        CosineLRScheduler,
        {"t_initial": 10, "lr_min": 0.001, "cycle_decay": 0.9, "cycle_limit": 4, "k_decay": 0.5},
        100,
    ),
    (
        "linear(0.001, end=0.1, steps=10).then(cosine_decay(0.1, 60))",
        CosineLRScheduler,
        {"t_initial": 60, "warmup_t": 10, "warmup_lr_init": 0.001, "warmup_prefix": True},
        100,
    ),
    ("tanh_decay(0.1, 80)", TanhLRScheduler, {"t_initial": 80}, 80),
    (
        "tanh_decay(0.1, 80, lower=-6.0, upper=4.0, end=0.01)",
        TanhLRScheduler,
        {"t_initial": 80, "lb": -6.0, "ub": 4.0, "lr_min": 0.01},
        80,
    ),
    (
        "tanh_decay(0.1, 10).repeat(3, t_mul=2.0, m_mul=0.5)",
        TanhLRScheduler,
        {"t_initial": 10, "cycle_mul": 2.0, "cycle_decay": 0.5, "cycle_limit": 3},
        70,
    ),
    ("polynomial_decay(0.1, 80, 0.0, power=0.5)", PolyLRScheduler, {"t_initial": 80, "power": 0.5}, 100),
    (
        "polynomial_decay(0.1, 80, 0.01, power=2.0, k_decay=0.7)",
        PolyLRScheduler,
        {"t_initial": 80, "power": 2.0, "lr_min": 0.01, "k_decay": 0.7},
        100,
    ),
    ("step_decay(0.1, step_size=30, gamma=0.5)", StepLRScheduler, {"decay_t": 30, "decay_rate": 0.5}, 100),
    (
        # timm's milestones count steps from 1
        "multistep_decay(0.1, milestones=(19, 49), gamma=0.5)",
        MultiStepLRScheduler,
        {"decay_t": [20, 50], "decay_rate": 0.5},
        100,
    ),
    (
        "warmup_stable_decay(0.1, warmup_steps=10, stable_steps=40, decay_steps=30)",
        WSDLRScheduler,
        {"t_initial": 70, "decay_t": 30, "warmup_t": 10},
        100,
    ),
    (
        'warmup_stable_decay(0.1, warmup_steps=10, stable_steps=40, decay_steps=30, shape="cosine", floor=0.1)',
        WSDLRScheduler,
        {"t_initial": 70, "decay_t": 30, "warmup_t": 10, "warmup_lr_init": 0.0, "lr_min": 0.01, "decay_fn": "cosine"},
        100,
    ),
    (
        '0.1 * warmup(10).then(hold(40)).then(cooldown(30, shape="square"))',
        WSDLRScheduler,
        {"t_initial": 70, "decay_t": 30, "warmup_t": 10, "decay_fn": "power", "decay_power": 2.0},
        100,
    ),
    (
        "0.1 * warmup(10).then(inverse_sqrt(timescale=10, shift=10) * hold(40).then(cooldown(30)))",
        WSDLRScheduler,
        {"t_initial": 70, "decay_t": 30, "warmup_t": 10, "stable_fn": "rsqrt", "decay_fn": "linear"},
        100,
    ),
    (
        "0.1 * warmup(10).then(power_decay(exponent=-0.7, timescale=10, shift=10) * hold(40).then(cooldown(30)))",
        WSDLRScheduler,
        {
            "t_initial": 70,
            "decay_t": 30,
            "warmup_t": 10,
            "stable_fn": "power",
            "stable_power": 0.7,
            "decay_fn": "linear",
        },
        100,
    ),
]


def values(kind, arguments, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = kind(optimizer, **arguments)
    return [float(scheduler._get_lr(step)[0]) for step in steps]


cases = []
for text, kind, arguments, end in CASES:
    steps = [step for step in STEPS if step < end]
    cases.append({"text": text, "steps": steps, "values": values(kind, arguments, steps)})
Path(__file__).with_name("timm_schedules.json").write_text(json.dumps({"timm": "1.0.31", "cases": cases}) + "\n")
