"""What executors with workers of their own share: a pool, made when it is first needed, left when the study ends."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from tapered.study.plan.planned import Planned
from tapered.study.store.folder import Store
from tapered.study.train.executor import Told
from tapered.study.train.item import Item
from tapered.study.train.pool import LEASE, Hire, Pool
from tapered.study.train.task import Work, job_of


class Pooled(ABC):
    """An executor that trains in a pool's workers.

    Args:
        workers: How many at most.
        lease: Seconds for which a worker that trains may be silent, before it counts as hung and is replaced.
    """

    def __init__(self, workers: int, lease: float = LEASE) -> None:
        self.workers, self._lease = workers, lease
        self._pool: Pool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def train(self, works: Iterable[Work], store: Store, told: Told) -> None:
        """As `Executor.train`."""
        found = list(works)
        if found:
            items = [Item(work, bundle) for work in found for bundle in work.bundles]
            self._opened(found[0].planned, store).train(items, store, told)

    def _opened(self, planned: Planned, store: Store) -> Pool:
        if self._pool is None:
            hire = self._hire(planned, store.folder)  # which may find how many there can be
            self._pool = Pool(hire, self.workers, job_of(planned, store.folder), self._lease)
        return self._pool

    @abstractmethod
    def _hire(self, planned: Planned, folder: Path) -> Hire:
        """How a worker of this study begins."""
