"""The curves that several schedules share, as functions of arrays: u in [0, 1] is the fraction of the way.

Each is built from ufuncs whose result for an element depends on that element alone, whatever its place in the array.
"""

import itertools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def half_cosine(u: Floats) -> Floats:
    """(1 + cos(pi u)) / 2, from 1 to 0."""
    return 0.5 * (1.0 + np.cos(math.pi * u))


def fall(shape: str, u: Floats) -> Floats:
    """The cooldown shapes that fall from 1 at u = 0 to 0 at u = 1."""
    match shape:
        case "linear":
            return 1.0 - u
        case "cosine":
            return half_cosine(u)
        case "mirror cosine":
            return 2.0 * (1.0 - u) - half_cosine(u)
        case "1-sqrt":
            return 1.0 - np.sqrt(u)
        case "square":
            return 1.0 - u * u
        case _:  # "rex"
            return (1.0 - u) / (1.0 - 0.5 * u)


def cooled(shape: str, floor: float, u: Floats) -> Floats:
    """A shape from 1 to `floor`; "exponential" is floor^u, the others are scaled into [floor, 1]."""
    if shape == "exponential":
        return np.power(floor, u)
    return floor + (1.0 - floor) * fall(shape, u)


def cycles(steps: Floats, first: float, t_mul: float) -> tuple[Floats, Floats, Floats]:
    """For each step its cycle's number, the steps since that cycle began, and that cycle's length.

    Cycle i is `first * t_mul**i` long. The starts are summed up and searched: a formula with logarithms, as TensorFlow
    and timm have it, misses restarts by rounding.
    """
    if t_mul == 1.0:
        index = np.floor(steps / first)
        return index, steps - index * first, np.full_like(steps, first)
    last = float(steps.max())
    begun = list(itertools.takewhile(lambda cycle: cycle[0] <= last, cycle_starts(first, t_mul)))
    starts, lengths = np.array(begun).T
    place = np.searchsorted(starts, steps, side="right") - 1
    return place.astype(np.float64), steps - starts[place], lengths[place]


def cycle_starts(first: float, t_mul: float) -> Iterator[tuple[float, float]]:
    """The start and the length of one cycle after the other, without end."""
    start, length = 0.0, float(first)
    while True:
        yield start, length
        start, length = start + length, length * t_mul
