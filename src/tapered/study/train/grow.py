"""Bundles trained from event to event, kept as they go, halved where memory runs out."""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from tapered.files.errors import StoreError
from tapered.rules import Rule
from tapered.study.plan.forest import Forest
from tapered.study.store.runs import Branch, Bundle
from tapered.training.advance import Mode, advance, evaluated
from tapered.training.memory import is_out_of_memory
from tapered.training.reasons import advised
from tapered.training.rows import Rows, start
from tapered.words import counted

SAVE_SECONDS = 10.0
SOON = 1.0  # where one that trained this was lost, as the next may be; then twice as many each time
FORK_SECONDS = 3.0  # a fork is kept too, unless the last save is fresher than this


class RunError(Exception):
    """A run whose model, loss or data raised; the message says which, and the cause is attached."""


class Keeper(Protocol):
    """Where bundles are kept: the study's store, or in a worker what sends them to it."""

    def holds(self, bundle: Bundle) -> bool:
        """Whether a bundle has been begun."""

    def rows(self, bundle: Bundle, rule: Rule) -> Rows:
        """The rows of its live branches."""

    def put(self, bundle: Bundle, rows: Rows | None) -> None:
        """Keep a bundle in the place of what was known of it."""

    def replace(self, bundle: Bundle, parts: Sequence[tuple[Bundle, Rows]]) -> None:
        """Keep the parts of a bundle in its place."""


