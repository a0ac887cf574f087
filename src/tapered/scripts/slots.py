"""Scripts of several runs at a time, each in a slot of this machine: its own GPUs, and a share of the cores.

Start, Start, ... ─► Slots.run ─► supervise, a thread each ─► (Start, Ended), as they end
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

from tapered.gpus import VISIBLE, visible
from tapered.machines import cores
from tapered.scripts.command import Command
from tapered.scripts.ended import Ended
from tapered.scripts.errors import ScriptError
from tapered.scripts.judging import Judge
from tapered.scripts.limits import Limits
from tapered.scripts.supervise import supervise
from tapered.words import counted


@dataclass(frozen=True, eq=False)
class Start:
    """A run that is to be supervised; each is itself alone.

    Args:
        folder: The run's.
        command: How it is started.
        limits: How long it may take.
        judge: Reads what the folder says.
        kind: Of processor, as text, where no other may run it.
    """

    folder: Path
    command: Command
    limits: Limits
    judge: Judge
    kind: str | None = None


Result = tuple[Start, Ended | Exception]


class Places(Protocol):
    """Where scripts run."""

    count: int
    """How many at a time, at most."""

    def close(self) -> None:
        """Leave nothing behind."""

    def run(
        self,
        starts: Iterable[Start | None],
        told: Callable[[Path, int], None] | None = None,
        stop: Callable[[Path], bool] | None = None,
    ) -> Iterator[Result]:
        """Supervise runs, and give each with its end, or with what `supervise` raised.

        Args:
            starts: Asked for the next when a place is free; None where there is none before another ends.
            told: Called now and then with a run's folder and the updates it has made, from another thread.
            stop: Whether the run of a folder is to end, as of `supervise`.
        """


class _LeftError(Exception):
    """Nobody waits for the end any more."""


class Slots:
    """Slots of this machine.

    Args:
        count: How many scripts run at a time.
        gpus: How many each has of those that this process sees.
        processes: How many processes each is, which share its cores.
        threads: What libraries of each process compute with; None for its share of the cores.

    Raises:
        ScriptError: There are fewer GPUs than that.
    """

    def __init__(self, count: int, *, gpus: int = 0, processes: int = 1, threads: int | None = None) -> None:
        self.count = count
        self._threads = threads or max(1, cores() // max(1, count * processes))
        self._settings: list[Mapping[str, str]] = [{}] * count
        if gpus:
            seen = visible()
            if len(seen) < count * gpus:
                raise ScriptError(
                    f"{counted(count, 'script')} at a time with {counted(gpus, 'GPU')} each need {count * gpus}, and "
                    f"{len(seen)} are seen here; try fewer workers, or gpus = 0 for scripts that need none"
                )
            self._settings = [{VISIBLE: ",".join(seen[gpus * i : gpus * (i + 1)])} for i in range(count)]

    def close(self) -> None:
        """There is nothing to leave."""

    def run(
        self,
        starts: Iterable[Start | None],
        told: Callable[[Path, int], None] | None = None,
        stop: Callable[[Path], bool] | None = None,
    ) -> Iterator[Result]:
        """As `Places.run`."""
        done = SimpleQueue[tuple[Start, Ended | Exception, Mapping[str, str]]]()
        free, waiting = list(self._settings), iter(starts)
        left, threads = threading.Event(), dict[int, threading.Thread]()

        def stopping(folder: Path) -> bool:
            if left.is_set():
                raise _LeftError  # which ends the script at once
            return stop(folder) if stop else False

        def one(start: Start, slot: Mapping[str, str]) -> None:
            folder = start.folder
            try:
                found: Ended | Exception = supervise(
                    folder, start.command, start.limits, start.judge, slot=slot, threads=self._threads,
                    told=lambda step: told(folder, step) if told else None, stop=lambda: stopping(folder),
                )  # fmt: skip
            except Exception as error:  # noqa: BLE001 - it is the caller's
                found = error
            done.put((start, found, slot))

        try:
            while True:
                while free and (start := next(waiting, None)):
                    # one thread as long as the script lives, with which its keeper would end
                    thread = threading.Thread(target=one, args=(start, free.pop(0)), daemon=True)
                    threads[id(start)] = thread
                    thread.start()
                if not threads:
                    return
                start, found, slot = done.get()
                threads.pop(id(start)).join()
                free.append(slot)
                yield start, found
        finally:
            left.set()
            for thread in threads.values():
                thread.join()
