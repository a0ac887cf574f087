"""A range test as a picture: in a terminal, in a file."""

import math
import os
from typing import TYPE_CHECKING

from tapered.pictures import WHOLE, Panel, Scale, over
from tapered.range_test.curve import Curve
from tapered.schedules import plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ABOVE = 1.5  # times the start: what lies higher has diverged and would flatten the rest


def _drawn(curve: Curve) -> tuple[list[float], list[float], tuple[float, float]]:
    """Logarithms of the rates, losses cut off above, and the limits."""
    finite = [loss for loss in curve.smoothed if math.isfinite(loss)] or [0.0]
    low, top = min(finite), min(max(finite), max(curve.start, min(finite)) + ABOVE * abs(curve.start))
    high = top if top > low else low + 1.0
    ys = [min(loss, high) for loss in curve.smoothed]
    return [math.log10(rate) for rate in curve.rates], ys, (low, high)


def terminal(curve: Curve, width: int = 78, height: int = 15) -> str:
    """The smoothed loss over the rate, on a log scale, drawn with characters.

    Args:
        curve: what was found.
        width: in characters.
        height: in lines.

    Example:
        >>> losses = (1.0, 0.9, 0.5, 0.1, 0.4)
        >>> curve = Curve("rows", (1e-3, 3e-3, 1e-2, 3e-2, 1e-1), losses, losses, start=1.0, steps=20)
        >>> len(terminal(curve, width=60, height=12).splitlines())
        12
    """
    xs, ys, limits = _drawn(curve)
    decades = range(math.ceil(xs[0] - 1e-9), math.floor(xs[-1] + 1e-9) + 1)
    ticks = [(float(place), f"1e{place}") for place in decades] or [(xs[0], f"{curve.rates[0]:.2g}")]
    return plot.line(xs, ys, ticks, limits, width, height)


def save(curve: Curve, path: str | os.PathLike[str]) -> None:
    """Writes the curve and its suggestions as a picture, .svg or .png; the same bytes from the same curve.

    Args:
        curve: what was found.
        path: ends in .svg or .png.

    Raises:
        ValueError: `path` ends in anything else.

    Example:
        >>> import pathlib, tempfile
        >>> losses, path = (1.0, 0.9, 0.5, 0.1, 0.4), pathlib.Path(tempfile.mkdtemp(), "curve.svg")
        >>> save(Curve("rows", (1e-3, 3e-3, 1e-2, 3e-2, 1e-1), losses, losses, start=1.0, steps=20), path)
        >>> path.read_text().startswith("<?xml")
        True
    """
    plot.write(_figure(curve), path)


def svg(curve: Curve) -> str:
    """An <svg> element for a notebook: the curve and its suggestions, crosses below where it diverged."""
    _, _, (low, high) = _drawn(curve)
    inside = [(rate, loss if loss < high else None) for rate, loss in zip(curve.rates, curve.smoothed, strict=True)]
    below, beside, names = over(curve.rates, log=True), Scale("linear", low, high), ("rate", "loss")
    panel = Panel(below, beside, WHOLE, str(curve), names=names, rows=1)
    lost = [panel.cross(rate, "#0072B2") for rate, loss in inside if loss is None]
    rates = [found.rate for found in curve.suggestions if found.rate is not None]
    upright = [panel.line([(rate, low), (rate, high)], "#D55E00", "4 3", 1) for rate in rates]
    return panel.svg([*upright, panel.line(inside, "#0072B2"), *lost], across=WHOLE.width)


def _figure(curve: Curve) -> "Figure":
    from matplotlib.figure import Figure  # noqa: PLC0415  # heavy

    _, ys, (low, high) = _drawn(curve)
    figure = Figure(figsize=(7.0, 3.5), layout="constrained")
    axes = figure.subplots()
    if curve.kind == "ramp":
        low = min([low, *curve.losses])  # single losses go below their average
        axes.plot(curve.rates, [min(loss, high) for loss in curve.losses], color="0.8", linewidth=0.8)
    axes.plot(curve.rates, ys, color="tab:blue")
    for found, style in zip(curve.suggestions, ("-", "--", ":"), strict=True):
        if found.rate is not None:
            axes.axvline(found.rate, color="tab:orange", linestyle=style, label=f"{found.name} {found.rate:.2g}")
    axes.axhline(curve.start, color="0.6", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_ylim(low - 0.03 * (high - low), high + 0.03 * (high - low))
    axes.set_xlabel("rate")
    axes.set_ylabel("loss")
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)
    return figure
