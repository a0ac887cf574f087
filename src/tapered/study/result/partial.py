"""What is known of a study that is not finished: how far it is, and every arm at its best peak so far.

runs as they stand ─► partial ─► stages: done of how many    arms: means at peaks, of the seeds that choose them

No difference is taken and no verdict given. Runs with fresh seeds are counted only: they are looked at once, when all
of them have ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

from tapered.study.file.arms import Arm
from tapered.study.file.study import Study
from tapered.study.result.tuning import best_peak, summarise
from tapered.study.result.values import PeakResult, is_diverged
from tapered.study.store.runs import Run

GRID, TRIALS, BEYOND, FRESH = "the grid", "the trials", "peaks beyond the edges", "fresh seeds"


@dataclass(frozen=True)
class Stage:
    """A part of a study.

    Args:
        name: What its runs are for.
        done: How many of them are finished.
        of: How many there are, as far as is known.
    """

    name: str
    done: int
    of: int


@dataclass(frozen=True)
class SoFar:
    """An arm so far.

    Args:
        name: Its name.
        peaks: Those that runs say something of, lowest first.
        best: The best of them; None where none has a value.
        step: The step at which their values stand: the last where a run has ended, before that one that all have come
            to.
        done: How many of its runs that choose the peak are finished.
        begun: How many are begun.
    """

    name: str
    peaks: tuple[PeakResult, ...]
    best: PeakResult | None
    step: int
    done: int
    begun: int


@dataclass(frozen=True)
class Partial:
    """A study that is not finished.

    Args:
        study: As its file states it.
        steps: Updates that each run is to make; 0 where no run says so.
        stages: In their order.
        arms: In the order of the file.
        begun: The runs that are begun and not finished.
        choosing: The finished ones that choose the peak.
    """

    study: Study
    steps: int
    stages: tuple[Stage, ...]
    arms: tuple[SoFar, ...]
    begun: tuple[Run, ...]
    choosing: tuple[Run, ...]

    @property
    def stage(self) -> Stage | None:
        """The first that is not done; None where all are, as far as is known."""
        return next((stage for stage in self.stages if stage.done < stage.of), None)

    @property
    def done(self) -> int:
        """Runs that are finished."""
        return sum(stage.done for stage in self.stages)

    @property
    def of(self) -> int:
        """Runs that there are, as far as is known."""
        return sum(stage.of for stage in self.stages)


def partial(study: Study, runs: Sequence[Run]) -> Partial:
    """What runs say so far.

    Args:
        study: As its file states it, before its grids were extended or its trials asked for.
        runs: Every run that is begun.
    """
    mine = list({run.key: run for run in runs if not run.probe}.values())
    choosing = [run for run in mine if run.seed not in study.fresh_seeds]
    return Partial(
        study,
        max((run.steps for run in mine), default=0),
        _stages(study, mine, choosing),
        tuple(_so_far(study, arm, [run for run in choosing if run.arm == arm.name]) for arm in study.arms),
        tuple(run for run in mine if not run.finished),
        tuple(run for run in choosing if run.finished),
    )


def _stages(study: Study, mine: Sequence[Run], choosing: Sequence[Run]) -> tuple[Stage, ...]:
    """The grid or the trials; peaks beyond the grid's edges where there are some; fresh seeds where there are to be."""
    name = GRID if study.tune is None else TRIALS
    cells = {(arm.name, peak) for arm in study.arms for peak in study.peaks_of(arm)}
    beyond = [run for run in choosing if study.tune is None and (run.arm, run.peak) not in cells]
    out = {run.key for run in beyond}
    first = [run for run in choosing if run.key not in out]
    fresh = [run for run in mine if run.seed in study.fresh_seeds]
    found = [Stage(name, _done(first), sum(_cells(study, arm) for arm in study.arms) * study.seeds)]
    if beyond:
        more = len({(run.arm, run.peak) for run in beyond})
        found.append(Stage(BEYOND, _done(beyond), more * study.seeds))
    if study.fresh_seeds:
        tuned = [arm.name for arm in study.arms if not arm.fixed and not _gone(choosing, arm.name)]
        found.append(Stage(FRESH, _done(fresh), len(tuned) * len(study.fresh_seeds)))
    return tuple(found)


def _cells(study: Study, arm: Arm) -> int:
    """At how many peaks an arm is first tried."""
    searched = study.tune is not None and not arm.fixed and not arm.trials
    return study.tune.trials if study.tune is not None and searched else len(study.peaks_of(arm))


def _done(runs: Sequence[Run]) -> int:
    return sum(run.finished for run in runs)


def _gone(runs: Sequence[Run], arm: str) -> bool:
    """Whether all of an arm's runs were pruned, after which none confirms it."""
    mine = [run for run in runs if run.arm == arm]
    return bool(mine) and all(run.pruned is not None for run in mine)


def _so_far(study: Study, arm: Arm, mine: Sequence[Run]) -> SoFar:
    ended = [run for run in mine if run.finished and run.pruned is None]
    steps = max((run.steps for run in mine), default=0)
    if all(is_diverged(run) for run in ended):  # none has a value yet: those that train may
        ended, steps = _standing(mine, study.metric)
    at = sorted({run.peak for run in ended}, key=lambda peak: peak or 0.0)
    peaks = tuple(summarise(peak, [run for run in ended if run.peak == peak]) for peak in at)
    best = best_peak(peaks, study.direction) if peaks else None
    shown = best if best is not None and best.mean is not None else None
    return SoFar(arm.name, peaks, shown, steps, _done(mine), len(mine))


def _standing(mine: Sequence[Run], metric: str) -> tuple[list[Run], int]:
    """The runs that train as if they ended at the last step to which all of them have come, and those that diverged."""
    lost = [run for run in mine if run.pruned is None and run.finished]
    alive = [run for run in mine if not run.finished and run.curve and run.curve[-1][0] > 0]
    if not alive:
        return lost, 0
    step = min(run.curve[-1][0] for run in alive)
    return [*lost, *(_at(run, step, metric) for run in alive)], step


def _at(run: Run, step: int, metric: str) -> Run:
    """A run as it was at a step."""
    curve = tuple(point for point in run.curve if point[0] <= step)
    value = curve[-1][1].get(metric, float("nan")) if curve else float("nan")
    return replace(run, step=step, curve=curve, value=value if isfinite(value) else float("nan"))
