"""What trains bundles: this process, or others that it gives them to. Only this one writes results.

Work: bundles of a rule ─► Executor.train ─► Grower, here or in a worker ─► Store
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from tapered.study.plan.planned import Planned
from tapered.study.store.folder import Store
from tapered.study.train.grow import Grower
from tapered.study.train.task import Work
from tapered.training.probe import Phase, unheard


@dataclass(frozen=True)
class Told:
    """What an executor asks and tells meanwhile.

    Args:
        progress: Called with the number of updates made since the last call; fewer than none where some were lost.
        stop: True stops there, and what is at hand is kept where it stands.
        phase: Called with what is done from now on: "timing", "compiling", "training".
    """

    progress: Callable[[int], None]
    stop: Callable[[], bool]
    phase: Phase = unheard


class Executor(Protocol):
    """What trains bundles; used by ``with`` while a study trains."""

    workers: int
    """How many bundles train at a time, at most."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing behind."""

    def expect(self, planned: Planned, store: Store, updates: int) -> None:
        """Make ready for what may come, while it is worked out what that is.

        Args:
            planned: The study.
            store: Where it is kept.
            updates: How many updates it takes.
        """

    def train(self, works: Iterable[Work], store: Store, told: Told) -> None:
        """Train bundles to their marks, or to a stop.

        Raises:
            RunError: If a model, loss or dataset raises, or a bundle cannot be trained.
            StoreError: If the disk does not take what was trained.
        """


class Here:
    """Trains in this process, one bundle after another."""

    workers = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def expect(self, planned: Planned, store: Store, updates: int) -> None:
        """There is nothing to make ready."""

    def train(self, works: Iterable[Work], store: Store, told: Told) -> None:
        """As `Executor.train`."""
        for work in works:
            waiting = list(work.bundles)
            grower = Grower(work.forest, store, work.mode, told.progress, told.stop, work.until)
            while waiting and not told.stop():
                waiting = grower.grow(waiting[0]) + waiting[1:]
            store.put_mode(repr(work.rule), grower.mode)
