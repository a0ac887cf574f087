"""Runs that agree for a while are trained once: their tables of hypers become a tree of shared segments.

    run 0  ──────────────────────────          ──────┬───────┬────────  run 0
    run 1  ──────╮                      share        │       ╰────────  run 2
                 ╰───────────────────   ────►        ╰────────────────  run 1
    run 2  ──────────────╮
                         ╰───────────
           asked: 3 x steps                    to run: what is drawn, once

Runs of one group (workload, rule and seed) share a segment as long as all their hypers agree bit for bit. Only numbers
are looked at, so that schedules of any kind share, a user's own functions too.
"""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, cmp_to_key
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

Table = Mapping[str, NDArray[np.float64]]
Columns = tuple[NDArray[np.uint64], ...]
Stretch = tuple[int, int]
FIRST_WINDOW, GROWTH = 64, 8


@dataclass(frozen=True)
class Segment:
    """Steps [start, stop) that ``runs`` share.

    Args:
        start: Completed updates where it begins.
        stop: Completed updates where it ends.
        runs: The runs that pass through it, ascending.
        parent: Index of the segment that it forks from; None at step 0.
    """

    start: int
    stop: int
    runs: tuple[int, ...]
    parent: int | None = None

    @property
    def steps(self) -> int:
        """Updates it makes."""
        return self.stop - self.start


@dataclass(frozen=True)
class Plan:
    """What is trained instead of every run alone.

    Args:
        segments: Parents before children, whole trees one after another.
        asked: Updates of all runs, each trained alone.
        to_run: Updates of all segments.
        reason: Why nothing is shared, one sentence without a full stop; None where something is.
    """

    segments: tuple[Segment, ...]
    asked: int
    to_run: int
    reason: str | None = None

    @property
    def ratio(self) -> float:
        """Updates asked for each one that is run: asked / to_run, at least 1."""
        return self.asked / self.to_run if self.to_run else 1.0

    @cached_property
    def trees(self) -> tuple[tuple[int, ...], ...]:
        """Indices of segments, a tuple for each root: what can be trained without the others."""
        roots = [i for i, segment in enumerate(self.segments) if segment.parent is None]
        return tuple(tuple(range(start, stop)) for start, stop in pairwise([*roots, len(self.segments)]))

    @cached_property
    def paths(self) -> tuple[tuple[int, ...], ...]:
        """Indices of segments, a tuple for each run: what it passes through, from step 0 to its end."""
        passed: dict[int, list[int]] = {}
        for i, segment in enumerate(self.segments):
            for run in segment.runs:
                passed.setdefault(run, []).append(i)
        return tuple(tuple(passed[run]) for run in range(len(passed)))

    def events(self, indices: Sequence[int] | None = None) -> tuple[int, ...]:
        """The steps at which a segment starts or stops, ascending; of all segments, or of those at ``indices``."""
        return tuple(sorted({step for segment in self._at(indices) for step in (segment.start, segment.stop)}))

    def crowd(self, indices: Sequence[int] | None = None) -> tuple[tuple[int, int], ...]:
        """How many of these segments train at a time, and for how many steps, from the first event to the last."""
        change = Counter(s.start for s in self._at(indices))
        change.subtract(s.stop for s in self._at(indices))
        events = self.events(indices)
        alive = accumulate(change[step] for step in events[:-1])
        return tuple((rows, stop - begin) for rows, (begin, stop) in zip(alive, pairwise(events), strict=True))

    def width(self, indices: Sequence[int] | None = None) -> int:
        """The most rows that train at once when all segments, or those at ``indices``, go in step.

        Times the bytes of a row it is the memory that they take.
        """
        changes = [(step, change) for s in self._at(indices) for step, change in ((s.start, 1), (s.stop, -1))]
        # a segment that stops makes place for those that start there: -1 sorts before 1
        return int(np.cumsum([change for _, change in sorted(changes)]).max(initial=0))

    def _at(self, indices: Sequence[int] | None) -> Iterator[Segment]:
        return iter(self.segments) if indices is None else (self.segments[i] for i in indices)


def share(tables: Sequence[Table], groups: Sequence[Hashable]) -> Plan:
    """The tree of segments that gives every run its table, each stretch that runs have in common once.

    Args:
        tables: For each run, hyper name -> its values, float64, shape (steps,). Runs may differ in length. Arrays are
            not copied, and those that are the same object are not compared.
        groups: For each run, what must be equal for a state to be the same: workload, rule and seed.

    Raises:
        ValueError: If there is not one group for each table, a table is empty or of another kind, or the runs of a
            group have different hypers.

    Example:
        >>> import numpy as np
        >>> constant, halved = np.ones(8), np.repeat([1.0, 0.5], 4)
        >>> plan = share([{"lr": constant}, {"lr": halved}], ["seed 0", "seed 0"])
        >>> [(s.start, s.stop, s.runs, s.parent) for s in plan.segments]
        [(0, 4, (0, 1), None), (4, 8, (0,), 0), (4, 8, (1,), 0)]
        >>> plan.asked, plan.to_run
        (16, 12)
    """
    columns = _columns(tables, groups)
    members: dict[Hashable, list[int]] = {}
    for run, group in enumerate(groups):
        members.setdefault(group, []).append(run)
    grown: dict[tuple[int, ...], list[Segment]] = {}  # seeds have the same tables, so the same tree
    segments: list[Segment] = []
    for runs in members.values():
        objects = tuple(id(column) for run in runs for column in columns[run])
        if objects not in grown:
            grown[objects] = _tree([columns[run] for run in runs])
        segments += _placed(grown[objects], runs, len(segments))
    asked, to_run = sum(len(parts[0]) for parts in columns), sum(segment.steps for segment in segments)
    return Plan(tuple(segments), asked, to_run, _reason(tables, members) if asked == to_run else None)


