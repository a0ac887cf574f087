"""A folder's one writer: held with the system's lock, which a killed process gives back.

`owner` beside the lock is for messages only.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from tapered.files.whole import plain, replace

OWNER_LIMIT = 200


class InUseError(Exception):
    """Another process writes to the folder; the message names it."""


def hold(folder: Path) -> FileLock:
    """The lock of a folder, held until it is released or this process ends.

    Raises:
        InUseError: another process holds it.
        OSError, RuntimeError: it cannot be written.
    """
    lock = FileLock(folder / "lock", is_singleton=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise InUseError(_owner(folder / "owner")) from None
    with suppress(OSError):  # a full disk must not hide what is finished
        replace(folder / "owner", f"process {os.getpid()} on {socket.gethostname()}".encode())
    return lock


def _owner(path: Path) -> str:
    if plain(path):
        with suppress(OSError), path.open("rb") as file:
            return file.read(OWNER_LIMIT).decode(errors="replace")
    return "another process"
