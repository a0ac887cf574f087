"""Processes that fetch ahead: what is wanted is known beforehand, so that several hands change no number.

    wanted, in order ─► crew: each of n processes has two at hand ─► found, in the same order

A process is a fork of this one, so that it has the workload as it is: code of a file, functions without a name,
settings of torch. What a `Wanted` fetches is a function of itself and the workload.
"""

import pickle
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from tapered import draws
from tapered.training.forked import can_fork, forked
from tapered.training.living import steadily
from tapered.training.workload import Workload

AT_HAND = 2  # of each process: one that it fetches, and the next
AHEAD = 4  # for each process, found and not taken yet, at most
GONE = (EOFError, OSError)  # what the end of a pipe raises whose other end is no more


class Wanted(Protocol):
    """What can be fetched, here or by a worker; it is pickled."""

    def fetch(self, workload: Workload) -> Any:
        """What is wanted."""


class WorkerError(RuntimeError):
    """A worker that is gone, or what it cannot hand over; the message says what to do."""


_crews: dict[Workload, "_Crew"] = {}


@contextmanager
def crew(workload: Workload) -> Iterator[None]:
    """Run a block in which `fetch` has the workload's workers; within another such block it has those.

    They begin where they are needed first, and none is left after the block.
    """
    if not workload.recipe.workers or workload in _crews:
        yield
        return
    _crews[workload] = _Crew(workload)
    try:
        yield
    finally:
        _crews.pop(workload).close()


def fetch(workload: Workload, wanted: Iterable[Wanted], hands: int | None = None) -> Iterator[Any]:
    """What is wanted, in its order, by the crew where there is one.

    Args:
        workload: Whose.
        wanted: What; it is asked for as it is needed.
        hands: How many of the workers may fetch it; None for all.

    Raises:
        WorkerError: If a worker is gone.
    """
    if workload in _crews:
        yield from _crews[workload].fetch(wanted, hands)
    else:
        for each in wanted:
            yield each.fetch(workload)


class _Worker:
    """A process, and this end of the pipe to it."""

    def __init__(self, workload: Workload, beside: list["_Worker"]) -> None:
        self.pipe, theirs = Pipe()
        ours = [self.pipe, *(worker.pipe for worker in beside)]
        self.process = forked(_work, workload, theirs, ours)
        theirs.close()
        self.waiting = 0

    def close(self) -> None:
        self.process.kill()  # it has nothing to lose, and may be amid an item that takes long
        self.process.join()
        self.process.close()
        self.pipe.close()


class _Crew:
    def __init__(self, workload: Workload) -> None:
        self.workload, self.workers, self.round = workload, list[_Worker](), 0

    def fetch(self, wanted: Iterable[Wanted], hands: int | None) -> Iterator[Any]:
        workers = self._begun()[:hands]
        self.round += 1  # what a round before left half done comes first, and is passed over
        left, found = enumerate(wanted), dict[int, tuple[bool, Any]]()
        sent, last = 0, False
        for place in count():
            while place not in found:
                for worker in self._free(workers):
                    if sent - place < AHEAD * len(workers) and not last:
                        each = next(left, None)
                        if each is None:
                            last = True
                        else:
                            self._send(worker, (self.round, *each))
                            sent += 1
                if last and place == sent:
                    return
                self._take(found)
            fine, value = found.pop(place)
            if not fine:
                raise value
            yield value

    def _free(self, workers: list[_Worker]) -> Iterator[_Worker]:
        """Those that can take one more, the idle ones first."""
        for depth in range(AT_HAND):
            yield from (worker for worker in workers if worker.waiting <= depth)

    def _begun(self) -> list[_Worker]:
        if not self.workers:
            if not can_fork():
                raise WorkerError(
                    f"got workers={self.workload.recipe.workers}; this process cannot be forked; try workers=0"
                )
            for _ in range(self.workload.recipe.workers):
                self.workers.append(_Worker(self.workload, self.workers))
        return self.workers

    def _send(self, worker: _Worker, asked: Any) -> None:
        try:
            worker.pipe.send(asked)
        except GONE as error:
            raise self._lost(worker) from error
        worker.waiting += 1

    def _take(self, found: dict[int, tuple[bool, Any]]) -> None:
        """Wait until a worker has found something, and take what has been."""
        busy = {worker.pipe: worker for worker in self.workers if worker.waiting}
        for pipe in wait(list(busy)):
            worker = busy[pipe]  # type: ignore[index]  # of what was waited for
            try:
                round_, place, fine, value = pickle.loads(worker.pipe.recv_bytes())  # noqa: S301 - a fork of this process
            except GONE as error:
                raise self._lost(worker) from error
            worker.waiting -= 1
            if round_ == self.round:
                found[place] = fine, value

    def _lost(self, worker: _Worker) -> WorkerError:
        worker.process.join(1)
        code = worker.process.exitcode
        how = f"by {signal.Signals(-code).name}" if code is not None and code < 0 else f"with exit code {code}"
        self.close()
        return WorkerError(
            f"workload {self.workload.name!r}: a worker that fetched items was ended {how}, as where memory is short "
            f"or by hand; what was saved stays; go on with fewer workers, or workers=0"
        )

    def close(self) -> None:
        while self.workers:
            self.workers.pop().close()


def _work(workload: Workload, pipe: Connection, others: list[Connection]) -> None:
    """What a worker does: fetch what it is asked for until nobody asks."""
    for other in others:
        other.close()  # so that a pipe ends with the process that asks
    _crews.clear()
    draws.FOLLOWING.clear()  # a fork can do nothing with a GPU, its generator's state neither; items are made without
    with suppress(*GONE):
        while True:
            round_, place, wanted = pipe.recv()
            pipe.send_bytes(_answer(workload, wanted, round_, place))


def _answer(workload: Workload, wanted: Wanted, round_: int, place: int) -> bytes:
    try:
        with steadily(workload, workload.train, workload.valid):  # here a draw of its own would not be seen elsewhere
            found = wanted.fetch(workload)
    except Exception as error:  # noqa: BLE001 - raised again where it was asked for
        return _pickled((round_, place, False, error), workload)
    return _pickled((round_, place, True, found), workload)


def _pickled(answer: tuple[int, int, bool, Any], workload: Workload) -> bytes:
    try:
        text = pickle.dumps(answer, protocol=5)
        if not answer[2]:
            pickle.loads(text)  # noqa: S301 - an error whose class asks for more than a message cannot be read
    except Exception as error:  # noqa: BLE001 - whatever a user's class raises
        said = f"{type(answer[3]).__name__}: {answer[3]}" if not answer[2] else f"{type(error).__name__}: {error}"
        failed = WorkerError(
            f"workload {workload.name!r}: what a worker fetched cannot be handed over ({said}); return tensors, or "
            f"dicts and tuples of them, or try workers=0"
        )
        return pickle.dumps((*answer[:2], False, failed), protocol=5)
    return text
