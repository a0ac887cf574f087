"""What judges read from a study's summary: an arm, a comparison, values by seed, the paired gain of any two arms."""

import tomllib
from math import nan
from typing import Any

from tapered.claims.base import Summary
from tapered.stats import Paired, gains, paired, verdict
from tapered.stats.verdicts import Word
from tapered.study.file.study import Study
from tapered.study.summary import between, number


def arm(found: Summary, name: str) -> dict[str, Any]:
    """An arm of the summary.

    Raises:
        KeyError: If the study has no such arm.
    """
    return _named(found["arms"], "name", name)


def comparison(found: Summary, name: str) -> dict[str, Any]:
    """The comparison of an arm with what it is against, the first of several.

    Raises:
        KeyError: If it was not compared.
    """
    return _named(found["comparisons"], "arm", name)


def _named(parts: list[dict[str, Any]], field: str, name: str) -> dict[str, Any]:
    for part in parts:
        if part[field] == name:
            return part
    raise KeyError(name)


def best_runs(found: Summary, name: str, *, fresh: bool = False) -> list[dict[str, Any]]:
    """The runs of an arm at its best peak, in order of seeds: those that chose it, or the fresh ones."""
    peak = arm(found, name)["best_peak"]
    runs = [r for r in found["every_run"] if (r["arm"], r["peak"], r["fresh"]) == (name, peak, fresh)]
    return sorted(runs, key=lambda run: int(run["seed"]))


def values(found: Summary, name: str, *, fresh: bool = False) -> dict[int, float]:
    """The metric of those runs by seed; NaN where a run diverged."""
    return {run["seed"]: _value(run) for run in best_runs(found, name, fresh=fresh)}


def _value(run: dict[str, Any]) -> float:
    return nan if run["value"] is None or run["outcome"].startswith("diverged") else float(run["value"])


def gain(found: Summary, name: str, baseline: str, *, fresh: bool = False) -> Paired:
    """The paired gain of one arm over another, fixed arms too, over the seeds that both were run with.

    Args:
        found: The summary.
        name: The arm.
        baseline: What it is compared with.
        fresh: Take the fresh seeds, which fixed arms do not have.
    """
    ours, theirs = (values(found, arm_, fresh=fresh) for arm_ in (name, baseline))
    seeds = sorted(ours.keys() & theirs.keys())
    direction = "maximize" if 'direction = "maximize"' in found["file"] else "minimize"
    return paired(gains([ours[s] for s in seeds], [theirs[s] for s in seeds], direction))  # type: ignore[arg-type]


def study_of(found: Summary) -> Study:
    """The study as its frozen file states it."""
    return Study.model_validate(tomllib.loads(found["file"]))


def tested(found: Summary, name: str, baseline: str) -> Paired:
    """The paired gain of one arm over another on the test split, fixed arms too, at the seeds that chose the peaks."""
    study = study_of(found)
    ours, theirs = (
        [nan if value is None else float(value) for value in arm(found, arm_)["test"][study.metric]]
        for arm_ in (name, baseline)
    )
    return paired(gains(ours, theirs, study.direction))


def word(found: Summary, result: Paired) -> Word:
    """What a paired gain says, with the study's own smallest difference that matters."""
    return verdict(result, delta=study_of(found).delta).word


def told(result: Paired) -> str:
    """A gain with its interval and wins, for a sentence.

    >>> told(paired([0.2, 0.1, 0.3]))
    '0.2 (-0.0484 to 0.448), 3 of 3'
    """
    return f"{number(result.mean)} ({between(result.low, result.high)}), {result.wins} of {result.n}"
