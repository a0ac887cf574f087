"""The figures of a study: curves, peaks, rates, trials, seeds; one panel, or one for each of many arms."""

from collections.abc import Sequence

from tapered.report.data import Band, Bars, PlotData
from tapered.report.figure import Figure, Series
from tapered.report.look import UNSURE, look
from tapered.report.panel import SMALL, WHOLE, Panel, shorter
from tapered.report.scale import Scale, over, signed
from tapered.report.verdicts import verdicts_figure

MANY = 6  # arms: from here on each has a panel of its own
DOTTED = 12  # points: a line of so few has a dot at each
TITLE = 30  # characters


def figures(data: PlotData) -> list[Figure]:
    """What the page shows, in its order; a figure with nothing to draw is left out."""
    end = f"validation {data.metric} at the end"
    value, log = f"validation {data.metric}", not data.higher
    found = [
        verdicts_figure(data),
        _lines(
            data, data.curves, ("curves", value[0].upper() + value[1:], "step", value), log=log,
            caption=f"Each arm at its best peak: mean over seeds, and {data.around}. A cross below: a run diverged there.",
        ),
        _lines(
            data, data.sensitivity, ("sensitivity", "How much the peak matters", "peak rate", end), log=log, powers=True,
            caption=f"At the last step, over the peaks that were tried: mean over the seeds that ended, and {data.around}. "
            "A cross below: runs diverged or were pruned at that peak.",
        ),
        _bars(data),
        _lines(
            data, data.schedules, ("schedules", "Rates as applied", "step", "rate"), log=True,
            caption="Each arm at its best peak; what its runs were trained with.",
        ),
        _lines(
            data, data.trials, ("trials", "With fewer trials", "peaks tried", f"best {end}"), log=log, powers=True,
            caption="The best of k peaks: the median over all ways of choosing k of those that were tried.",
        ),
    ]  # fmt: skip
    return [figure for figure in found if figure is not None and figure.series]


def _lines(
    data: PlotData, bands: Sequence[Band], named: tuple[str, str, str, str], *, caption: str, log: bool, powers: bool = False
) -> Figure:
    """Bands and lines of means: of few arms in one panel, of many one for each, the best first."""
    name, title, x, y = named
    order = [band.name for band in data.curves]
    many = len(order) > MANY
    placed = sorted(bands, key=lambda band: _rank(data, band.name)) if many else list(bands)
    below = _below(placed, powers=powers)
    beside = over((v for band in placed for side in (band.mean, band.low, band.high) for v in side), log=log)
    series = tuple(
        Series(band.name, *look(band.name, order), i if many else 0, band.x, band.mean, band.low, band.high, band.lost)
        for i, band in enumerate(placed)
    )
    marks = [(k, f"{k:g}") for k in sorted({k for band in bands for k in band.x})] if name == "trials" else None
    if not many:
        rows = sum(bool(band.lost) for band in placed)
        label = f"{title}: {y} over {x} of {', '.join(order)}"
        panel = Panel(below, beside, WHOLE, label, names=(x, y), rows=rows, below=marks)
        pictures = ((panel, panel.svg(_drawn(panel, series))),)
        return Figure(name, title, caption, x, y, pictures, series, key=tuple((s.name, s.colour, s.dash) for s in series))
    crossed = int(any(band.lost for band in placed))
    by_name = {one.name: one for one in series}
    over_what = {found.name: found.over for found in data.verdicts}
    pictures = ()
    for one in series:
        panel = Panel(below, beside, SMALL, f"{title}: {one.name}", shorter(one.name, TITLE), rows=crossed, below=marks)
        other = by_name.get(over_what.get(one.name, ""))
        behind = [] if other is None else [panel.line(_points(other), UNSURE, "4 3", 1.4)]
        pictures += ((panel, panel.svg([*behind, *_drawn(panel, [one])])),)
    more = f" Below: {x}; at the left: {y}; the same axes everywhere. Grey: what the arm is compared with."
    return Figure(name, title, caption + more, x, y, pictures, series)


def _rank(data: PlotData, name: str) -> int:
    """The place of an arm's first verdict; those that are only compared with stand first."""
    return next((i for i, found in enumerate(data.verdicts) if found.name == name), -1)


