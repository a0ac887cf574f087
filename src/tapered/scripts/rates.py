"""Whether the rate that a script applied is the rate that it was asked.

applied.csv ─► applied(folder) ─► compare(rates, applied) ─► None, or the first Difference
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tapered.scripts.lines import whole
from tapered.scripts.noting import APPLIED, GAP, LEAST

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GAP", "LEAST", "Applied", "Difference", "applied", "compare"]


@dataclass(frozen=True)
class Applied:
    """What the witness wrote of one process: update `updates[i]` was made at `rates[i]`, as they came.

    Args:
        rank: the process's, under torchrun; 0 otherwise. Of others than 0 only what was not as asked is written.
    """

    rank: int
    updates: "NDArray[np.int64]"
    rates: "NDArray[np.float64]"


@dataclass(frozen=True)
class Difference:
    """Where the rate applied parts from the rate asked.

    Args:
        update: counted from 0.
        asked: None: nothing was, since the run has no such update.
        applied: None: no such update was seen.
        rank: the process's.
    """

    update: int
    asked: float | None
    applied: float | None
    rank: int = 0

    @property
    def missing(self) -> bool:
        """An update that was not seen; right as long as the script still runs."""
        return self.applied is None

    def __str__(self) -> str:
        where = f" on rank {self.rank}" if self.rank else ""
        if self.applied is None:
            return f"update {self.update}{where} was not seen; asked was {self.asked!r}"
        if self.asked is None:
            return f"update {self.update}{where} was made at {self.applied!r}; the run ends before it"
        return f"update {self.update}{where} was made at {self.applied!r}; asked was {self.asked!r}"


def applied(folder: Path) -> list[Applied]:
    """What was applied, a process each, rank 0 first; empty where nothing was witnessed.

    A cut line is left out; a line that is none, too: the witness's own are whole.
    """
    paths = {0: folder / APPLIED}
    for path in folder.glob("applied-*.csv"):
        rank = path.stem.removeprefix("applied-")
        if rank.isdigit():
            paths[int(rank)] = path
    found = [_read(rank, path) for rank, path in sorted(paths.items())]
    return [seen for seen in found if len(seen.updates)]


def compare(
    rates: "Sequence[float] | NDArray[np.float64]", seen: Sequence[Applied], start: int = 0, stop: int | None = None
) -> Difference | None:
    """The first difference of what was applied from what was asked; None where there is none.

        |applied - asked| <= 1e-6 max(|asked|, 1e-3 max |asked|)     for every update, however often it was made

    Args:
        rates: asked, one an update.
        seen: of `applied`.
        start: the first update that this run makes itself; what comes before is its parent's.
        stop: updates from here on are not missed, and may be there.

    Returns:
        A rate that differs, or an update beyond the last, before an update that is missing.

    Example:
        >>> made = Applied(0, np.array([0, 1]), np.array([0.1, 0.2]))
        >>> print(compare([0.1, 0.3, 0.4], [made]))
        update 1 was made at 0.2; asked was 0.3
        >>> print(compare([0.1, 0.2, 0.4], [made]), compare([0.1, 0.2, 0.4], [made], stop=2))
        update 2 was not seen; asked was 0.4 None
    """
    asked = np.asarray(rates, dtype=np.float64)
    allowed = GAP * np.maximum(np.abs(asked), LEAST * np.abs(asked).max(initial=0.0))
    wrong = [found for one in seen for found in _wrong(asked, allowed, one)]
    if wrong:
        return min(wrong, key=lambda found: (found.update, found.rank))
    made = np.unique(np.concatenate([one.updates for one in seen if one.rank == 0] or [np.empty(0, np.int64)]))
    missing = np.setdiff1d(np.arange(start, len(asked) if stop is None else stop), made)
    return Difference(int(missing[0]), float(asked[missing[0]]), None) if len(missing) else None


def _wrong(asked: "NDArray[np.float64]", allowed: "NDArray[np.float64]", one: Applied) -> Iterator[Difference]:
    """The first rate that differs, and the first update that nobody asked."""
    within = (one.updates >= 0) & (one.updates < len(asked))
    updates, rates = one.updates[within], one.rates[within]
    parted = np.flatnonzero(~(np.abs(rates - asked[updates]) <= allowed[updates]))  # NaN is no rate that was asked
    if len(parted):
        at = parted[np.argmin(updates[parted])]
        yield Difference(int(updates[at]), float(asked[updates[at]]), float(rates[at]), one.rank)
    beyond = np.flatnonzero(~within)
    if len(beyond):
        at = beyond[np.argmin(one.updates[beyond])]
        yield Difference(int(one.updates[at]), None, float(one.rates[at]), one.rank)


LINE = re.compile(r"(-?\d{1,18}),(\S+)")


def _read(rank: int, path: Path) -> Applied:
    updates, rates = [], []
    for line in whole(path):
        found = LINE.fullmatch(line)
        if found:
            try:
                rates.append(float(found[2]))
            except ValueError:
                continue
            updates.append(int(found[1]))
    return Applied(rank, np.array(updates, np.int64), np.array(rates, np.float64))
