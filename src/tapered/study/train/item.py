"""A bundle on its way through a pool: where it stands, how often it was lost, how much is left of it."""

import time
from dataclasses import dataclass, field, replace

from tapered.study.store.folder import Store
from tapered.study.store.runs import Bundle
from tapered.study.store.text import Kept, pack
from tapered.study.train.task import Work
from tapered.words import counted


@dataclass(eq=False)
class Item:
    """A bundle that waits or is trained.

    Args:
        work: What it belongs to.
        bundle: As it was last kept, or as it begins.
        lost: How often its worker was lost since it made progress.
        alone: Whether nothing is to be trained beside it.
        made: Updates since it was last kept.
        begun: When its training began, or went on.
        yielding: Whether its worker was asked to keep it, to be cut.
        left: Updates to its mark when that was.
        all_made: Updates since then.
        rows: How many its worker trains, as far as that is known.
        halves: What its worker cut it into, where memory ran out.
    """

    work: Work
    bundle: Bundle
    lost: int = 0
    alone: bool = False
    made: int = 0
    begun: float = field(default_factory=time.monotonic)
    yielding: bool = False
    left: int = 0
    all_made: int = 0
    rows: int = 0
    halves: list[Bundle] = field(default_factory=list)

    def given(self) -> None:
        """Its training begins, or goes on."""
        self.made = self.all_made = self.rows = 0
        self.begun, self.yielding, self.halves = time.monotonic(), False, []
        forest = self.work.forest.within(self.bundle)
        made = forest.updates({key: branch.step for branch in self.bundle.branches for key in branch.keys})
        self.left = forest.updates(dict.fromkeys(forest.place, self.work.until)) - made

    def told(self, updates: int, rows: int) -> None:
        """Its worker has made updates, and trains so many rows."""
        self.rows = rows
        self.made += updates
        self.all_made += updates

    def kept(self, bundle: Bundle) -> None:
        """It was kept as it stands now."""
        if _stands(bundle) != _stands(self.bundle):
            self.lost = 0
        self.bundle, self.made = bundle, 0

    @property
    def seconds(self) -> float:
        """How long it takes still, at its pace so far; none where that is not known."""
        since = time.monotonic() - self.begun
        return (self.left - self.all_made) * since / self.all_made if self.all_made else 0.0

    @property
    def reached(self) -> bool:
        """Whether it is trained."""
        return self.bundle.reached(self.work.until)

    def named(self) -> str:
        """Its first run, and how many more there are."""
        run, others = self.bundle.branches[0].runs[0], len(self.bundle.keys) - 1
        peak = "" if run.peak is None else f", peak {run.peak:g}"
        beside = f" and {counted(others, 'other run')}" if others else ""
        return f"arm {run.arm!r}{peak}, seed {run.seed}{beside}"

    def parts(self, store: Store) -> list["Item"]:
        """It in two, each with half the rows, kept in its place where it was kept; itself where it has one row."""
        live = self.bundle.live
        middle = len(live) // 2
        if self.work.mode.kind == "rows compiled" and len(live) > self.work.mode.width:
            middle = -(-middle // self.work.mode.width) * self.work.mode.width  # graphs of whole width
        if not middle:
            return [self]
        halves = [Bundle((*self.bundle.lost, *live[:middle])), Bundle(live[middle:])]
        if store.holds(self.bundle):
            rows = store.rows(self.bundle, self.work.rule)
            places = [range(middle), range(middle, len(live))]
            store.replace(self.bundle, [(half, rows.take(at)) for half, at in zip(halves, places, strict=True)])
        return [replace(self, bundle=half) for half in halves]

    def as_kept(self, store: Store) -> Kept:
        """As its file has it, or would."""
        return store.kept(self.bundle) if store.holds(self.bundle) else pack(self.bundle, None, ())[0]


def _stands(bundle: Bundle) -> list[tuple[int, int]]:
    return sorted((branch.step, len(branch.curve)) for branch in bundle.branches)
