"""Figures as the dictionaries that plotly.js takes."""

import html
from collections.abc import Sequence
from math import log10
from typing import Any

from tapered.report.data import Band, Bars, PlotData

# Okabe and Ito 2008: told apart by colour-blind readers; the dashes tell them apart in grey
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8B7FD6", "#7F7F7F")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash")
Figure = dict[str, Any]
SETTLED = 0.1  # of a run


def figures(data: PlotData) -> dict[str, Figure]:
    """Name -> plotly figure, as the dictionaries plotly.js takes."""
    metric, order = html.escape(data.metric), [band.name for band in data.curves]
    end = f"validation {metric} at the end"
    power = {"exponentformat": "power"}
    found = {
        "curves": (
            _lines(data.curves, order, markers=False),
            _layout("step", f"validation {metric}", yaxis=_settled(data.curves) if data.higher else _axis(data.curves)),
        ),
        "sensitivity": (
            _lines(data.sensitivity, order, markers=True),
            _layout(
                "peak rate",
                end,
                xaxis={"type": "log"} | power,
                yaxis=_axis(data.sensitivity),
                annotations=_lost(data.sensitivity, order),
            ),
        ),
        "schedules": (
            _lines(data.schedules, order, markers=False),
            _layout("step", "rate", yaxis=_axis(data.schedules) | power),
        ),
        "differences": (
            [_bars(bars, order, several=len({b.over for b in data.differences}) > 1) for bars in data.differences],
            _layout(
                "seed",
                f"gain in validation {metric}",
                xaxis={"type": "category"},
                showlegend=len(data.differences) > 1,
            ),
        ),
        "trials": (
            _lines(data.trials, order, markers=True),
            _layout("peaks tried", f"best {end}", xaxis=_counts(data.trials), yaxis=_axis(data.trials)),
        ),
    }
    return {name: {"data": traces, "layout": layout} for name, (traces, layout) in found.items()}


def _axis(bands: Sequence[Band]) -> Figure:
    """Logarithmic where everything is positive."""
    values = [value for band in bands for value in band.low if value is not None]
    return {"type": "log" if values and min(values) > 0 else "linear"}


def _settled(bands: Sequence[Band]) -> Figure:
    """Of what is better the higher it is: where the means lie after a tenth of the run, since all begin far below."""
    later = [
        value
        for band in bands
        for step, value in zip(band.x, band.mean, strict=True)
        if value is not None and step >= SETTLED * band.x[-1]
    ]
    if not later or min(later) == max(later):
        return {"type": "linear"}
    room = 0.05 * (max(later) - min(later))
    return {"type": "linear", "range": [min(later) - room, max(later) + room]}


def _counts(bands: Sequence[Band]) -> Figure:
    ticks = sorted({x for band in bands for x in band.x})
    return {"type": "log", "tickmode": "array", "tickvals": ticks, "ticktext": [f"{x:g}" for x in ticks]}


def _look(name: str, order: Sequence[str]) -> tuple[str, str]:
    """An arm keeps its colour and its dash over all figures; where colours begin again, dashes are others."""
    place = order.index(name)
    return COLOURS[place % len(COLOURS)], DASHES[(place + place // len(COLOURS)) % len(DASHES)]


def _lines(bands: Sequence[Band], order: Sequence[str], *, markers: bool) -> list[Figure]:
    """A band and a line of means for each."""
    traces: list[Figure] = []
    for band in bands:
        colour, dash = _look(band.name, order)
        # plotly reads a little HTML in names
        common = {"x": band.x, "type": "scatter", "name": html.escape(band.name), "legendgroup": band.name}
        edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
        if band.low != band.high:
            traces += [
                common | edge | {"y": band.low},
                common | edge | {"y": band.high, "fill": "tonexty", "fillcolor": colour + "33"},
            ]
        mode = "lines+markers" if markers else "lines"
        traces.append(common | {"y": band.mean, "mode": mode, "line": {"color": colour, "dash": dash, "width": 2}})
    return traces


def _lost(bands: Sequence[Band], order: Sequence[str]) -> list[Figure]:
    """A cross in the arm's colour, above each peak at which runs diverged or were pruned."""
    return [
        {
            "x": log10(x),
            "y": 1 - 0.05 * order.index(band.name),
            "yref": "paper",
            "text": "\N{MULTIPLICATION X}",
            "hovertext": html.escape(f"{band.name}, peak {x:g}: {text}"),
            "showarrow": False,
            "font": {"color": _look(band.name, order)[0], "size": 14},
        }
        for band in bands
        for x, text in band.lost
    ]


def _bars(bars: Bars, order: Sequence[str], *, several: bool) -> Figure:
    """A bar a seed; those of fresh seeds are hatched. What is compared with several is named with each."""
    chosen = len(bars.seeds) - bars.fresh
    return {
        "type": "bar",
        "x": [f"{seed}" if i < chosen else f"fresh {seed}" for i, seed in enumerate(bars.seeds)],
        "y": bars.gains,
        "name": html.escape(f"{bars.name} over {bars.over}" if several else bars.name),
        "marker": {
            "color": _look(bars.name, order)[0],
            "pattern": {"shape": ["" if i < chosen else "/" for i in range(len(bars.seeds))]},
        },
    }


def _layout(x: str, y: str, **more: Any) -> Figure:
    axis = {"automargin": True, "zeroline": False}
    return {
        "xaxis": axis | {"title": {"text": x}} | more.pop("xaxis", {}),
        "yaxis": axis | {"title": {"text": y}} | more.pop("yaxis", {}),
        "margin": {"l": 60, "r": 20, "t": 10, "b": 50},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "height": 380,
        **more,
    }
