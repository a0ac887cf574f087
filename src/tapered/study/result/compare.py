"""Tuned arms against the baseline, seed by seed, at their best peaks."""

from collections.abc import Sequence

from tapered.stats import gains, holm, paired, seeds_for, verdict
from tapered.study.result.asked import Asked
from tapered.study.result.values import ArmResult, Comparison, Evidence, is_diverged
from tapered.study.result.wording import sentence
from tapered.study.store.runs import Run

Gains = tuple[tuple[int, ...], tuple[float, ...]]


def compare(asked: Asked, arms: Sequence[ArmResult], fresh: Sequence[Run]) -> tuple[Comparison, ...]:
    """Every tuned arm but the baseline against it.

    Evidence of fresh seeds is corrected (Holm) over the comparisons that have some, that of the others over all.
    """
    baseline = next(arm for arm in arms if arm.name == asked.study.baseline)
    others = [arm for arm in arms if not arm.fixed and arm is not baseline]
    chosen = _evidence(asked, [_gains(asked, arm.best.runs, baseline.best.runs) for arm in others])
    again = _evidence(asked, [_gains(asked, _of(arm, fresh), _of(baseline, fresh)) for arm in others])
    return tuple(
        _comparison(asked, arm, baseline, first, second if second.seeds else None)
        for arm, first, second in zip(others, chosen, again, strict=True)
    )


def _of(arm: ArmResult, fresh: Sequence[Run]) -> list[Run]:
    """The fresh runs of an arm at its best peak."""
    return [run for run in fresh if run.arm == arm.name and run.peak == arm.best.peak]


def _gains(asked: Asked, candidate: Sequence[Run], baseline: Sequence[Run]) -> Gains:
    """The seeds that both were run with, and the gain at each; a pruned run has no value to compare."""
    ours, theirs = ({run.seed: _value(run) for run in side if run.pruned is None} for side in (candidate, baseline))
    seeds = sorted(ours.keys() & theirs.keys())
    return tuple(seeds), tuple(gains([ours[s] for s in seeds], [theirs[s] for s in seeds], asked.study.direction))


def _value(run: Run) -> float:
    return float("nan") if is_diverged(run) else run.value


def _evidence(asked: Asked, found: Sequence[Gains]) -> list[Evidence]:
    study = asked.study
    results = [paired(gain, alpha=study.alpha) for _, gain in found]
    corrected = holm([result.p for result in results if result.p is not None])
    several, each = max(1, len(corrected)), iter(corrected)
    p_values = [None if result.p is None else next(each) for result in results]
    said = [
        verdict(result, alpha=study.alpha, delta=study.delta, p=p, comparisons=several)
        for result, p in zip(results, p_values, strict=True)
    ]
    return [
        Evidence(seeds, gain, result, p, word, several)
        for (seeds, gain), result, p, word in zip(found, results, p_values, said, strict=True)
    ]


def _comparison(
    asked: Asked, arm: ArmResult, baseline: ArmResult, chosen: Evidence, fresh: Evidence | None
) -> Comparison:
    study, test = asked.study, None
    if study.metric in arm.test and len(arm.best.runs) == len(baseline.best.runs):
        test = paired(gains(arm.test[study.metric], baseline.test[study.metric], study.direction), alpha=study.alpha)
    return Comparison(
        arm=arm.name,
        baseline=baseline.name,
        chosen=chosen,
        fresh=fresh,
        sentence=sentence(asked, arm, baseline, chosen, fresh),
        test=test,
        seeds_for_delta=_seeds_for_delta(asked, fresh or chosen),
    )


def _seeds_for_delta(asked: Asked, said: Evidence) -> int | None:
    delta, spread = asked.study.delta, said.paired.spread
    if delta is None or spread is None:
        return None
    return seeds_for(delta, spread, alpha=asked.study.alpha, comparisons=said.comparisons)
