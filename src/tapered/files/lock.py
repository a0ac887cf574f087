"""A folder's one writer: held with the system's lock, which a killed process gives back.

`owner` beside the lock is for messages only.
"""

import os
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Owner:
    """Who wrote last that it works in a folder.

    Args:
        text: For people: "process 4711 on lab".
        lives: Whether that process is there; None where this machine cannot know.
    """

    text: str
    lives: bool | None


def owner(folder: Path) -> Owner | None:
    """Who works in a folder, or was killed there; None where nobody does. Nothing is locked or written for it."""
    path = folder / "owner"
    if not plain(path):
        return None
    text = _owner(path)
    found = re.fullmatch(r"process (\d{1,10}) on (.+)", text)
    here = found is not None and found[2] == socket.gethostname() and os.name == "posix"
    return Owner(text, _lives(int(found[1])) if found and here else None)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _owner(path: Path) -> str:
    if plain(path):
        with suppress(OSError), path.open("rb") as file:
            return file.read(OWNER_LIMIT).decode(errors="replace")
    return "another process"
