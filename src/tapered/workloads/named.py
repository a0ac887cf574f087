"""What this user has asked for on a command line: what may run when a folder, which anybody can write, asks.

    tapered run mine.py:problem      remembers (file, name, hash, arguments)
    tapered resume runs/x            the folder asks for the same four: it may run

Kept outside of every folder that travels: empty files whose names are hashes, in the user's own state.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def remember(path: Path | None, name: str, source: str, options: Mapping[str, Any]) -> None:
    """Keep that the user named this.

    Where the state cannot be written, the user is asked again the next time.

    Args:
        path: The file; None for what is built in.
        name: What of it.
        source: Its hash.
        options: What it is called with.
    """
    with suppress(OSError):
        _state().mkdir(mode=0o700, parents=True, exist_ok=True)
        (_state() / _key(path, name, source, options)).touch(mode=0o600)


def known(path: Path | None, name: str, source: str, options: Mapping[str, Any]) -> bool:
    """Whether the user named this before: the same file in the same place, name, hash and arguments."""
    try:
        return (_state() / _key(path, name, source, options)).is_file()
    except OSError:
        return False


def _state() -> Path:
    given = os.environ.get("XDG_STATE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(given) if given else Path.home() / ".local" / "state") / "tapered" / "named"


def _key(path: Path | None, name: str, source: str, options: Mapping[str, Any]) -> str:
    place = "" if path is None else os.fsencode(path.resolve()).hex()
    # repr tells True from 1, and tuples from lists
    facts = [place, name, source, sorted((key, repr(value)) for key, value in options.items())]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
