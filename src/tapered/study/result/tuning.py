"""An arm over its peaks: which is best, what tuning took, and what less tuning would have given."""

import inspect
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from math import inf, isclose
from typing import Literal

from tapered import optim
from tapered.stats import BestAt, Direction, best_at
from tapered.stats.trials import doublings
from tapered.study.file.arms import Arm
from tapered.study.result.asked import Asked
from tapered.study.result.values import ArmResult, Budget, PeakResult, is_diverged, mean
from tapered.study.store.runs import Run


def summarise(peak: float | None, runs: Sequence[Run]) -> PeakResult:
    """An arm's runs at one peak."""
    pruned, diverged = sum(run.pruned is not None for run in runs), sum(is_diverged(run) for run in runs)
    values = [run.value for run in runs if run.pruned is None and not is_diverged(run)]
    in_order = tuple(sorted(runs, key=lambda run: run.seed))
    low, high = min(values, default=None), max(values, default=None)
    return PeakResult(peak, in_order, mean(values), low, high, diverged, pruned)


def best_peak(peaks: Sequence[PeakResult], direction: Direction) -> PeakResult:
    """Fewest pruned runs, then fewest diverged ones, then the best mean; the lower peak where two are equal."""
    return min(peaks, key=partial(_rank, direction))


def _rank(direction: Direction, peak: PeakResult) -> tuple[bool, int, int, float]:
    sign = 1.0 if direction == "minimize" else -1.0
    return (not peak.runs, peak.pruned, peak.diverged, 0.0 if peak.mean is None else sign * peak.mean)


def peaks_of(asked: Asked, arm: Arm, runs: Sequence[Run]) -> tuple[PeakResult, ...]:
    """An arm at every peak of the file and of its runs, lowest first."""
    mine = [run for run in runs if run.arm == arm.name]
    tried = {*asked.study.peaks_of(arm), *(run.peak for run in mine)}
    in_order = sorted(tried, key=lambda peak: -inf if peak is None else peak)
    return tuple(summarise(peak, [run for run in mine if run.peak == peak]) for peak in in_order)


def best_runs(asked: Asked, runs: Sequence[Run]) -> list[Run]:
    """The runs of every arm at its best peak."""
    return [
        run for arm in asked.study.arms for run in best_peak(peaks_of(asked, arm, runs), asked.study.direction).runs
    ]


def arm_result(
    asked: Asked,
    arm: Arm,
    runs: Sequence[Run],
    test: Mapping[str, Mapping[str, float]],
    probes: int = 0,
    fresh: Sequence[Run] = (),
) -> ArmResult:
    """An arm over all its runs; ``probes`` are the steps of its cooldown probes, ``fresh`` the runs of fresh seeds."""
    peaks = peaks_of(asked, arm, runs)
    best = best_peak(peaks, asked.study.direction)
    again = [run for run in fresh if run.arm == arm.name and run.peak == best.peak]
    return ArmResult(
        name=arm.name,
        rule=arm.rule,
        lr=str(arm.rate(asked.steps, best.peak)),
        fixed=arm.fixed,
        peaks=peaks,
        best=best,
        edge=_edge(peaks, best),
        test=_tested(best, test),
        budget=_budget(peaks, probes),
        trials=_trials(peaks, asked.study.direction),
        default=_default(arm.rule, peaks),
        average=None if arm.average is None else str(arm.at(best.peak).averaged),
        searched=next(
            ({name: trial[name] for name in arm.space} for trial in arm.trials if trial["peak"] == best.peak), {}
        ),
        args=shlex.join(arm.args),
        fresh=summarise(best.peak, again) if again else None,
    )


def _edge(peaks: Sequence[PeakResult], best: PeakResult) -> Literal["lowest", "highest"] | None:
    if len(peaks) == 1 or best.mean is None or best not in (peaks[0], peaks[-1]):
        return None
    return "lowest" if best == peaks[0] else "highest"


def _tested(best: PeakResult, test: Mapping[str, Mapping[str, float]]) -> dict[str, tuple[float, ...]]:
    if not test:
        return {}
    nothing = dict.fromkeys(next(iter(test.values())), float("nan"))
    tested = [nothing if is_diverged(run) else test.get(run.key, nothing) for run in best.runs]
    return {name: tuple(point[name] for point in tested) for name in nothing}


def _budget(peaks: Sequence[PeakResult], probes: int) -> Budget:
    runs = [run for peak in peaks for run in peak.runs]
    return Budget(
        runs=len(runs),
        asked=sum(run.steps for run in runs),
        made=sum(run.step for run in runs) + probes,
        diverged=sum(peak.diverged for peak in peaks),
        pruned=sum(peak.pruned for peak in peaks),
        probes=probes,
    )


def _trials(peaks: Sequence[PeakResult], direction: Direction) -> tuple[BestAt, ...]:
    """A peak at which a run diverged or was pruned has no score."""
    scores = [inf if p.mean is None or p.diverged or p.pruned else p.mean for p in peaks]
    return tuple(best_at(scores, k, direction) for k in doublings(len(scores)))


def default_rate(rule: str) -> float | None:
    """The rate that the rule's optimizer has where none is given; None where it has none.

    >>> default_rate("Adam"), default_rate("RMSprop")
    (0.001, 0.01)
    """
    given = inspect.signature(getattr(optim, rule)).parameters["lr"].default if hasattr(optim, rule) else None
    return float(given) if isinstance(given, int | float) else None


def _default(rule: str, peaks: Sequence[PeakResult]) -> PeakResult | None:
    rate = default_rate(rule)
    if rate is None:
        return None
    return next((p for p in peaks if p.peak is not None and isclose(p.peak, rate, rel_tol=1e-3)), None)