def _below(bands: Sequence[Band], *, powers: bool) -> Scale:
    found = [x for band in bands for x in band.x]
    if powers or not found or min(found) == max(found):
        return over(found, log=powers)
    return Scale("linear", min(found), max(found))


def _points(one: Series) -> list[tuple[float, float | None]]:
    return list(zip(one.x, one.mean, strict=True))


def _drawn(panel: Panel, series: Sequence[Series]) -> list[str]:
    """Bands first, so that no band lies over a line; each arm's crosses in a row of their own where rows are many."""
    bands = [
        panel.band(list(zip(s.x, s.low, strict=True)), list(zip(s.x, s.high, strict=True)), s.colour)
        for s in series
        if s.low != s.high
    ]
    lines = [panel.line(_points(s), s.colour, s.dash) for s in series]
    dots = [panel.dots(_points(s), s.colour) for s in series if len(s.x) <= DOTTED]
    lost = [s for s in series if s.said]
    crosses = [panel.cross(x, s.colour, row) for row, s in enumerate(lost) for x, _ in s.said]
    return [*bands, *lines, *dots, *crosses]


def _bars(data: PlotData) -> Figure | None:
    """A panel a comparison, a bar a seed: pale those that chose the peaks, full the fresh ones."""
    if not data.differences:
        return None
    order, y = [band.name for band in data.curves], f"gain in validation {data.metric}"
    beside = signed(gain for bars in data.differences for gain in bars.gains)
    alone = len(data.differences) == 1
    lost = int(any(gain is None for bars in data.differences for gain in bars.gains))
    several = len({bars.over for bars in data.differences}) > 1
    pictures, series = (), ()
    for i, bars in enumerate(data.differences):
        name = f"{bars.name} over {bars.over}"
        below = Scale("linear", -0.6, len(bars.seeds) - 0.4)
        every = -(-len(bars.seeds) // (16 if alone else 6))
        marks = [(float(k), str(seed)) for k, seed in enumerate(bars.seeds) if k % every == 0]
        title = "" if alone else shorter(name if several else bars.name, TITLE)
        names = ("seed", y) if alone else ("", "")
        panel = Panel(below, beside, WHOLE if alone else SMALL, f"Gain of each seed, {name}", title, names, lost, marks)
        colour = look(bars.name, order)[0]
        pictures += ((panel, panel.svg(_barred(panel, bars, colour))),)
        gone = tuple((float(k), "a run diverged") for k, gain in enumerate(bars.gains) if gain is None)
        places = tuple(float(k) for k in range(len(bars.seeds)))
        series += (Series(name if several else bars.name, colour, "", i, places, *[bars.gains] * 3, gone),)
    longest = max(data.differences, key=lambda bars: len(bars.seeds))
    return Figure(
        "differences", "Seed by seed", _bars_caption(data), "seed", y, pictures, series, _seeds(longest)
    )


def _barred(panel: Panel, bars: Bars, colour: str) -> list[str]:
    chosen = len(bars.seeds) - bars.fresh if bars.fresh else 0
    drawn = [
        panel.cross(k, colour) if gain is None else panel.bar(k, gain, colour, 0.4 if k < chosen else 1.0)
        for k, gain in enumerate(bars.gains)
    ]
    return [*drawn, panel.line([(panel.x.low, 0.0), (panel.x.high, 0.0)], "currentColor", width=1)]


def _bars_caption(data: PlotData) -> str:
    others = sorted({bars.over for bars in data.differences})
    what = others[0] if len(others) == 1 else "what it is compared with"
    pale = " Full: fresh seeds, which chose nothing; pale: those that chose the peaks." * any(b.fresh for b in data.differences)
    cross = " A cross below: one of the two runs diverged." * any(None in bars.gains for bars in data.differences)
    return f"Above 0: better than {what} at that seed, both at their best peaks.{pale}{cross}"


def _seeds(bars: Bars) -> tuple[str, ...]:
    chosen = len(bars.seeds) - bars.fresh
    return tuple(f"{'fresh ' if k >= chosen else ''}seed {seed}" for k, seed in enumerate(bars.seeds))

