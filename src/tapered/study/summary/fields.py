"""A study's plan and result as JSON takes them: no NaN, no infinity."""

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from tapered.schedules import Controller
from tapered.schedules.picture import samples
from tapered.stats import seeds_needed
from tapered.study.file.arms import Arm
from tapered.study.file.following import Following
from tapered.study.file.question import TEXTS, Question
from tapered.study.file.recipe import Steps
from tapered.study.file.texts import SHAPE
from tapered.study.plan.forecast import Forecast
from tapered.study.result import ArmResult, Comparison, Cost, Evidence, PeakResult, StudyResult
from tapered.study.result.asked import Asked
from tapered.study.result.followed import followed
from tapered.study.result.partial import SoFar
from tapered.study.result.witnessed import Again
from tapered.study.store.runs import Run
from tapered.study.summary.answer import headline, in_order
from tapered.study.summary.text import finite, outcome
from tapered.study.train.verify import Verified


def _modes(cost: Cost) -> list[dict[str, Any]]:
    return [{"arms": list(arms), **asdict(mode)} for arms, mode in cost.modes]


def _pruning(cost: Cost) -> dict[str, Any] | None:
    return None if cost.pruning is None else asdict(cost.pruning) | {"same": cost.pruning.same}


def forecast_fields(found: Forecast) -> dict[str, Any]:
    """A forecast as JSON takes it."""
    named = {"runs": found.runs, "trees": found.trees, "bundles": found.bundles, "workers": found.workers}
    cost = found.cost
    steps: dict[str, Any] = {"steps_asked": cost.asked, "steps_to_run": cost.to_run, "ratio": cost.ratio}
    why = {"not_shared": found.cost.reason, "modes": _modes(found.cost)}
    groups = {"groups": [asdict(group) for group in found.groups]}
    if found.follow:
        steps |= {"follow": list(found.follow), "steps_to_run_at_least": found.least}
    return {**named, **steps, "memory_bytes": found.memory, "seconds": finite(found.seconds), **why, **groups}


def verified_fields(found: Verified | Again) -> dict[str, Any]:
    """What a verification found, as JSON takes it; the difference is null where a run diverged at another step."""
    if isinstance(found, Again):
        return {"runs": 1, "of": found.of, "taken_over": found.start, "max_difference": finite(found.difference)}
    return {
        "runs": found.runs,
        "of": found.of,
        "max_difference": finite(found.difference),
        "max_difference_of_evaluations": finite(found.evaluations),
        "relative_difference_from_loop": finite(found.from_loop),
    }


def rate_paths(asked: Asked, arm: ArmResult | SoFar) -> list[tuple[list[Run], list[tuple[int, float]]]]:
    """The rates that an arm applied at its best peak, each with the runs that had it, where not all had the same.

    Each is (step, rate) at about 400 steps and beside every boundary.
    """
    for found in followed(asked, [arm]):
        return found.paths
    schedule = _stated(asked, arm).schedule(asked.steps, arm.best.peak if arm.best else None)
    return [([], [(step, schedule(step)) for step in samples(schedule, asked.steps)])]


def _stated(asked: Asked, arm: ArmResult | SoFar) -> Arm:
    """An arm as the file has it."""
    return next(stated for stated in asked.study.arms if stated.name == arm.name)


def summary(result: StudyResult) -> dict[str, Any]:
    """The result as JSON takes it: verdicts first, then every arm, every run, and what would make them again."""
    return {
        "study": result.asked.study.name,
        **asked_fields(result.asked.study),
        "headline": headline(result),
        "sentence": result.sentence,
        "caveats": list(result.caveats),
        "updates": result.updates,
        "updates_made": result.cost.to_run,
        "shared": result.cost.ratio,
        "modes": _modes(result.cost),
        "pruning": _pruning(result.cost),
        "runs": len(result.runs),
        "baseline": result.asked.study.baseline,
        "winner": winner(result),
        "recipe": _recipe(result),
        "comparisons": [_comparison(c, result.asked.study.alpha) for c in result.comparisons],
        "arms": [_arm(result, arm) for arm in result.arms],
        **({} if result.script is None else {"script": asdict(result.script)}),
        "every_run": [*_runs(result, result.runs, fresh=False), *_runs(result, result.fresh, fresh=True)],
        "environment": {**result.environment, "threads": str(result.asked.study.threads)},
        "frozen": dict(result.facts),
        "file": result.file,
    }


def winner(result: StudyResult) -> str:
    """The arm to train with: of those that beat what they are compared with, the largest gain; else the baseline."""
    best = [comparison for comparison in in_order(result) if comparison.badge == "better"]
    return best[0].arm if best else result.asked.study.baseline


def _recipe(result: StudyResult) -> list[str]:
    """How a step is made, where the study says so."""
    stated = result.asked.study.model_dump(mode="json", exclude_none=True, include=set(Steps.model_fields))
    return [f"{name} = {value}" for name, value in stated.items() if name not in ("device", "workers")]


def asked_fields(asked: Question) -> dict[str, str | None]:
    """What a study was asked, as JSON takes it; null where it is not stated."""
    return {name: getattr(asked, name) for name in TEXTS}


