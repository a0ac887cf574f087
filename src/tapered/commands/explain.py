"""`tapered explain`: what the steps of a run are made of."""

import math
from typing import Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from tapered.terminal import DONE, Flag, Json, console, print_json, table

LINES = 12  # of a table that a person reads; --json has every step


def explain(
    workload: str,
    /,
    *,
    rule: str = "Adam",
    lr: str = "1e-3",
    steps: int = 1000,
    seed: int = 0,
    every: int | None = None,
    since: int | None = None,
    by_parameter: Flag = False,
    hyper: Annotated[dict[str, str] | None, Parameter(negative="")] = None,
    option: Annotated[dict[str, str] | None, Parameter(negative="")] = None,
    as_json: Json = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Train a run and show what its steps are made of: schedule, bias correction, direction.

    Args:
        workload: A built-in workload's name (bmi), or file.py:name of your own.
        rule: Adam, SGD, RMSprop, ...
        lr: A number, or a schedule's text, for example "exponential_decay(0.15, 1, 0.9999)".
        steps: Steps of the run; the word steps in a schedule's text stands for them.
        seed: Of initial weights, minibatches and dropout.
        every: Look at every n-th step instead of 32 steps on a log scale.
        since: The step that changes are counted from; by default the first that is not 0 long.
        by_parameter: Each parameter by itself.
        hyper: Another hyper, as --hyper.weight_decay 0.1; a number or a schedule's text.
        option: A choice of the rule, as --option.decay decoupled or --option.amsgrad true.
        as_json: Print one JSON object.
        debug: Show a traceback when something fails.
    """
    from tapered import explain as explaining  # noqa: PLC0415 - torch takes a second that --help need not wait
    from tapered.load import arm_of, workload_of  # noqa: PLC0415

    for name, value in (("steps", steps), ("every", 1 if every is None else every)):
        if value < 1:
            raise ValueError(f"got --{name}={value}; expected a whole number of at least 1")
    path = arm_of(rule, lr, choices(option), numbers(hyper)).path(steps, None)
    at = None if every is None else sorted({*range(0, steps, every), steps - 1})
    made, _ = workload_of(workload)
    found = explaining.explain_run(made, path, seed, at=at, by_parameter=by_parameter)
    words = explaining.paragraph(found)
    if as_json:
        asked = {"workload": workload, "rule": str(path.rule), "lr": lr, "steps": steps, "seed": seed}
        print_json({**asked, **explaining.fields(found, since), "text": words})
        return DONE
    out = console(stderr=False)
    for series in found.series:
        if by_parameter:
            out.print(Text(series.name, style="bold"))
        _show(out, series, since)
    out.print(Text(words))
    return DONE


def _show(out: Any, series: Any, since: int | None) -> None:
    """A table of the points, and one of the changes of each term's length."""
    points = [series.points[i] for i in _chosen(len(series.points))]
    head = ("step", "lr", "factor", "gradient", "root", "median", "largest", "bound", "upd/par", "eps")
    rows = [
        (
            f"{p.step:,}", f"{p.lr:.3g}", f"{p.terms[0].factor:.3g}", f"{p.gradient:.2g}", _number(p.root),
            f"{p.ratios[0]:.2g}", f"{p.largest:.3g}", _number(p.bound and p.bound.strict), f"{p.relative:.2g}",
            "" if p.eps_share is None else f"{p.eps_share:.1%}",
        )
        for p in points
    ]  # fmt: skip
    out.print(table([head, *rows]))
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
    return f"{step:,}", *(f"x{math.exp(part):.4g}" for part in parts)


def _chosen(count: int) -> list[int]:
    """At most LINES places, evenly spaced, the first and the last among them."""
    return sorted({round(i * (count - 1) / (LINES - 1)) for i in range(LINES)}) if count else []


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def numbers(given: dict[str, str] | None) -> dict[str, float | str]:
    """Hypers as numbers where they are."""
    found: dict[str, float | str] = {}
    for name, value in (given or {}).items():
        try:
            found[name.replace("-", "_")] = float(value)
        except ValueError:
            found[name.replace("-", "_")] = value
    return found


def choices(given: dict[str, str] | None) -> dict[str, bool | str]:
    """Options, true and false as such."""
    truth = {"true": True, "false": False}
    return {name.replace("-", "_"): truth.get(value.lower(), value) for name, value in (given or {}).items()}
