"""From one arm's metric to another's: means, difference, the difference as a share."""

from math import isfinite

from tapered.stats import Direction
from tapered.study.result.compared import Change, Evidence
from tapered.study.result.values import mean


def change_of(said: Evidence, direction: Direction) -> Change:
    """What the seeds say of the difference, as it stands in the metric: below 0 where the arm's is lower."""
    lost = tuple(sum(not isfinite(value) for value in side) for side in (said.theirs, said.ours))
    whole = sum(lost) == 0
    before, after = (mean(side) if whole else None for side in (said.theirs, said.ours))
    sides = (said.paired.low, said.paired.high)
    ends = [end if said.ended and end is not None and isfinite(end) else None for end in sides]
    low, high = ends if direction == "maximize" else [None if end is None else -end for end in reversed(ends)]
    return Change(before, after, _share(said, before, after), low, high, (lost[0], lost[1]))


def _share(said: Evidence, before: float | None, after: float | None) -> float | None:
    """Of values that lie above 0; elsewhere 0 is no bottom that a share could be one of."""
    if before is None or after is None or min(*said.theirs, *said.ours) < 0 or min(before, after) <= 0:
        return None
    share = after / before - 1
    return share if isfinite(share) else None
