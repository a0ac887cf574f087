"""What a report draws, as plain tuples."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, isfinite
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from tapered.stats import seeds_needed
from tapered.stats.intervals import t_interval
from tapered.study.result import ArmResult, Comparison, PeakResult, StudyResult, is_diverged, mean
from tapered.study.result.asked import Asked
from tapered.study.result.partial import Partial, SoFar
from tapered.study.store.runs import Run
from tapered.study.summary import finite, in_order, rate_paths
from tapered.words import brief, percent

SEEDS = 6  # that are named


@brief
@dataclass(frozen=True)
class Band:
    """A line with what is around it; None where no run has a finite value.

    Args:
        name: The arm.
        x: Steps, peaks or trials.
        mean: Mean over seeds.
        low: The lower edge.
        high: The upper edge.
        lost: (x, text) where runs diverged or were pruned; of curves, the step at which they did.
        of: Which of the arm's runs, in words, where not all have this line.
    """

    name: str
    x: tuple[float, ...]
    mean: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    lost: tuple[tuple[float, str], ...] = ()
    of: str = ""


@brief
@dataclass(frozen=True)
class Bars:
    """Gain of an arm over what it is compared with, a bar a seed; None where one of the two runs diverged.

    Args:
        name: The arm.
        over: What it is compared with.
        seeds: The seeds, those that chose the peaks first.
        gains: One a seed.
        fresh: How many of them, the last, are fresh.
    """

    name: str
    over: str
    seeds: tuple[int, ...]
    gains: tuple[float | None, ...]
    fresh: int = 0


@dataclass(frozen=True)
class Difference:
    """An arm's difference from what it is compared with, in the metric's unit.

    Args:
        name: The arm.
        over: What it is compared with.
        badge: The verdict in a word or two.
        middle: The difference; None where a run of either diverged.
        low: The lower end of its interval.
        high: The upper end.
        said: The difference as a percentage, or how many runs diverged.
    """

    name: str
    over: str
    badge: str
    middle: float | None
    low: float | None
    high: float | None
    said: str


@brief
@dataclass(frozen=True)
class PlotData:
    """Everything that is drawn.

    Args:
        metric: The study's metric.
        higher: Whether higher is better.
        level: Of the intervals of differences, in words.
        around: What the bands of curves and of sensitivity show, in words.
        curves: The metric on the validation split over steps, each arm at its best peak.
        sensitivity: The metric at the end over peaks, each tuned arm.
        schedules: The rate as applied over steps, each arm at its best peak; low = mean = high. Of an arm whose rate
            followed its runs one for each rate that there was.
        verdicts: The differences that the verdicts rest on, the best verdict first.
        differences: Paired gains, each comparison, in the same order.
        trials: The median best of k peaks over k, each tuned arm; low = mean = high.
    """

    metric: str
    higher: bool
    level: str
    around: str
    curves: tuple[Band, ...]
    sensitivity: tuple[Band, ...]
    schedules: tuple[Band, ...]
    verdicts: tuple[Difference, ...]
    differences: tuple[Bars, ...]
    trials: tuple[Band, ...]

    @property
    def fields(self) -> dict[str, Any]:
        """As JSON takes it."""
        found: dict[str, Any] = TypeAdapter(PlotData).dump_python(self, mode="json")
        return found

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "PlotData":
        """The way back from `fields`, checked.

        Raises:
            ValueError: They are none of it.
        """
        return TypeAdapter(PlotData).validate_python(fields)


def plot_data(result: StudyResult) -> PlotData:
    """What the page draws, as plain tuples."""
    study, tuned = result.asked.study, [arm for arm in result.arms if not arm.fixed]
    alpha = study.alpha if study.seeds >= seeds_needed(study.alpha) else None
    around = "the range from lowest to highest seed" if alpha is None else f"its {100 * (1 - alpha):g}% interval"
    return PlotData(
        metric=study.metric,
        higher=study.direction == "maximize",
        level=f"{100 * (1 - study.alpha):g}%",
        around=around,
        curves=tuple(_curve(arm.name, arm.best.runs, study.metric, alpha) for arm in result.arms),
        sensitivity=tuple(_sensitivity(arm.name, arm.peaks, alpha) for arm in tuned),
        schedules=tuple(line for arm in result.arms for line in _rates(result.asked, arm)),
        verdicts=tuple(_difference(comparison) for comparison in in_order(result)),
        differences=tuple(_bars(comparison) for comparison in in_order(result)),
        trials=tuple(_line(arm.name, [(found.k, found.median) for found in arm.trials]) for arm in tuned),
    )


def partial_data(found: Partial, asked: Asked) -> PlotData:
    """What the page of a study that is not finished draws: no interval, no difference."""
    study, fixed = asked.study, {arm.name for arm in asked.study.arms if arm.fixed}
    best = [(arm, arm.best) for arm in found.arms if arm.best is not None]
    return PlotData(
        metric=study.metric,
        higher=study.direction == "maximize",
        level="",
        around="the range from lowest to highest seed",
        curves=tuple(_curve(arm.name, peak.runs, study.metric, None) for arm, peak in best),
        sensitivity=tuple(_sensitivity(arm.name, arm.peaks, None) for arm, _ in best if arm.name not in fixed),
        schedules=tuple(line for arm, _ in best for line in _rates(asked, arm)),
        verdicts=(),
        differences=(),
        trials=(),
    )


def _curve(name: str, runs: Sequence[Run], metric: str, alpha: float | None) -> Band:
    steps = sorted({step for run in runs for step, _ in run.curve})
    points = [{step: values[metric] for step, values in run.curve} for run in runs]
    ended = sorted(Counter(run.step for run in runs if is_diverged(run)).items())
    lost = tuple((step, f"{count} of {len(runs)} diverged") for step, count in ended)
    return _band(name, steps, [[p[step] for p in points if step in p] for step in steps], alpha, lost)


def _sensitivity(name: str, each: Sequence[PeakResult], alpha: float | None) -> Band:
    peaks = [(p.peak, p) for p in each if p.peak is not None]
    whole = [[r.value for r in p.runs if r.pruned is None and not is_diverged(r)] for _, p in peaks]
    counts = [(x, (("diverged", p.diverged), ("pruned", p.pruned)), len(p.runs)) for x, p in peaks]
    lost = tuple(
        (x, ", ".join(f"{count} of {of} {what}" for what, count in parts if count))
        for x, parts, of in counts
        if any(count for _, count in parts)
    )
    return _band(name, [x for x, _ in peaks], whole, alpha, lost)


def _line(name: str, points: Sequence[tuple[float, float | None]], of: str = "") -> Band:
    values = tuple(value for _, value in points)
    return Band(name, tuple(x for x, _ in points), values, values, values, of=of)


def _rates(asked: Asked, arm: ArmResult | SoFar) -> list[Band]:
    return [_line(arm.name, points, _seeds(runs)) for runs, points in rate_paths(asked, arm)]


def _seeds(runs: Sequence[Run]) -> str:
    """The seeds of some runs, the first few by name."""
    named = ", ".join(str(run.seed) for run in runs[:SEEDS])
    return f"{'seed' if len(runs) == 1 else 'seeds'} {named}{', ...' * (len(runs) > SEEDS)}" if runs else ""


def _difference(found: Comparison) -> Difference:
    change, n = found.change, found.paired.n
    lost = zip((found.arm, found.baseline), change.lost[::-1], strict=True)
    said = ", ".join(f"{count} of {n} of {name} diverged" for name, count in lost if count)
    share = "" if change.share is None else percent(change.share)
    return Difference(found.arm, found.baseline, found.badge, change.difference, change.low, change.high, said or share)


def _bars(found: Comparison) -> Bars:
    each = [found.chosen] if found.fresh is None else [found.chosen, found.fresh]
    seeds = tuple(seed for said in each for seed in said.seeds)
    gains = (None if lost else finite(gain) for said in each for gain, lost in zip(said.gains, said.lost, strict=True))
    return Bars(found.arm, found.baseline, seeds, tuple(gains), len(found.fresh.seeds) if found.fresh else 0)


def _band(
    name: str,
    x: Sequence[float],
    columns: Sequence[Sequence[float]],
    alpha: float | None,
    lost: tuple[tuple[float, str], ...] = (),
) -> Band:
    """Mean of each column of values and what is around it, leaving out what is not finite."""
    kept = [[value for value in column if isfinite(value)] for column in columns]
    edges = [_edges(values, alpha) for values in kept]
    return Band(
        name, tuple(x), tuple(mean(c) for c in kept), tuple(e[0] for e in edges), tuple(e[1] for e in edges), lost
    )


def _edges(values: Sequence[float], alpha: float | None) -> tuple[float | None, float | None]:
    """The interval of the mean, or the range where alpha is None or there is one value.

    Student's t; where all values are positive that of the logarithm of the mean, mean * exp(+-half / mean), which is
    positive too and so has a place on a logarithmic axis.
    """
    if alpha is None or len(values) < 2:
        return min(values, default=None), max(values, default=None)
    middle, ends = t_interval(np.asarray(values, dtype=np.float64), alpha)
    if middle is None or ends is None:
        return None, None
    if min(values) > 0:
        factor = exp(min((ends[1] - middle) / middle, 700.0))
        ends = middle / factor, middle * factor
    return finite(ends[0]), finite(ends[1])
