"""A sample of a study's runs trained again from scratch, each by itself, and compared bit by bit.

Evaluations are compared as well: those on the way with the ones that are kept, and the last with an ordinary loop's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan

import torch

from tapered.rules import Rule
from tapered.study.file.script import Scripted
from tapered.study.plan.forest import Forest
from tapered.study.plan.planned import Planned
from tapered.study.plan.rounds import finished_rounds
from tapered.study.plan.tasks import Task
from tapered.study.result.witnessed import Again
from tapered.study.store.folder import Store
from tapered.study.store.runs import Branch, Run
from tapered.study.store.text import rows_to_tensors
from tapered.training.advance import LOOP, Mode, advance, evaluated
from tapered.training.crew import crew
from tapered.training.devices import CPU
from tapered.training.modes import TOLERANCE, off
from tapered.training.precision import tolerance
from tapered.training.rows import Rows, start
from tapered.training.threads import threads

SAMPLE = 8


@dataclass(frozen=True)
class Verified:
    """A sample of runs, trained again from scratch, each by itself in its own row.

    Args:
        runs: How many.
        of: Out of how many that were not pruned.
        difference: The largest |difference| over parameters, buffers and rule state; infinite where one diverged at
            another step.
        evaluations: The largest |difference| over losses and metrics at every evaluation.
        from_loop: The largest difference of a last evaluation from that of the same weights in an ordinary loop, as a
            share of it; rounding makes about 1e-6.
        tolerance: How large that may be.

    Example:
        >>> Verified(runs=8, of=280, difference=0.0).same, Verified(runs=8, of=280, difference=1e-7).same
        (True, False)
    """

    runs: int
    of: int
    difference: float
    evaluations: float = 0.0
    from_loop: float = 0.0
    tolerance: float = TOLERANCE

    @property
    def same(self) -> bool:
        """Whether every bit came out again, and evaluations are the loop's but for rounding."""
        return self.difference == self.evaluations == 0 and self.from_loop <= self.tolerance


