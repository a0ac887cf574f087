"""One writer a folder: the process that saves to it or resumes from it holds it until it ends."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from tapered.files.errors import CheckpointError
from tapered.files.lock import InUseError, hold
from tapered.files.whole import plain, sync

Lineage = tuple[Mapping[str, Any], ...]


@dataclass
class Held:
    """A folder that this process writes to, and where its run stands."""

    folder: Path
    lock: FileLock
    pid: int
    run: str
    lineage: Lineage = ()
    tip: tuple[int, int] | None = None  # sequence and step last saved or resumed
    kinds: tuple[str, ...] = ()  # of processors that its run was trained on so far


_held: dict[Path, Held] = {}


def claim(folder: Path) -> Held:
    """Hold a folder, which is created where it does not exist.

    Raises:
        CheckpointError: another process holds it, or it cannot be written.
    """
    try:
        path = folder.resolve()
        held = _held.get(path)
        if held is not None and held.pid == os.getpid():
            return held
        _create(path)
        _check_plain(path / "lock")
        lock = hold(path)
    except InUseError as error:
        raise CheckpointError(
            f"{shown(folder)} is in use by {error}; one process writes to a folder: stop that one, or give "
            f"this run a folder of its own"
        ) from None
    except (OSError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise CheckpointError(f"{shown(folder)} cannot be written ({why}); try another folder") from error
    _held[path] = Held(path, lock, os.getpid(), os.urandom(8).hex())
    return _held[path]


def release(folder: str | os.PathLike[str]) -> None:
    """Let another process write to a folder; the end of this process does the same.

    Args:
        folder: of a run that this process has saved into or resumed.

    Example:
        >>> import tempfile, torch
        >>> from tapered.checkpoint import release, save
        >>> folder = tempfile.mkdtemp()
        >>> path = save(folder, 0, weight=torch.ones(2))
        >>> release(folder)
    """
    held = _held.pop(Path(folder).resolve(), None)
    if held is not None:
        held.lock.release()


def _create(path: Path) -> None:
    if path.is_dir():
        return
    path.mkdir(parents=True)
    with suppress(OSError):
        sync(path.parent)


def _check_plain(path: Path) -> None:
    """Refuse a lock that locking would write to elsewhere: a link, or a file with content, which ours never has.

    Raises:
        CheckpointError: it is one.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not plain(path) or found.st_size:
        raise CheckpointError(
            f"{shown(path)} is a link, or no lock of tapered's, and a run writes into its own folder only; remove it"
        )


def shown(folder: Path) -> str:
    """A path for a message, shortened."""
    text = str(folder)
    return text if len(text) <= 200 else f"{text[:120]}...{text[-40:]} ({len(text):,} characters)"
