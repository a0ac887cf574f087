"""How far training is: a bar on a terminal and in a notebook, elsewhere a line now and then."""

import html
import sys
import time
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from tapered.cli.terminal import visible

TOLD = 30.0  # seconds between two lines where nothing shows a bar
SEEN = 0.5  # between two looks of a notebook's


class _Described(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(visible(task.description))


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="progress.data.speed")


class Log(Progress):
    """Progress as a line now and then, where no terminal shows a bar: a long job's log says that it lives.

    Args:
        console: Where lines go.
        every: Seconds between two of them.
    """

    def __init__(self, console: Console, every: float = TOLD) -> None:
        super().__init__(console=Console(quiet=True), disable=True)
        self._lines, self._every, self._told = console, every, time.monotonic()

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """As rich's."""
        super().advance(task_id, advance)
        if time.monotonic() - self._told >= self._every:
            self._told = time.monotonic()
            self.tell(self._tasks[task_id])

    def tell(self, task: Task) -> None:
        """Say where a task is."""
        self._lines.print(progress_line(task), soft_wrap=True)


class Cell(Log):
    """Progress as one line with a bar in a notebook's cell, by IPython alone."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, SEEN)
        self._shown: Any = None

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """As rich's, and what is done from now on is said at once."""
        super().update(task_id, **changes)
        self.tell(self._tasks[task_id])

    def tell(self, task: Task) -> None:
        """The line in the place of the one before."""
        from IPython.display import HTML, display  # noqa: PLC0415 - there in a notebook, and no dependency

        share = "" if task.total is None else f' value="{task.completed:g}" max="{task.total:g}"'
        line = HTML(f"<progress{share}></progress> {html.escape(progress_line(task))}")
        if self._shown is None:
            self._shown = display(line, display_id=True)
        else:
            self._shown.update(line)

    def stop(self) -> None:
        """Nothing of it stays."""
        super().stop()
        if self._shown is not None:
            from IPython.display import HTML  # noqa: PLC0415 - as above

            self._shown.update(HTML(""))


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this."""
    found = sys.modules.get("IPython")
    return found is not None and hasattr(found.get_ipython(), "kernel")


def progress_line(task: Task) -> str:
    """Where a task is, how fast, for how long, and for how long still."""
    made, whole = f"{task.completed:,.0f}", "" if task.total is None else f" of {task.total:,.0f}"
    left = "" if task.time_remaining is None else f", {_clock(task.time_remaining)} to go"
    speed = f", {task.speed:,.0f}/s" if task.speed else ""
    return f"{task.description}: {made}{whole} steps{speed}, {_clock(task.elapsed or 0)} so far{left}"


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def progress(console: Console) -> Progress:
    """A bar over steps on a terminal and in a notebook; elsewhere a line now and then."""
    if in_notebook():
        return Cell(console)
    if not console.is_terminal:
        return Log(console)
    columns = (
        _Described(Column(no_wrap=True)),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        _Speed(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True, expand=True)
