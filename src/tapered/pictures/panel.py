"""One panel of a figure as SVG: it takes the page's ink, so that it stands on light, dark and paper."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from math import inf

from tapered.pictures.scale import Marks, Points, Scale, apart

CROSS = 11.0  # height of a row of crosses
TICK = 4.0
EDGE = 24.0  # nearer to the right edge than this a text ends where its mark stands
LINE = 14.0  # height of a line of the title
LETTER = 0.6  # width of one, times the size of the font
MARK = 92.0  # width of a picture for each of its marks
PAPER = '<rect width="100%" height="100%" fill="#fff"/>'
SMOOTH, FAR = 0.1, 20.0  # units: points nearer than this to the line without them are left out, over so far at most
Point = tuple[float, float]


@dataclass(frozen=True)
class Size:
    """Of a panel, in the units of its picture."""

    width: float
    height: float
    left: float
    font: float
    right: float = 10


WHOLE = Size(460, 290, 62, 12)
SMALL = Size(230, 160, 48, 11)


@dataclass(frozen=True)
class Panel:
    """What stands in a panel, and where.

    Args:
        x: The axis below.
        y: The axis at the left.
        size: Of the whole.
        label: What the picture is, for those who do not see it.
        title: Above it, in as many lines as it has.
        names: Of the axis below and of that at the left.
        rows: How many rows of crosses stand below the plot.
        below: The marks of the axis below, where they are not the scale's own; those that count most first, and which
            have no room are left out.
        beside: Those of the axis at the left.
    """

    x: Scale
    y: Scale
    size: Size
    label: str = field(repr=False)
    title: str = ""
    names: tuple[str, str] = ("", "")
    rows: int = 0
    below: Marks | None = field(default=None, repr=False)
    beside: Marks | None = field(default=None, repr=False)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width and height of the plot in the picture."""
        top = 8.0 + LINE * len(self.title.splitlines())
        below = CROSS * self.rows + self.size.font + 9 + (self.size.font + 4 if self.names[0] else 0)
        return self.size.left, top, self.size.width - self.size.left - self.size.right, self.size.height - top - below

    def at(self, x: float, y: float) -> Point:
        """Where a value stands in the picture."""
        left, top, width, height = self.box
        return left + width * self.x.place(x), top + height * (1 - self.y.place(y))

    def line(self, points: Points, colour: str, dash: str = "", width: float = 2, **more: str) -> str:
        """A line through points; it breaks where there is no value."""
        parts = ["M" + "L".join(map(_point, smooth(part))) for part in _parts([self._put(p) for p in points])]
        shown = {"stroke-dasharray": dash} if dash else {}
        return _tag("path", d="".join(parts), fill="none", stroke=colour, stroke_width=width, **shown, **more)

    def band(self, low: Points, high: Points, colour: str) -> str:
        """What lies between two lines."""
        edges = [[self._put(p) for p in points] for points in (low, high)]
        parts = zip(*(_parts(edge) for edge in edges), strict=True)
        outlines = (smooth(below) + smooth(above)[::-1] for below, above in parts)
        d = "".join(f"M{'L'.join(map(_point, outline))}Z" for outline in outlines)
        return _tag("path", d=d, fill=colour, fill_opacity=0.18)

    def dot(self, x: float, y: float, colour: str, *, filled: bool) -> str:
        """A large dot; an open one shows what lies behind it."""
        across, down = self.at(x, y)
        fill = colour if filled else "none"
        return _tag("circle", cx=f"{across:.1f}", cy=f"{down:.1f}", r=4.5, fill=fill, stroke=colour, stroke_width=2)

    def dots(self, points: Points, colour: str, radius: float = 3) -> str:
        """A dot at each point."""
        found = (at for p in points if (at := self._put(p)) is not None)
        return "".join(_tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=radius, fill=colour) for x, y in found)

    def cross(self, x: float, colour: str, row: int = 0) -> str:
        """A cross below the plot, which covers nothing that is drawn in it."""
        left, top, width, height = self.box
        at, middle = left + width * self.x.place(x), top + height + CROSS * (row + 0.5) + 1
        return cross(at, middle, colour)

    def bar(self, x: float, y: float, colour: str, opacity: float) -> str:
        """A bar from 0 to a value, as wide as one step of the axis below allows."""
        (left, end), (right, zero) = self.at(x - 0.38, y), self.at(x + 0.38, 0.0)
        top, height = min(end, zero), max(abs(zero - end), 0.5)
        sides = {"x": f"{left:.1f}", "y": f"{top:.1f}", "width": f"{right - left:.1f}", "height": f"{height:.1f}"}
        return _tag("rect", **sides, fill=colour, fill_opacity=opacity)

    def svg(self, marks: Sequence[str], *, across: float | None = None, paper: bool = False) -> str:
        """The picture: the axes, then these marks.

        Args:
            marks: What is drawn, in this order.
            across: Its width in pixels; None for as wide as there is room.
            paper: Dark on white whatever it stands on, as a file of its own, instead of in the ink around it.
        """
        size = self.size
        drawn = "".join((PAPER * paper, *self._axes(), *marks))
        sized = ("" if across is None else f'width="{across:g}" ') + 'color="#1b1f24" ' * paper
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size.width:g} {size.height:g}" {sized}role="img" '
            f'aria-label="{escape(self.label)}" font-family="system-ui, sans-serif" font-size="{size.font:g}" '
            f'fill="currentColor">{drawn}</svg>'
        )

    def _span(self, value: float, said: str) -> Point:
        at, width = self.at(value, self.y.low)[0], LETTER * self.size.font * len(said)
        return (at - width, at) if at > self.size.width - EDGE else (at - width / 2, at + width / 2)

    def _put(self, point: tuple[float, float | None]) -> Point | None:
        x, y = point
        return None if y is None else self.at(x, y)

    def _axes(self) -> Iterator[str]:
        left, top, width, height = self.box
        most, font = max(4, int(self.size.width / MARK)), self.size.font
        bottom = top + height
        for i, said in enumerate(self.title.splitlines()):
            yield text(2, 13 + LINE * i, said, strong=not i)
        rules: list[str] = []
        for value, said in self.y.ticks(most) if self.beside is None else self.beside:
            at = self.at(self.x.low, value)[1]
            rules.append(f"M{left:.1f},{at:.1f}h{width:.1f}")
            yield text(left - 6, at + font / 3, said, anchor="end")
        yield _tag("path", d="".join(rules), fill="none", stroke="currentColor", stroke_opacity=0.15)
        below = self.x.ticks(most) if self.below is None else apart(self.below, self._span, font)
        for value, said in below:
            at = left + width * self.x.place(value)
            anchor = "end" if at > self.size.width - EDGE else "middle"
            yield text(at, bottom + CROSS * self.rows + TICK + font, said, anchor=anchor)
        yield _tag("path", d=f"M{left:.1f},{bottom:.1f}h{width:.1f}", stroke="currentColor", stroke_opacity=0.5)
        if self.names[0]:
            yield text(left + width / 2, self.size.height - 4, self.names[0], anchor="middle")
        if self.names[1]:
            yield text(11, top + height / 2, self.names[1], anchor="middle", turn=True)


