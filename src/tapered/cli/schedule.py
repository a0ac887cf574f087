"""`tapered schedule`: show one."""

from pathlib import Path
from typing import Any

from rich.text import Text

from tapered.cli.terminal import DONE, WIDTH, Flag, console, table, write
from tapered.words import counted

MOST = 1_000_000  # steps of which theory is asked, within about a second


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
    from tapered import schedules  # noqa: PLC0415 - as above
    from tapered.schedules import plot  # noqa: PLC0415 - as above
    from tapered.schedules.svg import extent  # noqa: PLC0415 - as above

    parsed = schedules.parse(text)
    shown = extent(parsed) if steps is None else steps
    screen = console(stderr=False)
    rows = [(f"{step:,}", f"{value:.6g}", note) for step, value, note in plot.boundary_rows(parsed, shown)]
    screen.print(table([("step", "value", ""), *rows]))
    write(plot.terminal(parsed, shown, min(screen.width, WIDTH), 16))
    said = _theory(parsed, (parsed.horizon or shown) if steps is None else steps)
    if said is not None:
        screen.print(Text(said))
    if out is not None:
        plot.save(parsed, shown, out)
        screen.print(Text(f"Drawn: {out}"), soft_wrap=True)
    return DONE


def _theory(parsed: Any, steps: int) -> str | None:
    """What theory says of it as a rate, in one sentence; None where it can be none, or is long."""
    import numpy as np  # noqa: PLC0415 - as above

    from tapered.theory import worst_case  # noqa: PLC0415 - as above

    rates = parsed.table(steps) if 1 <= steps <= MOST else np.zeros(1)
    if rates.min() < 0 or not rates.any():
        return None
    return (
        f"Over {counted(steps, 'step')} the worst case of the last iterate, at the best peak, is "
        f"{worst_case(rates, steps).ratio:.3f} times the least of all schedules; tapered bound compares."
    )
