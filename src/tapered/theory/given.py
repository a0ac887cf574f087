"""What theory is asked about, as float64 arrays: rates, norms, numbers; what is none of these is refused by name."""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from tapered.schedules import Controller, Schedule, checks

Floats = NDArray[np.float64]
Rates = Schedule | float | Sequence[float] | Floats
Norms = float | Sequence[float] | Floats | Callable[[int], float]
MOST = 2**27  # a gigabyte an array
MOST_APART = 1e100


def whole(value: SupportsIndex, what: str = "steps") -> int:
    """A whole number of at least 1, as of steps."""
    try:
        found = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        raise TypeError(f"got {what}={checks.shown(value)}; expected a whole number; try {what}=1000") from None
    if not 1 <= found <= MOST:
        raise ValueError(
            f"got {what}={checks.shown(value)}; expected a whole number from 1 to {MOST:,}; try {what}=1000"
        )
    return found


def number(value: object, what: str, *, zero: bool = False) -> float:
    """A finite number above 0, or of at least 0 where that is allowed."""
    expected = "a finite number of at least 0" if zero else "a finite number above 0"
    try:
        found = float(checks.plain(value))
    except (TypeError, ValueError, OverflowError) as error:
        kind = TypeError if isinstance(error, checks.NotOfKindError) else ValueError
        raise kind(f"got {what}={checks.shown(value)}; expected {expected}; try {what}=1.0") from None
    if found < 0 or (found == 0 and not zero):
        raise ValueError(f"got {what}={found:g}; expected {expected}; try {what}=1.0")
    return found


def rates(given: Rates, steps: int, what: str = "schedule") -> Floats:
    """A hyper of each of so many steps, none below 0, from a schedule, a number or a table.

    >>> rates(0.5, 2).tolist(), rates([0.1, 0.2], 2).tolist()
    ([0.5, 0.5], [0.1, 0.2])
    """
    if isinstance(given, Schedule):
        found = given.table(steps)
    elif isinstance(given, Controller):
        raise TypeError(f"got {given} as {what}: {given.why_no_table()}")
    elif callable(given):
        raise TypeError(f"got {given!r:.80} as {what}; expected a schedule or a table; try tapered.from_function(...)")
    else:
        found = _array(given, steps, what, f"a schedule, or a table of steps={steps} numbers")
    return _checked(found, what, "of at least 0", lambda values: values >= 0)


def norms(given: Norms, steps: int) -> Floats:
    """Norms of the gradients before each of so many steps and after the last, all above 0.

    >>> norms(2.0, 2).tolist(), norms(lambda step: 1.0 + step, 2).tolist()
    ([2.0, 2.0, 2.0], [1.0, 2.0, 3.0])
    """
    if isinstance(given, Schedule):
        found = given.table(steps + 1)
    elif callable(given):
        found = _array([given(step) for step in range(steps + 1)], steps + 1, "norms", "a number from each call")
    else:
        found = _array(given, steps + 1, "norms", f"a number, or steps + 1 = {steps + 1} of them, one after the last")
    found = _checked(found, "norms", "above 0", lambda values: values > 0)
    low, high = float(found.min()), float(found.max())
    if low < high / MOST_APART:
        raise ValueError(f"norms go from {low:g} to {high:g}; expected numbers within a factor of {MOST_APART:g}")
    return found


def _array(given: Any, count: int, what: str, expected: str) -> Floats:
    try:
        found = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"got {given!r:.80} as {what}; expected {expected}") from None
    if found.ndim == 0 and not isinstance(given, bool):
        return np.full(count, float(found))
    if found.shape != (count,):
        raise ValueError(f"got {what} of shape {found.shape}; expected {expected}")
    return found


def _checked(found: Floats, what: str, expected: str, fits: Callable[[Floats], Any]) -> Floats:
    wrong = ~(np.isfinite(found) & fits(found))
    if wrong.any():
        step = int(np.argmax(wrong))
        raise ValueError(f"{what} is {found[step]:g} at step {step:,}; expected finite numbers {expected}")
    return found


def scaled(values: Floats) -> tuple[Floats, float]:
    """Values over their largest, and that; so squares neither overflow nor vanish."""
    largest = float(values.max(initial=0.0))
    return (values, 1.0) if largest == 0 else (values / largest, largest)


def finite(value: float, what: str) -> float:
    """A number made of what was given, refused where it is beyond float64."""
    if not math.isfinite(value):
        raise ValueError(f"{what} is beyond float64 with these rates, norms and distance; take them nearer to 1")
    return value
