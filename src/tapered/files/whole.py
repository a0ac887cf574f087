"""Files that are there whole or not at all, whenever the power goes; written through no link that stands there."""

import os
import stat
from pathlib import Path

PIECE = 64 << 20


def write(path: Path, data: bytes) -> None:
    """Write a new file and flush it.

    Raises:
        OSError: there is one, or the disk does not take it.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest[:PIECE]) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def replace(path: Path, data: bytes) -> None:
    """Write a file in the place of one: under a temporary name, flushed, renamed, and the folder flushed.

    Raises:
        OSError: the disk does not take it; what was there stands.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        temporary.unlink(missing_ok=True)  # a link there is not followed, nor a file that has another name written to
        write(temporary, data)
        os.replace(temporary, path)  # noqa: PTH105 - the system's own calls, at each of which a test kills
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(folder: Path) -> None:
    """Flush a folder's names to the disk."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def plain(path: Path) -> bool:
    """Whether there is a file, and no link, folder, pipe or device."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
