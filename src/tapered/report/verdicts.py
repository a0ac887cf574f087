"""The verdicts as one figure: a row a comparison, its difference and interval, the best first."""

from tapered.pictures import Panel, Scale, Size, cross, shorter, signed, text
from tapered.report.data import Difference, PlotData
from tapered.report.figure import Figure, Series
from tapered.report.look import UNSURE, VERDICTS

ROW, AGAINST, BELOW = 24.0, 11.0, 44.0  # height of a row, more of it for what it is against, of what stands below
LONGEST, LETTER = 24, 7.0  # characters of a name, width of one


def verdicts_figure(data: PlotData) -> Figure | None:
    """A row a comparison; a filled dot is a verdict, an open one shows none; a cross: runs diverged."""
    found = data.verdicts
    if not found:
        return None
    several = len({one.over for one in found}) > 1
    names = [f"{one.name} against {one.over}" if several else one.name for one in found]
    n = len(found)
    under = [f"against {one.over}" for one in found if several]
    widest = max(min(len(name), LONGEST) for name in [*(one.name for one in found), *under])
    size = Size(460, (ROW + AGAINST * several) * n + BELOW, 14 + LETTER * widest, 12, right=64)
    y = f"difference in validation {data.metric}"
    values = [value for one in found for value in (one.middle, one.low, one.high) if value is not None]
    below, marks = signed(values), None if values else ()
    rows = Scale("linear", 0.5 - n, 0.5)
    panel = Panel(below, rows, size, f"Verdicts: {y}", names=(y, ""), below=marks, beside=())
    zero = panel.line([(0.0, rows.low), (0.0, rows.high)], "currentColor", "3 3", 1)
    picture = panel.svg([zero, *(mark for i, one in enumerate(found) for mark in _row(panel, i, one, several=several))])
    side = "right" if data.higher else "left"
    over = "what each is compared with" if several else found[0].over
    caption = (
        f"Difference from {over} and its {data.level} interval; {side} of the line is better. "
        "A filled dot: a verdict; an open one: not shown; a cross: runs diverged."
    )
    series = tuple(
        Series(name, _colour(one), "", 0, (float(i),), (one.middle,), (one.low,), (one.high,), _said(i, one))
        for i, (name, one) in enumerate(zip(names, found, strict=True))
    )
    pictures = ((panel, picture),)
    return Figure("verdicts", "Verdicts", caption, "comparison", y, pictures, series, tuple(names), rows=True)


def _said(i: int, one: Difference) -> tuple[tuple[float, str], ...]:
    return ((float(i), f"{one.badge}{', ' if one.said else ''}{one.said}"),)


def _colour(one: Difference) -> str:
    return VERDICTS.get(one.badge, UNSURE)


def _row(panel: Panel, i: int, one: Difference, *, several: bool) -> list[str]:
    """The names at the left, a thin line across, the interval and its middle, how much at the right."""
    y, colour = -float(i), _colour(one)
    left, _, width, _ = panel.box
    middle, right = panel.at(0.0, y)[1], left + width + 6
    names = [shorter(name, LONGEST) for name in (one.name, *[f"against {one.over}"] * several)]
    begin = middle + 4 - AGAINST * 0.6 * several
    said = [text(left - 6, begin + 14 * k, name, anchor="end", faint=k > 0) for k, name in enumerate(names)]
    across = panel.line([(panel.x.low, y), (panel.x.high, y)], "currentColor", width=1, stroke_opacity="0.15")
    if one.middle is None:
        return [*said, across, cross(left + width / 2, middle, colour), text(right, middle + 4, "diverged")]
    ends = [] if one.low is None or one.high is None else [panel.line([(one.low, y), (one.high, y)], colour)]
    dot = panel.dot(one.middle, y, colour, filled=one.badge in VERDICTS)
    return [*said, across, *ends, dot, text(right, middle + 4, one.said)]
