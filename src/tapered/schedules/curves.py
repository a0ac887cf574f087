"""The curves that several schedules share, as functions of arrays: u in [0, 1] is the fraction of the way.

Each is built from ufuncs whose result for an element depends on that element alone, whatever its place in the array.
"""

import functools
import itertools
import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SUMMED = 4096  # cycles whose starts are summed up
FAR = 2**60  # a step beyond all that schedules take, for ends that lie further


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

    Cycle i is `first * t_mul**i` long. The first SUMMED starts are summed up and searched: a formula with logarithms,
    as TensorFlow and timm have it, misses restarts by rounding. Those after them are a formula, which none counts to.
    """
    if t_mul == 1.0:
        index = np.floor(steps / first)
        return index, steps - index * first, np.full_like(steps, first)
    starts, lengths = summed(first, t_mul)
    place = np.searchsorted(starts, steps, side="right") - 1
    index, begun, length = place.astype(np.float64), starts[place], lengths[place]
    late = place == SUMMED - 1
    if late.any():
        further, begun[late], length[late] = _later(steps[late], float(starts[-1]), float(lengths[-1]), t_mul)
        index[late] += further
    return index, np.minimum(steps - begun, length), length


def _later(steps: Floats, start: float, length: float, t_mul: float) -> tuple[Floats, Floats, Floats]:
    """As `cycles`, of steps from `start` on, where a cycle of that length begins."""
    grown = (steps - start) / length * (t_mul - 1.0)
    index = np.floor(np.log1p(grown) / math.log(t_mul))
    begun = np.minimum(_start(index, start, length, t_mul), steps)
    return index, begun, length * np.power(t_mul, index)


def _start(index: Floats, start: float, length: float, t_mul: float) -> Floats:
    """start + length * (t_mul^index - 1) / (t_mul - 1)."""
    return start + length * (np.expm1(index * math.log(t_mul)) / (t_mul - 1.0))


@functools.lru_cache(maxsize=64)
def summed(first: float, t_mul: float) -> tuple[Floats, Floats]:
    """The starts and the lengths of the first cycles, summed one after the other."""
    found = np.array(list(itertools.islice(cycle_starts(first, t_mul), SUMMED))).T
    found.flags.writeable = False
    return found[0], found[1]


def cycle_starts(first: float, t_mul: float) -> Iterator[tuple[float, float]]:
    """The start and the length of one cycle after the other, without end."""
    start, length = 0.0, float(first)
    while True:
        yield start, length
        start, length = start + length, length * t_mul


def cycles_within(first: float, t_mul: float, last: float) -> Iterator[tuple[float, float]]:
    """The cycles that start no later than a step."""
    return itertools.takewhile(lambda cycle: cycle[0] <= last, cycle_starts(first, t_mul))


def cycle_start(cycle: int, first: float, t_mul: float) -> int:
    """The first whole step at or after the start of a cycle, that of a far one by a formula; at most FAR."""
    if t_mul == 1.0:
        start = Fraction(first) * cycle
        return min(math.ceil(start), FAR)
    starts, lengths = summed(first, t_mul)
    if cycle < SUMMED:
        found = float(starts[cycle])
    else:
        with np.errstate(over="ignore"):
            further = np.array(float(cycle - SUMMED + 1))
            found = float(_start(further, float(starts[-1]), float(lengths[-1]), t_mul))
    return math.ceil(found) if found < FAR else FAR
