"""Items as the run of a seed has them: what a dataset draws is a function of seed and step, in every mode.

In training the items of a minibatch draw one after another, and the model after them, from the step's one seed. In
evaluation every item has a seed of its own, so that neither its neighbours nor the size of a chunk change it.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from tapered.draws import Standing, kept, reseed
from tapered.training import trees
from tapered.training.workload import Workload

Run = tuple[int, int]  # seed and step
Batch = tuple[Any, Any]


def minibatches(workload: Workload, seeds: Sequence[int], step: int, indices: Tensor) -> Batch:
    """The minibatches of several seeds at a step, one after another, each with the draws of its run alone.

    Args:
        workload: Whose training split.
        seeds: The runs' seeds.
        step: Their step.
        indices: int64, shape (seeds, batch).
    """
    items: list[Any] = []
    with kept():
        for seed, mine in zip(seeds, indices.tolist(), strict=True):
            reseed(seed, "step", step)
            items += [workload.train[i] for i in mine]
    return workload.paired(workload.collate(items))


def evaluated(workload: Workload, split: str, indices: Tensor, runs: Sequence[Run]) -> tuple[Batch, bool]:
    """Items of a split for the evaluation of runs.

    Returns:
        One batch and False where all runs have the same items; where the items are drawn, the batches of the runs
        stacked along a first axis, and True.
    """
    if workload.is_whole(split):
        return workload.fetch(split, indices), False
    with kept():
        if len(runs) > 1:
            before = Standing.now()
            batch = workload.fetch(split, indices)
            if before.drawn() is None:  # so that no other seed could have given others
                return batch, False
        known = {run: _drawn(workload, split, indices, *run) for run in dict.fromkeys(runs)}
    if len(runs) == 1:
        return known[runs[0]], False
    inputs, targets = zip(*(known[run] for run in runs), strict=True)
    return (trees.stacked(inputs), trees.stacked(targets)), True


def _drawn(workload: Workload, split: str, indices: Tensor, seed: int, step: int) -> Batch:
    """The items of one run, each under its own seed."""
    dataset, items = workload.split(split), []
    for i in indices.tolist():
        reseed(seed, f"{split}/{i}", step)
        items.append(dataset[i])
    return workload.paired(workload.collate(items))


def purpose(whose: str, indices: Tensor) -> str:
    """What a metric by its name, or the model under no name, draws for over a chunk of a split."""
    first = int(indices[0])
    return " ".join(["evaluate", *([whose] if whose else []), *([str(first)] if first else [])])
