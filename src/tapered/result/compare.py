"""Tuned arms against the baseline, seed by seed, at their best peaks."""

from collections.abc import Sequence

from tapered.load import Loaded
from tapered.result.values import ArmResult, Comparison, Evidence, is_diverged
from tapered.result.wording import sentence
from tapered.runs import Run
from tapered.stats import gains, holm, paired, seeds_for, verdict

Gains = tuple[tuple[int, ...], tuple[float, ...]]


def compare(loaded: Loaded, arms: Sequence[ArmResult], fresh: Sequence[Run]) -> tuple[Comparison, ...]:
    """Every tuned arm but the baseline against it.

    Evidence of fresh seeds is corrected (Holm) over the comparisons that have some, that of the others over all.
    """
    baseline = next(arm for arm in arms if arm.name == loaded.study.baseline)
    others = [arm for arm in arms if not arm.fixed and arm is not baseline]
    chosen = _evidence(loaded, [_gains(loaded, arm.best.runs, baseline.best.runs) for arm in others])
    again = _evidence(loaded, [_gains(loaded, _of(arm, fresh), _of(baseline, fresh)) for arm in others])
    return tuple(
        _comparison(loaded, arm, baseline, first, second if second.seeds else None)
        for arm, first, second in zip(others, chosen, again, strict=True)
    )


def _of(arm: ArmResult, fresh: Sequence[Run]) -> list[Run]:
    """The fresh runs of an arm at its best peak."""
    return [run for run in fresh if run.arm == arm.name and run.peak == arm.best.peak]


def _gains(loaded: Loaded, candidate: Sequence[Run], baseline: Sequence[Run]) -> Gains:
    """The seeds that both were run with, and the gain at each; a pruned run has no value to compare."""
    ours, theirs = ({run.seed: _value(run) for run in side if run.pruned is None} for side in (candidate, baseline))
    seeds = sorted(ours.keys() & theirs.keys())
    return tuple(seeds), tuple(gains([ours[s] for s in seeds], [theirs[s] for s in seeds], loaded.study.direction))


def _value(run: Run) -> float:
    return float("nan") if is_diverged(run) else run.value


def _evidence(loaded: Loaded, found: Sequence[Gains]) -> list[Evidence]:
    study = loaded.study
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
    loaded: Loaded, arm: ArmResult, baseline: ArmResult, chosen: Evidence, fresh: Evidence | None
) -> Comparison:
    study, test = loaded.study, None
    if arm.test and len(arm.best.runs) == len(baseline.best.runs):
        test = paired(gains(arm.test[study.metric], baseline.test[study.metric], study.direction), alpha=study.alpha)
    return Comparison(
        arm=arm.name,
        baseline=baseline.name,
        chosen=chosen,
        fresh=fresh,
        sentence=sentence(loaded, arm, baseline, chosen, fresh),
        test=test,
        seeds_for_delta=_seeds_for_delta(loaded, fresh or chosen),
    )


def _seeds_for_delta(loaded: Loaded, said: Evidence) -> int | None:
    delta, spread = loaded.study.delta, said.paired.spread
    if delta is None or spread is None:
        return None
    return seeds_for(delta, spread, alpha=loaded.study.alpha, comparisons=said.comparisons)