def cross(x: float, y: float, colour: str) -> str:
    """A small cross at a place of the picture."""
    return _tag("path", d=f"M{x - 3:.1f},{y - 3:.1f}l6,6m0,-6l-6,6", fill="none", stroke=colour, stroke_width=1.8)


def shorter(name: str, most: int) -> str:
    """A name where there is little room."""
    return name if len(name) <= most else f"{name[: most - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"


def text(
    x: float, y: float, said: str, *, anchor: str = "", strong: bool = False, turn: bool = False, faint: bool = False
) -> str:
    """A text at a place, turned by a quarter where it stands beside an axis."""
    more = f' text-anchor="{anchor}"' if anchor else ""
    more += ' font-weight="600"' * strong + ' fill-opacity="0.75"' * faint
    more += f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turn else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(said)}</text>'


def smooth(points: Sequence[Point]) -> list[Point]:
    """The points without those that lie on a line between those that are kept.

    >>> smooth([(0, 0), (1, 1), (2, 2), (3, 0)])
    [(0, 0), (2, 2), (3, 0)]
    """
    kept, passed = list(points[:1]), list[Point]()
    for at, after in pairwise(points[1:]):
        passed.append(at)
        if after[0] - kept[-1][0] > FAR or any(_off(kept[-1], p, after) > SMOOTH for p in passed):
            kept.append(at)
            passed = []
    return [*kept, *points[1:][-1:]]


def _off(start: Point, point: Point, end: Point) -> float:
    """How far a point lies above or below the line between two others."""
    along = end[0] - start[0]
    if along <= 0:
        return inf
    return abs(start[1] + (point[0] - start[0]) / along * (end[1] - start[1]) - point[1])


def _parts(points: Sequence[Point | None]) -> list[list[Point]]:
    """Cut where there is no value."""
    parts: list[list[Point]] = [[]]
    for point in points:
        if point is not None:
            parts[-1].append(point)
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]


def _point(point: Point) -> str:
    return f"{point[0]:.1f},{point[1]:.1f}"


def _tag(tag: str, **attributes: object) -> str:
    shown = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f"<{tag}{shown}/>"
