"""What a server's ledger is to get: training hands it over and goes on, a thread enters it when the server takes it.

add ─► wanted ─► thread: Server ─► wanted, not entered, 64 at a time ─► entered
         ▲          ╰── whatever fails: wait 0.25 s, then twice as long up to 8 s, begin anew with half as many ──╯
         ╰── the folder: all finished runs, whenever its study is opened
"""

import warnings
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from threading import Condition, Thread
from typing import Protocol

from tapered.study.store.ledger import Space, quiet, tables_made
from tapered.study.store.ledger_server import Seen, Server, place, reason, silence
from tapered.study.store.runs import Run
from tapered.words import counted

AT_ONCE = 64  # runs a transaction at most; fewer where it fails, so that some are entered between two losses
FIRST, LONGEST = 0.25, 8.0  # seconds between two tries
LEAVING, ENDING = 5.0, 1.0  # seconds that who ends without `settle` waits, and everybody for a transaction at hand


class Enters(Protocol):
    """A server to which a connection could be made."""

    @property
    def entered(self) -> AbstractSet[str]:
        """The keys that were there then."""

    def enter(self, runs: Sequence[Run]) -> None:
        """Enter runs in one transaction, or fail."""


class Queue:
    """Runs on their way to a ledger.

    Args:
        connect: Makes the server, or fails; called from the thread, again whenever something failed.
        where: The ledger, for people.
    """

    def __init__(self, connect: Callable[[], Enters], where: str) -> None:
        self._connect, self._where = connect, where
        self._wanted: dict[str, Run] = {}
        self._lacking: dict[str, Run] = {}  # those of them that are not known to be there
        self._there: AbstractSet[str] = frozenset()  # when the connection was made
        self._changed, self._closed, self._told = Condition(), False, False
        self.trouble: str | None = None
        self._most = AT_ONCE
        self._thread = Thread(target=self._work, name="ledger", daemon=True)
        self._thread.start()

    def add(self, runs: Sequence[Run]) -> None:
        """Hand over finished runs; returns at once."""
        new = {run.key: run for run in runs if run.key not in self._wanted}
        with self._changed:
            self._wanted |= new
            self._lacking |= {key: run for key, run in new.items() if key not in self._there}
            self._told = self._told and not new
            self._changed.notify_all()

    def settle(self, seconds: float) -> str | None:
        """Wait until all is entered, at most so long.

        Returns:
            What is not, and why, as a sentence; None where nothing lacks.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._lacking, seconds)
            lacking = len(self._lacking)
            self._told = True
        if not lacking:
            return None
        verb, them = ("is", "it") if lacking == 1 else ("are", "them")
        why = f" ({self.trouble})" if self.trouble else ""
        return f"{counted(lacking, 'run')} {verb} not in the ledger yet{why}; the same command enters {them}"

    def close(self, *, tell: bool) -> None:
        """End; first, where nobody called `settle` and one is to be told, wait a little, and warn of what lacks."""
        lacking = self.settle(LEAVING) if tell and not self._told else None
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(ENDING)
        if lacking:
            warnings.warn(lacking, stacklevel=3)

    def _work(self) -> None:
        pause = FIRST
        while not self._closed:
            try:
                server = self._connect()
                self._begin(server.entered)
                while runs := self._next():
                    asked, self._most = self._most, max(1, len(runs) // 2)
                    server.enter(runs)
                    self._done(runs)
                    pause, self._most = FIRST, min(AT_ONCE, 2 * asked)
            except Exception as error:  # noqa: BLE001 - whatever it is, the folder has what lacks
                with self._changed:
                    self.trouble = f"{self._where}: {reason(error)}"
                    self._changed.wait_for(lambda: self._closed, pause)
                pause = min(2 * pause, LONGEST)

    def _begin(self, entered: AbstractSet[str]) -> None:
        """Take what is there as what is there: the answer to COMMIT was lost, or somebody has deleted the study."""
        with self._changed:
            self._there = entered
            self._lacking = {key: run for key, run in self._wanted.items() if key not in entered}
            self._done([])

    def _next(self) -> list[Run]:
        """The next runs to enter, when there are some; none where all is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._lacking))
            return [] if self._closed else list(islice(self._lacking.values(), self._most))

    def _done(self, runs: Sequence[Run]) -> None:
        with self._changed:
            for run in runs:
                self._lacking.pop(run.key)
            if runs or not self._lacking:
                self.trouble = None
            self._changed.notify_all()


def server_ledger(url: str, space: Space, identity: str) -> Queue:
    """The ledger of a study in a database's server."""
    silence()
    with quiet():
        tables_made()
    seen = Seen()
    return Queue(lambda: Server(url, space, identity, seen), place(url))
