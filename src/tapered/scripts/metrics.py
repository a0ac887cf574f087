"""Where a script's numbers are, and what they say: of whatever it writes, read at any time, also half-written.

"csv:{out}/log.csv" ─► reader(source) ─► Metrics ─► read(folder) ─► Told: numbers by name and step
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tapered.scripts import formats
from tapered.scripts.current import REPORTS
from tapered.scripts.errors import ScriptError
from tapered.words import suggest

Row = tuple[int, Mapping[str, float]]
SOURCES = ("jsonl", "csv", "tensorboard", "trainer_state", "regex")


@dataclass(frozen=True)
class Told:
    """What a run has told so far.

    Args:
        points: name -> step -> value; what was told again counts instead.
        apart: name -> (step, difference): the largest between two tellings of the same, as after a resume.
        count: how many numbers were told, those told twice included.
        unread: lines that are no report.
    """

    points: Mapping[str, Mapping[int, float]]
    apart: Mapping[str, tuple[int, float]]
    count: int
    unread: int

    @property
    def last(self) -> int | None:
        """The largest step."""
        return max((step for values in self.points.values() for step in values), default=None)

    @property
    def diverged(self) -> int | None:
        """The first step with a number that is not finite."""
        wrong = (step for values in self.points.values() for step, x in values.items() if not math.isfinite(x))
        return min(wrong, default=None)


@dataclass(frozen=True)
class Metrics:
    """A place of numbers, which was checked.

    Args:
        source: as it was given.
        rows: the numbers of a run's folder, in the order in which they were told; None for a line that is none.
    """

    source: str
    rows: Callable[[Path], Iterator[Row | None]]

    def read(self, folder: Path) -> Told:
        """What the run in this folder has told; nothing where its files are not there yet.

        Raises:
            ScriptError: a package is missing that reads them, or a file has no column of steps.
        """
        points: dict[str, dict[int, float]] = {}
        apart: dict[str, tuple[int, float]] = {}
        count = unread = 0
        for row in self.rows(folder):
            if row is None:
                unread += 1
                continue
            step, values = row
            for name, value in values.items():
                told = points.setdefault(name, {})
                if step in told:
                    apart[name] = max(apart.get(name, (step, 0.0)), (step, _gap(told[step], value)), key=lambda p: p[1])
                told[step] = value
                count += 1
        return Told(points, apart, count, unread)


def reader(source: str, step: str | None = None) -> Metrics:
    r"""How a script's numbers are read.

    Args:
        source: "jsonl": what `run.log` told; "jsonl:{out}/log.jsonl", "csv:{out}/log.csv": a line a report;
            "tensorboard:{out}": event files anywhere below; "trainer_state": transformers' `trainer_state.json`;
            "regex:PATTERN": of what is printed, by named groups, `step` one of them.
        step: the name of what counts updates, where it is not one of the usual ones; "iter+1" where it says 0 after
            the first update.

    Raises:
        ScriptError: no such source, or it lacks what it needs.

    Example:
        >>> reader(r"regex:step (?P<step>\d+) loss (?P<loss>\S+)").source
        'regex:step (?P<step>\\d+) loss (?P<loss>\\S+)'
    """
    kind, colon, place = source.partition(":")
    if kind not in SOURCES:
        raise ScriptError(f"got {source!r:.80} for metrics; {suggest(kind, SOURCES)}")
    if kind in ("csv", "tensorboard", "regex") and not place:
        what = "a pattern" if kind == "regex" else "a place"
        example = {"csv": "csv:{out}/log.csv", "tensorboard": "tensorboard:{out}"}.get(kind, PATTERN)
        raise ScriptError(f'got {source!r} for metrics; expected {what} after "{kind}:"; try "{example}"')
    if kind == "jsonl" and colon and not place:
        raise ScriptError(f'got {source!r} for metrics; try "jsonl", or "jsonl:{{out}}/log.jsonl"')
    unknown = [name for name in re.findall(r"\{(.*?)\}", place) if name not in ("out", "run")]
    if unknown and kind != "regex":
        raise ScriptError(
            f"got {source!r:.80} for metrics; {{{unknown[0]}}} is unknown there; {{out}} and {{run}} are known"
        )
    count = formats.Count.of(step)
    if kind == "regex":
        return Metrics(source, partial(_printed, formats.Printed.of(place, count)))
    found = {"jsonl": formats.json_lines, "csv": formats.table, "tensorboard": formats.events}.get(kind)
    if found is None:
        return Metrics(source, partial(_trainer, count))
    return Metrics(source, partial(_file, found, place or "{run}/" + REPORTS, count))


PATTERN = r"regex:step (?P<step>\d+) loss (?P<loss>\S+)"


def _file(
    read: Callable[[Path, formats.Count], Iterable[Row | None]], place: str, count: formats.Count, folder: Path
) -> Iterator[Row | None]:
    out = folder.absolute() / "out"
    path = place.replace("{out}", str(out)).replace("{run}", str(out.parent))
    yield from read(out / path, count)


def _trainer(count: formats.Count, folder: Path) -> Iterator[Row | None]:
    yield from formats.histories(folder / "out", count)


def _printed(printed: formats.Printed, folder: Path) -> Iterator[Row | None]:
    yield from printed.rows(folder)


def _gap(one: float, other: float) -> float:
    """How far two tellings are apart; NaN told twice is the same."""
    if one == other or (math.isnan(one) and math.isnan(other)):
        return 0.0
    gap = abs(one - other)
    return gap if math.isfinite(gap) else math.inf