def _arm(result: StudyResult, arm: ArmResult) -> dict[str, Any]:
    return {
        "name": arm.name,
        "rule": arm.rule,
        "args": arm.args,
        "lr": arm.lr,
        "average": arm.average,
        "searched": dict(arm.searched),
        "fixed": arm.fixed,
        "best_peak": arm.best.peak,
        "edge": arm.edge,
        "values": [finite(run.value) for run in arm.best.runs],
        "fresh": None if arm.fresh is None else _peak(arm.fresh),
        "test": {name: [finite(value) for value in values] for name, values in arm.test.items()},
        "peaks": [_peak(peak) for peak in arm.peaks],
        "budget": asdict(arm.budget),
        "best_at": [asdict(found) for found in arm.trials],
        "default_rate": None if arm.default is None else _peak(arm.default),
        **_rates(result, arm),
        **_written(result, arm),
    }


def _rates(result: StudyResult, arm: ArmResult) -> dict[str, Any]:
    """Its rate at every step; of one that followed its runs what that was, and the rate of each seed."""
    paths = rate_paths(result.asked, arm)
    for found in followed(result.asked, [arm]):
        each = [{"seeds": [run.seed for run in runs], "rates": points} for runs, points in paths]
        observed = found.following.observed
        observes = {"metric": observed.metric, "every": observed.every, "text": str(observed)}
        return {"observes": observes, "rate_path": None, "rate_paths": each}
    return {"observes": None, "rate_path": paths[0][1]}


def _written(result: StudyResult, arm: ArmResult) -> dict[str, Any]:
    """What makes the arm again at its best peak: its schedule as text, options and hypers of its rule."""
    stated = _stated(result.asked, arm).at(arm.best.peak)
    steps, peak = result.asked.steps, arm.best.peak
    rate, follows = stated.rate(steps, peak), stated.following(steps, peak)

    def hyper(name: str, value: str) -> str:
        if follows is None:
            return str(stated.hyper(name, value, steps, stated.schedule(steps, peak)))
        # what follows a rate that follows its runs stays as it was written
        return value if SHAPE.search(value) else str(stated.hyper(name, value, steps, follows.schedule()))

    return {
        "schedule": str(rate) if isinstance(rate, Controller) or rate.serialisable else None,
        "options": dict(stated.options),
        "averaged": None if stated.averaged is None else stated.averaged.settled(steps).given,
        "hypers": {n: hyper(n, value) if isinstance(value, str) else value for n, value in stated.hypers.items()},
    }


def _peak(peak: PeakResult) -> dict[str, Any]:
    return {"peak": peak.peak, "mean": peak.mean, "diverged": peak.diverged, "pruned": peak.pruned}


def _comparison(found: Comparison, alpha: float) -> dict[str, Any]:
    """What the verdict rests on, then what each kind of seeds and the test split say."""
    return {
        "arm": found.arm,
        "baseline": found.baseline,
        "verdict": found.verdict.word,
        "reason": found.verdict.reason,
        "sentence": found.sentence,
        "change": asdict(found.change) | {"difference": found.change.difference},
        "differs": list(found.differs),
        "confirmed": found.confirmed,
        **_said(found.evidence),
        "seeds_needed": seeds_needed(alpha, found.evidence.comparisons),
        "seeds_for_delta": found.seeds_for_delta,
        "chosen": _said(found.chosen) | {"verdict": found.chosen.verdict.word},
        "fresh": None if found.fresh is None else _said(found.fresh) | {"verdict": found.fresh.verdict.word},
        "test": None if found.test is None else asdict(found.test),
    }


def _said(evidence: Evidence) -> dict[str, Any]:
    gains = [finite(gain) for gain in evidence.gains]
    corrected = {"p_uncorrected": evidence.paired.p, "p": evidence.p, "comparisons": evidence.comparisons}
    return {**asdict(evidence.paired), **corrected, "seeds": list(evidence.seeds), "gains": gains}


def _best_so_far(result: StudyResult, run: Run) -> float | None:
    """The best value at any evaluation, which stopping there would have kept."""
    metric, pick = result.asked.study.metric, min if result.asked.study.direction == "minimize" else max
    return pick((v for _, point in run.curve if isfinite(v := point[metric])), default=None)


def _following(result: StudyResult, arm: ArmResult, peak: PeakResult) -> Following | None:
    return _stated(result.asked, arm).at(peak.peak).following(result.asked.steps, peak.peak)


def _decisions(follows: Following | None, run: Run) -> dict[str, Any]:
    """What was decided in a run, where its rate followed it."""
    if follows is None:
        return {}
    each = [asdict(decision) for decision in follows.decisions(run)]
    return {"decisions": [{**decision, "value": finite(decision["value"])} for decision in each]}


def _runs(result: StudyResult, runs: Sequence[Run], *, fresh: bool) -> list[dict[str, Any]]:
    follows = {(arm.name, peak.peak): _following(result, arm, peak) for arm in result.arms for peak in arm.peaks}
    return [
        {
            "arm": run.arm,
            "peak": run.peak,
            "seed": run.seed,
            "fresh": fresh,
            "steps": run.step,
            "value": finite(run.value),
            "best_so_far": _best_so_far(result, run),
            "curve": [(step, finite(point[result.asked.study.metric])) for step, point in run.curve],
            **_decisions(follows[run.arm, run.peak], run),
            "outcome": outcome(run),
            "key": run.key,
        }
        for run in runs
    ]
