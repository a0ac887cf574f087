"""Writes convert_timm.json beside it: create_scheduler_v2's arguments and classes, each with the rates of two groups.

Step 0 has the rate after construction, as in timm's own training script, which calls for the epochs after it.

timm itself imports torchvision, its schedulers do not: unzip the wheel timm 1.0.31 into a folder, remove
`timm/__init__.py` there, and run with a Python that has torch: python make_convert_timm.py FOLDER
"""

import json
import random
import sys
from pathlib import Path

import torch

sys.path.insert(0, sys.argv[1])
from timm import scheduler as timm

STEPS = [*range(0, 40, 3), *range(40, 60), 79, 80, 81, 99, 100, 101, 119, 120, 121, 160, 200, 201, 400]
RATES = [0.1, 0.03]
WARM = {"warmup_epochs": 10, "warmup_lr": 0.001}
FIXED = [
    ("cosine", {"num_epochs": 80}),
    ("cosine", {"num_epochs": 80, "min_lr": 0.01, "k_decay": 1.5}),
    ("cosine", {"num_epochs": 80, **WARM}),
    ("cosine", {"num_epochs": 80, **WARM, "warmup_prefix": True}),
    ("cosine", {"num_epochs": 20, "cycle_mul": 2.0, "cycle_decay": 0.5, "cycle_limit": 3, "min_lr": 0.001}),
    ("cosine", {"num_epochs": 40, "cycle_limit": 3, "cycle_decay": 0.8, **WARM, "warmup_prefix": True, "k_decay": 0.5}),
    ("cosine", {"num_epochs": 8, "step_on_epochs": False, "updates_per_epoch": 10, "warmup_epochs": 2}),
    ("cosine", {"num_epochs": 80, "min_lr": 0.05}),
    ("tanh", {"num_epochs": 80, **WARM}),
    ("tanh", {"num_epochs": 80, "min_lr": 0.01, **WARM, "warmup_prefix": True}),
    ("tanh", {"num_epochs": 20, "min_lr": 0.001, "cycle_mul": 2.0, "cycle_decay": 0.5, "cycle_limit": 3}),
    ("step", {"decay_epochs": 30, "decay_rate": 0.5}),
    ("step", {"decay_epochs": 30, **WARM}),
    ("step", {"decay_epochs": 2.5, "decay_rate": 0.9, **WARM, "warmup_prefix": True}),
    ("constant", dict(WARM)),
    ("multistep", {"decay_milestones": [20, 50], "decay_rate": 0.5}),
    ("multistep", {"decay_milestones": [5, 20, 50], **WARM}),
    ("multistep", {"decay_milestones": [1, 20, 20], "decay_rate": 0.5, **WARM, "warmup_prefix": True}),
    ("poly", {"num_epochs": 80, "decay_rate": 0.5}),
    ("poly", {"num_epochs": 80, "decay_rate": 2.0, "min_lr": 0.01, "k_decay": 0.7, **WARM}),
    ("poly", {"num_epochs": 20, "decay_rate": 2.0, "min_lr": 0.001, "cycle_decay": 0.5, "cycle_limit": 3}),
    ("wsd", {"num_epochs": 80, **WARM}),
    (
        "wsd",
        {"num_epochs": 80, "decay_epochs": 30, "min_lr": 0.01, "decay_fn": "cosine", **WARM, "warmup_prefix": True},
    ),
    ("rsqrt", {"num_epochs": 80, **WARM}),
    ("rsqrt", {"num_epochs": 80, "decay_fn": "exp", "stable_timescale": 25, "min_lr": 0.02, **WARM}),
    ("WSDLRScheduler", {"t_initial": 70, "decay_t": 70, "decay_fn": "power", "decay_power": 1.7}),
    (
        "WSDLRScheduler",
        {"t_initial": 70, "decay_t": 30, "stable_fn": "power", "stable_power": 0.7, "warmup_t": 10, "lr_min": 0.02},
    ),
    ("PolyLRScheduler", {"t_initial": 50, "lr_min": 0.05}),
    ("none", {}),
    # beginnings, ends and orders that are easily taken for granted
    ("TanhLRScheduler", {"t_initial": 10, "lb": -1.0, "ub": 3.0}),
    ("TanhLRScheduler", {"t_initial": 10, "lb": -1.0, "ub": 3.0, "warmup_t": 3, "warmup_lr_init": 0.01}),
    ("TanhLRScheduler", {"t_initial": 5, "lb": 0.0, "lr_min": 0.05, "cycle_limit": 3, "cycle_decay": 0.5}),
    ("TanhLRScheduler", {"t_initial": 10, "lr_min": 0.01, "cycle_limit": 0}),
    ("CosineLRScheduler", {"t_initial": 10, "lr_min": 0.01, "cycle_limit": 0, "warmup_t": 3}),
    ("PolyLRScheduler", {"t_initial": 10, "lr_min": 0.01, "cycle_limit": 0}),
    ("CosineLRScheduler", {"t_initial": 1, "cycle_mul": 3.0, "cycle_limit": 6, "cycle_decay": 0.5}),
    ("StepLRScheduler", {"decay_t": 2.2, "decay_rate": 0.97}),
    ("StepLRScheduler", {"decay_t": 2.4, "decay_rate": 0.97, "warmup_t": 3, "warmup_lr_init": 1e-6}),
    ("StepLRScheduler", {"decay_t": 30.3, "decay_rate": 0.0}),
    ("MultiStepLRScheduler", {"decay_t": [0, 5], "decay_rate": 0.5}),
    ("MultiStepLRScheduler", {"decay_t": [1, 5], "decay_rate": 0.5}),
    ("MultiStepLRScheduler", {"decay_t": [9, 3], "decay_rate": 0.5}),
    ("MultiStepLRScheduler", {"decay_t": [2.5, 7.5], "decay_rate": 0.5, "warmup_t": 3, "warmup_prefix": False}),
    ("WSDLRScheduler", {"t_initial": 50, "decay_t": 20, "lr_min": 0.05}),
    ("WSDLRScheduler", {"t_initial": 50, "decay_t": 20, "lr_min": 0.05, "stable_fn": "rsqrt", "stable_timescale": 5}),
]
SCALED = [
    ("CosineLRScheduler", {"t_initial": 10}),
    ("TanhLRScheduler", {"t_initial": 10, "lb": -1.0, "warmup_t": 3, "warmup_lr_init": 0.01, "t_in_epochs": False}),
    ("MultiStepLRScheduler", {"decay_t": [1, 5], "decay_rate": 0.5}),
]
NOISY = [
    ("cosine", {"num_epochs": 80, "noise": 0.5}),
    ("cosine", {"num_epochs": 80, "noise": 0.0}),
    ("tanh", {"num_epochs": 80, "noise": [0.0, 0.5], **WARM, "warmup_prefix": True}),
    ("step", {"num_epochs": 100, "noise": [0.3, 0.6], "noise_pct": 0.3, "noise_std": 0.5, "noise_seed": 7}),
]


