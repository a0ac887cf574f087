"""A figure as a value: its panels, drawn, and the numbers that hovering, tables and downloads take."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tapered.pictures import Panel, Scale
from tapered.words import brief

DIGITS = 6


@brief
@dataclass(frozen=True)
class Series:
    """One line, or the bars or the row of one comparison; None where there is no value.

    Args:
        name: Whose.
        colour: Its.
        dash: Of its line, as SVG writes it.
        panel: In which panel it stands.
        x: Steps, peaks, trials, or places of bars and rows.
        mean: One for each.
        low: What is around it; the same as ``mean`` where nothing is.
        high: Its upper edge.
        said: (x, text): what else there is to say.
        arm: The arm whose line it is, where an arm has several.
    """

    name: str
    colour: str
    dash: str
    panel: int
    x: tuple[float, ...]
    mean: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    said: tuple[tuple[float, str], ...] = ()
    arm: str = ""

    @property
    def fields(self) -> dict[str, Any]:
        """As the page's script takes it."""
        edges = {} if self.low == self.high else {"low": _short(self.low), "high": _short(self.high)}
        said = {"said": self.said} if self.said else {}
        ours = {"name": self.name, "colour": self.colour, "dash": self.dash, "panel": self.panel}
        return {**ours, "x": [_whole(x) for x in self.x], "mean": _short(self.mean), **edges, **said}


@brief
@dataclass(frozen=True)
class Figure:
    """A figure.

    Args:
        name: Its id in the page.
        title: Its heading.
        caption: What is drawn, once for all panels.
        x: The name of what the axis below counts; of rows, of what they are.
        y: The name of the values.
        panels: (panel, its picture).
        series: What they show.
        labels: What stands at places 0, 1, ...: seeds, rows; None where x is a number.
        rows: Whether places are rows, from the top.
        key: (name, colour, dash) of the lines, where panels have no titles.
    """

    name: str
    title: str
    caption: str
    x: str
    y: str
    panels: tuple[tuple[Panel, str], ...]
    series: tuple[Series, ...]
    labels: tuple[str, ...] | None = None
    rows: bool = False
    key: tuple[tuple[str, str, str], ...] = ()

    @cached_property
    def fields(self) -> dict[str, Any]:
        """As the page's script takes it."""
        return {
            "title": self.title,
            "x": self.x,
            "y": self.y,
            "rows": self.rows,
            "labels": self.labels,
            "panels": [
                {"box": [round(side, 2) for side in panel.box], "x": _scale(panel.x), "y": _scale(panel.y)}
                for panel, _ in self.panels
            ],
            "series": [series.fields for series in self.series],
        }


def _short(values: tuple[float | None, ...]) -> list[float | None]:
    return [None if value is None else _whole(float(f"{value:.{DIGITS}g}")) for value in values]


def _whole(value: float) -> float:
    """As JSON writes it without a point where it is a whole number."""
    return int(value) if abs(value) < 1e15 and float(value).is_integer() else value


def _scale(scale: Scale) -> list[str | float]:
    return [scale.kind, scale.low, scale.high, scale.size]
