"""Signs of life of a script, and bounds on what it prints.

the run's folder ─► Life: seconds without a change        N.out, N.err ─► bound: beginning, end, and what was left out
"""

import os
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from tapered.words import sized

DRIVERS = {"lock", "stop", "result.json"}  # not the script's
TAIL = 1 << 16  # bytes in which the last lines are looked for
WIDE = 500  # characters of a line that are shown
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colours and the like of terminals


class Life:
    """Whether anything of a run's folder changes.

    Args:
        folder: The run's.
        every: Seconds between two looks: a folder of many files is not read all the time.
    """

    def __init__(self, folder: Path, every: float) -> None:
        self._folder, self._every = folder, every
        self._print, self._changed = _fingerprint(folder), time.monotonic()
        self._looked = self._changed

    def quiet(self) -> float:
        """Seconds since the last change that was seen."""
        now = time.monotonic()
        return self.look() if now - self._looked >= self._every else now - self._changed

    def look(self) -> float:
        """The same, after a look at once."""
        now = self._looked = time.monotonic()
        if (found := _fingerprint(self._folder)) != self._print:
            self._print, self._changed = found, now
        return now - self._changed


def _fingerprint(folder: Path) -> tuple[int, int, int]:
    """Entries, bytes and the last change below a folder."""
    count = size = last = 0
    waiting = [str(folder)]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.name in DRIVERS:
                    continue
                with suppress(OSError):  # it may go while it is looked at
                    facts = entry.stat(follow_symlinks=False)
                    count, size, last = count + 1, size + facts.st_size, max(last, facts.st_mtime_ns)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
    return count, size, last


class Output:
    """One output of a start, which keeps its beginning and its end.

    Args:
        path: The file, which the script appends to.
        most: Bytes that it may have; a quarter of them stays of each end.
        keep: Lines between them that stay as well: what reports a number.
    """

    def __init__(self, path: Path, most: int, keep: re.Pattern[str] | None = None) -> None:
        self.path, self._most, self._keep = path, max(most, 4), keep
        self._head = self._most // 4
        self.left_out = 0

    def bound(self) -> None:
        """Leave out its middle, where it has become too long."""
        with suppress(OSError):  # a full disk: it takes no more of the script either
            if self.path.stat().st_size > self._most:
                self._cut()

    def _cut(self) -> None:
        with self.path.open("r+b") as file:
            size = os.fstat(file.fileno()).st_size
            head = _line(file, min(self._head, size))
            tail = _line(file, max(head, size - self._most // 4))
            kept = b"".join(self._kept(file, head, tail))
            file.seek(tail)
            end = file.read(size - tail)
            self.left_out += tail - head - len(kept)
            note = f"\n[tapered: {sized(self.left_out)} of output are left out here]\n".encode()
            file.truncate(head)
        with self.path.open("ab", buffering=0) as file:  # behind what the script has written meanwhile
            file.write(kept + note + end)
        self._head = min(head + len(kept), self._most // 2)

    def _kept(self, file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
        if self._keep is None:
            return
        file.seek(start)
        for line in file.read(stop - start).splitlines(keepends=True):
            if self._keep.search(line.decode(errors="replace")):
                yield line


def _line(file: BinaryIO, at: int) -> int:
    """Where the next line begins; the place itself where none does soon."""
    file.seek(max(0, at - 1))
    return at + max(0, file.read(TAIL).find(b"\n"))


def last_lines(paths: Sequence[Path], count: int) -> tuple[str, ...]:
    """What outputs said last; the later ones of the paths come last, and go before."""
    found: deque[str] = deque()
    for path in reversed(paths):
        room = count - len(found)
        found.extendleft(reversed(_tail(path)[-room:] if room else []))
    return tuple(found)


def _tail(path: Path) -> list[str]:
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
        return list(_readable(file.read().decode(errors="replace").split("\n")))
    return []


def _readable(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        shown = CONTROL.sub("", line.rstrip("\r").rpartition("\r")[2]).expandtabs(4).rstrip()  # of a bar its last state
        if shown:
            yield "".join(letter if letter.isprintable() else "?" for letter in shown[:WIDE])