def drawn(dice):
    """Arguments at random."""
    warm = {"warmup_epochs": dice.choice([0, dice.randint(1, 15)]), "warmup_lr": dice.uniform(0.0, 1e-3)}
    warm["warmup_prefix"] = dice.random() < 0.5
    cycles = {
        "num_epochs": dice.randint(20, 60),
        "min_lr": dice.choice([0.0, dice.uniform(1e-5, 1e-3)]),
        "cycle_mul": dice.choice([1.0, 2.0]),
        "cycle_decay": dice.uniform(0.1, 1.0),
        "cycle_limit": dice.randint(1, 3),
    }
    bent = {"k_decay": dice.uniform(0.5, 2.0)}
    return [
        ("cosine", warm | cycles | bent),
        ("tanh", warm | cycles),
        ("poly", warm | cycles | bent | {"decay_rate": dice.uniform(0.3, 3.0)}),
        ("step", warm | {"decay_epochs": dice.randint(1, 50), "decay_rate": dice.uniform(0.1, 1.0)}),
        ("multistep", warm | {"decay_milestones": sorted(dice.sample(range(1, 200), 4))}),
        ("wsd", warm | {"num_epochs": 90, "decay_epochs": dice.randint(10, 70), "min_lr": dice.uniform(0.0, 0.01)}),
    ]


def plain(value):
    """Whether JSON can hold it."""
    return isinstance(value, (int, float, str, type(None))) or (
        isinstance(value, (list, tuple)) and all(map(plain, value))
    )


def case(name, arguments, scales=()):
    """Its rates, and the live scheduler's class and attributes; with timm's `lr_scale` in the groups."""
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in RATES]
    for group, scale in zip(groups, scales, strict=False):
        group |= {"lr": RATES[0], "lr_scale": scale}
    optimizer = torch.optim.SGD(groups, lr=1.0)
    if hasattr(timm, name):
        scheduler = getattr(timm, name)(optimizer, **arguments)
    else:
        scheduler, _ = timm.create_scheduler_v2(optimizer, name, **arguments)
    made = {"name": name, "arguments": arguments}
    if scheduler is None:
        return made | {"values": [RATES for _ in STEPS]}
    made |= {"class": type(scheduler).__name__, "attributes": {k: v for k, v in vars(scheduler).items() if plain(v)}}
    found = []
    for step in STEPS:
        if step == 0:
            found.append([group["lr"] for group in optimizer.param_groups])
            continue
        (scheduler.step if scheduler.t_in_epochs else scheduler.step_update)(step)
        found.append([group["lr"] for group in optimizer.param_groups])
    return made | {"values": found} | ({"scales": scales} if scales else {})


dice = random.Random(0)


def cases(given):
    return [case(name, arguments) for name, arguments in given]


made = cases([*FIXED, *(case for _ in range(6) for case in drawn(dice))])
scaled = [case(name, arguments, [0.5, 0.25]) for name, arguments in SCALED]
found = {"timm": "1.0.31", "steps": STEPS, "rates": RATES, "cases": made, "noisy": cases(NOISY), "scaled": scaled}
Path(__file__).with_name("convert_timm.json").write_text(json.dumps(found) + "\n")
