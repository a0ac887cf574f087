"""Paired comparisons over seeds: what is said of a difference, and how sure it is.

    gain_i = how much better the candidate is than the baseline at seed i        i = 1 .. n
    interval = mean(gain) +- t(1 - alpha/2, n - 1) * sd(gain) / sqrt(n)
    p = share of the 2^n sign patterns whose |sum(+-gain)| is at least the one seen

A gain is positive where the candidate is better, whether the metric is to fall or to rise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, isfinite, isnan, log2, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Direction = Literal["minimize", "maximize"]
Word = Literal["helps", "hurts", "no evidence", "does not matter", "not enough seeds"]
SEEDS_FOR_A_CLAIM = 8
EXACT_UP_TO = 20
RESAMPLES = 99_999


@dataclass(frozen=True)
class Paired:
    """What ``n`` paired gains say.

    Args:
        n: Pairs.
        mean: Mean gain; None where a run diverged, since such a gain is infinite, or n = 0.
        low: Lower end of the interval for the mean; None where there is no mean, or n < 2.
        high: Its upper end.
        p: Two-sided p of the sign-flip test; None if n = 0.
        wins: Pairs in which the candidate is better.
        losses: Pairs in which it is worse.
        ties: Pairs in which both are equal, or both diverged.
        one_sided: Pairs in which exactly one of the two runs diverged.
        level: Confidence of the interval, 0.95 for alpha = 0.05.
    """

    n: int
    mean: float | None
    low: float | None
    high: float | None
    p: float | None
    wins: int
    losses: int
    ties: int
    one_sided: int
    level: float


@dataclass(frozen=True)
class Verdict:
    """One of five words and the reason for it.

    Args:
        word: "helps", "hurts", "no evidence", "does not matter" or "not enough seeds".
        reason: One sentence without a full stop.
    """

    word: Word
    reason: str


def gains(candidate: Sequence[float], baseline: Sequence[float], direction: Direction = "minimize") -> list[float]:
    """Gain of the candidate over the baseline at each seed, positive where it is better.

    A value that is not finite stands for a diverged run. It is worse than every finite one, so the gain is infinite
    where one of the two diverged, and 0 where both did.

    Raises:
        ValueError: If the two are not equally long.

    >>> gains([1.0, float("nan"), 2.0], [1.5, 1.0, float("inf")])
    [0.5, -inf, inf]
    """
    if len(candidate) != len(baseline):
        raise ValueError(f"got {len(candidate)} candidate and {len(baseline)} baseline values; expected pairs")
    sign = 1.0 if direction == "maximize" else -1.0
    return [_gain(sign * a, sign * b) for a, b in zip(candidate, baseline, strict=True)]


def _gain(a: float, b: float) -> float:
    match isfinite(a), isfinite(b):
        case True, True:
            return a - b
        case True, False:
            return inf
        case False, True:
            return -inf
        case _:
            return 0.0


def paired(gain: Sequence[float], *, alpha: float = 0.05) -> Paired:
    """Mean, t interval, sign-flip test and win count of paired gains.

    The test is exact up to n = 20 and resampled above (99,999 sign patterns, fixed seed). It flips the gains
    themselves; where a gain is infinite it flips their signed ranks, as Wilcoxon's test does, since an infinite
    gain has a rank but no sum.

    Raises:
        ValueError: If a gain is NaN (see ``gains``) or alpha is not between 0 and 1.

    References:
        Good, Permutation, Parametric and Bootstrap Tests of Hypotheses (2005), chapter 3.

    >>> result = paired([0.2, 0.1, 0.3, 0.2, 0.1, 0.2, 0.3, 0.2])
    >>> round(result.mean, 3), round(result.low, 3), round(result.high, 3), result.p, result.wins
    (0.2, 0.137, 0.263, 0.0078125, 8)
    """
    if not 0 < alpha < 1:
        raise ValueError(f"got alpha={alpha!r}; expected a number between 0 and 1; try alpha=0.05")
    for i, value in enumerate(gain):
        if isnan(value):
            raise ValueError(f"gain {i} is nan; expected numbers; diverged runs become gains by stats.gains(...)")
    d = np.asarray(gain, dtype=np.float64)
    mean, low, high = _interval(d, alpha)
    return Paired(
        n=len(d),
        mean=mean,
        low=low,
        high=high,
        p=_sign_flip(d if np.isfinite(d).all() else _signed_ranks(d)) if len(d) else None,
        wins=int((d > 0).sum()),
        losses=int((d < 0).sum()),
        ties=int((d == 0).sum()),
        one_sided=int(np.isinf(d).sum()),
        level=1 - alpha,
    )


def _interval(d: NDArray[np.float64], alpha: float) -> tuple[float | None, float | None, float | None]:
    if len(d) == 0 or not np.isfinite(d).all():
        return None, None, None
    d, scale = _scaled(d)
    mean = float(d.mean())
    if len(d) == 1:
        return mean * scale, None, None
    # equal gains have no spread; their computed deviation would be a rounding error
    spread = 0.0 if (d == d[0]).all() else float(d.std(ddof=1))
    half = float(stats.t.ppf(1 - alpha / 2, len(d) - 1)) * spread / sqrt(len(d))
    return mean * scale, (mean - half) * scale, (mean + half) * scale


def _scaled(d: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Gains of at most 2 and a power of two that gives them back exactly, so that no sum or square overflows."""
    exponent = int(np.frexp(np.abs(d).max())[1]) - 1
    return np.ldexp(d, -exponent), 2.0**exponent