class Grower:
    """Trains bundles of one rule and keeps them.

    Args:
        forest: What is trained.
        store: Where it is kept: at forks, at the end, and at least every 10 seconds.
        mode: How the rows are trained.
        progress: Called with the number of updates made since the last call.
        stop: Asked after every update; True stops there, and the bundle at hand is kept where it stands.
        until: The evaluation mark to train to; by default the last.
        lost: Whether one that trained this was lost: then it is kept after a second, two, four and so on.
    """

    def __init__(
        self,
        forest: Forest,
        store: Keeper,
        mode: Mode,
        progress: Callable[[int], None],
        stop: Callable[[], bool],
        until: int | None = None,
        *,
        lost: bool = False,
    ) -> None:
        self.whole, self.store, self.mode, self.progress, self.stop = forest, store, mode, progress, stop
        self.forest = forest  # of the bundle at hand, as far as its rates are known
        self.until = forest.marks[-1] if until is None else until
        self.saved, self.live = time.monotonic(), 0  # when, and how many rows are trained now
        self.every = SOON if lost else SAVE_SECONDS

    def grow(self, bundle: Bundle) -> list[Bundle]:
        """Train a bundle to the mark or to a stop; where memory runs out, return its halves, kept in its place.

        Raises:
            RunError: If a model, loss or dataset raises.
        """
        bundle = bundle if self.store.holds(bundle) else bundle.begun()
        self.forest = self.whole.within(bundle) if self.whole.follows else self.whole
        rows = self._rows(bundle)
        go_on: Callable[[Bundle, Rows], tuple[Bundle, Rows | None]] = self._at_event
        while rows is not None:
            found = self._attempt(go_on, bundle, rows)
            if found is None:
                return self._halves(bundle, rows)
            forked = len(found[0].live) > len(bundle.live)
            bundle, rows, go_on = *found, self._next
            if bundle.reached(self.until) or self.stop():
                break
            self._save(bundle, rows, min(FORK_SECONDS, self.every) if forked else self.every)
        self._save(bundle, rows, 0.0)
        return []

    def _rows(self, bundle: Bundle) -> Rows | None:
        if self.store.holds(bundle):
            return self.store.rows(bundle, self.forest.rule(bundle)) if bundle.live else None
        return start(
            self.forest.workload, self.forest.rule(bundle), [branch.runs[0].seed for branch in bundle.branches]
        )

    def _save(self, bundle: Bundle, rows: Rows | None, after: float) -> None:
        if time.monotonic() - self.saved >= after:
            self.store.put(bundle, rows)
            self.saved, self.every = time.monotonic(), min(2 * self.every, SAVE_SECONDS)

    def _attempt(
        self, go_on: Callable[[Bundle, Rows], tuple[Bundle, Rows | None]], bundle: Bundle, rows: Rows
    ) -> tuple[Bundle, Rows | None] | None:
        """A part of the training; None where memory ran out and less may fit."""
        try:
            return go_on(bundle, rows)
        except StoreError:
            raise
        except Exception as error:
            if is_out_of_memory(error) and (len(rows) > 1 or self.mode.width > 8):
                return None
            raise RunError(_raised(bundle, rows, error)) from error

    def _next(self, bundle: Bundle, rows: Rows) -> tuple[Bundle, Rows | None]:
        """The bundle at its next event, or on the way there where it is to be kept or stopped."""
        live = bundle.live
        self.live, event = len(live), self.forest.first_event(live)
        if event <= min(rows.steps):
            raise RuntimeError(f"nothing comes after step {event} of what was kept; delete its file in runs/")
        paths = [self.forest.path(branch) for branch in live]
        rows = advance(self.forest.workload, rows, paths, event, on_step=self._on_step, mode=self.mode)
        branches = tuple(self._stepped(branch, rows, place) for place, branch in enumerate(live))
        whole = [i for i, diverged in enumerate(rows.diverged) if diverged is None]
        bundle = Bundle((*bundle.lost, *branches))
        if not whole:
            return bundle, None
        return self._at_event(bundle, rows if len(whole) == len(rows) else rows.take(whole))

    def _stepped(self, branch: Branch, rows: Rows, place: int) -> Branch:
        """A branch where its row stands, told the training loss where one of its runs is."""
        before, diverged = branch.step, rows.diverged[place]
        step = rows.steps[place] if diverged is None else diverged
        branch = replace(branch, step=step, losses=rows.losses[place], diverged=diverged).dated()
        if diverged is not None or step == before or not self.forest.listened(branch):
            return branch
        return replace(branch, told=(*branch.told, (step, rows.latest[place])))

    def _on_step(self, updates: int) -> bool:
        self.progress(updates)
        return self.stop() or time.monotonic() - self.saved > self.every

    def _at_event(self, bundle: Bundle, rows: Rows) -> tuple[Bundle, Rows]:
        """Evaluate at a mark, and fork at the ends of segments; nothing where rows wait for others."""
        if len(set(rows.steps)) > 1:
            return bundle, rows
        branches = self._evaluated(bundle.live, rows)
        self.forest = self.forest.told(branches)
        parts = [self.forest.forks(branch) for branch in branches]
        places = [i for i, children in enumerate(parts) for _ in children]
        bundle = Bundle((*bundle.lost, *(child for children in parts for child in children)))
        return bundle, rows.take(places) if len(places) > len(rows) else rows

    def _evaluated(self, branches: tuple[Branch, ...], rows: Rows) -> tuple[Branch, ...]:
        step, curve = rows.steps[0], branches[0].curve
        if step not in self.forest.marks or (curve and curve[-1][0] >= step):
            return branches
        points = evaluated(self.forest.workload, rows, mode=self.mode)
        return tuple(replace(b, curve=(*b.curve, (step, p))).dated() for b, p in zip(branches, points, strict=True))

    def _halves(self, bundle: Bundle, rows: Rows) -> list[Bundle]:
        """Train fewer rows at once: two bundles in the place of one, and a narrower program."""
        gc.collect()
        if self.mode.width > 8:
            self.mode = replace(self.mode, width=self.mode.width // 16 * 8)
        live, middle = bundle.live, len(rows) // 2
        if not middle:
            self.store.put(bundle, rows)
            return [bundle]
        parts = [
            (Bundle((*bundle.lost, *live[:middle])), rows.take(range(middle))),
            (Bundle(live[middle:]), rows.take(range(middle, len(rows)))),
        ]
        self.store.replace(bundle, parts)
        return [part for part, _ in parts]


def _raised(bundle: Bundle, rows: Rows, error: Exception) -> str:
    run, others = bundle.live[0].runs[0], len(bundle.keys) - 1
    peak = "" if run.peak is None else f", peak {run.peak:g}"
    beside = f", trained together with {counted(others, 'other run')}," if others else ""
    return (
        f"arm {run.arm!r}{peak}, seed {run.seed}{beside} raised {type(error).__name__} after step {min(rows.steps)}: "
        f"{error}{advised(error)}"
    )
