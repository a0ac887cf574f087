"""What loggers take of a study: the numbers of a run by step, those of a verdict, and what both are called.

Run, its arm ─► {step: {"lr/0", "train/loss", "valid/loss"}}        StudyResult ─► {"cosine against constant/low": ...}
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite

from tapered.study import Planned
from tapered.study.file.arms import Arm
from tapered.study.file.script import Scripted
from tapered.study.result import StudyResult
from tapered.study.store.runs import Run
from tapered.training.matched import factors


def names(arms: Sequence[str]) -> dict[str, str]:
    """Each arm's name as a part of a path, no two alike."""
    found: dict[str, str] = {}
    for place, arm in enumerate(arms):
        name = re.sub(r"[^\w .,+=()-]+", "-", arm).strip(". ") or "arm"
        found[arm] = name if name not in found.values() else f"{name} ({place})"
    return found


def points(planned: Planned, arm: Arm, run: Run) -> dict[int, dict[str, float]]:
    """A run's numbers by step, each of the update that was the last by then; what is not finite is left out."""
    found: dict[int, dict[str, float]] = {}
    script = isinstance(planned.subject, Scripted)
    groups = {} if script or arm.space or arm.following(run.steps, run.peak) else factors(planned.workload)
    schedule = arm.schedule(run.steps, run.peak) if groups else None
    for step, loss in run.losses:
        after = step if script else step + 1  # a workload's is that before its update
        rates = {} if schedule is None else {f"lr/{name}": times * schedule(step) for name, times in groups.items()}
        found.setdefault(after, {}).update({**rates, "train/loss": loss})
    for step, values in run.curve:
        found.setdefault(step, {}).update({f"valid/{name}": value for name, value in values.items()})
    return {step: {name: v for name, v in values.items() if isfinite(v)} for step, values in found.items()}


def numbers(result: StudyResult, names: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    """What was found of each arm and of each comparison."""
    for arm in result.arms:
        mean = (arm.fresh or arm.best).mean
        found = {"mean": mean, "peak": arm.best.peak}
        yield from ((f"{names[arm.name]}/{name}", v) for name, v in found.items() if v is not None and isfinite(v))
    for one in result.comparisons:
        change = {"difference": one.change.difference, "low": one.change.low, "high": one.change.high, "p": one.p}
        tag = f"{names[one.arm]} against {names[one.baseline]}"
        yield from ((f"{tag}/{name}", v) for name, v in change.items() if v is not None and isfinite(v))
