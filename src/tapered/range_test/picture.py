"""A range test as a picture: in a notebook, in a terminal, in a file."""

import math
import os

from tapered.files import whole
from tapered.pictures import Letters, Panel, Points, Scale, Size, destination, over, text
from tapered.range_test.curve import Curve
from tapered.words import plain

SIZE = Size(720, 380, 74, 13)
LINE, SINGLE, FOUND = "#0072B2", "#7F7F7F", "#D55E00"
DASHES = ("", "7 4", "2 3")
NAMES = ("rate", "loss")
ROOM = 0.25


def told(curve: Curve) -> list[str]:
    """What a picture shows, in lines: which loss, and what a cross stands for.

    Args:
        curve: What was found.

    Example:
        >>> losses = (1.0, 0.9, 0.5, 0.1, 40.0)
        >>> for line in told(Curve("rows", (1e-3, 3e-3, 1e-2, 3e-2, 1e-1), losses, losses, 1.0, 20, "valid")):
        ...     print(line)
        Validation loss after 20 steps at each rate, all from the same weights
        x: diverged, a loss above 1.5 or not finite; the largest is 40
    """
    lost = [loss for rate, loss in zip(curve.rates, curve.smoothed, strict=True) if rate in curve.lost]
    finite = [loss for loss in lost if math.isfinite(loss)]
    largest = f"; the largest is {plain(max(finite))}" if finite and max(finite) > curve.highest else ""
    crosses = f"x: diverged, a loss above {plain(curve.highest)} or not finite{largest}"
    return [f"{curve.shows[0].upper()}{curve.shows[1:]}", *[crosses] * bool(lost)]


def terminal(curve: Curve, width: int = 78, height: int = 15) -> str:
    """The smoothed loss over the rate, on a log scale, drawn with characters; crosses below where it diverged.

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
    points = _inside(curve, curve.smoothed)
    below = over(curve.rates, log=True)
    beside = over((loss for _, loss in points), log=False)
    return Letters(below, beside, NAMES, below.ticks(9), curve.lost, width, height).drawn(points)


def svg(curve: Curve, title: str = "", *, paper: bool = False) -> str:
    """An <svg> element: the curve and its suggestions, crosses below where it diverged.

    Args:
        curve: What is drawn.
        title: What was tested.
        paper: Dark on white, instead of in the ink of what it stands on.

    Example:
        >>> losses = (1.0, 0.9, 0.5, 0.1, 40.0)
        >>> svg(Curve("rows", (1e-3, 3e-3, 1e-2, 3e-2, 1e-1), losses, losses, 1.0, 20, "valid"))[:4]
        '<svg'
    """
    points, single = _inside(curve, curve.smoothed), _inside(curve, curve.losses)
    below = over(curve.rates, log=True)
    begun = [curve.start] if math.isfinite(curve.start) else []
    losses = [loss for _, loss in (*points, *single) if loss is not None] + (begun or [curve.highest])
    beside = over([*losses, max(losses) + ROOM * (max(losses) - min(losses))], log=False)  # for what is suggested
    lines = "\n".join(filter(None, (title, *told(curve))))
    panel = Panel(below, beside, SIZE, f"Range test: {lines}", lines, NAMES, rows=int(bool(curve.lost)))
    right = SIZE.width - SIZE.right
    before = [
        mark
        for loss in begun
        for mark in (
            panel.line([(below.low, loss), (below.high, loss)], SINGLE, width=1),
            text(right, panel.at(below.high, loss)[1] - 4, "before", anchor="end", faint=True),
        )
    ]
    each = [panel.line(single, SINGLE, width=1)] if curve.kind == "ramp" else []
    crosses = [panel.cross(rate, LINE) for rate in curve.lost]
    return panel.svg(
        [*before, *each, panel.line(points, LINE), *crosses, *_suggested(panel, curve)], across=SIZE.width, paper=paper
    )


def save(curve: Curve, path: str | os.PathLike[str], title: str = "") -> None:
    """Writes the curve and its suggestions as a picture, .svg; the same bytes from the same curve.

    Args:
        curve: what was found.
        path: ends in .svg.
        title: what was tested.

    Raises:
        ValueError: `path` ends in anything else, or its folder is missing.

    Example:
        >>> import pathlib, tempfile
        >>> losses, path = (1.0, 0.9, 0.5, 0.1, 0.4), pathlib.Path(tempfile.mkdtemp(), "curve.svg")
        >>> save(Curve("rows", (1e-3, 3e-3, 1e-2, 3e-2, 1e-1), losses, losses, start=1.0, steps=20), path)
        >>> path.read_text().startswith("<svg")
        True
    """
    whole.replace(destination(path), svg(curve, title, paper=True).encode())


def _inside(curve: Curve, losses: tuple[float, ...]) -> Points:
    """Losses over rates, none where they lie above the picture."""
    return [(rate, loss if loss <= curve.highest else None) for rate, loss in zip(curve.rates, losses, strict=True)]


def _suggested(panel: Panel, curve: Curve) -> list[str]:
    """An upright line a suggestion, its name and rate beside it, each at a height of its own."""
    scale: Scale = panel.y
    found = [(one.name, one.rate, dash) for one, dash in zip(curve.suggestions, DASHES, strict=True) if one.rate]
    drawn = []
    for i, (name, rate, dash) in enumerate(found):
        x, y = panel.at(rate, scale.high)
        drawn += [
            panel.line([(rate, scale.low), (rate, scale.high)], FOUND, dash, 1.5),
            text(x + 5, y + 12 + 15 * i, f"{name} {plain(rate, 2)}"),
        ]
    return drawn
