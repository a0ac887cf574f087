"""Intervals: Student's t and the BCa bootstrap for a mean, Clopper and Pearson's for a share.

t    mean +- t(1 - alpha/2, n - 1) * sd / sqrt(n)
BCa  quantiles of 9,999 resampled means, moved for their bias and for how the spread follows the mean (Efron 1987)
"""

import warnings
from math import isfinite, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 9_999
SEEDS_FOR_BCA = 8
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
    half = float(stats.t.ppf(1 - alpha / 2, len(d) - 1)) * deviation(d) / sqrt(len(d))
    return mean * scale, ((mean - half) * scale, (mean + half) * scale)


def deviation(d: NDArray[np.float64]) -> float:
    """Standard deviation of two finite gains or more; that of equal ones is 0, not the rounding error of their mean."""
    d, scale = scaled(d)
    return 0.0 if (d == d[0]).all() else float(d.std(ddof=1)) * scale


def bca_interval(d: NDArray[np.float64], alpha: float) -> Ends | None:
    """BCa bootstrap of the mean over resampled seeds, the same every time.

    None below 8 gains, where there are too few different resamples; where a gain is infinite; and where all are equal,
    or all but too few for the correction to exist.

    References:
        Efron, Better Bootstrap Confidence Intervals, JASA 82 (1987).
    """
    if len(d) < SEEDS_FOR_BCA or not np.isfinite(d).all() or (d == d[0]).all():
        return None
    d, scale = scaled(d)
    # the answer is None, and documented; 0 / 0 where gains differ by their rounding only
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            (d,),
            np.mean,
            n_resamples=RESAMPLES,
            confidence_level=1 - alpha,
            method="BCa",
            rng=np.random.default_rng(0),
        ).confidence_interval
    low, high = float(found.low), float(found.high)
    return (low * scale, high * scale) if isfinite(low) and isfinite(high) else None


def share_interval(successes: int, n: int, alpha: float) -> Ends | None:
    """Clopper and Pearson's exact interval for the chance of a success; None without a trial.

    >>> share_interval(8, 8, 0.05)[0] == 0.025 ** (1 / 8)
    True

    References:
        Clopper and Pearson, Biometrika 26 (1934).
    """
    if n == 0:
        return None
    low = float(stats.beta.ppf(alpha / 2, successes, n - successes + 1)) if successes else 0.0
    high = float(stats.beta.ppf(1 - alpha / 2, successes + 1, n - successes)) if successes < n else 1.0
    return low, high
