"""One of five words for a paired result, and how many seeds it takes.

helps, hurts      every interval excludes 0, and p < alpha
equivalent        every interval lies within +-delta
no evidence       neither
not enough seeds  fewer than 8
"""

from dataclasses import dataclass
from math import ceil, log2
from typing import Literal

from scipy import stats

from tapered.stats.pairs import Paired

Word = Literal["helps", "hurts", "equivalent", "no evidence", "not enough seeds"]
SEEDS_FOR_A_CLAIM = 8


@dataclass(frozen=True)
class Verdict:
    """One of five words and the reason for it.

    Args:
        word: "helps", "hurts", "equivalent", "no evidence" or "not enough seeds".
        reason: One sentence without a full stop.
    """

    word: Word
    reason: str

    @property
    def says(self) -> bool:
        """Whether it says something of the two, which another sample could contradict."""
        return self.word in {"helps", "hurts", "equivalent"}


def seeds_needed(alpha: float = 0.05) -> int:
    """Seeds below which nothing is claimed: 8, or more where 2 / 2^n could not fall below alpha.

    >>> seeds_needed(), seeds_needed(0.001)
    (8, 11)
    """
    n = ceil(log2(2 / alpha))
    return max(SEEDS_FOR_A_CLAIM, n + 1 if 2 / 2**n >= alpha else n)


def seeds_for(delta: float, spread: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """About how many seeds show a mean gain of ``delta`` where gains deviate by ``spread`` from seed to seed.

        n = ((z(1 - alpha/2) + z(power)) * spread / delta)^2 + 2

    7.85 (spread / delta)^2 for a two-sided 5% and a power of 80%, and two more since the deviation is estimated.

    Raises:
        ValueError: If delta is not above 0.

    >>> seeds_for(1.0, 1.0), seeds_for(0.5, 1.0), seeds_for(5.0, 1.0)
    (10, 34, 8)
    """
    if not delta > 0:
        raise ValueError(f"got delta={delta!r}; expected the smallest gain that matters, above 0; try delta=0.01")
    z = float(stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power))
    ratio = min(z * spread / delta, 1e9)  # beyond any study, and within what ceil takes
    return max(seeds_needed(alpha), ceil(ratio * ratio) + 2)


def verdict(result: Paired, *, alpha: float = 0.05, delta: float | None = None, p: float | None = None) -> Verdict:
    """What may be said of a paired result.

    "helps" and "hurts" need both: intervals that exclude 0, Student's t and BCa where there is one, and p < alpha.
    "equivalent" needs ``delta``, the smallest gain that matters, and both intervals inside +-delta. Where runs diverged
    the mean gain is infinite: the interval of the win rate must then exclude one half, and the test is on ranks.

    Args:
        result: What ``paired`` returned, at the same alpha.
        alpha: Two-sided error rate.
        delta: Smallest gain that matters, in the metric's own unit; None if none was stated.
        p: A p that replaces the result's own, for example one corrected for several comparisons.

    >>> from tapered.stats import paired
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
        return _by_ranks(result, significant=p < alpha)
    if result.low == result.high:
        return Verdict("no evidence", f"all {result.n} differences are the same; does the workload follow its seed?")
    return _by_intervals(result, significant=p < alpha, delta=delta)


def _by_ranks(result: Paired, *, significant: bool) -> Verdict:
    low, high = result.win_interval or (0.0, 1.0)
    side = _side(low - 0.5, high - 0.5)
    said = {True: "and the win rate's excludes one half", False: "and the win rate's contains one half"}[side != 0]
    reason = f"no interval of the mean, since {counted(result.one_sided, 'pair')} had one run diverge, {said}"
    return Verdict(_claim(side if significant else 0), reason)


def _by_intervals(result: Paired, *, significant: bool, delta: float | None) -> Verdict:
    ends = [(result.low, result.high), *([result.bca] if result.bca else [])]
    low, high = min(e[0] for e in ends if e[0] is not None), max(e[1] for e in ends if e[1] is not None)
    if delta is not None and -delta < low and high < delta:
        return Verdict("equivalent", f"the interval lies within +-{delta:g}, the smallest difference that matters")
    if _side(low, high):
        reason = f"the interval excludes 0 and p is {'' if significant else 'not '}below alpha"
        return Verdict(_claim(_side(low, high) if significant else 0), reason)
    if result.low is not None and result.high is not None and _side(result.low, result.high):
        return Verdict("no evidence", "the t interval excludes 0, and the BCa interval contains it")
    return Verdict("no evidence", "the interval contains 0")


def _side(low: float, high: float) -> int:
    """The side of 0 on which an interval lies, 0 where it contains it."""
    return 1 if low > 0 else -1 if high < 0 else 0


def _claim(side: int) -> Word:
    return "helps" if side > 0 else "hurts" if side < 0 else "no evidence"


def counted(n: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "seed"), counted(0, "seed")
    ('1 seed', '0 seeds')
    """
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
