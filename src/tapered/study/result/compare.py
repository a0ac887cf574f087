"""Tuned arms against those that they are compared with, seed by seed, at their best peaks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tapered.stats import Paired, gains, holm, paired, seeds_for, verdict
from tapered.study.result.asked import Asked
from tapered.study.result.change import change_of
from tapered.study.result.compared import Comparison, Evidence
from tapered.study.result.differs import differs
from tapered.study.result.sentence import sentence
from tapered.study.result.values import ArmResult, is_diverged
from tapered.study.store.runs import Run

Pair = tuple[ArmResult, ArmResult]


@dataclass(frozen=True)
class Seeds:
    """The seeds that two arms were both run with, and the metric of each at them."""

    seeds: tuple[int, ...]
    ours: tuple[float, ...]
    theirs: tuple[float, ...]


def compare(asked: Asked, arms: Sequence[ArmResult], fresh: Sequence[Run]) -> tuple[Comparison, ...]:
    """Every pair of the study.

    Evidence of fresh seeds is corrected (Holm) over the comparisons that have some, that of the others over all.
    """
    by_name = {arm.name: arm for arm in arms}
    pairs = [(by_name[arm], by_name[other]) for arm, other in asked.study.pairs]
    chosen = _evidence(asked, [_paired(ours.best.runs, theirs.best.runs) for ours, theirs in pairs])
    again = _evidence(asked, [_paired(_of(ours, fresh), _of(theirs, fresh)) for ours, theirs in pairs])
    return tuple(
        _comparison(asked, pair, first, second if second.seeds else None)
        for pair, first, second in zip(pairs, chosen, again, strict=True)
    )


def _of(arm: ArmResult, fresh: Sequence[Run]) -> Sequence[Run]:
    """The fresh runs of an arm at its best peak."""
    return [run for run in fresh if run.arm == arm.name and run.peak == arm.best.peak]


def _paired(candidate: Sequence[Run], other: Sequence[Run]) -> Seeds:
    """The seeds that both were run with; a pruned run has no value to compare."""
    ours, theirs = ({run.seed: _value(run) for run in side if run.pruned is None} for side in (candidate, other))
    seeds = sorted(ours.keys() & theirs.keys())
    return Seeds(tuple(seeds), tuple(ours[seed] for seed in seeds), tuple(theirs[seed] for seed in seeds))


def _value(run: Run) -> float:
    return float("nan") if is_diverged(run) else run.value


def _evidence(asked: Asked, found: Sequence[Seeds]) -> list[Evidence]:
    study = asked.study
    every = [tuple(gains(at.ours, at.theirs, study.direction)) for at in found]
    results = [paired(gain, alpha=study.alpha) for gain in every]
    corrected = holm([result.p for result in results if result.p is not None])
    several, each = max(1, len(corrected)), iter(corrected)
    p_values = [None if result.p is None else next(each) for result in results]
    said = [
        verdict(result, alpha=study.alpha, delta=study.delta, p=p, comparisons=several)
        for result, p in zip(results, p_values, strict=True)
    ]
    return [
        _lost(Evidence(at.seeds, at.ours, at.theirs, gain, result, p, word, several))
        for at, gain, result, p, word in zip(found, every, results, p_values, said, strict=True)
    ]


def _lost(found: Evidence) -> Evidence:
    """Runs that all diverged are equal in their ranks, and so in the test; they are not the same."""
    if found.ended or not found.seeds:
        return found
    return replace(found, verdict=replace(found.verdict, reason="every run of both diverged"))


def _comparison(asked: Asked, pair: Pair, chosen: Evidence, fresh: Evidence | None) -> Comparison:
    (ours, theirs), study = pair, asked.study
    stated = {arm.name: arm for arm in study.arms}
    one, two = (stated[side.name].at(side.best.peak) for side in pair)
    apart = differs(one, two, asked.steps)
    change = change_of(fresh or chosen, study.direction)
    return Comparison(
        arm=ours.name,
        baseline=theirs.name,
        chosen=chosen,
        fresh=fresh,
        change=change,
        differs=apart,
        sentence=sentence(asked, ours, theirs, chosen, fresh, change, apart),
        test=_tested(asked, ours, theirs),
        seeds_for_delta=_seeds_for_delta(asked, fresh or chosen),
    )


def _tested(asked: Asked, ours: ArmResult, theirs: ArmResult) -> Paired | None:
    study = asked.study
    if study.metric not in ours.test or len(ours.best.runs) != len(theirs.best.runs):
        return None
    return paired(gains(ours.test[study.metric], theirs.test[study.metric], study.direction), alpha=study.alpha)


def _seeds_for_delta(asked: Asked, said: Evidence) -> int | None:
    delta, spread = asked.study.delta, said.paired.spread
    if delta is None or spread is None:
        return None
    return seeds_for(delta, spread, alpha=asked.study.alpha, comparisons=said.comparisons)
