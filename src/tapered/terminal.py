"""What every command uses to talk: tables of 80 columns, progress, JSON, Ctrl-C, exit codes."""

import json
import shlex
import signal
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Annotated, Any, Self

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

DONE, FAILED, USAGE, REFUSED, INTERRUPTED = 0, 1, 2, 3, 130
WIDTH = 80
Flag = Annotated[bool, Parameter(negative="")]
Json = Annotated[bool, Parameter(name="--json", negative="")]


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
    print(json.dumps(fields, allow_nan=False))


def table(rows: Sequence[Sequence[str]], *, header: bool = True, words: bool = False) -> Table:
    """Text cells in columns, the first to the left, the others to the right; all to the left where they are words."""
    found = Table(box=None, pad_edge=False, header_style="bold", show_header=header)
    for i, name in enumerate(rows[0]):
        found.add_column(name, justify="left" if words or i == 0 or not name else "right", overflow="fold")
    for row in rows[1:] if header else rows:
        found.add_row(*(Text(cell) for cell in row))
    return found


def console(*, stderr: bool) -> Console:
    """A console of at most 80 columns, without markup."""
    found = Console(stderr=stderr, highlight=False, markup=False)
    found.width = min(found.width, WIDTH)
    return found


def progress(console: Console) -> Progress:
    """A bar over steps, shown on terminals only."""
    columns = (
        TextColumn("{task.description}"),
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
