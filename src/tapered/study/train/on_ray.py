"""Workers that are actors of a Ray cluster, or of a Ray of this machine's own.

What is said is what processes say through a pipe: heads as JSON, rows as safetensors. Ray keeps nothing that counts:
what it loses, an actor, a node or itself, is trained again from the study's last save.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType

from tapered import machines
from tapered.files.wire import Message
from tapered.study.plan.planned import Planned
from tapered.study.store.folder import Store
from tapered.study.train.pool import LEASE, Hire, Inbox
from tapered.study.train.pooled import Pooled
from tapered.study.train.worker import Worker
from tapered.workloads.own import StudyFileError

ENDING = 10.0  # seconds until it is heard that an actor is gone, at most
Frame = tuple[str, str, tuple[bytes, ...]]


class OnRay(Pooled):
    """Trains in actors of a Ray cluster.

    Args:
        address: "local" for a Ray of one's own, which ends with the study; "auto" for the one of this machine; or where
            a cluster's is.
        workers: How many at most; None for as many as the cluster has room for.
        lease: Seconds for which a worker that trains may be silent, before it counts as hung and is replaced.
    """

    def __init__(self, address: str = "local", workers: int | None = None, *, lease: float = LEASE) -> None:
        super().__init__(workers or 1, lease)
        self._address, self._asked = address, workers
        self._begun = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if self._begun:
            machines.ray().shutdown()
            self._begun = False

    def expect(self, planned: Planned, store: Store, updates: int) -> None:  # noqa: ARG002 - as an executor is asked
        """As `Executor.expect`: it is found how many workers there can be, and they begin."""
        self._opened(planned, store).begin(self.workers)

    def _hire(self, planned: Planned, folder: Path) -> Hire:  # noqa: ARG002 - forks alone leave its folder
        needs = {
            "num_cpus": planned.study.threads,
            "num_gpus": int(planned.workload.recipe.place.type == "cuda"),
        }
        with _said():
            self._begun = machines.join(self._address) or self._begun
            self.workers = self._asked or machines.room(needs)
        return lambda slot, inbox: _Actor(slot, inbox, needs)


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except machines.MachineError as error:
        raise StudyFileError(str(error)) from error


class Remote:
    """What runs in an actor: a worker in a thread of its own."""

    def __init__(self) -> None:
        self._said = SimpleQueue[Message]()
        self._worker = Worker(self._said.put)
        threading.Thread(target=self._worker.serve, daemon=True).start()

    def tell(self, frame: Frame) -> None:
        """Say something to the worker."""
        self._worker.tell(_message(frame))

    def hear(self) -> Iterator[Frame]:
        """What it says, as long as it lives."""
        while True:
            yield _frame(self._said.get())


def _frame(message: Message) -> Frame:
    return message.kind, json.dumps(message.fields), message.pieces


def _message(frame: Frame) -> Message:
    kind, fields, pieces = frame
    return Message(kind, json.loads(fields), tuple(pieces))


class _Actor:
    def __init__(self, slot: int, inbox: Inbox, needs: dict[str, int]) -> None:
        ray = machines.ray()
        self.slot, self._how = slot, "with its node"
        lasting = {"max_restarts": 0, "max_task_retries": 0, "max_concurrency": 2, "scheduling_strategy": "SPREAD"}
        self._actor = ray.remote(Remote).options(**needs, **lasting).remote()
        self._stream = self._actor.hear.options(num_returns="streaming").remote()
        self._listening = threading.Thread(target=self._listen, args=(inbox,), daemon=True)
        self._listening.start()

    def _listen(self, inbox: Inbox) -> None:
        ray = machines.ray()
        try:
            for reference in self._stream:
                inbox.put((self, _message(ray.get(reference))))
        except Exception as error:  # noqa: BLE001 - whatever Ray raises, the actor says nothing more
            self._how = f"by Ray ({str(error).splitlines()[0]:.200})" if str(error) else self._how
        inbox.put((self, None))

    def tell(self, message: Message) -> None:
        """As `Hand.tell`."""
        self._actor.tell.remote(_frame(message))

    def ended(self) -> str:
        """As `Hand.ended`."""
        self.close()
        return self._how

    def close(self) -> None:
        """As `Hand.close`."""
        ray = machines.ray()
        if ray.is_initialized():
            ray.kill(self._actor, no_restart=True)
        self._listening.join(ENDING)  # who still asks of a Ray that was shut down begins another one
