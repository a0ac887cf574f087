"""The command line: reads, calls, prints; computes nothing.

Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 a run failed, 2 wrong usage, 3 refused to
go on in a folder, 130 interrupted.
"""

import json
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from types import FrameType, TracebackType
from typing import Annotated, Any, Self

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

DONE, FAILED, USAGE, REFUSED, INTERRUPTED = 0, 1, 2, 3, 130
WIDTH = 80
Flag = Annotated[bool, Parameter(negative="")]

app = App(
    name="tapered",
    help="Learning rates that decay dependably, and evidence on whether they should.",
    version=lambda: metadata.version("tapered"),
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # main says what is kept
)


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


@app.command
def study(
    file: str,
    /,
    *,
    seeds: int | None = None,
    steps: int | None = None,
    store: Path | None = None,
    plan: Flag = False,
    verify: Flag = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Run a study, or go on with it, and print its verdict.

    Args:
        file: A built-in study's name (bmi) or a TOML file.
        seeds: Seeds of each arm and peak, instead of the file's.
        steps: Steps of each run, instead of the file's.
        store: Folder for the results; by default studies/NAME-HASH.
        plan: Run nothing; print the steps asked and to run, memory, time, how rows are trained, and why.
        verify: Also train a sample of the runs again from scratch; exit code 1 if a number differs.
        as_json: Print one JSON object.
        debug: Show a traceback when something fails.
    """
    from tapered import report, summary  # noqa: PLC0415 - torch and scipy take a second that --help need not wait
    from tapered import study as studies  # noqa: PLC0415
    from tapered.load import load  # noqa: PLC0415

    loaded = load(file, seeds=seeds, steps=steps)
    if plan:
        return _plan(loaded, as_json=as_json)
    folder = store or studies.default_folder(loaded)
    command = _command("study", file, seeds=seeds, steps=steps, store=store)
    with studies.open_store(loaded, folder) as opened:
        runs = _train(loaded, opened, command)
        if runs is None:
            return INTERRUPTED
        concluded = studies.conclude(loaded, opened, runs)
        verified = studies.verify(loaded, opened, runs) if verify else None
    page = folder / "report.html"
    report.write(concluded, page, command)
    if as_json:
        facts = summary.summary(concluded) | {"folder": str(folder), "page": str(page)}
        _print_json(facts | ({} if verified is None else {"verified": summary.verified_fields(verified)}))
    else:
        _show(concluded, page, verified)
    return DONE if verified is None or verified.difference == 0 else FAILED


def _train(loaded: Any, store: Any, command: str) -> Any:
    """The finished runs, or None where they were interrupted, with what to type to go on."""
    from tapered import study as studies  # noqa: PLC0415 - as above

    errors = _console(stderr=True)
    forest = studies.forest_of(loaded)
    with Interrupt(errors) as interrupt, _progress(errors) as progress:
        done = studies.updates_made(forest, store)
        task = progress.add_task("training", total=forest.plan.to_run, completed=done)
        runs = studies.train_runs(
            loaded, store, progress=lambda updates: progress.advance(task, updates), stop=lambda: interrupt.asked
        )
    if len(runs) == len(forest.tasks):
        return runs
    errors.print(f"Stopped with {len(runs)} of {len(forest.tasks)} runs finished, all kept in {store.folder}.")
    errors.print(f"To go on: {command}", soft_wrap=True)
    return None


def _plan(loaded: Any, *, as_json: bool) -> int:
    from tapered import summary  # noqa: PLC0415 - as above
    from tapered.forecast import forecast  # noqa: PLC0415 - as above

    found = forecast(loaded)
    if as_json:
        _print_json(summary.forecast_fields(found))
        return DONE
    console = _console(stderr=False)
    console.print(_table(summary.forecast_rows(found), header=False))
    for line in summary.cost_lines(found.cost):
        console.print(Text(f"- {line}"))
    return DONE


def _print_json(fields: dict[str, Any]) -> None:
    print(json.dumps(fields, allow_nan=False))


def _show(concluded: Any, page: Path, verified: Any) -> None:
    """The verdict, the arms, what to bear in mind, where the page is."""
    from tapered.summary import arm_rows, cost_lines, verified_line  # noqa: PLC0415 - as above

    console = _console(stderr=False)
    console.print(Text(concluded.sentence, style="bold"))
    console.print()
    console.print(_table(arm_rows(concluded)))
    for caveat in concluded.caveats:
        console.print(Text(f"- {caveat}"))
    for line in cost_lines(concluded.cost):
        console.print(Text(f"- {line}"))
    if verified is not None:
        console.print(Text(f"- {verified_line(verified)}"))
    console.print(Text(f"Page: {page}"), soft_wrap=True)


def _table(rows: Sequence[Sequence[str]], *, header: bool = True) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=header)
    for i, name in enumerate(rows[0]):
        table.add_column(name, justify="left" if i == 0 or not name else "right", overflow="fold")
    for row in rows[1:] if header else rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


@app.command
def schedule(
    text: str,
    /,
    *,
    steps: int | None = None,
    out: Path | None = None,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Show a schedule: its values at, before and after every boundary, and a plot.

    Args:
        text: The schedule as Python writes it, for example "exponential_decay(0.15, 1, 0.9999)".
        steps: Steps to show; by default a little more than its horizon.
        out: Also draw it to this .svg or .png file.
        debug: Show a traceback when something fails.
    """
    from tapered import plot, schedules  # noqa: PLC0415 - as above
    from tapered.schedules.svg import extent  # noqa: PLC0415 - as above

    parsed = schedules.parse(text)
    shown = extent(parsed) if steps is None else steps
    console = _console(stderr=False)
    rows = [(f"{step:,}", f"{value:.6g}", note) for step, value, note in plot.boundary_rows(parsed, shown)]
    console.print(_table([("step", "value", ""), *rows]))
    print(plot.terminal(parsed, shown, min(console.width, WIDTH), 16))
    if out is not None:
        plot.save(parsed, shown, out)
        console.print(Text(f"Drawn: {out}"), soft_wrap=True)
    return DONE


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, markup=False)
    console.width = min(console.width, WIDTH)
    return console


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _command(*words: str, **options: Any) -> str:
    """The words to type for this."""
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    return shlex.join(["tapered", *words, *given])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: Words after ``tapered``; None takes the process's own.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(given, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        return USAGE  # printed already, with what was expected
    except KeyboardInterrupt:
        print("Stopped at once; what was finished is kept.", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last place where an error can become a sentence
        return _failed(error, debug="--debug" in given)
    return code if isinstance(code, int) else DONE


def _failed(error: Exception, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    print(f"tapered: {error}", file=sys.stderr)
    # by name, so that a wrong word on the command line does not wait for torch
    match type(error).__name__:
        case "StoreError":
            return REFUSED
        case "RunError":
            return FAILED
        case "StudyFileError" | "ValueError" | "TypeError":
            return USAGE
    if not debug:
        print(f"({type(error).__name__}; --debug shows where)", file=sys.stderr)
    return FAILED
