"""What every command uses to talk: tables of 80 columns, progress, JSON, Ctrl-C, exit codes.

The one door to the terminal: names and messages may come from anybody's file, so control characters are shown and not
acted on. Results alone go to stdout; what somebody's code prints on the way goes to stderr.
"""

import io
import json
import shlex
import signal
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Annotated, Any, Self, TextIO

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

DONE, FAILED, USAGE, REFUSED, INTERRUPTED = 0, 1, 2, 3, 130
WIDTH = 80
Flag = Annotated[bool, Parameter(negative="")]
Json = Annotated[bool, Parameter(name="--json", negative="")]

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
    print(visible(text, lines=True), file=sys.stderr)


class Interrupt:
    """Ctrl-C once asks to stop, twice stops now; so does the signal that ends a job."""

    def __init__(self, console: Console) -> None:
        self.console, self.asked = console, False
        self._signals = (signal.SIGINT, signal.SIGTERM)

    def __enter__(self) -> Self:
        self._before = [signal.signal(kind, self._on) for kind in self._signals]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signal_kind, handler in zip(self._signals, self._before, strict=True):
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
    """Text cells in columns, so many to the left, the others to the right; all to the left where they are words."""
    found = Table(box=None, pad_edge=False, header_style="bold", show_header=header)
    for i, name in enumerate(rows[0]):
        found.add_column(
            Text(visible(name)), justify="left" if words or i < left or not name else "right", overflow="fold"
        )
    for row in rows[1:] if header else rows:
        found.add_row(*(Text(visible(cell)) for cell in row))
    return found


def console(*, stderr: bool) -> Console:
    """A console of at most 80 columns, without markup."""
    found = Screen(file=None if stderr else results(), stderr=stderr, highlight=False, markup=False)
    found.width = min(found.width, WIDTH)
    return found


class _Described(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(visible(task.description))


def progress(console: Console) -> Progress:
    """A bar over steps, shown on terminals only."""
    columns = (
        _Described(),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeRemainingColumn(),
    )
    shown = console.is_terminal
    # before version 14 a bar that is not shown ends with an empty line
    return Progress(*columns, console=console if shown else Console(quiet=True), transient=True, disable=not shown)


def retype(*words: str, **options: Any) -> str:
    """The words to type for this."""
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    return shlex.join(["tapered", *words, *given])
