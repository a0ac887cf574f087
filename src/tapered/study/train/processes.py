"""Workers that are processes of this machine, each at the other end of a pipe."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from multiprocessing import Pipe

import torch

from tapered import gpus
from tapered.files import wire
from tapered.files.wire import Message
from tapered.study.plan.planned import Planned
from tapered.study.plan.workers import FASTEST, STARTING, worth
from tapered.study.store.folder import Store
from tapered.study.train.executor import Here, Told
from tapered.study.train.pool import LEASE, Hire, Inbox
from tapered.study.train.pooled import Pooled
from tapered.study.train.task import Work
from tapered.training import devices

# what hears whether this process lives comes before what takes seconds to import
MAIN = """
import sys
from multiprocessing.connection import Connection
from tapered.files.wire import Ear
ear = Ear(Connection(int(sys.argv[1])))
from tapered.study.train.worker import main
main(ear)
"""


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
        """As `Executor.expect`: workers begin while it is found how rows are trained, where they are worth it."""
        if self._always or updates * FASTEST > STARTING:
            self._opened(planned, store).begin(self.workers)

    def train(self, works: Iterable[Work], store: Store, told: Told) -> None:
        """As `Executor.train`; in this process, where that takes less long."""
        found = list(works)
        if self._pool is None and not worth([work.seconds for work in found], self.workers):
            Here().train(found, store, told)
        else:
            super().train(found, store, told)

    def _hire(self, planned: Planned) -> Hire:
        settings = _settings(planned.study.threads, planned.workload.recipe.place)
        return lambda slot, inbox: _Process(slot, inbox, settings(slot))


def _settings(threads: int, place: torch.device) -> Callable[[int], Mapping[str, str]]:
    """What libraries read when they load, for a worker at a slot: where modules are, threads, a GPU of its own."""
    common = {
        "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
        "OMP_NUM_THREADS": str(threads),
    }
    if not (devices.is_any_gpu(place) and (seen := gpus.visible())):
        return lambda _: common
    return lambda slot: common | {gpus.VISIBLE: seen[slot % len(seen)]}


class _Process:
    def __init__(self, slot: int, inbox: Inbox, settings: Mapping[str, str]) -> None:
        self.slot = slot
        self._pipe, theirs = Pipe()
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, and what stands above
            [sys.executable, "-P", "-c", MAIN, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=2,  # what a model prints is not this program's answer
            env={**os.environ, **settings},
        )
        theirs.close()
        threading.Thread(target=self._listen, args=(inbox,), daemon=True).start()

    def _listen(self, inbox: Inbox) -> None:
        for message in wire.received(self._pipe):
            inbox.put((self, message))
        inbox.put((self, None))

    def tell(self, message: Message) -> None:
        """As `Hand.tell`."""
        with suppress(OSError):
            wire.send(self._pipe, message)

    def ended(self) -> str:
        """As `Hand.ended`."""
        self.close()
        code = self._process.returncode
        return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"

    def close(self) -> None:
        """As `Hand.close`."""
        self._process.kill()  # it has nothing to lose but what is trained again
        self._process.wait()
        self._pipe.close()
