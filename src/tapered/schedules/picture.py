"""Schedules as pictures: in a notebook, in a terminal, in a file, and as the rows around their boundaries."""

import os
import textwrap

import numpy as np

from tapered.files import whole
from tapered.pictures import Letters, Panel, Scale, Size, destination, over, shorter
from tapered.schedules import Schedule, checks

SMALL, LARGE = Size(440, 190, 62, 11), Size(720, 360, 74, 13)  # in a notebook, in a file
LONGEST, LINE, COLOUR = 56, 84, "#0072B2"
POINTS = 400
SAID = 400  # letters of a text for those who do not see the picture
SETTLED = 0.05  # of what a schedule has changed by: it hardly moves any more
NAMES = ("step", "value")


def extent(schedule: Schedule) -> int:
    """A number of steps worth showing: a little past the horizon, or until as many again change little more."""
    if schedule.horizon is not None:
        return min(schedule.horizon + max(schedule.horizon // 20, 1), checks.LARGEST_STEP)
    marks = schedule.marks(limit=4)
    stop = max([1000, *(at + at // 20 for at, _ in marks)])
    while not marks and stop < 2**20 and _moves(schedule, stop):
        stop *= 2
    return stop


def _moves(schedule: Schedule, stop: int) -> bool:
    first, there, beyond = (schedule(step) for step in (0, stop, 2 * stop))
    return abs(beyond - there) > SETTLED * abs(there - first)


def samples(schedule: Schedule, stop: int, points: int = POINTS) -> list[int]:
    """Steps to draw: evenly spread over 0, ..., stop - 1, and those beside each boundary, so that jumps show."""
    even = np.linspace(0, stop - 1, min(points, stop)).astype(np.int64).tolist()
    beside = [at + side for at, _ in schedule.marks() for side in (-1, 0, 1)]
    return sorted({*even, *(step for step in beside if 0 <= step < stop)})


def svg(schedule: Schedule, now: int | None = None) -> str:
    """An <svg> element for a notebook, in the ink of what it stands on: the path over its steps, its text above.

    Args:
        schedule: What is drawn.
        now: The step at which it stands, where a dot is; None for a path that nothing follows.
    """
    steps = max(extent(schedule), (now or 0) + 1)
    return _svg(schedule, steps, SMALL, shorter(str(schedule), LONGEST), now, paper=False)


def save(schedule: Schedule, steps: int, path: str | os.PathLike[str]) -> None:
    """Writes the values of steps 0, ..., steps - 1 as a picture, .svg; the same bytes from the same values.

    Raises:
        ValueError: `path` ends in anything else or its folder is missing, or steps is below 1.
    """
    found = destination(path)
    title = "\n".join(textwrap.wrap(str(schedule), LINE))
    whole.replace(found, _svg(schedule, steps, LARGE, title, paper=True).encode())


def _svg(schedule: Schedule, steps: int, size: Size, title: str, now: int | None = None, *, paper: bool = False) -> str:
    points = _points(schedule, steps)
    first, last = points[0], points[-1]
    values = [value for _, value in points]
    said = f"{first[1]:.4g} at step 0, {max(values):.4g} at most, {last[1]:.4g} at step {last[0]:,.0f}"
    below, beside = Scale("linear", 0.0, last[0] or 1.0), over([0.0, *values], log=False)
    panel = Panel(
        below, beside, size, f"{shorter(str(schedule), SAID)}: {said}", title, NAMES, below=ticks(schedule, steps)
    )
    across = [(float(at), said) for at, said in schedule.marks() if at < steps]
    faint = [panel.line([(at, beside.low), (at, beside.high)], "#7F7F7F", "3 3", 1) for at, _ in across]
    dot = [] if now is None else [panel.dot(now, schedule(now), COLOUR, filled=True)]
    return panel.svg([*faint, panel.line(points, COLOUR), *dot], across=size.width, paper=paper)


def terminal(schedule: Schedule, steps: int, width: int = 78, height: int = 15) -> str:
    """The values of steps 0, ..., steps - 1 drawn with characters: `height` lines of at most `width`, without colour.

    Example:
        >>> from tapered.schedules import linear
        >>> len(terminal(linear(steps=100), 120).splitlines())
        15
    """
    points = _points(schedule, steps)
    values = [value for _, value in points]
    low, high = min(0.0, *values), max(0.0, *values)  # zero is shown, on both sides where there are both
    beside = Scale("linear", low, high if high > low else low + 1.0)
    below = Scale("linear", 0.0, points[-1][0] or 1.0)
    return Letters(below, beside, NAMES, ticks(schedule, steps), width=width, height=height).drawn(points)


def ticks(schedule: Schedule, steps: int) -> list[tuple[float, str]]:
    """The steps that are written below, those that count most first: the start, the boundaries, then round numbers.

    >>> from tapered.schedules import hold, warmup
    >>> [text for _, text in ticks(warmup(200).then(hold(1800)), 2100)]
    ['0', '200', '2,000', '500', '1,000', '1,500']
    """
    boundaries = [at for at, _ in schedule.marks() if at < steps]
    round_ = (int(at) for at, _ in Scale("linear", 0.0, float(max(steps - 1, 1))).ticks() if at.is_integer())
    return [(float(at), f"{at:,}") for at in dict.fromkeys([0, *boundaries, *round_])]


def boundary_rows(schedule: Schedule, steps: int) -> list[tuple[int, float, str]]:
    """Step, value and a note: the first and the last of `steps` steps, and before, at and after each boundary.

    Example:
        >>> from tapered.schedules import cooldown, hold
        >>> for row in boundary_rows(hold(100).then(cooldown(50)), 200):
        ...     print(row)
        (0, 1.0, 'first step')
        (99, 1.0, '')
        (100, 1.0, 'hold ends, cooldown begins')
        (101, 0.98, '')
        (149, 0.020000000000000018, '')
        (150, 0.0, 'cooldown ends')
        (151, 0.0, '')
        (199, 0.0, 'last step')
    """
    notes = {0: "first step", _checked(steps) - 1: "last step"}
    for at, note in schedule.marks():
        notes |= {beside: notes.get(beside, "") for beside in (at - 1, at + 1)}
        notes[at] = ", ".join(filter(None, (notes.get(at, ""), note)))
    return [(step, schedule(step), notes[step]) for step in sorted(notes) if 0 <= step < steps]


def _checked(steps: int) -> int:
    if checks.step(steps, "steps") < 1:
        raise ValueError("a picture needs at least one step, got steps=0; write for example steps=1000")
    return steps


def _points(schedule: Schedule, steps: int) -> list[tuple[float, float]]:
    return [(float(step), schedule(step)) for step in samples(schedule, _checked(steps))]
