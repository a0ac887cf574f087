"""Files that grow by whole lines, in which a kill leaves at most one that is cut.

A line goes by one write to the file's end, so that nothing of it waits in this process when it dies; what a kill or a
full disk cut is marked by the next line that is written, and left out by readers.
"""

import os
from collections.abc import Iterator
from pathlib import Path

CUT = b"?\n"  # a number that is cut is one still, and would be read


class Lines:
    """The end of such a file; it is made with the first line.

    Args:
        path: in a folder that is there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = -1
        self._cut = False

    def add(self, line: str) -> None:
        """Write a line, without its end, which is added.

        Raises:
            OSError: the disk does not take it; a part of it may stand there, and is no line.
        """
        if self._handle < 0:
            self._open()
        data = f"{line}\n".encode()
        if self._cut:
            data = CUT + data
        self._cut = True
        if os.write(self._handle, data) != len(data):
            raise OSError(28, "only a part of a line was written, as on a full disk", str(self.path))
        self._cut = False

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
        self._handle = os.open(self.path, flags, 0o666)
        size = os.fstat(self._handle).st_size
        if size:
            os.lseek(self._handle, size - 1, os.SEEK_SET)
            self._cut = os.read(self._handle, 1) != b"\n"


def whole(path: Path) -> Iterator[str]:
    """The lines of a file that have an end; none where there is no file. Bytes that are no text stand as marks."""
    try:
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line.decode(errors="replace").rstrip("\r\n")
    except FileNotFoundError:
        return
