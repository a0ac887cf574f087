"""A line drawn with characters, for terminals: two by two points in each."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tapered.pictures.scale import Marks, Points, Scale, apart

QUARTERS = " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"  # 1 for the upper left, 2 for the upper right, 4 and 8 below
FEWEST = 20  # columns of a plot, however narrow the terminal
ROWS_A_MARK = 3


@dataclass(frozen=True)
class Letters:
    """A plot as lines of text.

    Args:
        x: The axis below.
        y: The axis at the left.
        names: Of the axis below and of that at the left.
        below: The marks of the axis below, those that count most first; which have no room are left out.
        crosses: Where a cross stands below the axis.
        width: Characters a line, at most.
        height: Lines.
    """

    x: Scale
    y: Scale
    names: tuple[str, str]
    below: Marks
    crosses: Sequence[float] = ()
    width: int = 78
    height: int = 15

    def drawn(self, points: Points) -> str:
        """The axes, and a line through points; it breaks where there is no value."""
        rows = max(self.height - 4 - bool(self.crosses), 2)
        marks = {self._row(value, rows): said for value, said in self.y.ticks(max(rows // ROWS_A_MARK, 2))}
        left = max(map(len, marks.values()), default=0)
        columns = max(self.width - left - 1, FEWEST)
        inside = self._quarters(points, columns, rows)
        plot = [f"{marks.get(i, ''):>{left}}{'┤' if i in marks else '│'}{line}" for i, line in enumerate(inside)]
        lines = [self.names[1], *plot, *self._below(left, columns), self.names[0].center(columns + left + 1)]
        return "\n".join(line.rstrip() for line in lines)

    def _row(self, value: float, rows: int) -> int:
        return round((1 - self.y.place(value)) * (rows - 0.5) - 0.25)

    def _quarters(self, points: Points, columns: int, rows: int) -> list[str]:
        """The plot's lines."""
        marked = {(column, row): 0 for row in range(rows) for column in range(columns)}
        for x, y in self._stroke(points, 2 * columns - 1, 2 * rows - 1):
            marked[x // 2, y // 2] |= (1 << x % 2) << 2 * (y % 2)
        return ["".join(QUARTERS[marked[column, row]] for column in range(columns)) for row in range(rows)]

    def _stroke(self, points: Points, right: int, bottom: int) -> list[tuple[int, int]]:
        """The places that a line through points covers."""
        at = [None if y is None else (self.x.place(x) * right, (1 - self.y.place(y)) * bottom) for x, y in points]
        found = [place for place in at if place is not None]
        for one, other in pairwise(at):
            if one is not None and other is not None:
                across, down = other[0] - one[0], other[1] - one[1]
                steps = int(max(abs(across), abs(down))) + 1
                found += [(one[0] + across * k / steps, one[1] + down * k / steps) for k in range(steps)]
        return [(round(x), round(y)) for x, y in found]

    def _below(self, left: int, columns: int) -> list[str]:
        """The axis, its crosses, what is written beside it."""
        whole = left + 1 + columns

        def column(value: float) -> int:
            return left + 1 + round(self.x.place(value) * (columns - 1))

        def span(value: float, said: str) -> tuple[float, float]:
            start = min(max(column(value) - len(said) // 2, 0), whole - len(said))
            return start, start + len(said)

        axis, lost, said = list(" " * left + "└" + "─" * columns), [" "] * whole, [" "] * whole
        for value, text in apart(self.below, span, 2):
            axis[column(value)] = "┬"
            start = int(span(value, text)[0])
            said[start : start + len(text)] = text
        for value in self.crosses:
            lost[column(value)] = "x"
        return ["".join(axis), *["".join(lost)] * bool(self.crosses), "".join(said)]
