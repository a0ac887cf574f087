"""A figure of lines: few arms in one panel, of many each in its own, the best first."""

from collections.abc import Sequence
from dataclasses import dataclass

from tapered.pictures import SMALL, WHOLE, Marks, Panel, Scale, over, shorter, spread
from tapered.report.data import Band, PlotData
from tapered.report.figure import Figure, Series
from tapered.report.look import UNSURE, look

MANY = 6  # arms: of more, each has a panel of its own
APART = 4  # times the lowest line's top: lines further apart share no linear axis
DOTTED = 12  # points: a line of so few has a dot at each
TITLE = 30  # characters


@dataclass(frozen=True)
class Said:
    """What a figure is called: its id, its heading, what it counts, what its values are, its caption."""

    name: str
    title: str
    x: str
    y: str
    caption: str


@dataclass(frozen=True)
class Axes:
    """What all panels of a figure share; the marks are the scales' own where they are None."""

    x: Scale
    y: Scale
    marks: Marks | None
    beside: Marks | None


def lines_figure(
    data: PlotData, bands: Sequence[Band], said: Said, *, log: bool, powers: bool = False
) -> Figure | None:
    """Bands and lines of means.

    Args:
        data: All that is drawn.
        bands: These of them.
        said: What the figure is called.
        log: Whether its values stand on a logarithmic axis, where they can.
        powers: Whether what it counts does.
    """
    if not bands:
        return None
    order = [band.name for band in data.curves]
    many = len(order) > MANY
    placed = sorted(bands, key=lambda band: _rank(data, band.name)) if many else list(bands)
    panels = {name: i * many for i, name in enumerate(dict.fromkeys(band.name for band in placed))}
    series = tuple(
        Series(
            f"{band.name} ({band.of})" if band.of else band.name,
            *look(band.name, order), panels[band.name], band.x, band.mean, band.low, band.high, band.lost, band.name,
        )
        for band in placed
    )  # fmt: skip
    values = [v for band in bands for side in (band.mean, band.low, band.high) for v in side if v is not None]
    marks = [(k, f"{k:g}") for k in sorted({k for band in bands for k in band.x})] if said.name == "trials" else None
    axes = Axes(_below(bands, powers=powers), _beside(values, bands, log=log), marks, None if values else ())
    return (_apart if many else _together)(data, said, axes, series)


def _rank(data: PlotData, name: str) -> int:
    """The place of an arm's first verdict; those that are only compared with stand first."""
    return next((i for i, found in enumerate(data.verdicts) if found.name == name), -1)


def _below(bands: Sequence[Band], *, powers: bool) -> Scale:
    found = [x for band in bands for x in band.x] + [x for band in bands for x, _ in band.lost]
    if powers or not found or min(found) == max(found):
        return over(found, log=powers)
    return Scale("linear", min(found), max(found))


def _beside(values: Sequence[float], bands: Sequence[Band], *, log: bool) -> Scale:
    """Where some values are 0 and some lines a multiple of others, linear up to the lowest line's top, then not."""
    tops = [top for band in bands if (top := max((v for v in band.mean if v is not None), default=0.0)) > 0]
    if log and tops and min(values) == 0 and max(tops) > APART * min(tops):
        return spread(values, min(tops))
    return over(values, log=log)


def _together(_: PlotData, said: Said, axes: Axes, series: tuple[Series, ...]) -> Figure:
    rows = sum(bool(one.said) for one in series)
    label = f"{said.title}: {said.y} over {said.x} of {', '.join(dict.fromkeys(one.arm for one in series))}"
    panel = Panel(axes.x, axes.y, WHOLE, label, names=(said.x, said.y), rows=rows, below=axes.marks, beside=axes.beside)
    pictures = ((panel, panel.svg(_drawn(panel, series))),)
    key = tuple(dict.fromkeys((one.arm, one.colour, one.dash) for one in series))
    return Figure(said.name, said.title, said.caption, said.x, said.y, pictures, series, key=key)


def _apart(data: PlotData, said: Said, axes: Axes, series: tuple[Series, ...]) -> Figure:
    rows = int(any(one.said for one in series))
    by_arm: dict[str, list[Series]] = {}
    for one in series:
        by_arm.setdefault(one.arm, []).append(one)
    against = {found.name: by_arm.get(found.over, []) for found in data.verdicts}
    pictures = []
    for name, own in by_arm.items():
        label, title = f"{said.title}: {name}", shorter(name, TITLE)
        panel = Panel(axes.x, axes.y, SMALL, label, title, rows=rows, below=axes.marks, beside=axes.beside)
        behind = [panel.line(_points(other), UNSURE, "4 3", 1.4) for other in against.get(name, [])]
        pictures.append((panel, panel.svg([*behind, *_drawn(panel, own)])))
    where = f" Below: {said.x}; at the left: {said.y}; the same axes everywhere. Grey: what the arm is compared with."
    return Figure(said.name, said.title, said.caption + where, said.x, said.y, tuple(pictures), series)


def _points(one: Series) -> list[tuple[float, float | None]]:
    return list(zip(one.x, one.mean, strict=True))


def _drawn(panel: Panel, series: Sequence[Series]) -> list[str]:
    """Bands first, so that none lies over a line; the crosses of each arm in a row of their own."""
    around = [one for one in series if one.low != one.high]
    bands = [
        panel.band(list(zip(s.x, s.low, strict=True)), list(zip(s.x, s.high, strict=True)), s.colour) for s in around
    ]
    lines = [panel.line(_points(s), s.colour, s.dash) for s in series]
    dots = [panel.dots(_points(s), s.colour) for s in series if len(s.x) <= DOTTED]
    lost = [s for s in series if s.said]
    crosses = [panel.cross(x, s.colour, row) for row, s in enumerate(lost) for x, _ in s.said]
    return [*bands, *lines, *dots, *crosses]
