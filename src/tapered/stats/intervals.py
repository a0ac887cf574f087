"""Intervals: Student's t for a mean, Clopper and Pearson's for a share.

mean +- t(1 - alpha/2, n - 1) * sd / sqrt(n)
"""

from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import special

Ends = tuple[float, float]


def scaled(d: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Gains of at most 2 and a power of two that gives them back exactly, so that no sum or square overflows."""
    exponent = int(np.frexp(np.abs(d).max())[1]) - 1
    return np.ldexp(d, -exponent), 2.0**exponent


def t_interval(d: NDArray[np.float64], alpha: float) -> tuple[float | None, Ends | None]:
    """Mean and interval; no mean where a gain is infinite or there is none, no interval below two gains."""
    if len(d) == 0 or not np.isfinite(d).all():
        return None, None
    d, scale = scaled(d)
    mean = float(d.mean())
    if len(d) == 1:
        return mean * scale, None
    half = float(special.stdtrit(len(d) - 1, 1 - alpha / 2)) * deviation(d) / sqrt(len(d))
    return mean * scale, ((mean - half) * scale, (mean + half) * scale)


def deviation(d: NDArray[np.float64]) -> float:
    """Standard deviation of two finite gains or more; that of equal ones is 0, not the rounding error of their mean."""
    d, scale = scaled(d)
    return 0.0 if (d == d[0]).all() else float(d.std(ddof=1)) * scale


def share_interval(successes: int, n: int, alpha: float) -> Ends | None:
    """Clopper and Pearson's exact interval for the chance of a success; None without a trial.

    >>> share_interval(8, 8, 0.05)[0] == 0.025 ** (1 / 8)
    True

    References:
        Clopper and Pearson, Biometrika 26 (1934).
    """
    if n == 0:
        return None
    low = float(special.betaincinv(successes, n - successes + 1, alpha / 2)) if successes else 0.0
    high = float(special.betaincinv(successes + 1, n - successes, 1 - alpha / 2)) if successes < n else 1.0
    return low, high
