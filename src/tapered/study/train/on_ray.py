"""Workers that are actors of a Ray cluster, or of a Ray of this machine's own.

What is said is what processes say through a pipe: heads as JSON, rows as safetensors. Ray keeps nothing that counts:
what it loses, an actor, a node or itself, is trained again from the study's last save.
"""

import ipaddress
import json
import os
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

from tapered.files.wire import Message
from tapered.study.plan.planned import Planned
from tapered.study.store.folder import Store
from tapered.study.train.executor import Told
from tapered.study.train.item import Item
from tapered.study.train.pool import LEASE, Inbox, Pool
from tapered.study.train.task import Work, job_of
from tapered.study.train.worker import Worker
from tapered.workloads.own import StudyFileError

# a Ray that is begun here takes nobody's code who has no token, and tells nobody of its use
SETTINGS = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
ENDING = 10.0  # seconds until it is heard that an actor is gone, at most
Frame = tuple[str, str, tuple[bytes, ...]]


class OnRay:
    """Trains in actors of a Ray cluster.

    Args:
        address: "local" for a Ray of one's own, which ends with the study; "auto" for the one of this machine; or where
            a cluster's is.
        workers: How many at most; None for as many as the cluster has room for.
        lease: Seconds for which a worker that trains may be silent, before it counts as hung and is replaced.
    """

    def __init__(self, address: str = "local", workers: int | None = None, *, lease: float = LEASE) -> None:
        self._address, self._asked, self._lease = address, workers, lease
        self.workers = workers or 1
        self._pool: Pool | None = None
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        if self._begun:
            _ray().shutdown()
            self._begun = False

    def expect(self, planned: Planned, store: Store, updates: int) -> None:  # noqa: ARG002 - as an executor is asked
        """As `Executor.expect`: it is found how many workers there can be, and they begin."""
        self._opened(planned, store).begin(self.workers)

    def train(self, works: Iterable[Work], store: Store, told: Told) -> None:
        """As `Executor.train`."""
        found = list(works)
        if found:
            items = [Item(work, bundle) for work in found for bundle in work.bundles]
            self._opened(found[0].planned, store).train(items, store, told)

    def _opened(self, planned: Planned, store: Store) -> Pool:
        if self._pool is None:
            gpus = int(planned.workload.recipe.place.type == "cuda")
            needs = {"num_cpus": planned.study.threads, "num_gpus": gpus}
            self._connect()
            self.workers = self._asked or _room(needs)
            job = job_of(planned, store.folder)
            self._pool = Pool(lambda slot, inbox: _Actor(slot, inbox, needs), self.workers, job, self._lease)
        return self._pool

    def _connect(self) -> None:
        if self._address.startswith("ray://"):  # its client passes on no stream of answers
            raise StudyFileError(
                f"address={self._address!r} is that of Ray's client; run this on a node of the cluster with the "
                f"address auto, as by ray job submit -- tapered study ..."
            )
        if self._address == "local":
            os.environ.update(SETTINGS)  # before Ray is imported, which reads them then
        ray = _ray()
        if ray.is_initialized():
            return
        if self._address != "local":
            _warn(self._address)
        before = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(address=self._address, include_dashboard=False if self._address == "local" else None)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise StudyFileError(
                f"no Ray at address={self._address!r} ({error}); try ray start --head, or the address local"
            ) from error
        self._begun = True
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray's own would exit, where a study is to be stopped and kept


def _ray() -> Any:
    try:
        import ray  # noqa: PLC0415 - an extra
    except ImportError:
        raise StudyFileError("Ray is not installed; try: pip install 'tapered[ray]'") from None
    return ray


def _warn(address: str) -> None:
    """Say so where anybody who reaches a cluster could run code on it."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        near = ipaddress.ip_address(host).is_loopback
    except ValueError:
        near = host in ("", "localhost")
    if not near and os.environ.get("RAY_AUTH_MODE") != "token":
        warnings.warn(
            f"the Ray at {address} is joined without authentication: whoever reaches it runs code there; set "
            f"RAY_AUTH_MODE=token here and on its nodes",
            stacklevel=2,
        )


def _room(needs: dict[str, int]) -> int:
    """How many workers a cluster has room for."""
    there = _ray().cluster_resources()
    room = [int(there.get(name, 0) // each) for name, each in zip(("CPU", "GPU"), needs.values(), strict=True) if each]
    if not min(room):
        raise StudyFileError(f"the cluster has {there}, and a worker needs {needs}; add nodes, or take fewer threads")
    return min(room)


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
        ray = _ray()
        self.slot, self._how = slot, "with its node"
        lasting = {"max_restarts": 0, "max_task_retries": 0, "max_concurrency": 2, "scheduling_strategy": "SPREAD"}
        self._actor = ray.remote(Remote).options(**needs, **lasting).remote()
        self._stream = self._actor.hear.options(num_returns="streaming").remote()
        self._listening = threading.Thread(target=self._listen, args=(inbox,), daemon=True)
        self._listening.start()

    def _listen(self, inbox: Inbox) -> None:
        ray = _ray()
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
        ray = _ray()
        if ray.is_initialized():
            ray.kill(self._actor, no_restart=True)
        self._listening.join(ENDING)  # who still asks of a Ray that was shut down begins another one
