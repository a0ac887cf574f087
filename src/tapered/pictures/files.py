"""Where a picture is written."""

import os
from pathlib import Path


def destination(path: str | os.PathLike[str]) -> Path:
    """The path of a picture that can be written there.

    Raises:
        ValueError: It does not end in .svg, or there is no such folder.
    """
    found = Path(path)
    if found.suffix != ".svg":
        better = found.with_suffix(".svg").name if found.name else "rate.svg"
        raise ValueError(f"got {os.fspath(path)!r}; expected a path that ends in .svg; try {better}")
    if not found.parent.is_dir():
        raise ValueError(f"got {os.fspath(path)!r}, whose folder is missing; make it first")
    return found
