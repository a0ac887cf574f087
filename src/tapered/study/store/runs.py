"""Runs of a study as values and as text, and their rows as tensors: what the store keeps.

Run: an arm, a peak, a seed     Branch: runs that are one row so far     Bundle: branches trained and kept together
"""

import hashlib
import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from tapered.words import brief

Curve = tuple[tuple[int, Mapping[str, float]], ...]
Losses = tuple[tuple[int, float], ...]
KNOWN = ("step", "curve", "losses", "told", "diverged", "pruned", "began", "ended")  # of a branch, and so of its runs


def _evaluated(curve: Curve, step: int) -> bool:
    return bool(curve) and curve[-1][0] >= step


@brief
@dataclass(frozen=True)
class Run:
    """One run: an arm at one peak and one seed.

    Args:
        key: Hash of everything the run's numbers depend on (see ``run_key``).
        arm: The arm's name.
        peak: What the arm's rate is multiplied by; None for an arm whose rate stands as written.
        seed: Its seed.
        steps: Updates it is to make.
        step: Updates made.
        curve: (step, metric name -> value on the validation split), in order of steps.
        losses: (step, training loss), a bounded number of points.
        diverged: The step whose loss was not finite, else None.
        value: The study's metric at the last evaluation; NaN where the run diverged, was pruned or is not finished.
        pruned: The step at which pruning stopped it, else None; its curve ends there, and its steps count.
        probe: Whether it only ranks its schedule at a rung, by a short cooldown from there.
        told: (step, training loss of its last update), where its rate follows that.
        began: When its first update was begun, in seconds since 1970; None where that is not known. No part of what it
            is: two runs that differ in it alone are the same.
        ended: When it was finished, likewise.
    """

    key: str
    arm: str
    peak: float | None
    seed: int
    steps: int
    step: int = 0
    curve: Curve = ()
    losses: Losses = ()
    diverged: int | None = None
    value: float = float("nan")
    pruned: int | None = None
    probe: bool = False
    told: Losses = ()
    began: float | None = field(default=None, compare=False, repr=False)
    ended: float | None = field(default=None, compare=False, repr=False)

    @property
    def keys(self) -> tuple[str]:
        """Its key alone, as a branch has those of its runs."""
        return (self.key,)

    @property
    def finished(self) -> bool:
        """Whether it has made all its steps and was evaluated after the last, diverged on the way or was pruned."""
        return self.diverged is not None or self.pruned is not None or _evaluated(self.curve, self.steps)


@brief
@dataclass(frozen=True)
class Branch:
    """What is known of the runs that are one row so far: they share every step they have made.

    Args:
        runs: The runs below it, as planned.
        step: Updates made.
        curve: (step, metric name -> value on the validation split), in order of steps.
        losses: (step, training loss), a bounded number of points.
        diverged: The step whose loss was not finite, else None.
        pruned: The step at which pruning stopped its runs, else None.
        told: (step, training loss of its last update), where the rate of one of its runs follows that.
        began: When its first update was begun, as of a run.
        ended: When it was finished, as of a run.
    """

    runs: tuple[Run, ...]
    step: int = 0
    curve: Curve = ()
    losses: Losses = ()
    diverged: int | None = None
    pruned: int | None = None
    told: Losses = ()
    began: float | None = field(default=None, compare=False, repr=False)
    ended: float | None = field(default=None, compare=False, repr=False)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of its runs."""
        return tuple(run.key for run in self.runs)

    @property
    def has_row(self) -> bool:
        """Whether its state is kept: it neither diverged nor was pruned."""
        return self.diverged is None and self.pruned is None

    @property
    def finished(self) -> bool:
        """Whether its runs are: rows that stand at their last step wait there, to be evaluated with the others."""
        return not self.has_row or _evaluated(self.curve, self.runs[0].steps)

    def dated(self) -> Self:
        """With the time at which it was finished: now, where it is and that was not known."""
        return replace(self, ended=time.time()) if self.finished and self.ended is None else self

    def results(self, metric: str) -> list[Run]:
        """Each of its runs as it stands."""
        value = self.curve[-1][1][metric] if self.finished and self.has_row else float("nan")
        known = {name: getattr(self, name) for name in KNOWN}
        return [replace(run, value=value, **known) for run in self.runs]


@brief
@dataclass(frozen=True)
class Bundle:
    """Branches of one rule that are trained and kept together; the rows of those that go on or have ended are tensors.

    Args:
        branches: In the order of the rows; one that diverged or was pruned has no row and may stand anywhere.
    """

    branches: tuple[Branch, ...]

    @property
    def live(self) -> tuple[Branch, ...]:
        """The branches that have a row, in the order of the rows."""
        return tuple(branch for branch in self.branches if branch.has_row)

    @property
    def lost(self) -> tuple[Branch, ...]:
        """The branches that diverged or were pruned."""
        return tuple(branch for branch in self.branches if not branch.has_row)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of all its runs."""
        return tuple(key for branch in self.branches for key in branch.keys)

    @property
    def name(self) -> str:
        """Hash of what made it: the keys of all its runs."""
        return run_key({"runs": sorted(self.keys)})

    @property
    def finished(self) -> bool:
        """Whether all its runs are finished."""
        return all(branch.finished for branch in self.branches)

    def reached(self, step: int) -> bool:
        """Whether all its runs are finished, or have made so many updates."""
        return all(branch.finished or branch.step >= step for branch in self.branches)

    def begun(self) -> Self:
        """With the time at which its first update is begun: now."""
        return replace(self, branches=tuple(replace(branch, began=time.time()) for branch in self.branches))

    def pruned(self, keys: Collection[str], step: int) -> tuple["Bundle", list[int]]:
        """The bundle without these runs' rows, they being pruned at ``step``, and the places of the rows that stay.

        A row goes on as long as one run below it does.
        """
        lost, live, places = list(self.lost), [], []
        for place, branch in enumerate(self.live):
            out = tuple(run for run in branch.runs if run.key in keys)
            on = tuple(run for run in branch.runs if run.key not in keys)
            lost += [replace(branch, runs=out, pruned=step).dated()] if out else []
            live += [replace(branch, runs=on)] if on else []
            places += [place] if on else []
        return Bundle((*lost, *live)), places


def run_key(facts: Mapping[str, Any]) -> str:
    """Twenty hex digits of the SHA-256 of the facts as sorted JSON.

    >>> run_key({"seed": 1, "peak": 0.1}) == run_key({"peak": 0.1, "seed": 1})
    True
    """
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]
