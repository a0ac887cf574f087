"""What tests of saved things share: a state as a file brings it back, and a process that may die of what it does."""

import io
import os
import shutil
import stat
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch

from tapered import checkpoint

# what tests write need not outlive a power cut: where memory has a folder, no save waits for a disk
SHARED = Path("/dev/shm")
MEMORY = str(SHARED) if SHARED.is_dir() and shutil.disk_usage(SHARED).free > 4 << 30 else None


def filed(state: Any) -> Any:
    """As a file would bring it back, of tensors and plain values alone."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def forked(call: Callable[[], object]) -> int:
    """What a child process that makes the call ends with: its int, 0 for anything else; -N by signal N, 99 by an error.

    What this process has locked, the child has not.
    """
    child = os.fork()
    if child == 0:
        code = 99
        try:
            checkpoint.lock._held.clear()
            found = call()
            code = found if isinstance(found, int) else 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def opened(folder: Path) -> None:
    """Anybody may enter it: pytest makes folders for their owner alone."""
    for path in takewhile(lambda path: not path.stat().st_mode & stat.S_IXOTH, (folder, *folder.parents)):
        path.chmod(0o755)


def let_go() -> None:
    """Every folder that this process has locked."""
    for held in list(checkpoint.lock._held):
        checkpoint.release(held)
