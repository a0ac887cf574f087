"""Schedules as pictures: in a terminal, in a file, and as the rows around their boundaries.

The plotting libraries are imported where they are used, so that importing this costs nothing.
"""

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tapered.schedules import Schedule, checks
from tapered.schedules.svg import samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TICKS = 5


def terminal(schedule: Schedule, steps: int, width: int = 78, height: int = 15) -> str:
    """The values of steps 0, ..., steps - 1 drawn with characters: `height` lines of at most `width`, without colour.

    Example:
        >>> from tapered.schedules import linear
        >>> len(terminal(linear(steps=100), 120).splitlines())
        15
    """
    drawn, values = _drawn(schedule, steps)
    ticks = sorted({round(place * (steps - 1) / (TICKS - 1)) for place in range(TICKS)})
    return line(drawn, values, [(tick, f"{tick:,}") for tick in ticks], _range(values), width, height)


def line(
    xs: Sequence[float],
    ys: Sequence[float],
    ticks: Sequence[tuple[float, str]],
    limits: tuple[float, float],
    width: int = 78,
    height: int = 15,
) -> str:
    """A line through points drawn with characters: `height` lines of at most `width`, without colour.

    Args:
        xs: Where the points stand.
        ys: As many, finite.
        ticks: (place, text) of the marks below.
        limits: Lowest and highest value that is shown.
        width: Characters.
        height: Lines.
    """
    import plotext  # noqa: PLC0415  # heavy

    figure = plotext.figure  # the library has one for all, so it is cleared before and after
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(width, height)
    figure.ruler("x", "lower").ticks([place for place, _ in ticks], [text for _, text in ticks])
    figure.ruler("y", "left").lim(*limits)
    figure.draw(figure.signal(list(xs), list(ys), marker="hd").lines())
    text: str = plotext.uncolorize(figure.build())
    figure.clear()
    return "\n".join(line.rstrip() for line in text.splitlines())


def save(schedule: Schedule, steps: int, path: str | os.PathLike[str]) -> None:
    """Writes the values of steps 0, ..., steps - 1 as a picture, .svg or .png; the same bytes from the same values.

    Raises:
        ValueError: `path` ends in anything else, or steps is below 1.
    """
    _kind(path)
    write(_figure(schedule, steps), path)


def write(figure: "Figure", path: str | os.PathLike[str]) -> None:
    """Writes a figure as .svg or .png; the same bytes from the same figure.

    Raises:
        ValueError: `path` ends in anything else.
    """
    import matplotlib as mpl  # noqa: PLC0415  # heavy

    kind = _kind(path)
    # A date, and identifiers salted at random, would make each file another.
    with mpl.rc_context({"svg.hashsalt": "tapered"}):
        figure.savefig(path, metadata={"Date": None} if kind == ".svg" else None, dpi=150)


def _kind(path: str | os.PathLike[str]) -> str:
    kind = Path(path).suffix
    if kind not in {".svg", ".png"}:
        raise ValueError(f"a picture is written as .svg or .png, got {os.fspath(path)!r}; write for example rate.svg")
    return kind


def _figure(schedule: Schedule, steps: int) -> "Figure":
    from matplotlib.figure import Figure  # noqa: PLC0415  # heavy

    drawn, values = _drawn(schedule, steps)
    low, high = _range(values)
    figure = Figure(figsize=(7.0, 3.5), layout="constrained")
    axes = figure.subplots()
    for at, _ in schedule.marks():
        if at < steps:
            axes.axvline(at, color="0.85", linewidth=0.8)
    axes.plot(drawn, values, color="tab:blue")
    axes.set_ylim(low, high + 0.03 * (high - low))
    axes.set_title("\n".join(textwrap.wrap(str(schedule), 80)), fontsize=9, family="monospace")
    axes.set_xlabel("step")
    axes.set_ylabel("value")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def boundary_rows(schedule: Schedule, steps: int) -> list[tuple[int, float, str]]:
    """Step, value and a note: the first and the last of `steps` steps, and before, at and after each boundary.

    Example:
        >>> from tapered.schedules import cooldown, hold
        >>> for row in boundary_rows(hold(100).then(cooldown(50)), 200):
        ...     print(row)
        (0, 1.0, 'first step')
        (99, 1.0, '')
        (100, 1.0, 'hold ends, cooldown begins')
        (101, 0.98, '')
        (149, 0.020000000000000018, '')
        (150, 0.0, 'cooldown ends')
        (151, 0.0, '')
        (199, 0.0, 'last step')
    """
    notes = {0: "first step", _checked(steps) - 1: "last step"}
    for at, note in schedule.marks():
        notes |= {beside: notes.get(beside, "") for beside in (at - 1, at + 1)}
        notes[at] = ", ".join(filter(None, (notes.get(at, ""), note)))
    return [(step, schedule(step), notes[step]) for step in sorted(notes) if 0 <= step < steps]


def _checked(steps: int) -> int:
    if checks.step(steps, "steps") < 1:
        raise ValueError("a picture needs at least one step, got steps=0; write for example steps=1000")
    return steps


def _drawn(schedule: Schedule, steps: int) -> tuple[list[int], list[float]]:
    drawn = samples(schedule, _checked(steps))
    return drawn, [schedule(step) for step in drawn]


def _range(values: list[float]) -> tuple[float, float]:
    """From zero to the furthest value, on both sides where there are both."""
    low, high = min(0.0, *values), max(0.0, *values)
    return (low, high) if low < high else (0.0, 1.0)
