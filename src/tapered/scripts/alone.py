"""A run's folder has one supervisor, and nothing of an earlier one is left in it.

The lock is the supervisor's and its keeper's together: who takes it finds that the script of before has ended.
"""

import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tapered.files.lock import InUseError

LOCK = "lock"
WAIT = 6.0  # seconds for which a killed supervisor's script may still be there
TTY = 4  # of the fields behind a process's name in /proc


@contextmanager
def held(folder: Path) -> Iterator[int]:
    """The lock of a run's folder, as a file that is open; strays of before are ended.

    Raises:
        InUseError: Another supervisor has it.
        OSError: It cannot be written.
    """
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        _take(handle, folder)
        with suppress(OSError):  # for messages only, and a disk may be full
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        end_strays(folder)
        yield handle
    finally:
        os.close(handle)


def _take(handle: int, folder: Path) -> None:
    until = time.monotonic() + WAIT
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                owner = os.pread(handle, 200, 0).decode(errors="replace") or "another process"
                raise InUseError(f"{folder} is in use by {owner}; one supervisor at a time starts its script") from None
            time.sleep(0.05)
        else:
            return


def end_strays(folder: Path) -> int:
    """End what an earlier start left, where its keeper was killed too: by the folder in its environment. Linux only.

    Processes with a terminal are somebody's own and are left alone. Returns how many there were.
    """
    ended, until = 0, time.monotonic() + WAIT
    while (found := _strays(folder)) and time.monotonic() < until:
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        ended = max(ended, len(found))
        time.sleep(0.01)
    return ended


def _strays(folder: Path) -> list[int]:
    if sys.platform != "linux":
        return []
    mark, found = b"TAPERED_RUN=" + os.fsencode(folder.absolute()), []
    own = _ancestors()
    for place in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            if int(place.name) in own or mark not in place.joinpath("environ").read_bytes().split(b"\0"):
                continue
            if int(place.joinpath("stat").read_bytes().rpartition(b")")[2].split()[TTY]) == 0:
                found.append(int(place.name))
    return found


def _ancestors() -> set[int]:
    found, pid = set(), os.getpid()
    while pid > 1 and pid not in found:
        found.add(pid)
        pid = int(Path("/proc", str(pid), "stat").read_bytes().rpartition(b")")[2].split()[1])
    return found
