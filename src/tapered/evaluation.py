"""The loss and metrics of a split, the same in every mode, whatever the chunks in which its outputs come.

chunk of outputs, targets ─┬─ mean over examples, or over weights ─► summed as they come
├─ update, compute                     ─► an object for each row
└─ a function of the whole split       ─► kept, put together, called once
"""

import copy
from collections.abc import Callable, Sequence
from math import fsum
from typing import Any

import torch
from torch import Tensor

from tapered import trees
from tapered.measures import Measures, measures, scalar, together, weight_of
from tapered.memory import fitting
from tapered.workload import Workload, gather, is_object

Forward = Callable[[Any], Sequence[Any]]  # inputs -> the outputs of each row


def measured(
    workload: Workload, split: str, forward: Forward, rows: int, places: Tensor | None = None
) -> list[dict[str, float]]:
    """The loss and every metric of some rows on a split, in chunks as large as memory allows.

    Args:
        workload: What is evaluated.
        split: On which split.
        forward: Inputs -> the outputs of each row.
        rows: How many rows.
        places: Which examples of it; None for all.
    """
    every = torch.arange(len(workload.split(split))) if places is None else places  # type: ignore[arg-type]
    found = measures(workload)

    def attempt(size: int) -> list[dict[str, float]]:
        tallies = [Tally(workload, found) for _ in range(rows)]
        for indices in torch.split(every, size):
            inputs, targets = gather(workload.split(split), indices)
            for tally, outputs in zip(tallies, forward(inputs), strict=True):
                tally.add(outputs, targets, len(indices))
        return [tally.values() for tally in tallies]

    return fitting(workload.evaluation_batch, attempt)


class Tally:
    """The loss and the metrics of one row on their way through a split."""

    def __init__(self, workload: Workload, found: Measures) -> None:
        self.workload, self.found = workload, found
        self.names = ("loss", *workload.metrics)
        self.later = [name for name in self.names if not found.summed(workload, name)]
        self.weights: list[float] = []
        self.sums: dict[str, list[float]] = {name: [] for name in ("loss", *found.each)}
        self.objects = {name: _fresh(metric) for name, metric in workload.metrics.items() if is_object(metric)}
        self.count = 0
        self.chunks: list[tuple[Any, Any]] = []

    def add(self, outputs: Any, targets: Any, count: int) -> None:
        """Take in a chunk of so many examples."""
        workload = self.workload
        self.count += count
        if self.found.mean:
            weight = weight_of(workload, targets, count)
            self.weights.append(weight)
            if weight:  # a mean over nothing is no number
                self.sums["loss"].append(weight * scalar(workload, "loss", workload.loss(outputs, targets)))
        for name in self.found.each:
            values = torch.as_tensor(workload.metrics[name](outputs, targets))
            self.sums[name].append(values.double().sum().item())
        for metric in self.objects.values():
            metric.update(outputs, targets)
        if self.later:
            self.chunks.append((outputs, targets))

    def values(self) -> dict[str, float]:
        """The number of each name."""
        later = _whole(self.workload, self.found, self.chunks, self.later) if self.later else {}
        return {name: later[name] if name in later else self._sum(name) for name in self.names}

    def _sum(self, name: str) -> float:
        if name in self.objects:
            return scalar(self.workload, name, self.objects[name].compute())
        total = fsum(self.weights) if name == "loss" else self.count
        if total == 0:
            raise ValueError(f"workload {self.workload.name!r}: the weights of a split add up to 0; expected more")
        return fsum(self.sums[name]) / total


def _fresh(metric: Any) -> Any:
    made = metric() if isinstance(metric, type) else copy.deepcopy(metric)
    if hasattr(made, "reset"):
        made.reset()
    return made


def _whole(
    workload: Workload, found: Measures, chunks: Sequence[tuple[Any, Any]], names: Sequence[str]
) -> dict[str, float]:
    """What functions of the whole split say of it."""
    lost = [name for name in names if name in found.lost and len(chunks) > 1]
    if lost:
        raise trees.TreeError(
            f"workload {workload.name!r}: {lost[0]!r} is no mean over examples and is computed from all outputs of a "
            f"split, but uses something of which the model returns one for each batch, as its own loss; compute it "
            f"from outputs with a row for each example, or, if it is a weighted mean, give the weight of a batch: "
            f"weight=lambda targets: (targets != -100).sum()"
        )
    outputs, targets = together(found, chunks)
    functions = {"loss": workload.loss, **workload.metrics}
    return {name: scalar(workload, name, functions[name](outputs, targets)) for name in names}
