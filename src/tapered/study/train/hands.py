"""Workers of this machine, each a process at the other end of a pipe: begun from nothing, or a fork of the driver.

A fork begins at once, and has the workload and every graph that the driver compiled. It hears the same as others do.
"""

import gc
import os
import signal
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import Pipe, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tapered.files import wire
from tapered.files.wire import Message
from tapered.study.plan.planned import Planned
from tapered.study.train import worker
from tapered.study.train.pool import Inbox
from tapered.training.forked import forked

# what hears whether this process lives comes before what takes seconds to import
MAIN = """
import sys
from multiprocessing.connection import Connection
from tapered.files.wire import Ear
ear = Ear(Connection(int(sys.argv[1])))
from tapered.study.train.worker import main
main(ear)
"""


class _Process(ABC):
    def __init__(self, slot: int, inbox: Inbox) -> None:
        self.slot = slot
        self._pipe, theirs = Pipe()
        self._begin(theirs)
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
        code = self._end()
        return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"

    def close(self) -> None:
        """As `Hand.close`."""
        self._end()

    def _end(self) -> int:
        code = self._kill()  # it has nothing to lose but what is trained again
        self._pipe.close()
        return code

    @abstractmethod
    def _begin(self, pipe: "Connection[bytes, bytes]") -> None:
        """Begin a process that serves at this end of a pipe."""

    @abstractmethod
    def _kill(self) -> int:
        """Its exit code, minus the signal that ended it; it is ended where it was not."""


class Begun(_Process):
    """A process that begins from nothing, with an environment of its own.

    Args:
        slot, inbox: As of `Hire`.
        settings: Variables that differ from this process's.
    """

    def __init__(self, slot: int, inbox: Inbox, settings: Mapping[str, str]) -> None:
        self._settings = settings
        super().__init__(slot, inbox)

    def _begin(self, pipe: "Connection[bytes, bytes]") -> None:
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, and what stands above
            [sys.executable, "-P", "-c", MAIN, str(pipe.fileno())],
            pass_fds=[pipe.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=2,  # what a model prints is not this program's answer
            env={**os.environ, **self._settings},
        )

    def _kill(self) -> int:
        self._process.kill()
        return self._process.wait()


class Fork(_Process):
    """A copy of this process.

    Args:
        slot, inbox: As of `Hire`.
        planned: The study.
        folder: Its folder, of which a copy holds nothing open.
    """

    def __init__(self, slot: int, inbox: Inbox, planned: Planned, folder: Path) -> None:
        self._planned, self._folder = planned, folder.resolve()  # as links to open files say it
        super().__init__(slot, inbox)

    def _begin(self, pipe: "Connection[bytes, bytes]") -> None:
        self._process, self._code = forked(_serve, self._planned, self._folder, pipe), 0

    def _kill(self) -> int:
        with suppress(ValueError):  # it is closed
            self._process.kill()
            self._process.join()
            self._code = self._process.exitcode or 0
            self._process.close()
        return self._code


def _serve(planned: Planned, folder: Path, pipe: "Connection[bytes, bytes]") -> None:
    gc.freeze()  # what is the driver's is closed by the driver
    _leave(folder, pipe)
    os.dup2(2, 1)
    sys.stdout = sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115 - others' locks may be held
    compiler: Any = sys.modules.get("torch._inductor.config")
    if compiler is not None:
        compiler.compile_threads = 1  # the driver's threads are not here
    worker.main(wire.Ear(pipe), planned)


def _leave(folder: Path, pipe: "Connection[bytes, bytes]") -> None:
    """Close what the driver has open of the study's folder, and to others: a pipe ends with the last that holds it."""
    parent = parent_process()
    mine = {0, 1, 2, pipe.fileno(), parent and parent.sentinel}
    for path in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):
            place, what = int(path.name), path.readlink()
            if place not in mine and (str(what).startswith(("pipe:", "socket:")) or what.is_relative_to(folder)):
                os.close(place)
