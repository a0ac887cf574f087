"""A run that is stopped and goes on, and one that goes on at another rate: torch as its tutorial has it, and ours."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import lr_scheduler as torchs

import tapered
from tapered.checkpoint import fork, release, resume, save

STEPS, STOP, BATCH = 40, 13, 8  # stopped in the middle of an epoch of 8 steps
RATE = tapered.exponential_decay(0.01, 1, 0.95)


@dataclass
class Run:
    """A perceptron with dropout over shuffled data; one epoch's order is drawn when the one before is used up."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: Any
    order: torch.Tensor
    place: int = 0

    def train(self, steps: int) -> None:
        data = torch.randn(64, 4, generator=torch.Generator().manual_seed(7))
        for _ in range(steps):
            if self.place == 0:
                self.order.copy_(torch.randperm(len(data)))
            rows = data[self.order[self.place : self.place + BATCH]]
            self.place = (self.place + BATCH) % len(data)
            self.optimizer.zero_grad()
            (self.model(rows[:, :3]).squeeze(1) - rows[:, 3]).square().mean().backward()
            self.optimizer.step()
            if self.scheduler is not None:
                self.scheduler.step()

    def weights(self) -> torch.Tensor:
        return torch.cat([p.detach().flatten() for p in self.model.parameters()])


def made(seed: int, kind: Callable[..., torch.optim.Optimizer], lr: Any) -> Run:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 1))
    return Run(model, kind(model.parameters(), lr=lr), None, torch.zeros(64, dtype=torch.int64))


def torchs_run(seed: int) -> Run:
    run = made(seed, torch.optim.Adam, 0.01)
    run.scheduler = torchs.ExponentialLR(run.optimizer, 0.95)
    return run


def our_run(seed: int) -> Run:
    return made(seed, tapered.Adam, RATE)


def torch_difference(*, generators: bool) -> float:
    """Largest difference of a weight after model, optimizer and scheduler are loaded as the tutorial says."""
    whole = torchs_run(0)
    whole.train(STEPS)
    first = torchs_run(0)
    first.train(STOP)
    parts = ("model", "optimizer", "scheduler")
    saved = {name: getattr(first, name).state_dict() for name in parts}
    drawn = torch.get_rng_state()
    second = torchs_run(1)
    for name in parts:
        getattr(second, name).load_state_dict(saved[name])
    if generators:
        torch.set_rng_state(drawn)
        second.order, second.place = first.order, first.place  # the user's own bookkeeping
    second.train(STEPS - STOP)
    return (whole.weights() - second.weights()).abs().max().item()


def our_difference() -> float:
    """The same through `save` and `resume`."""
    whole = our_run(0)
    whole.train(STEPS)
    first = our_run(0)
    first.train(STOP)
    with tempfile.TemporaryDirectory() as folder:
        save(folder, STOP, model=first.model, optimizer=first.optimizer, order=first.order, place=first.place)
        release(folder)
        second = our_run(1)
        found = resume(folder, model=second.model, optimizer=second.optimizer, order=second.order)
        second.place = found.values["place"]
        second.train(STEPS - STOP)
        release(folder)
    return (whole.weights() - second.weights()).abs().max().item()


def used(optimizer: torch.optim.Optimizer, weight: torch.Tensor) -> float:
    """The rate of Adam's next update, read off a weight under a gradient that is always 1."""
    before = weight.item()
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    return before - weight.item()


def trained(kind: Callable[..., torch.optim.Optimizer], lr: float) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Module()
    model.weight = nn.Parameter(torch.zeros((), dtype=torch.float64))
    optimizer = kind(model.parameters(), lr=lr)
    return model, optimizer


def torch_forked(old: float, new: float) -> float:
    """The rate in force after a run at `old` is loaded into an optimizer made with `new`."""
    model, first = trained(torch.optim.Adam, old)
    for _ in range(3):
        used(first, model.weight)
    model, second = trained(torch.optim.Adam, new)
    second.load_state_dict(first.state_dict())
    return used(second, model.weight)


def our_forked(old: float, new: float) -> tuple[float, bool]:
    """The same by `fork`, and whether the lineage has the change."""
    model, first = trained(tapered.Adam, old)
    for _ in range(3):
        used(first, model.weight)
    with tempfile.TemporaryDirectory() as folder:
        parent, child = Path(folder) / "parent", Path(folder) / "child"
        save(parent, 3, model=model, optimizer=first)
        model, second = trained(tapered.Adam, old)
        forked = fork(parent, into=child, lr=new, model=model, optimizer=second)
        rate = used(second, model.weight)
        release(parent)
        release(child)
    (origin,) = forked.lineage
    return rate, (origin.step, origin.change["lr"]) == (3, repr(new))
