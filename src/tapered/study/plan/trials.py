"""Peaks and numbers of schedules searched by an Optuna sampler, a batch of trials at a time.

    sampler ─► ask a batch for each arm ─► its runs, every seed ─► tell the means ─► ask the next batch ─► ...

Every trial has a peak of its own, by which its runs are known. Nothing of the sampler is kept: it is asked again what
it was asked, and told what was found, which gives the same trials for the same seed.
"""

from collections.abc import Iterator, Mapping, Sequence

from tapered.study.file.arms import Arm
from tapered.study.file.study import Study, Tune
from tapered.study.plan.planned import Planned
from tapered.study.plan.sampler import Axis, Search
from tapered.study.result import is_diverged, mean
from tapered.study.store.runs import Run, run_key

Cell = tuple[Arm, float | None]
Trial = Mapping[str, float]


def batches(planned: Planned, runs: Sequence[Run]) -> Iterator[tuple[Planned, list[Cell]]]:
    """The study with the trials asked so far, and the cells of the newest batch; fixed arms are in the first.

    Args:
        planned: A study that is tuned.
        runs: All finished runs; it has grown by the batch's when the next one is asked for.
    """
    study, tune = planned.study, planned.study.tune or Tune(trials=1)
    if any(arm.trials for arm in study.arms):  # the file of a search that was made: nothing is left to ask for
        yield planned, [(arm, peak) for arm in study.arms for peak in study.peaks_of(arm)]
        return
    searches = {arm.name: _search(study, tune, arm) for arm in study.arms if not arm.fixed}
    told: dict[str, list[float]] = {name: [] for name in searches}
    cells: list[Cell] = [(arm, None) for arm in study.arms if arm.fixed]
    for begin in range(0, tune.trials, tune.batch):
        count = min(tune.batch, tune.trials - begin)
        arms = tuple(arm if arm.fixed else _with_more(arm, searches[arm.name].ask(count)) for arm in study.arms)
        study = study.model_copy(update={"arms": arms})
        new = {arm.name: arm.trials[begin:] for arm in arms if not arm.fixed}
        cells += [(arm, trial["peak"]) for arm in arms for trial in new.get(arm.name, ())]
        yield planned.having(study), cells
        for name, search in searches.items():
            scores = [_score(study, [r for r in runs if (r.arm, r.peak) == (name, t["peak"])]) for t in new[name]]
            told[name] += [score for score in scores if score is not None]
            # a trial with diverged runs counts as the worst: a sampler can do nothing with infinity
            search.tell([max(told[name], default=0.0) if score is None else score for score in scores])
        cells = []


def _search(study: Study, tune: Tune, arm: Arm) -> Search:
    grid = study.grid_of(arm)
    axes = {"peak": Axis(grid.low, grid.high, log=True, points=grid.values)}
    axes |= {
        name: Axis(found.low, found.high, found.log, found.values, found.whole) for name, found in arm.space.items()
    }
    return Search(axes, tune.sampler, int(run_key({"arm": arm.name, "seed": tune.seed})[:7], 16))


def _with_more(arm: Arm, asked: Sequence[Trial]) -> Arm:
    """The arm with more trials, their numbers rounded to 6 digits, each with a peak that no other has."""
    trials = list(arm.trials)
    for values in asked:
        trial = {name: float(f"{value:.6g}") for name, value in values.items()}
        while any(trial["peak"] == other["peak"] for other in trials):
            trial["peak"] = float(f"{trial['peak'] * 1.00001:.6g}")
        trials.append(trial)
    return arm.model_copy(update={"trials": tuple(trials)})


def _score(study: Study, runs: Sequence[Run]) -> float | None:
    """The mean of the metric over seeds, lower is better; None where a run diverged."""
    found = None if any(is_diverged(run) for run in runs) else mean([run.value for run in runs])
    return found if found is None or study.direction == "minimize" else -found
