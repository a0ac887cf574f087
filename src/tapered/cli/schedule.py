"""`tapered schedule`: show one."""

from pathlib import Path
from typing import Any

from rich.text import Text

from tapered.cli.terminal import DONE, Flag, Json, console, drawn_width, print_json, table, write
from tapered.words import counted, plain

POINTS = 1000  # of a curve as JSON, at most
HEIGHT = 17  # lines of the plot
MOST = 1_000_000  # steps of which theory is asked, within about a second


def schedule(
    text: str,
    /,
    *,
    steps: int | None = None,
    out: Path | None = None,
    as_json: Json = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Show a schedule: its values at, before and after every boundary, and a plot.

    Args:
        text: The schedule as Python writes it, for example "exponential_decay(0.15, 1, 0.9999)"; with --steps also a
            short name, as cosine, and the word steps for their number.
        steps: Steps to show; by default a little more than its horizon.
        out: Also draw it to this .svg file.
        as_json: Print one JSON object: the schedule's text, values around boundaries, its worst case over the least of
            all schedules, and the curve at up to 1,000 steps.
        debug: Show a traceback when something fails.
    """
    from tapered import schedules  # noqa: PLC0415 - as above
    from tapered.pictures import destination  # noqa: PLC0415 - as above
    from tapered.schedules import picture  # noqa: PLC0415 - as above

    if out is not None:
        destination(out)
    parsed = schedules.parse(text, {} if steps is None else {"steps": steps})
    shown = picture.extent(parsed) if steps is None else steps
    screen = console(stderr=False)
    boundaries = picture.boundary_rows(parsed, shown)
    asked = (parsed.horizon or shown) if steps is None else steps
    ratio = _ratio(parsed, asked)
    if as_json:
        if out is not None:
            picture.save(parsed, shown, out)
        every = -(-shown // POINTS)
        curve = {"steps": list(range(0, shown, every)), "values": parsed.table(shown)[::every].tolist()}
        around = [{"step": step, "value": value, "note": note} for step, value, note in boundaries]
        facts = {"schedule": str(parsed), "shown": shown, "boundaries": around, "worst_case": ratio}
        print_json({**facts, **curve, "out": out and str(out)})
        return DONE
    if str(parsed) != text.strip():
        screen.print(Text(f"{text.strip()} is {parsed}"), soft_wrap=True)
    rows = [(f"{step:,}", plain(value, 6), note) for step, value, note in boundaries]
    screen.print(table([("step", "value", ""), *rows]))
    write(picture.terminal(parsed, shown, drawn_width(screen), HEIGHT))
    if ratio is not None:
        said = f"Worst case over {counted(asked, 'step')}: {ratio:.3f} times the least of all (see tapered bound)."
        screen.print(Text(said))
    if out is not None:
        picture.save(parsed, shown, out)
        screen.print(Text(f"Drawn: {out}"), soft_wrap=True)
    return DONE


def _ratio(parsed: Any, steps: int) -> float | None:
    """Its worst case over the least of all schedules; None where it can be no rate, or is long."""
    import numpy as np  # noqa: PLC0415 - as above

    from tapered.theory import worst_case  # noqa: PLC0415 - as above

    rates = parsed.table(steps) if 1 <= steps <= MOST else np.zeros(1)
    return None if rates.min() < 0 or not rates.any() else worst_case(rates, steps).ratio
