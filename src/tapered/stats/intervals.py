"""Intervals: Student's t and the bootstrap's for a mean, Clopper and Pearson's for a share.

    mean - q * sd / sqrt(n)        Student's: q = +-t(1 - alpha/2, n - 1)
                                   bootstrap's: the alpha/2 and 1 - alpha/2 quantiles of (mean* - mean) sqrt(n) / sd*
                                   over gains drawn from the gains with replacement

Of skewed gains, (mean - truth) sqrt(n) / sd is skewed the other way, and Student's interval misses the truth on one
side far too often; the bootstrap's q allow for that.
"""

from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import special

Ends = tuple[float, float]
RESAMPLES = 9_999
LEAST = 5  # gains, of which resamples differ enough
AT_ONCE = 2**20  # gains drawn together


def scaled(d: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Gains of at most 2 and a power of two that gives them back exactly, so that no sum or square overflows."""
    exponent = int(np.frexp(np.abs(d).max())[1]) - 1
    return np.ldexp(d, -exponent), 2.0**exponent


def t_interval(d: NDArray[np.float64], alpha: float) -> tuple[float | None, Ends | None]:
    """Mean and interval; no mean where a gain is infinite or there is none, no interval below two gains."""
    if len(d) == 0 or not np.isfinite(d).all():
        return None, None
    d, scale = scaled(d)  # scipy.stats.ttest_1samp gives infinite ends where squares overflow, takes 16 times as long
    mean = float(d.mean())
    if len(d) == 1:
        return mean * scale, None
    half = float(special.stdtrit(len(d) - 1, 1 - alpha / 2)) * deviation(d) / sqrt(len(d))
    return mean * scale, ((mean - half) * scale, (mean + half) * scale)


def bootstrap_interval(d: NDArray[np.float64], alpha: float) -> Ends | None:
    """The interval of the studentized bootstrap, bootstrap-t; None below five gains, or where one is infinite.

    Resamples in which all gains are equal have no spread and are left out. Draws are the same every time.

    References:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 12.5.
    """
    n = len(d)
    if n < LEAST or not np.isfinite(d).all():
        return None
    d, scale = scaled(d)
    mean, sd = float(d.mean()), deviation(d)
    if sd == 0.0:
        return mean * scale, mean * scale
    rng, rows = np.random.default_rng(0), max(1, AT_ONCE // n)
    counts = [min(rows, RESAMPLES - begin) for begin in range(0, RESAMPLES, rows)]
    found = np.concatenate([_studentized((d - mean) / sd, rng.integers(n, size=(many, n))) for many in counts])
    low, high = np.quantile(found, [alpha / 2, 1 - alpha / 2], method="weibull")
    return float(mean - high * sd) * scale, float(mean - low * sd) * scale


def _studentized(z: NDArray[np.float64], places: NDArray[np.int64]) -> NDArray[np.float64]:
    """mean / sd of some resamples, a row each, of gains whose mean is 0."""
    drawn = z[places]
    means, spreads = drawn.mean(1), drawn.std(1, ddof=1)
    apart = spreads > 1e-12  # of equal ones it is a rounding error
    found: NDArray[np.float64] = means[apart] / spreads[apart]
    return found


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
    # scipy.stats.binomtest finds a root instead: the same to 5e-13, in 350 times as long
    low = float(special.betaincinv(successes, n - successes + 1, alpha / 2)) if successes else 0.0
    high = float(special.betaincinv(successes + 1, n - successes, 1 - alpha / 2)) if successes < n else 1.0
    return low, high
