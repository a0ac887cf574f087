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

from tapered.draws import kept, reseed
from tapered.training import items, trees
from tapered.training.devices import CPU
from tapered.training.given import is_object
from tapered.training.items import Run
from tapered.training.measures import Measures, measures, numbers, scalar, together, weight_of
from tapered.training.memory import fitting
from tapered.training.objective import functions, shown, weighed
from tapered.training.workload import Workload

Forward = Callable[[Any, Tensor, bool], Sequence[Any]]


def measured(
    workload: Workload, split: str, forward: Forward, runs: Sequence[Run], count: int, places: Tensor | None = None
) -> list[dict[str, float]]:
    """The loss and every metric of some rows on a split, in chunks as large as memory allows.

    Args:
        workload: What is evaluated.
        split: On which split.
        forward: Inputs, where in the split they are, and whether each row has its own -> the outputs of each row.
        runs: Seed and step of each row.
        count: How many of them are measured; the others are padding.
        places: Which examples of the split; None for all.
    """
    every = torch.arange(len(workload.split(split))) if places is None else places  # type: ignore[arg-type]
    found = measures(workload)

    def attempt(size: int) -> list[dict[str, float]]:
        tallies = [Tally(workload, found, run) for run in runs[:count]]
        for indices in torch.split(every, size):
            (inputs, targets), drawn = items.evaluated(workload, split, indices, runs)
            outputs, first = forward(inputs, indices, drawn), int(indices[0])
            for row, tally in enumerate(tallies):
                mine = [trees.row(part, row) if drawn else part for part in (inputs, targets)]
                tally.add(outputs[row], mine[1], weighed(workload, *mine), first, len(indices))
        return [tally.values() for tally in tallies]

    with kept():
        return fitting(workload.evaluation_batch, attempt)


class Tally:
    """The loss and the metrics of one row on their way through a split.

    What a loss or metric draws follows the run's seed and step, its own name and the chunk.
    """

    def __init__(self, workload: Workload, found: Measures, run: Run) -> None:
        self.seed, self.step = run
        self.workload, self.found = workload, found
        self.functions = functions(workload)
        self.names = tuple(self.functions)
        self.later = [name for name in self.names if not found.summed(workload, name)]
        self.weights: list[float] = []
        self.sums: dict[str, list[float]] = {name: [] for name in (*found.means, *found.each)}
        self.objects = {
            name: _fresh(metric, workload.recipe.place)
            for name, metric in workload.metrics.items()
            if is_object(metric)
        }
        self.count = 0
        self.chunks: list[tuple[Any, Any]] = []

    def add(self, outputs: Any, targets: Any, weighed: Any, first: int, count: int) -> None:
        """Take in the chunk of so many examples that begins there, and what it is weighed by."""
        workload = self.workload
        weight = weight_of(workload, weighed, count) if any(self.found.means.values()) else 0.0
        self.weights.append(weight)
        for name, by_weight in self.found.means.items():
            share = weight if by_weight else count
            if share:  # a mean over nothing is no number
                self._reseed(name, first)
                self.sums[name].append(share * scalar(workload, name, self.functions[name](outputs, targets)))
        for name in self.found.each:
            self._reseed(name, first)
            values = numbers(self.functions[name](outputs, targets))
            self.sums[name].append(values.cpu().double().sum().item())
        for name, metric in self.objects.items():
            self._reseed(name, first)
            metric.update(*shown(outputs, targets))
        self.count += count
        if self.later:
            self.chunks.append((outputs, targets))

    def _reseed(self, name: str, first: int) -> None:
        reseed(self.seed, items.purpose(name, first), self.step)

    def values(self) -> dict[str, float]:
        """The number of each name."""
        later = self._whole() if self.later else {}
        return {name: later[name] if name in later else self._sum(name) for name in self.names}

    def _whole(self) -> dict[str, float]:
        """What functions of the whole split say of it."""
        workload, found = self.workload, self.found
        lost = [name for name in self.later if name in found.lost and len(self.chunks) > 1]
        if lost:
            raise trees.TreeError(
                f"workload {workload.name!r}: {lost[0]!r} is no mean over examples and is computed from all outputs of "
                f"a split, but uses something of which the model returns one for each batch, as its own loss; compute "
                f"it from outputs with a row for each example, or, if it is a weighted mean, give the weight of a "
                f"batch: weight=lambda {'targets: (targets' if workload.objective is None else 'batch: (batch[1]'} "
                f"!= -100).sum(); or evaluate the split as one batch: "
                f"eval_batch_size={self.count}"
            )
        outputs, targets = together(found, self.chunks)
        values = {}
        for name in self.later:
            self._reseed(name, 0)
            values[name] = scalar(workload, name, self.functions[name](outputs, targets), self.count)
        return values

    def _sum(self, name: str) -> float:
        if name in self.objects:
            return scalar(self.workload, name, self.objects[name].compute(), self.count)
        total = fsum(self.weights) if self.found.means.get(name) else self.count
        if total == 0:
            raise ValueError(f"workload {self.workload.name!r}: the weights of a split add up to 0; expected more")
        return fsum(self.sums[name]) / total


def _fresh(metric: Any, place: torch.device) -> Any:
    made = metric() if isinstance(metric, type) else copy.deepcopy(metric)
    if hasattr(made, "reset"):
        made.reset()
    return made.to(place) if place != CPU and hasattr(made, "to") else made
