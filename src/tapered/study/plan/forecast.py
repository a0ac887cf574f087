"""What a study will take, before it is run: steps asked and to run, memory, an estimate of time, how, and why."""

import time
from dataclasses import dataclass

from tapered.rules import Rule
from tapered.study.file.study import Study
from tapered.study.plan.cost import cost_of
from tapered.study.plan.forest import Forest
from tapered.study.plan.mode import bundle_rows, timed_mode
from tapered.study.plan.planned import Planned
from tapered.study.plan.rounds import rounds
from tapered.study.plan.workers import spared, starting, worth
from tapered.study.result import Cost
from tapered.training.advance import evaluated
from tapered.training.capacity import row_bytes
from tapered.training.matched import Matched, matched
from tapered.training.modes import Timed
from tapered.training.rows import start
from tapered.training.threads import threads
from tapered.words import counted


@dataclass(frozen=True)
class Forecast:
    """A study before it is run.

    Args:
        runs: Runs asked.
        trees: Trees of segments that they become.
        bundles: Sets of whole trees that are trained together.
        cost: Steps asked and to run, the modes and their reasons.
        memory: Bytes of the largest bundle, as estimated.
        seconds: All training and evaluation on this machine, from the timing of a few steps.
        workers: How many processes train.
        asked: How many may.
        alone: Seconds that one takes.
        groups: Which parameters are in which group; empty where there are none.
        follow: The arms whose rate follows what runs tell, of which only training tells how long they share steps.
        least: Updates to run where they always share; those of ``cost`` where they never do once they may decide.
    """

    runs: int
    trees: int
    bundles: int
    cost: Cost
    memory: int
    seconds: float
    workers: int = 1
    asked: int = 1
    alone: float = 0.0
    groups: tuple[Matched, ...] = ()
    follow: tuple[str, ...] = ()
    least: int = 0


def forecast(planned: Planned, workers: int = 1) -> Forecast:
    """Plan a study's first round and time a few of its steps; nothing is kept.

    Args:
        planned: The study.
        workers: How many processes of this machine may train it.

    Raises:
        RuntimeError: Whatever its model, loss or data raise.
    """
    forest = next(rounds(planned, dict)).forest
    with threads(planned.study.threads):
        found = {rule: timed_mode(forest, rule, workers) for rule in forest.rules}
        seconds = sum(_seconds(forest, rule, timed) for rule, timed in found.items())
        bundles = [
            (rule, bundle)
            for rule, timed in found.items()
            for bundle in forest.bundles(rule, bundle_rows(forest, rule, timed.mode, workers))
        ]
        bytes_of = {rule: row_bytes(forest.workload, rule) for rule in forest.rules}
    first = starting(planned)
    used = min(workers, len(bundles)) if worth([seconds], workers, first) else 1
    return Forecast(
        runs=len(forest.tasks),
        trees=len(forest.plan.trees),
        bundles=len(bundles),
        cost=cost_of([forest], {repr(rule): timed.mode for rule, timed in found.items()}),
        memory=max(bytes_of[rule] * len(bundle.keys) for rule, bundle in bundles),
        seconds=seconds - (spared(seconds, used, first) if used > 1 else 0.0),
        workers=used,
        asked=workers,
        alone=seconds,
        groups=matched(forest.workload),
        follow=tuple(dict.fromkeys(task.run.arm for task in forest.tasks if task.follows is not None)),
        least=forest.least,
    )


def may_add(study: Study) -> list[str]:
    """What later rounds may add to the runs of the first, or take from them, a sentence each."""
    tuned, found = sum(not arm.fixed for arm in study.arms), []
    if study.tune is not None and study.tune.trials > study.tune.batch:
        left = tuned * study.seeds * (study.tune.trials - study.tune.batch)
        found.append(f"This is the first of several batches: {counted(left, 'run')} follow, as the sampler asks.")
    if study.prune is not None:
        found.append("Pruning leaves some of these runs before their end.")
    if study.most_added:
        each = counted(tuned * study.seeds, "run")
        found.append(
            f"The grid may be extended by up to {counted(study.most_added, 'peak')}, {each} each, until every best "
            f"peak is inside."
        )
    if study.fresh_seeds:
        fresh = counted(len(study.fresh_seeds), "fresh seed")
        found.append(
            f"At the end {fresh} of each tuned arm's best peak: {counted(tuned * len(study.fresh_seeds), 'run')}."
        )
    return found


def _seconds(forest: Forest, rule: Rule, timed: Timed) -> float:
    """Steps and evaluations of a rule, at the pace of a few."""
    seeds = [task.run.seed for task in forest.tasks if task.rule == rule]
    rows = start(forest.workload, rule, seeds[: timed.mode.width])
    begin = time.perf_counter()
    evaluated(forest.workload, rows, mode=timed.mode)
    evaluation = (time.perf_counter() - begin) / len(rows)
    return timed.seconds * forest.steps(rule) + evaluation * len(seeds) * len(forest.marks)
