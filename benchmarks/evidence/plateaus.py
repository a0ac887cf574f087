"""Rules that follow a loss, on live optimizers, killed at every step, resumed in either order, beside their own.

`python benchmarks/evidence/plateaus.py [sequences]`: for the rules of torch, Keras and Transformers so many sequences
of 25 random losses. After each loss all is thrown away but the state, and made again: tapered's optimizer, and a
clock whose state is loaded before the optimizer's, after it, or only within it. Prints how many rates were compared.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "schedules"))
import test_plateaus as cases  # the oracles and the sequences
from torch.optim.lr_scheduler import ReduceLROnPlateau
from transformers.optimization import GreedyLR

import tapered
from tapered.attach import attach
from tapered.convert import from_keras
from tapered.schedules import Controller, greedy, plateau

RATE = 0.1


def made(rule: Controller, order: int) -> tuple[Any, Any]:
    """New objects: tapered's optimizer, or torch's; a clock comes with torch's unless it is attached after the load."""
    weight = torch.nn.Parameter(torch.zeros(1))
    if order == 0:
        optimizer = tapered.SGD([weight], lr=RATE * rule)
        return optimizer, optimizer
    optimizer = torch.optim.SGD([weight], lr=RATE)
    return optimizer, None if order == 3 else attach(optimizer, lr=RATE * rule)


def killed(rule: Controller, values: list[float], order: int) -> Iterator[list[float]]:
    """The rates that are shown after each loss, in new objects."""
    optimizer, told = made(rule, order)
    told = told or attach(optimizer, lr=RATE * rule)
    for value in values:
        optimizer.param_groups[0]["params"][0].grad = torch.ones(1)
        optimizer.step()
        told.observe(value)
        whole, apart = optimizer.state_dict(), told.state_dict()
        optimizer, told = made(rule, order)
        if order == 1:
            told.load_state_dict(apart)
        optimizer.load_state_dict(whole)
        if order == 2:
            told.load_state_dict(apart)
        told = told or attach(optimizer, lr=RATE * rule)
        yield [float(optimizer.param_groups[0]["lr"])]


def drawn(kind: str, draw: np.random.Generator) -> tuple[Controller, Iterator[list[float]], list[float]]:
    """A rule, what its framework makes of some losses, and the losses."""
    given, values = cases.shared(draw) | {"factor": 0.5}, cases.losses(draw)
    if kind == "Keras":
        config = {key: given[key] for key in ("mode", "patience", "cooldown", "factor")} | {
            "min_delta": 0.1,
            "min_lr": 0.02,
        }
        rule = from_keras({"class_name": "ReduceLROnPlateau", "config": config}).controller
        return rule, cases.keras(config, RATE, values), values
    if kind == "torch":
        return plateau(**given), cases.theirs(ReduceLROnPlateau(cases.on_groups((RATE,)), **given), values), values
    given |= {"smooth": bool(draw.random() < 0.3), "window_size": 3, "reset_start": 2, "min_lr": 0.02}
    values = [value if np.isfinite(value) else 0.0 for value in values] if given["smooth"] else values
    return greedy(**given), cases.theirs(GreedyLR(cases.on_groups((RATE,)), **given), values), values


if __name__ == "__main__":
    torch.set_num_threads(1)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for kind in ("torch", "Keras", "Transformers"):
        start, moved, compared = time.perf_counter(), 0, 0
        for seed in range(count):
            rule, others, values = drawn(kind, np.random.default_rng(seed))
            theirs = list(others)
            if list(killed(rule, values, seed % 4)) != theirs:
                raise SystemExit(f"{kind}: sequence {seed} differs")
            moved, compared = moved + len({rate for (rate,) in theirs}) - 1, compared + len(theirs)
        seconds = time.perf_counter() - start
        print(f"{kind}: {count} sequences, {compared} rates equal, {moved} of them new; {seconds:.0f} s")
