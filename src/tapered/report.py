"""A study's result as one HTML file that opens anywhere, offline.

StudyResult ─► PlotData (small frozen tuples) ─► figures (plotly's own dicts) ─► one page
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from math import isfinite
from pathlib import Path
from typing import Any

from tapered.result import ArmResult, StudyResult, is_diverged, mean
from tapered.runs import write_whole
from tapered.summary import cost_lines, finite, number, outcome

# Okabe and Ito 2008: told apart by colour-blind readers; the dashes tell them apart in grey
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8B7FD6", "#7F7F7F")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash")
SCHEDULE_POINTS = 400
Figure = dict[str, Any]


@dataclass(frozen=True)
class Band:
    """A line with the range around it; None where no run has a finite value.

    Args:
        name: The arm.
        x: Steps or peaks.
        mean: Mean over seeds.
        low: Lowest seed.
        high: Highest seed.
    """

    name: str
    x: tuple[float, ...]
    mean: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


@dataclass(frozen=True)
class Bars:
    """Gain of an arm over the baseline, a bar a seed; None where one of the two runs diverged."""

    name: str
    seeds: tuple[int, ...]
    gains: tuple[float | None, ...]


@dataclass(frozen=True)
class PlotData:
    """Everything that is drawn.

    Args:
        metric: The study's metric.
        curves: The metric on the validation split over steps, each arm at its best peak.
        sensitivity: The metric at the end over peaks, each tuned arm.
        schedules: The rate as applied over steps, each arm at its best peak; low = mean = high.
        differences: Paired gains, each compared arm.
    """

    metric: str
    curves: tuple[Band, ...]
    sensitivity: tuple[Band, ...]
    schedules: tuple[Band, ...]
    differences: tuple[Bars, ...]


def _band(name: str, x: Sequence[float], columns: Sequence[Sequence[float]]) -> Band:
    """Mean and range of each column of values, leaving out what is not finite."""
    kept = [[value for value in column if isfinite(value)] for column in columns]
    return Band(
        name,
        tuple(x),
        tuple(mean(c) for c in kept),
        tuple(min(c, default=None) for c in kept),
        tuple(max(c, default=None) for c in kept),
    )


def _curve(arm: ArmResult, metric: str) -> Band:
    steps = sorted({step for run in arm.best.runs for step, _ in run.curve})
    points = [{step: values[metric] for step, values in run.curve} for run in arm.best.runs]
    return _band(arm.name, steps, [[p[step] for p in points if step in p] for step in steps])


def _sensitivity(arm: ArmResult) -> Band:
    peaks = [(p.peak, p.runs) for p in arm.peaks if p.peak is not None]
    return _band(arm.name, [x for x, _ in peaks], [[r.value for r in runs if not is_diverged(r)] for _, runs in peaks])


def _schedule(result: StudyResult, arm: ArmResult) -> Band:
    stated = next(a for a in result.loaded.study.arms if a.name == arm.name)
    schedule, last = stated.schedule(result.loaded.steps, arm.best.peak), result.loaded.steps - 1
    steps = sorted({round(i * last / SCHEDULE_POINTS) for i in range(SCHEDULE_POINTS + 1)})
    return _band(arm.name, steps, [[schedule(step)] for step in steps])


def plot_data(result: StudyResult) -> PlotData:
    """What the page draws, as plain tuples."""
    seeds = tuple(result.loaded.study.seed_values)
    return PlotData(
        metric=result.loaded.study.metric,
        curves=tuple(_curve(arm, result.loaded.study.metric) for arm in result.arms),
        sensitivity=tuple(_sensitivity(arm) for arm in result.arms if not arm.fixed),
        schedules=tuple(_schedule(result, arm) for arm in result.arms),
        differences=tuple(Bars(c.arm, seeds, tuple(finite(g) for g in c.gains)) for c in result.comparisons),
    )


def _log_if_positive(bands: Sequence[Band]) -> str:
    values = [value for band in bands for value in band.low if value is not None]
    return "log" if values and min(values) > 0 else "linear"


def _lines(bands: Sequence[Band], order: Sequence[str], *, markers: bool) -> list[Figure]:
    """A band of range and a line of means for each; an arm keeps its colour over all figures."""
    traces: list[Figure] = []
    for band in bands:
        colour, dash = (palette[order.index(band.name) % len(palette)] for palette in (COLOURS, DASHES))
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


def figures(data: PlotData) -> dict[str, Figure]:
    """Name -> plotly figure, as the dictionaries plotly.js takes."""
    metric, order = html.escape(data.metric), [band.name for band in data.curves]
    bars = [
        {
            "type": "bar",
            "x": [str(seed) for seed in bar.seeds],
            "y": bar.gains,
            "name": html.escape(bar.name),
            "marker": {"color": COLOURS[order.index(bar.name) % len(COLOURS)]},
        }
        for bar in data.differences
    ]
    found = {
        "curves": (
            _lines(data.curves, order, markers=False),
            _layout("step", f"validation {metric}", yaxis={"type": _log_if_positive(data.curves)}),
        ),
        "sensitivity": (
            _lines(data.sensitivity, order, markers=True),
            _layout(
                "peak rate",
                f"validation {metric} at the end",
                xaxis={"type": "log"},
                yaxis={"type": _log_if_positive(data.sensitivity)},
            ),
        ),
        "schedules": (
            _lines(data.schedules, order, markers=False),
            _layout("step", "rate", yaxis={"type": _log_if_positive(data.schedules), "exponentformat": "power"}),
        ),
        "differences": (
            bars,
            _layout("seed", f"gain in validation {metric}", xaxis={"type": "category"}, showlegend=len(bars) > 1),
        ),
    }
    return {name: {"data": traces, "layout": layout} for name, (traces, layout) in found.items()}


def render(result: StudyResult, command: str) -> str:
    """The page: the verdict first, then curves, sensitivity, rates, differences, tables, and how to make it again.

    The same result and command give the same bytes. It loads nothing from anywhere.
    """
    import jinja2  # noqa: PLC0415 - heavy, and only a report needs it
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - as above

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"number": number, "outcome": outcome, "mean": mean, "cost_lines": cost_lines}
    template = environment.from_string((resources.files("tapered") / "report.html.jinja").read_text())
    drawn = figures(plot_data(result))
    return template.render(
        result=result, study=result.loaded.study, figures=drawn, command=command, plotly=get_plotlyjs()
    )


def write(result: StudyResult, path: Path, command: str) -> None:
    """Write the page to a file, whole or not at all."""
    write_whole(path, render(result, command).encode())
