"""The sign-flip test of paired gains, and Holm's correction.

p = share of the 2^n sign patterns whose |sum(+-gain)| is at least the one seen
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tapered.stats.intervals import scaled

EXACT_UP_TO = 20
RESAMPLES = 99_999


def sign_flip(d: NDArray[np.float64]) -> float:
    """Two-sided p: exact up to n = 20, resampled above; on signed ranks where a gain is infinite.

    An infinite gain has a rank but no sum, so that the test is then Wilcoxon's.

    References:
        Good, Permutation, Parametric and Bootstrap Tests of Hypotheses (2005), chapter 3.
    """
    d, _ = scaled(d if np.isfinite(d).all() else np.sign(d) * stats.rankdata(np.abs(d)))
    if len(d) > EXACT_UP_TO:
        result = stats.permutation_test(
            (d,),
            np.sum,
            permutation_type="samples",
            n_resamples=RESAMPLES,
            vectorized=True,
            rng=np.random.default_rng(0),
        )
        return float(result.pvalue)
    sums = np.zeros(1)
    for value in d:
        sums = np.concatenate([sums + value, sums - value])
    # sums that are equal on paper differ by rounding
    slack = 1e-12 * float(np.abs(d).sum())
    return float((np.abs(sums) >= abs(float(d.sum())) - slack).mean())


def holm(p: Sequence[float]) -> list[float]:
    """P values corrected for being several (Holm 1979): the i-th smallest of m times m - i + 1, made monotone.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, highest = [0.0] * len(p), 0.0
    for place, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = max(highest, min(1.0, (len(p) - place) * p[i]))
        corrected[i] = highest
    return corrected