def _columns(tables: Sequence[Table], groups: Sequence[Hashable]) -> list[Columns]:
    """The bits of each table's arrays, in the order of their names; one view for each array object."""
    if len(tables) != len(groups):
        raise ValueError(f"got {len(tables)} tables and {len(groups)} groups; expected one group for each table")
    names: dict[Hashable, list[str]] = {}
    views: dict[int, NDArray[np.uint64]] = {}
    for run, (table, group) in enumerate(zip(tables, groups, strict=True)):
        if sorted(table) != names.setdefault(group, sorted(table)):
            raise ValueError(f"run {run} of group {group!r} has hypers {sorted(table)}; expected {names[group]}")
        if len({values.shape for values in table.values()}) != 1:
            lengths = {name: values.shape for name, values in table.items()}
            raise ValueError(f"run {run} has hypers of shapes {lengths}; expected one shape (steps,) for all")
        for name, values in table.items():
            if values.dtype != np.float64 or values.ndim != 1 or not len(values):
                raise ValueError(
                    f"run {run} has {name!r} of type {values.dtype} and shape {values.shape}; expected float64 of "
                    f"shape (steps,) with at least one step; try schedule.table(steps)"
                )
            views.setdefault(id(values), values.view(np.uint64))
    return [tuple(views[id(table[name])] for name in sorted(table)) for table in tables]


def _part(a: Columns, b: Columns) -> tuple[int, int]:
    """The first step at which two runs differ, or where the shorter one ends, and the sign of their order there."""
    start, size, end = 0, FIRST_WINDOW, min(len(a[0]), len(b[0]))
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x is not y]
    while start < end and pairs:
        stop = min(start + size, end)
        found = [_first(x[start:stop], y[start:stop]) for x, y in pairs]
        if any(step is not None for step in found):
            step, place = min((step, place) for place, step in enumerate(found) if step is not None)
            x, y = pairs[place]
            return start + step, -1 if x[start + step] < y[start + step] else 1
        start, size = stop, GROWTH * size
    return end, len(a[0]) - len(b[0])


def _first(x: NDArray[np.uint64], y: NDArray[np.uint64]) -> int | None:
    differs = x != y
    step = int(differs.argmax())
    return step if differs[step] else None


def _tree(runs: Sequence[Columns]) -> list[Segment]:
    """The segments of one group; in sorted order, the runs that share a segment are neighbours."""

    def compared(i: int, j: int) -> int:
        return _part(runs[i], runs[j])[1]

    order = sorted(range(len(runs)), key=cmp_to_key(compared))
    agree = [_part(runs[i], runs[j])[0] for i, j in pairwise(order)]
    segments: list[Segment] = []
    waiting: list[tuple[int | None, int, Stretch]]
    waiting = [(None, 0, stretch) for stretch in _stretches(runs, order, agree, (0, len(order)), 0)]
    while waiting:
        parent, start, (low, high) = waiting.pop()
        stop = min(agree[low : high - 1], default=len(runs[order[low]][0]))
        here = len(segments)
        segments.append(Segment(start, stop, tuple(sorted(order[low:high])), parent))
        waiting += [(here, stop, s) for s in _stretches(runs, order, agree, (low, high), stop)]
    return segments


def _stretches(
    runs: Sequence[Columns], order: Sequence[int], agree: Sequence[int], within: Stretch, step: int
) -> list[Stretch]:
    """Where sorted runs that agree up to ``step`` part there, without those that end; the first run's comes last."""
    low, high = within
    edges = [low, *(i + 1 for i in range(low, high - 1) if agree[i] == step), high]
    parts = [(i, j) for i, j in pairwise(edges) if len(runs[order[i]][0]) > step]
    return sorted(parts, key=lambda part: -min(order[part[0] : part[1]]))


def _placed(tree: Sequence[Segment], runs: Sequence[int], offset: int) -> list[Segment]:
    """A group's tree with the runs' own numbers, after ``offset`` other segments."""
    return [
        replace(
            segment,
            runs=tuple(runs[i] for i in segment.runs),
            parent=None if segment.parent is None else segment.parent + offset,
        )
        for segment in tree
    ]


def _reason(tables: Sequence[Table], members: Mapping[Hashable, Sequence[int]]) -> str:
    """Why runs of which no two share a step do not."""
    groups = [[tables[run] for run in runs] for runs in members.values() if len(runs) > 1]
    if len(tables) < 2:
        return "there are no two runs that could share a step"
    if not groups:
        return "no two runs have the same workload, rule and seed, and only such runs share; seeds never do"
    names = {n for group in groups for n in group[0] if len({table[n][0].tobytes() for table in group}) > 1}
    return f"all runs of one seed differ in {' or '.join(sorted(names))} at step 0 already; peaks and seeds never share"