def _signed_ranks(d: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sign(d) * stats.rankdata(np.abs(d))


def _sign_flip(d: NDArray[np.float64]) -> float:
    d, _ = _scaled(d)
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


def seeds_needed(alpha: float = 0.05) -> int:
    """Seeds below which nothing is claimed: 8, or more where 2 / 2^n could not fall below alpha.

    >>> seeds_needed(), seeds_needed(0.001)
    (8, 11)
    """
    n = ceil(log2(2 / alpha))
    return max(SEEDS_FOR_A_CLAIM, n + 1 if 2 / 2**n >= alpha else n)


def verdict(result: Paired, *, alpha: float = 0.05, delta: float | None = None, p: float | None = None) -> Verdict:
    """What may be said of a paired result.

    "helps" and "hurts" need both: an interval that excludes 0 and p < alpha. "does not matter" needs ``delta``, the
    smallest gain that matters, and an interval inside +-delta. Where runs diverged there is no interval, and the
    test on ranks decides.

    Args:
        result: What ``paired`` returned, at the same alpha.
        alpha: Two-sided error rate.
        delta: Smallest gain that matters, in the metric's own unit; None if none was stated.
        p: A p that replaces the result's own, for example one corrected for several comparisons.

    >>> verdict(paired([0.2, 0.1, 0.3, 0.2, 0.1, 0.2, 0.3, 0.2])).word
    'helps'
    >>> verdict(paired([0.2, 0.1, 0.3])).reason
    '3 seeds, and a claim at alpha = 0.05 needs at least 8'
    """
    p = result.p if p is None else p
    needed = seeds_needed(alpha)
    if p is None or result.n < needed:
        return Verdict(
            "not enough seeds", f"{counted(result.n, 'seed')}, and a claim at alpha = {alpha:g} needs at least {needed}"
        )
    if result.ties == result.n:
        return Verdict("no evidence", f"the two are equal at all {result.n} seeds")
    if result.low is None or result.high is None:
        word = _side(p < alpha, result.wins - result.losses)
        return Verdict(
            word, f"no interval, since {counted(result.one_sided, 'pair')} had one run diverge; signed ranks decide"
        )
    if result.low == result.high:
        return Verdict("no evidence", f"all {result.n} differences are the same; does the workload follow its seed?")
    return _by_interval(result.low, result.high, significant=p < alpha, delta=delta)


def _by_interval(low: float, high: float, *, significant: bool, delta: float | None) -> Verdict:
    if delta is not None and -delta < low and high < delta:
        return Verdict("does not matter", f"the interval lies within +-{delta:g}, the smallest difference that matters")
    if low > 0 or high < 0:
        reason = f"the interval excludes 0 and p is {'' if significant else 'not '}below alpha"
        return Verdict(_side(significant, low), reason)
    return Verdict("no evidence", "the interval contains 0")


def _side(significant: bool, balance: float) -> Word:  # noqa: FBT001 - private, and read in place
    if not significant:
        return "no evidence"
    return "helps" if balance > 0 else "hurts"


def counted(n: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "seed"), counted(0, "seed")
    ('1 seed', '0 seeds')
    """
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


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
