"""The gains seed by seed: a panel a comparison, a bar a seed."""

from tapered.pictures import SMALL, WHOLE, Panel, Scale, shorter, signed
from tapered.report.data import Bars, PlotData
from tapered.report.figure import Figure, Series
from tapered.report.lines import TITLE
from tapered.report.look import look

PALE = 0.4


def seeds_figure(data: PlotData) -> Figure | None:
    """Pale the seeds that chose the peaks, full the fresh ones; a cross below where there is no gain."""
    found = data.differences
    if not found:
        return None
    several = len({bars.over for bars in found}) > 1
    names = [f"{bars.name} over {bars.over}" if several else bars.name for bars in found]
    order, y = [band.name for band in data.curves], f"gain in validation {data.metric}"
    beside = signed(gain for bars in found for gain in bars.gains)
    lost = any(None in bars.gains for bars in found)
    pictures, series = [], []
    for i, (name, bars) in enumerate(zip(names, found, strict=True)):
        colour = look(bars.name, order)[0]
        panel = _panel(bars, beside, "" if len(found) == 1 else name, y, lost=lost)
        pictures.append((panel, panel.svg(_bars(panel, bars, colour))))
        places = tuple(float(k) for k in range(len(bars.seeds)))
        gone = tuple((float(k), "a run diverged") for k, gain in enumerate(bars.gains) if gain is None)
        series.append(Series(name, colour, "", i, places, bars.gains, bars.gains, bars.gains, gone))
    labels = _seeds(max(found, key=lambda bars: len(bars.seeds)))
    caption = _caption(found, y, lost=lost)
    return Figure("differences", "Seed by seed", caption, "seed", y, tuple(pictures), tuple(series), labels)


def _panel(bars: Bars, beside: Scale, title: str, y: str, *, lost: bool) -> Panel:
    """A small one where it has a title, which it has where there are several."""
    below = Scale("linear", -0.6, len(bars.seeds) - 0.4)
    every = -(-len(bars.seeds) // (6 if title else 16))
    marks = [(float(k), str(seed)) for k, seed in enumerate(bars.seeds) if k % every == 0]
    size, names = (SMALL, ("", "")) if title else (WHOLE, ("seed", y))
    label = f"Gain of each seed, {bars.name} over {bars.over}"
    no_gain = () if all(gain is None for gain in bars.gains) else None
    return Panel(below, beside, size, label, shorter(title, TITLE), names, int(lost), marks, no_gain)


def _bars(panel: Panel, bars: Bars, colour: str) -> list[str]:
    chosen = len(bars.seeds) - bars.fresh if bars.fresh else 0
    drawn = [
        panel.cross(k, colour) if gain is None else panel.bar(k, gain, colour, PALE if k < chosen else 1.0)
        for k, gain in enumerate(bars.gains)
    ]
    return [*drawn, panel.line([(panel.x.low, 0.0), (panel.x.high, 0.0)], "currentColor", width=1)]


def _caption(found: tuple[Bars, ...], y: str, *, lost: bool) -> str:
    others = {bars.over for bars in found}
    what = min(others) if len(others) == 1 else "what it is compared with"
    fresh = " Full: fresh seeds, which chose nothing; pale: those that chose the peaks."
    cross = " A cross below: a run of the two diverged."
    axes = f" Below: seed; at the left: {y}; the same axis everywhere."
    told = fresh * any(bars.fresh for bars in found) + cross * lost + axes * (len(found) > 1)
    return f"Above 0: better than {what} at that seed, both at their best peaks.{told}"


def _seeds(bars: Bars) -> tuple[str, ...]:
    chosen = len(bars.seeds) - bars.fresh
    return tuple(f"{'fresh ' if k >= chosen else ''}seed {seed}" for k, seed in enumerate(bars.seeds))
