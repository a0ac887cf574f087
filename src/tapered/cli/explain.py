"""`tapered explain`: what the steps of a run are made of."""

import math
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from tapered.cli.run import options_of
from tapered.cli.terminal import DONE, Flag, Json, Words, console, parted, print_json, retype, table
from tapered.words import plain

LINES = 12  # of a table that a person reads; --json has every step


def explain(
    workload: str,
    /,
    *,
    rule: str | None = None,
    lr: str | None = None,
    steps: int | None = None,
    seed: int | None = None,
    every: int | None = None,
    since: int | None = None,
    by_parameter: Flag = False,
    hyper: Words = (),
    choice: Words = (),
    option: Words = (),
    trusted: Annotated[str | None, Parameter(name="--workload")] = None,
    as_json: Json = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Train a run and show what its steps are made of: schedule, bias correction, direction.

    Args:
        workload: A built-in workload's name (bmi), file.py:name of your own, or the folder of a run of tapered's.
        rule: Adam (the default), SGD, RMSprop, ...
        lr: A number (1e-3), or a schedule's text, for example "exponential_decay(0.15, 1, 0.9999)".
        steps: Steps of the run, by default 1000; the word steps in a schedule's text stands for them. Of a folder's
            run so many steps from its checkpoint on, by default 1; nothing is saved.
        seed: Of initial weights, minibatches and dropout; by default 0.
        every: Look at every n-th step instead of 32 steps on a log scale.
        since: The step that changes are counted from; by default the first that is not 0 long.
        by_parameter: Each parameter by itself.
        hyper: Another hyper, as weight_decay=0.1; a number or a schedule's text; may be given again.
        choice: A choice of the rule, as decay=decoupled or amsgrad=true; may be given again.
        option: An argument of the workload, as name=value; may be given again.
        trusted: FILE:NAME (or NAME) of a folder's workload, where its own word is not enough.
        as_json: Print one JSON object.
        debug: Show a traceback when something fails.
    """
    from tapered import explain as explaining  # noqa: PLC0415 - torch takes a second that --help need not wait
    from tapered.training.threads import threads  # noqa: PLC0415

    for name, value in (("steps", 1 if steps is None else steps), ("every", 1 if every is None else every)):
        if value < 1:
            raise ValueError(f"got --{name}={value}; expected a whole number of at least 1")
    given = {"rule": rule, "lr": lr, "seed": seed, "hyper": hyper, "choice": choice, "option": option}
    if Path(workload).is_dir():
        asked, made, row, path = _kept(Path(workload), steps, given, trusted)
    else:
        asked, made, row, path = _asked(workload, 1000 if steps is None else steps, given)
    first = row.steps[0]
    at = None if every is None else sorted({*range(first, path.steps, every), path.steps - 1})
    with threads(1):
        found = explaining.explain_run(made, path, at=at, row=row, by_parameter=by_parameter)
    words = explaining.paragraph(found)
    if as_json:
        print_json({**asked, **explaining.fields(found, since), "text": words})
        return DONE
    out = console(stderr=False)
    for series in found.series:
        if by_parameter:
            out.print(Text(series.name, style="bold"))
        _show(out, series, since)
    out.print(Text(words))
    return DONE


def _asked(workload: str, steps: int, given: dict[str, Any]) -> tuple[dict[str, Any], Any, Any, Any]:
    """What was asked for, the workload, the row and its path, of a run from the start."""
    from tapered.study.file.typed import arm_of  # noqa: PLC0415 - as above
    from tapered.training.rows import start  # noqa: PLC0415
    from tapered.workloads.find import workload_of  # noqa: PLC0415 - as above

    rule, lr, seed = given["rule"] or "Adam", given["lr"] or "1e-3", given["seed"] or 0
    path = arm_of(rule, lr, choices(given["choice"]), options_of(given["hyper"], "hyper")).path(steps, None)
    made, _ = workload_of(workload, options_of(given["option"]))
    asked = {"workload": workload, "rule": str(path.rule), "lr": lr, "steps": steps, "seed": seed}
    return asked, made, start(made, path.rule, [seed]), path


def _kept(
    folder: Path, steps: int | None, given: dict[str, Any], trusted: str | None
) -> tuple[dict[str, Any], Any, Any, Any]:
    """The same, of a run that tapered saved, from its newest checkpoint on."""
    from tapered.rules import bare  # noqa: PLC0415 - as above
    from tapered.run import single  # noqa: PLC0415 - as above
    from tapered.training.threads import threads  # noqa: PLC0415 - as above

    extra = [f"--{name}" for name, value in given.items() if value not in (None, ())]
    if extra:
        raise ValueError(f"got {', '.join(extra)} for the run in {folder}, which has its own; leave it out")
    with threads(1):
        run, _ = single.resume(folder, workload=trusted, command=retype("explain", str(folder), steps=steps))
    setting, count = run.setting, 1 if steps is None else steps
    asked = {"folder": str(folder), "workload": setting.workload, "rule": str(bare(run.rows.rule)), "lr": setting.lr}
    path = run.arm.path(run.step + count, None)
    return {**asked, "steps": count, "seed": setting.seed}, run.workload, run.rows, path


def _show(out: Any, series: Any, since: int | None) -> None:
    """A table of the points, and one of the changes of each term's length."""
    points = [series.points[i] for i in _chosen(len(series.points))]
    head = ("step", "lr", "factor", "gradient", "root", "median", "largest", "bound", "upd/par", "eps")
    rows = [
        (
            f"{p.step:,}", plain(p.lr, 3), plain(p.terms[0].factor, 3), plain(p.gradient, 2), _number(p.root),
            plain(p.ratios[0], 2), plain(p.largest, 3), _number(p.bound and p.bound.strict), plain(p.relative, 2),
            "" if p.eps_share is None else f"{p.eps_share:.1%}",
        )
        for p in points
    ]  # fmt: skip
    for part in parted([head, *rows], out.width):
        out.print(part)
    out.print(Text("median, largest: of abs(update) / lr; upd/par: RMS ratio; eps: share it rules."))
    out.print()
    for term in series.terms:
        changes = [series.splits(term, since)[i] for i in _chosen(len(series.points))]
        if all(change is None for _, change in changes):
            continue
        out.print(
            table([(f"change of {term}", "schedule", "correction", "direction", "whole"), *map(_change, changes)])
        )
        out.print()


def _change(at: tuple[int, Any]) -> tuple[str, ...]:
    """A line of the second table: factors, whose product is the whole."""
    step, change = at
    if change is None:
        return f"{step:,}", "", "", "", "not above 0"
    parts = (change.schedule, change.correction, change.direction, change.whole)
    return f"{step:,}", *(f"x{plain(math.exp(part))}" for part in parts)


def _chosen(count: int) -> list[int]:
    """At most LINES places, evenly spaced, the first and the last among them."""
    return sorted({round(i * (count - 1) / (LINES - 1)) for i in range(LINES)}) if count else []


def _number(value: float | None) -> str:
    return "" if value is None else plain(value, 3)


def choices(given: tuple[str, ...]) -> dict[str, Any]:
    """A rule's choices; true and false as Python or as TOML writes them."""
    truth = {"true": True, "false": False}
    return {name: truth.get(value, value) for name, value in options_of(given, "choice").items()}
