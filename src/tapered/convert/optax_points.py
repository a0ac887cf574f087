"""optax's boundaries with their factors, as points and values."""

import itertools
from collections.abc import Mapping
from typing import Any

Scales = Mapping[Any, float] | None  # boundary -> factor on the value before it


def cumulative(first: float, scales: Scales) -> tuple[list[float], list[float]]:
    """Boundaries in order, and the values that optax's factors make."""
    points: list[float] = sorted(scales or {})
    values = [first]
    for point in points:
        if scales is None or scales[point] < 0:
            raise ValueError(f"boundaries_and_scales must hold factors from 0 up, got {scales}")
        values.append(values[-1] * scales[point])
    return points, values


def begun(shape: str, points: list[float], values: list[float]) -> tuple[list[float], list[float]]:
    """The boundaries after step 0, and the values from there on: the path is along already where some lie before."""
    gaps = [after - before for before, after in itertools.pairwise(points)]
    if any(gap < 1 for gap in gaps):
        raise ValueError(f"boundaries must be at least a step apart, got {points}; optax lengthens the way silently")
    passed = sum(point <= 0 for point in points)
    if not passed or passed == len(points):
        return points[passed:], values[passed:]
    start, after = points[passed - 1 : passed + 1]
    if start < 0 and shape == "cosine":
        raise ValueError(f"boundaries must be from 0 up in a cosine, got {start}, where it has begun before step 0")
    first, then = values[passed : passed + 2]
    along = -start / (after - start)
    return points[passed:], [first + (then - first) * along, *values[passed + 1 :]]
