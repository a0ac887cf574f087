"""Which of a run's training losses are kept: those of steps that lie evenly, however long it trains."""

from collections.abc import Sequence
from typing import Any

import numpy as np

LOSSES_KEPT = 128
Losses = tuple[tuple[int, float], ...]


def keep(losses: list[tuple[int, float]], step: int, value: float) -> None:
    """Keep the losses at multiples of a stride, which doubles whenever `LOSSES_KEPT` points are full."""
    stride = losses[1][0] - losses[0][0] if len(losses) > 1 else 1
    if step % stride == 0:
        if len(losses) == LOSSES_KEPT:
            del losses[1::2]
            if step % (2 * stride):
                return
        losses.append((step, value))


def kept(known: Sequence[Losses], first: int, lengths: Sequence[int], new: np.ndarray[Any, Any]) -> tuple[Losses, ...]:
    """As `keep` for the first so many of each column, without looking at those that are not kept."""
    found: list[Losses] = [()] * len(known)
    alike: dict[tuple[int, ...], list[int]] = {}  # rows of the same steps, which most are
    for row, (losses, length) in enumerate(zip(known, lengths, strict=True)):
        ends = [step for step, _ in (*losses[:2], *losses[-1:])]  # between them they lie evenly
        alike.setdefault((length, len(losses), *ends), []).append(row)
    for (length, *_), rows in alike.items():
        before = [step for step, _ in known[rows[0]]]
        steps = _steps_kept(before, first, first + length)
        old, added = set(steps), [step for step in steps if step >= first]
        columns = new[np.ix_([step - first for step in added], rows)].T.tolist()
        for row, column in zip(rows, columns, strict=True):
            losses = known[row] if old.issuperset(before) else tuple(pair for pair in known[row] if pair[0] in old)
            found[row] = losses + tuple(zip(added, column, strict=True))
    return tuple(found)


def _steps_kept(known: Sequence[int], first: int, end: int) -> list[int]:
    """Those whose losses are kept once each of these steps had one."""
    found, step = list(known), first
    while True:
        stride = found[1] - found[0] if len(found) > 1 else 1
        step += -step % stride
        if step >= end:
            return found
        if len(found) == LOSSES_KEPT:
            del found[1::2]
            continue
        # before there are two points there is no stride to go on by
        room = LOSSES_KEPT - len(found) if len(found) > 1 else 1
        last = min(end, step + stride * room)
        found.extend(range(step, last, stride))
        step = last
