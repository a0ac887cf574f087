"""What is said of a study that is not finished: how far it is, a table of its arms, the same as JSON takes it."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from tapered.study.result.partial import FRESH, Partial, SoFar
from tapered.study.summary.fields import asked_fields
from tapered.study.summary.text import number
from tapered.words import counted

NO_VERDICT = "There is no verdict before all of them are."


def standing_lines(found: Partial) -> list[str]:
    """How far a study is, a sentence or two each; the first as a headline.

    >>> from tapered.study import read
    >>> from tapered.study.result.partial import partial
    >>> standing_lines(partial(read("bmi").study, []))[0]
    'Not finished: 0 of 144 runs are done. There is no verdict before all of them are.'
    """
    return [standing_line(found), *_stages(found), *standing_notes(found)]


def standing_line(found: Partial) -> str:
    """How far a study is."""
    runs = f"{found.of:,} run{'s' * (found.of != 1)}"
    if found.stage is None:
        return f"Not concluded: all of {runs} are done, and their verdict is still to be written."
    return f"Not finished: {found.done:,} of {runs} are done. {NO_VERDICT}"


def standing_notes(found: Partial) -> list[str]:
    """What trains, and what is not looked at yet."""
    return [] if found.stage is None else [*_begun(found), *_fresh(found)]


def _stages(found: Partial) -> Iterator[str]:
    if found.stage is not None:
        each = "; ".join(f"{stage.name}, {stage.done:,} of {stage.of:,}" for stage in found.stages)
        yield f"Now: {found.stage.name}. Done: {each}."


def _begun(found: Partial) -> Iterator[str]:
    if found.begun:
        steps = [run.step for run in found.begun]
        at = f"{min(steps):,}" if min(steps) == max(steps) else f"{min(steps):,} to {max(steps):,}"
        verb = "is" if len(steps) == 1 else "are"
        yield f"{counted(len(steps), 'run')} {verb} begun, at step {at} of {found.steps:,}."


def _fresh(found: Partial) -> Iterator[str]:
    if any(stage.name == FRESH for stage in found.stages):
        yield "Fresh seeds are looked at when all of them have ended: what some of them say is no evidence."


def so_far_title(found: Partial) -> str:
    """What the values of the arms' table are."""
    return f"Validation {found.study.metric} so far, of the seeds that choose the peak; the best peak may change:"


def so_far_rows(found: Partial) -> list[tuple[str, ...]]:
    """The arms so far as a small table, its first row the header."""
    header = ("arm", "best peak so far", f"valid {found.study.metric}", "seeds", "at step", "runs done")
    of = {arm.name: sum(run.arm == arm.name for run in found.begun) for arm in found.arms}
    return [header, *(_row(found, arm, of[arm.name]) for arm in found.arms)]


def _row(found: Partial, arm: SoFar, begun: int) -> tuple[str, ...]:
    done = f"{arm.done}{f' ({begun} begun)' if begun else ''}"
    if arm.best is None:
        return (arm.name, "-", "-", "-", "-", done)
    ended = len(arm.best.runs) - arm.best.diverged
    peak = "as written" if arm.best.peak is None else number(arm.best.peak)
    seeds = f"{ended} of {found.study.seeds}"
    return (arm.name, peak, number(arm.best.mean), seeds, f"{arm.step:,}", done)


def partial_fields(found: Partial) -> dict[str, Any]:
    """A study that is not finished as JSON takes it; it has neither a verdict nor comparisons."""
    return {
        "study": found.study.name,
        "finished": False,
        **asked_fields(found.study),
        "stage": None if found.stage is None else found.stage.name,
        "stages": [asdict(stage) for stage in found.stages],
        "runs": {"done": found.done, "of": found.of, "begun": len(found.begun)},
        "steps": found.steps,
        "metric": found.study.metric,
        "arms": [_fields(arm) for arm in found.arms],
    }


def _fields(arm: SoFar) -> dict[str, Any]:
    best = arm.best
    return {
        "name": arm.name,
        "best_peak_so_far": None if best is None else best.peak,
        "mean_so_far": None if best is None else best.mean,
        "seeds": 0 if best is None else len(best.runs) - best.diverged,
        "step": arm.step,
        "done": arm.done,
        "begun": arm.begun,
    }
