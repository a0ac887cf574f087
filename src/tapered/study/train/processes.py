"""Workers that are processes of this machine, each at the other end of a pipe."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch

from tapered import gpus
from tapered.study.plan.planned import Planned
from tapered.study.plan.workers import FASTEST, forkable, starting, worth
from tapered.study.store.folder import Store
from tapered.study.train.executor import Here, Told
from tapered.study.train.hands import Begun, Fork
from tapered.study.train.pool import LEASE, Hire
from tapered.study.train.pooled import Pooled
from tapered.study.train.task import Work
from tapered.training import devices


class Processes(Pooled):
    """Trains in processes of this machine.

    Args:
        workers: How many at most.
        always: Also where it takes longer to begin them than they spare.
        lease: Seconds for which a worker that trains may be silent, before it counts as hung and is replaced.
    """

    def __init__(self, workers: int, *, always: bool = False, lease: float = LEASE) -> None:
        super().__init__(workers, lease)
        self._always = always

    def expect(self, planned: Planned, store: Store, updates: int) -> None:
        """As `Executor.expect`: those that take long to begin do so while it is found how rows are trained."""
        if not forkable(planned) and (self._always or updates * FASTEST > starting(planned)):
            self._opened(planned, store).begin(self.workers)

    def train(self, works: Iterable[Work], store: Store, told: Told) -> None:
        """As `Executor.train`; in this process, where that takes less long."""
        found = list(works)
        first = starting(found[0].planned) if found else 0.0
        begun = self._always or self._pool is not None
        if begun or worth([work.seconds for work in found], self.workers, first):
            super().train(found, store, told)
        else:
            Here().train(found, store, told)

    def _hire(self, planned: Planned, folder: Path) -> Hire:
        if forkable(planned):
            return lambda slot, inbox: Fork(slot, inbox, planned, folder)
        settings = _settings(planned.study.threads, planned.workload.recipe.place)
        return lambda slot, inbox: Begun(slot, inbox, settings(slot))


def _settings(threads: int, place: torch.device) -> Callable[[int], Mapping[str, str]]:
    """What libraries read when they load, for a worker at a slot: where modules are, threads, a GPU of its own."""
    common = {
        "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
        "OMP_NUM_THREADS": str(threads),
    }
    if not (devices.is_any_gpu(place) and (seen := gpus.visible())):
        return lambda _: common
    return lambda slot: common | {gpus.VISIBLE: seen[slot % len(seen)]}
