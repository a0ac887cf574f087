"""A schedule as a small picture for notebooks."""

import numpy as np

from tapered.pictures import Panel, Scale, Size, over, shorter
from tapered.schedules.base import Schedule
from tapered.schedules.checks import LARGEST_STEP

SIZE = Size(440, 190, 62, 11)
LONGEST, COLOUR = 56, "#0072B2"
POINTS = 400


def extent(schedule: Schedule) -> int:
    """A number of steps worth showing: a little past the horizon, or until a tenth of the first value."""
    if schedule.horizon is not None:
        return min(schedule.horizon + max(schedule.horizon // 20, 1), LARGEST_STEP)
    marks = schedule.marks(limit=4)
    stop = max([1000, *(at + at // 20 for at, _ in marks)])
    while not marks and stop < 2**20 and abs(schedule(stop)) > 0.1 * abs(schedule(0)) and schedule(stop) != schedule(0):
        stop *= 2
    return stop


def samples(schedule: Schedule, stop: int, points: int = POINTS) -> list[int]:
    """Steps to draw: evenly spread over 0, ..., stop - 1, and those beside each boundary, so that jumps show."""
    even = np.linspace(0, stop - 1, min(points, stop)).astype(np.int64).tolist()
    beside = [at + side for at, _ in schedule.marks() for side in (-1, 0, 1)]
    return sorted({*even, *(step for step in beside if 0 <= step < stop)})


def picture(schedule: Schedule) -> str:
    """An <svg> element: the path over its steps, its text above."""
    steps = samples(schedule, extent(schedule))
    values = [schedule(step) for step in steps]
    below = Scale("linear", 0.0, float(steps[-1] or 1))
    label = f"{schedule}: {values[0]:.4g} at step 0, {max(values):.4g} at most, {values[-1]:.4g} at step {steps[-1]:,}"
    panel = Panel(below, over([0.0, *values], log=False), SIZE, label, shorter(str(schedule), LONGEST), ("step", ""))
    return panel.svg([panel.line(list(zip(steps, values, strict=True)), COLOUR)], across=SIZE.width)