def verify(planned: Planned, store: Store, runs: Sequence[Run], sample: int = SAMPLE) -> Verified | Again:
    """Train an even sample of finished runs again, each from step 0 in a row of its own, and compare the ends.

    Of a script one run is started again, which takes as long as it did.

    Args:
        planned: The study.
        store: Its open store.
        runs: Its finished runs.
        sample: How many of them are trained again, at most.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from tapered.study import open_store, plan_of, read, train_runs, verify
        >>> planned = plan_of(read("control-null", seeds=1, steps=4))
        >>> with open_store(planned, Path(tempfile.mkdtemp(), "mine")) as store:
        ...     found = verify(planned, store, train_runs(planned, store))
        >>> found.runs, found.difference, found.same
        (8, 0.0, True)
    """
    if isinstance(planned.subject, Scripted):
        from tapered.study.script.verify import again  # noqa: PLC0415 - Linux and macOS alone can start scripts

        return again(planned, planned.subject, store, runs)
    rounds, _ = finished_rounds(planned, {run.key: run for run in runs})
    tasks = tuple(task for round_ in rounds for task in round_.forest.tasks)
    forest = replace(rounds[0].forest, tasks=tasks, shared=False)
    whole = [run for run in runs if run.pruned is None]
    chosen = [whole[i * len(whole) // sample] for i in range(sample)] if len(whole) > sample else whole
    with threads(planned.study.threads), crew(planned.workload):
        found = [_differences(forest, store, rule, chosen) for rule in forest.rules]
    states, evaluations, looped = map(max, zip(*found, strict=True))
    within = tolerance(forest.workload.recipe, TOLERANCE)
    return Verified(len(chosen), len(whole), states, evaluations, looped, within)


def ends(forest: Forest, store: Store, runs: Sequence[Run]) -> Iterator[tuple[list[Branch], Rows]]:
    """The end states of runs, a bundle at a time; those that diverged or were pruned have none."""
    wanted = {run.key for run in runs}
    for bundle in store.bundles():
        places = [i for i, branch in enumerate(bundle.live) if not wanted.isdisjoint(branch.keys)]
        if places:
            yield [bundle.live[i] for i in places], store.rows(bundle, forest.rule(bundle)).take(places)


def _differences(forest: Forest, store: Store, rule: Rule, runs: Sequence[Run]) -> tuple[float, float, float]:
    """Of states, of evaluations, of the last evaluation from the loop's."""
    mine = [(task, run) for run in runs if (task := forest.tasks[forest.place[run.key]]).rule == rule]
    if not mine:
        return 0.0, 0.0, 0.0
    mode = store.modes[repr(rule)]
    # numbers do not depend on the width, but on a device; a graph would be compiled anew
    if mode.kind == "rows" and forest.workload.recipe.place == CPU:
        mode = replace(mode, width=-(-len(mine) // 8) * 8)
    curves = [dict(run.curve) for _, run in mine]
    rows, again = _again(forest, rule, [task for task, _ in mine], mode)
    apart = max(_told_apart(task, run, other) for (task, run), other in zip(mine, again, strict=True))
    if rows.diverged != tuple(run.diverged for _, run in mine):
        return float("inf"), apart, 0.0
    places = {run.key: i for i, (_, run) in enumerate(mine)}
    states = max(
        (
            _distance(kept.take([i]), rows.take([places[key]]))
            for branches, kept in ends(forest, store, [run for _, run in mine])
            for i, branch in enumerate(branches)
            for key in branch.keys
            if key in places
        ),
        default=0.0,
    )
    return states, apart, _from_loop(forest, rows, curves)


def _again(forest: Forest, rule: Rule, tasks: Sequence[Task], mode: Mode) -> tuple[Rows, list[Run]]:
    """Each of these from step 0 in a row of its own, and what it tells; its rate follows what is told this time."""
    runs, rows = [task.run for task in tasks], start(forest.workload, rule, [task.run.seed for task in tasks])
    heard = {step for task in tasks if task.follows for step in task.follows.hears(forest.marks)}
    for step in sorted({*forest.marks, *heard}):
        rows = advance(forest.workload, rows, [task.path for task in tasks], step, mode=mode)
        points = evaluated(forest.workload, rows, mode=mode) if step in forest.marks else []
        for i, run in enumerate(runs):
            if rows.diverged[i] is None:
                curve = (*run.curve, (step, points[i])) if points else run.curve
                runs[i] = replace(run, curve=curve, told=(*run.told, (step, rows.latest[i])))
        tasks = [task.after(run, forest.marks) for task, run in zip(tasks, runs, strict=True)]
    return rows, runs


def _told_apart(task: Task, run: Run, again: Run) -> float:
    """How far apart what a run told is from what it told again: at evaluations, and what its rate follows."""
    curve = dict(run.curve)
    gaps = [_gap(point, curve.get(step, {})) for step, point in again.curve]
    if task.follows is not None:
        mine, theirs = ({str(step): value for step, value in task.follows.told(one)} for one in (run, again))
        gaps.append(_gap(mine, theirs))
    return max(gaps, default=0.0)


def _from_loop(forest: Forest, rows: Rows, curves: Sequence[Mapping[int, Mapping[str, float]]]) -> float:
    """How far the last evaluations that were kept are from an ordinary loop's, as a share of them."""
    whole = [i for i, diverged in enumerate(rows.diverged) if diverged is None]
    points = evaluated(forest.workload, rows.take(whole), mode=LOOP) if whole else []
    kept = [curves[i].get(forest.marks[-1], {}) for i in whole]
    return max(
        (off(mine[name], point[name]) for mine, point in zip(kept, points, strict=True) for name in mine), default=0.0
    )


def _gap(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """The largest difference of two evaluations; infinite where they are not of the same names."""
    if a.keys() != b.keys():
        return float("inf")
    gaps = [abs(a[name] - b[name]) for name in a if not (a[name] == b[name] or (isnan(a[name]) and isnan(b[name])))]
    return max((float("inf") if isnan(gap) else gap for gap in gaps), default=0.0)


def _distance(a: Rows, b: Rows) -> float:
    left, right = rows_to_tensors(a), rows_to_tensors(b)
    pairs = [(left[name], right[name]) for name in left if left[name].numel()]
    if any(x.shape != y.shape for x, y in pairs):
        return float("inf")
    gaps = [0.0 if torch.equal(x, y) else (x.double() - y.double()).abs().max().item() for x, y in pairs]
    return max((float("inf") if isnan(gap) else gap for gap in gaps), default=0.0)
