"""What became of a run of a script, as a study keeps it: a curve, a value, and what was witnessed.

folder, Ended ─► outcome ─► Branch: as any run's ─► store          Record ─► record.json beside it
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import TypeVar

import numpy as np

from tapered.files import whole
from tapered.files.sealed import UnsealedError, sealed, unsealed
from tapered.scripts.asked import Asked
from tapered.scripts.ended import Ended
from tapered.scripts.metrics import Told
from tapered.scripts.notes import unseen
from tapered.scripts.rates import applied
from tapered.study.script.judge import Judge
from tapered.study.store.runs import Branch, Curve, Run

RECORD = "record.json"
TINY, LEAST = 1e-300, 1e-3
T = TypeVar("T")
POINTS = 400  # of a curve that are kept, and of training losses


@dataclass(frozen=True)
class Record:
    """What was witnessed of a run.

    Args:
        start: Updates that it took over from another run.
        made: Updates from there on that it is to have made.
        seen: How many of them were seen, each once.
        gap: The largest |applied - asked|, as a share of what was asked, or of a thousandth of the peak.
        apart: The largest difference of what was told twice, as after a resume; None where nothing was.
        starts: How often it was started.
        seconds: How long it ran.
        notes: What could not be witnessed, and what was done beside.
    """

    start: int
    made: int
    seen: int
    gap: float
    apart: float | None
    starts: int
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """Keep it, whole.

        Raises:
            OSError: The disk does not take it.
        """
        whole.replace(folder / RECORD, sealed(asdict(self), indent=1).encode())

    @classmethod
    def read(cls, folder: Path) -> "Record | None":
        """What was kept; None where there is nothing, or something else."""
        try:
            fields = unsealed((folder / RECORD).read_text())
            return cls(**fields | {"notes": tuple(fields["notes"])})
        except (OSError, UnsealedError, UnicodeDecodeError, TypeError, KeyError):
            return None


def record_of(folder: Path, ended: Ended, told: Told) -> Record:
    """What was witnessed of a run that has ended."""
    asked, rates = Asked.read(folder)
    seen = applied(folder)
    updates, at = (seen[0].updates, seen[0].rates) if seen else (np.empty(0, np.int64), np.empty(0))
    mine = (updates >= asked.start) & (updates < asked.until)
    gaps = np.abs(at[mine] - rates[updates[mine]])
    most = np.maximum(np.abs(rates[updates[mine]]), LEAST * np.abs(rates).max(initial=0.0))
    apart = [difference for _, difference in told.apart.values() if isfinite(difference)]
    return Record(
        start=asked.start,
        made=max(0, ended.step - asked.start),
        seen=len(np.unique(updates[mine])),
        gap=float((gaps / np.maximum(most, TINY)).max(initial=0.0)),
        apart=max(apart, default=None),
        starts=ended.starts,
        seconds=ended.seconds,
        notes=tuple(map(said, [*ended.notes, *unseen(folder)])),
    )


def said(note: str) -> str:
    """A note as a sentence.

    >>> said("the rate of 1 process of 2 was not seen")
    'The rate of 1 process of 2 was not seen.'
    """
    return f"{note[:1].upper()}{note[1:].rstrip('.')}."


def branch_of(
    run: Run, judge: Judge, folder: Path, step: int, diverged: int | None, before: Curve, marks: Collection[int]
) -> Branch:
    """A run as it stands at a step.

    Args:
        run: As it was planned.
        judge: Which says where its numbers are.
        folder: Its folder.
        step: Updates that it has made.
        diverged: The step at which something that it told was not finite, else None.
        before: The curve of the run that it shares steps with, up to there.
        marks: Steps at which it is looked at, which stay in its curve.
    """
    first = before[-1][0] if before else -1
    points = _at(judge, judge.told(folder), first, step)
    curve = [(at, point) for at, point in points if judge.metric in point]
    losses = [(at, point["loss"]) for at, point in points if judge.metric != "loss" and "loss" in point]
    return Branch((run,), step, (*before, *thinned(curve, marks)), thinned(losses, ()), diverged)


def _at(judge: Judge, told: Told, after: int, until: int) -> list[tuple[int, dict[str, float]]]:
    """What was told of how training goes, step by step."""
    found: dict[int, dict[str, float]] = {}
    for name in filter(judge.counts, told.points):
        for step, value in told.points[name].items():
            if after < step <= until:
                found.setdefault(step, {})[name] = value
    return sorted(found.items())


def thinned(points: Sequence[tuple[int, T]], marks: Collection[int]) -> tuple[tuple[int, T], ...]:
    """At most so many of them, evenly, with the first and the last, and those at marks.

    >>> len(thinned([(step, 0.0) for step in range(10_000)], [17]))
    401
    """
    if len(points) <= POINTS:
        return tuple(points)
    places = {round(i * (len(points) - 1) / (POINTS - 1)) for i in range(POINTS)}
    return tuple(point for i, point in enumerate(points) if i in places or point[0] in marks)
