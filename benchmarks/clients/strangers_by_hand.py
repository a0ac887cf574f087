"""A stranger's problem trained as anybody writes it: torch.optim, DataLoader, clip_grad_norm_, AveragedModel, autocast.

    DataLoader ─► loss, scaled, backward ─► clip ─► optimizer.step() ─► average ─► results

Only which example comes when, and what is drawn for it, is the documented order (`Workload.batch`, `draws.seeded`).
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, update_bn
from torch.utils.data import DataLoader, Dataset

from tapered import Workload
from tapered.draws import seeded

STEPS = 24
RATES: Mapping[str, Callable[[int, float], float]] = {  # step, peak -> rate
    "cosine": lambda k, peak: peak * 0.5 * (1 + math.cos(math.pi * k / STEPS)),
    "exponential": lambda k, peak: peak * 0.9**k,
}
OPTIMIZERS = {
    "Adam": lambda params: torch.optim.Adam(params, lr=0.0),
    "AdamW": lambda params: torch.optim.AdamW(params, lr=0.0, weight_decay=0.1),
    "SGD": lambda params: torch.optim.SGD(params, lr=0.0, momentum=0.9),
}


@dataclass(frozen=True)
class Plain:
    """A problem in ordinary code, and what a step of it is made of.

    Args:
        loss: Of a model and a batch.
        results: Of a model and a split's name, the numbers of its evaluation.
        rule: A name in `OPTIMIZERS`.
        peak: The highest rate.
        stacks: Whether rows can be trained together.
        collate: A list of items as a batch; None for torch's own.
        accumulate: Minibatches of a step.
        weight: What a minibatch of them weighs.
        groups: Of a model, what its optimizer is given; a group's `share` multiplies the rate.
        clip: Shortens the gradients of parameters.
        average: Of a model, what is evaluated in its place.
        begins: The step from which on it is averaged.
        recomputed: Whether BatchNorm's statistics are made anew for it.
        precision: What `autocast` is told.
    """

    loss: Callable[[nn.Module, Any], Tensor]
    results: Callable[[nn.Module, str], dict[str, float]]
    rule: str
    peak: float
    stacks: bool
    collate: Callable[[list[Any]], Any] | None = None
    accumulate: int = 1
    weight: Callable[[Any], float | Tensor] = lambda _: 1.0
    groups: Callable[[nn.Module], list[dict[str, Any]]] = lambda model: [{"params": list(model.parameters())}]
    clip: Callable[[Iterable[Tensor]], object] = lambda _: None
    average: Callable[[nn.Module], AveragedModel] | None = None
    begins: int = 1
    recomputed: bool = False
    precision: str = "float32"


@dataclass
class Found:
    """What a run ends with."""

    weights: dict[str, Tensor]
    losses: list[float]
    results: dict[str, dict[str, float]]


class Seeded(Dataset):
    """The items of a run, each made under a seed of its own."""

    def __init__(self, items: Dataset, seed: int) -> None:
        self.items, self.seed = items, seed

    def __getitem__(self, key: tuple[int, int, int]) -> Any:
        step, place, index = key
        with seeded(self.seed, f"item/{place}", step):
            return self.items[index]


def loader(problem: Workload, plain: Plain, seed: int, steps: int) -> DataLoader:
    """The minibatches of a run's first steps."""
    keys = [
        (step, place, index) for step in range(steps) for place, index in enumerate(problem.batch(seed, step).tolist())
    ]
    size = problem.batch_size
    minibatches = [keys[at : at + size] for at in range(0, len(keys), size)]
    return DataLoader(Seeded(problem.train, seed), batch_sampler=minibatches, collate_fn=plain.collate)


def by_hand(module: ModuleType, plain: Plain, schedule: str, seed: int) -> Found:
    """A run from its first step to its results."""
    problem = module.problem
    with seeded(seed, "model"):
        model = problem.model()
    optimizer, scaler = (
        OPTIMIZERS[plain.rule](plain.groups(model)),
        torch.GradScaler("cpu", enabled=plain.precision == "float16"),
    )
    averaged = plain.average(model) if plain.average else None
    batches, losses, updates = iter(loader(problem, plain, seed, STEPS)), [], 0
    model.train()
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = group.get("share", 1.0) * RATES[schedule](updates, plain.peak)
        minibatches = list(islice(batches, plain.accumulate))
        with seeded(seed, "step", step):
            losses.append(backward(plain, model, minibatches, scaler))
        scaler.unscale_(optimizer)
        plain.clip(model.parameters())
        scale = scaler.get_scale()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        updates += scaler.get_scale() >= scale
        if averaged is not None and step + 1 >= plain.begins:
            averaged.update_parameters(model)
    if averaged is not None and plain.recomputed:
        update_bn(loader(problem, plain, seed, problem.steps_per_epoch), averaged)
    shown = (model if averaged is None else averaged.module).eval()
    with torch.no_grad():
        results = {split: plain.results(shown, split) for split in ("valid", "test")}
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return Found({name: tensor.detach() for name, tensor in tensors.items()}, losses, results)


def backward(plain: Plain, model: nn.Module, minibatches: list[Any], scaler: torch.GradScaler) -> float:
    """The gradients of a step, and its loss."""
    weights = [float(plain.weight(batch)) for batch in minibatches]
    total = 0.0
    for batch, weight in zip(minibatches, weights, strict=True):
        with torch.autocast("cpu", getattr(torch, plain.precision), enabled=plain.precision != "float32"):
            loss = weight / sum(weights) * plain.loss(model, batch)
        scaler.scale(loss).backward()
        total += loss.item()
    return total
