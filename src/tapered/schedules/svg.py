"""A schedule as a small picture for notebooks: hand-made SVG that takes the page's colour."""

from html import escape

import numpy as np

from tapered.schedules.base import Schedule
from tapered.schedules.checks import LARGEST_STEP

WIDTH, HEIGHT, TOP, BOTTOM, SIDE = 440, 170, 28, 146, 8
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
    """An <svg> element: the path, its text, and the first, highest and last values."""
    steps = samples(schedule, extent(schedule))
    values = [schedule(step) for step in steps]
    low, high = min(0.0, *values), max(0.0, *values)
    height = high - low or 1.0
    width = steps[-1] or 1
    path = " ".join(
        f"{SIDE + (WIDTH - 2 * SIDE) * step / width:.1f},{BOTTOM - (BOTTOM - TOP) * (value - low) / height:.1f}"
        for step, value in zip(steps, values, strict=True)
    )
    peak = int(np.argmax(values))
    caption = f"step 0: {values[0]:.4g}, peak {values[peak]:.4g} at {steps[peak]}, step {steps[-1]}: {values[-1]:.4g}"
    text = escape(str(schedule))
    shown = text if len(str(schedule)) <= 63 else escape(str(schedule)[:60]) + "..."
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="monospace" font-size="11" fill="currentColor">'
        f"<title>{text}</title>"
        f'<text x="{SIDE}" y="16">{shown}</text>'
        f'<path d="M{SIDE} {TOP}V{BOTTOM}H{WIDTH - SIDE}" fill="none" stroke="currentColor" stroke-opacity="0.3"/>'
        f'<polyline points="{path}" fill="none" stroke="currentColor" stroke-width="1.5"/>'
        f'<text x="{SIDE}" y="{HEIGHT - 8}">{escape(caption)}</text>'
        "</svg>"
    )
