"""A sample of a study's runs trained again from scratch, each by itself, and compared bit by bit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isnan

import torch

from tapered.forest import Forest
from tapered.load import Loaded
from tapered.rounds import finished_rounds
from tapered.rules import Rule
from tapered.runs import Branch, Run, rows_to_tensors
from tapered.store import Store
from tapered.tasks import threads
from tapered.train import Rows, advance, start

SAMPLE = 8


@dataclass(frozen=True)
class Verified:
    """A sample of runs, trained again from scratch, each by itself in its own row.

    Args:
        runs: How many.
        of: Out of how many that were not pruned.
        difference: The largest |difference| over parameters, buffers and rule state; infinite where one diverged at
            another step.
    """

    runs: int
    of: int
    difference: float


def verify(loaded: Loaded, store: Store, runs: Sequence[Run], sample: int = SAMPLE) -> Verified:
    """Train an even sample of finished runs again, each from step 0 in a row of its own, and compare the ends."""
    rounds, _ = finished_rounds(loaded, {run.key: run for run in runs})
    tasks = tuple(task for round_ in rounds for task in round_.forest.tasks)
    forest = replace(rounds[0].forest, tasks=tasks, shared=False)
    whole = [run for run in runs if run.pruned is None]
    chosen = [whole[i * len(whole) // sample] for i in range(sample)] if len(whole) > sample else whole
    with threads(loaded):
        differences = [_difference(forest, store, rule, chosen) for rule in forest.rules]
    return Verified(len(chosen), len(whole), max(differences))


def ends(forest: Forest, store: Store, runs: Sequence[Run]) -> Iterator[tuple[list[Branch], Rows]]:
    """The end states of runs, a bundle at a time; those that diverged or were pruned have none."""
    wanted = {run.key for run in runs}
    for bundle in store.bundles():
        places = [i for i, branch in enumerate(bundle.live) if not wanted.isdisjoint(branch.keys)]
        if places:
            yield [bundle.live[i] for i in places], store.rows(bundle, forest.rule(bundle)).take(places)


def _difference(forest: Forest, store: Store, rule: Rule, runs: Sequence[Run]) -> float:
    tasks = [forest.tasks[forest.place[run.key]] for run in runs]
    mine = [(task, run) for task, run in zip(tasks, runs, strict=True) if task.rule == rule]
    if not mine:
        return 0.0
    rows = start(forest.workload, rule, [run.seed for _, run in mine])
    mode = store.modes[repr(rule)]
    if mode.kind == "rows":  # numbers do not depend on the width; a graph would be compiled anew
        mode = replace(mode, width=-(-len(rows) // 8) * 8)
    again = advance(forest.workload, rows, [task.path for task, _ in mine], forest.marks[-1], mode=mode)
    if again.diverged != tuple(run.diverged for _, run in mine):
        return float("inf")
    places = {run.key: i for i, (_, run) in enumerate(mine)}
    return max(
        (
            _distance(rows.take([i]), again.take([places[key]]))
            for branches, rows in ends(forest, store, [run for _, run in mine])
            for i, branch in enumerate(branches)
            for key in branch.keys
            if key in places
        ),
        default=0.0,
    )


def _distance(a: Rows, b: Rows) -> float:
    left, right = rows_to_tensors(a), rows_to_tensors(b)
    pairs = [(left[name], right[name]) for name in left if left[name].numel()]
    if any(x.shape != y.shape for x, y in pairs):
        return float("inf")
    gaps = [0.0 if torch.equal(x, y) else (x.double() - y.double()).abs().max().item() for x, y in pairs]
    return max((float("inf") if isnan(gap) else gap for gap in gaps), default=0.0)
