"""What every command uses to talk: tables as wide as the terminal, JSON, Ctrl-C, exit codes.

The one door to the terminal: names and messages may come from anybody's file, so control characters are shown and not
acted on. Results alone go to stdout; what somebody's code prints on the way goes to stderr.
"""

import io
import json
import os
import re
import shlex
import signal
import sys
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from types import FrameType, TracebackType
from typing import Annotated, Any, Self, TextIO, cast

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

TONES = {"better": "green", "worse": "red", "the same": "cyan"}  # of a verdict; what is not shown has none
DONE, FAILED, USAGE, REFUSED, INTERRUPTED = 0, 1, 2, 3, 130
WIDTH = 80  # columns of a plot where nobody counts them
GAP = 2  # columns between two of a table
ENDLESS = 100_000  # columns where nobody counts them
ENDS = re.compile(r"[ \t]+(?=\n|\Z)")
Flag = Annotated[bool, Parameter(negative="", show_default=False)]
Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]
Words = Annotated[tuple[str, ...], Parameter(negative="", show_default=False)]  # may be given again

LONG = 8000  # letters of a message
ACTING = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # Unicode's classes of what a terminal does rather than shows
JOINERS = "\u200c\u200d"  # which scripts and emoji are written with


def visible(text: str, *, lines: bool = False) -> str:
    r"""A text with its control characters written out; ``lines`` leaves line breaks and tabs as they are.

    >>> print(visible("a\x1b[31m\nb\u202e"))
    a\x1b[31m\nb\u202e
    """
    kept = JOINERS + ("\n\t" if lines else "")
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter if letter in kept or unicodedata.category(letter) not in ACTING else ascii(letter)[1:-1]
        for letter in text
    )


class Screen(Console):
    """A console on which text is text: neither control characters nor markup do anything."""

    def print(self, *objects: Any, **options: Any) -> None:
        """As rich prints."""
        super().print(*map(_plain, objects), **options)


def _plain(found: Any) -> Any:
    if isinstance(found, str):
        return visible(found)
    return Text(visible(found.plain), style=found.style) if isinstance(found, Text) else found


class _Aside(io.TextIOBase):
    """Stands where stdout stood."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def fileno(self) -> int:
        return sys.stderr.fileno()

    def isatty(self) -> bool:
        return sys.stderr.isatty()

    def close(self) -> None:
        """Nothing: stderr stays open."""


_results: list[TextIO] = []


def results() -> TextIO:
    """Where results go: stdout as it was when the command began."""
    return _results[-1] if _results else sys.stdout


@contextmanager
def results_alone() -> Iterator[None]:
    """Keep stdout for results; what is printed otherwise, as by a workload's file, goes to stderr."""
    _results.append(sys.stdout)
    sys.stdout = _Aside()
    try:
        yield
    finally:
        sys.stdout = _results.pop()


def write(text: str) -> None:
    """Lines of a result as they are."""
    print(visible(text, lines=True), file=results())


def complain(text: str) -> None:
    """What went wrong, on stderr; the middle of a message that a file made endless is left out."""
    text = text if len(text) <= LONG else f"{text[: LONG // 2]} ... {text[-LONG // 4 :]}"
    screen = console(stderr=True)
    if not screen.is_terminal:
        print(visible(text, lines=True), file=sys.stderr)
        return
    for line in visible(text, lines=True).splitlines():
        screen.print(Text(line))


class Interrupt:
    """Ctrl-C once asks to stop, twice stops now; so does the signal that ends a job."""

    def __init__(self, console: Console) -> None:
        self.console, self.asked = console, False
        self._signals = (signal.SIGINT, signal.SIGTERM)

    def __enter__(self) -> Self:
        ours = threading.current_thread() is threading.main_thread()  # the only one that may
        self._before = [signal.signal(kind, self._on) for kind in self._signals if ours]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signal_kind, handler in zip(self._signals, self._before, strict=False):
            signal.signal(signal_kind, handler)

    def _on(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signal's own signature
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self.console.print("Stopping after this step; Ctrl-C again stops at once.")


def print_json(fields: dict[str, Any]) -> None:
    """One JSON object on stdout; NaN is refused, as JSON has none."""
    print(json.dumps(fields, allow_nan=False), file=results())


def table(rows: Sequence[Sequence[str]], *, header: bool = True, words: bool = False, left: int = 1) -> Table:
    """Text cells in columns, so many to the left, the others to the right; all to the left where they are words.

    A first cell that is a verdict has its colour, where there are colours.
    """
    found = Table(box=None, pad_edge=False, header_style="bold", show_header=header)
    for i, name in enumerate(rows[0]):
        found.add_column(
            Text(visible(name)), justify="left" if words or i < left or not name else "right", overflow="fold"
        )
    for row in rows[1:] if header else rows:
        found.add_row(*(Text(visible(cell), style="" if i else TONES.get(cell, "")) for i, cell in enumerate(row)))
    return found


def parted(rows: Sequence[Sequence[str]], width: int) -> Iterator[Table]:
    """A table; where it is wider than that, several, each with the first column: none of their cells is broken."""
    widths = [max(len(row[i]) for row in rows) + GAP for i in range(len(rows[0]))]
    columns = list(range(1, len(widths)))
    while columns:
        whole = accumulate((widths[i] for i in columns), initial=widths[0])
        fitting = max(1, sum(each - GAP <= width for each in whole) - 1)
        yield table([[row[i] for i in (0, *columns[:fitting])] for row in rows])
        columns = columns[fitting:]


class _Lines(io.TextIOBase):
    """A stream that gets no spaces at the ends of lines, for what reads them: grep, a log, a file."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(ENDS.sub("", text))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        """Nothing: the stream is another's, and may have been closed; Python asks for it at this one's end."""


def console(*, stderr: bool) -> Console:
    """A console as wide as its terminal, or as COLUMNS says; elsewhere lines are as long as they are; no markup."""
    stream = sys.stderr if stderr else results()
    shown = Screen(file=stream, highlight=False, markup=False, force_jupyter=False)
    if shown.is_terminal:
        return shown
    found = Screen(file=cast("TextIO", _Lines(stream)), highlight=False, markup=False, force_jupyter=False)
    if not os.environ.get("COLUMNS", "").isdecimal():
        found.width = ENDLESS
    return found


def drawn_width(shown: Console) -> int:
    """Columns of a plot."""
    return shown.width if shown.width < ENDLESS else WIDTH


def retype(*words: str, **options: Any) -> str:
    """The words to type for this."""
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    return shlex.join(["tapered", *words, *given])
