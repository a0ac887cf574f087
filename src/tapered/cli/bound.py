"""`tapered bound`: what theory says of schedules, beside each other."""

from typing import Any

from rich.text import Text

from tapered.cli.terminal import DONE, Flag, Json, console, print_json, table
from tapered.words import plain

FACTOR = 10.0  # times the best peak
MOST = 10_000  # steps of which the quadratic's expected losses are computed, within seconds
LEGEND = (
    "ratio: the worst case of the last iterate of convex problems, at the best peak, over the least of all schedules'; "
    "average: the same of the averaged iterate. Peak: what multiplies the schedule, times distance / gradient norm. "
    "x10: what ten times that peak costs, on a bounded domain."
)
QUADRATIC = (
    "SGD, Adam: expected loss on noisy_quadratic after these steps, each at its own best peak. It is one smooth "
    "problem, where the worst case is the worst of all: they order schedules otherwise (docs/theory.md)."
)


def bound(
    *texts: str,
    steps: int,
    as_json: Json = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Show what theory says of schedules: the last iterate's worst case, and expected losses on a noisy quadratic.

    Args:
        texts: Schedules as Python writes them, in which the word steps stands for the number of steps.
        steps: Steps that are made.
        as_json: Print one JSON object.
        debug: Show a traceback when something fails.
    """
    if not texts:
        raise ValueError('got no schedule; try tapered bound "linear(steps=steps)" "constant(1.0)" --steps 1000')
    found = [_row(text, steps) for text in texts]
    if as_json:
        print_json({"steps": steps, "factor": FACTOR, "schedules": found})
        return DONE
    out = console(stderr=False)
    quadratic = found[0]["quadratic"] is not None
    head = ("schedule", "ratio", "average", "peak", "x10", *(("SGD", "Adam") if quadratic else ()))
    out.print(table([head, *map(_cells, found)]))
    out.print(Text(LEGEND))
    out.print(Text(QUADRATIC if quadratic else f"Expected losses are shown up to {MOST:,} steps."))
    return DONE


def _row(text: str, steps: int) -> dict[str, Any]:
    from tapered.schedules import parse  # noqa: PLC0415 - numpy need not be waited for by --help
    from tapered.theory import quadratic, worst_case  # noqa: PLC0415

    if steps < 1:
        raise ValueError(f"got --steps={steps}; expected a whole number of at least 1")
    schedule = parse(text, {"steps": steps})
    try:
        case = worst_case(schedule, steps)
        best = {rule: quadratic(schedule, steps, rule=rule).best() for rule in ("SGD", "Adam")} if steps <= MOST else {}
    except ValueError as error:
        raise ValueError(f"{text}: {error}") from None
    return {
        "schedule": text,
        "ratio": case.ratio,
        "bound": case.bound,
        "least": case.least,
        "peak": case.peak if case.highest else None,
        "highest": case.highest,
        "tolerance": case.tolerance(FACTOR),
        "average_ratio": case.average_ratio,
        "quadratic": {rule: one._asdict() for rule, one in best.items()} or None,
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    losses = [plain(one["loss"], 3) for one in (row["quadratic"] or {}).values()]
    peak = "-" if row["peak"] is None else plain(row["peak"], 3)
    return (
        row["schedule"],
        f"{row['ratio']:.3f}",
        f"{row['average_ratio']:.3f}",
        peak,
        plain(row["tolerance"], 3),
        *losses,
    )
