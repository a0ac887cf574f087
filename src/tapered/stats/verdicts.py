"""One of five words for a paired result.

helps, hurts      every interval excludes 0, and p < alpha
equivalent        every interval lies within +-delta
no evidence       neither
not enough seeds  fewer than 8; or neither, and so few that p could not fall below alpha
"""

from dataclasses import dataclass
from typing import Literal

from tapered.stats.intervals import Ends
from tapered.stats.pairs import Paired
from tapered.stats.seeds import seeds_needed, seeds_that_reach
from tapered.words import counted

Word = Literal["helps", "hurts", "equivalent", "no evidence", "not enough seeds"]


@dataclass(frozen=True)
class Verdict:
    """One of five words and the reason for it.

    Args:
        word: "helps", "hurts", "equivalent", "no evidence" or "not enough seeds".
        reason: One sentence without a full stop.
        takes: Where there are not enough seeds, how many it takes: "9 for 7 comparisons".

    Example:
        >>> Verdict("not enough seeds", "p could not fall below alpha", "9 for 7 comparisons").text
        'not enough seeds (9 for 7 comparisons)'
    """

    word: Word
    reason: str
    takes: str = ""

    @property
    def text(self) -> str:
        """The word, with what it takes where that is lacking: "not enough seeds (9 for 7 comparisons)"."""
        return f"{self.word} ({self.takes})" if self.takes else self.word

    @property
    def says(self) -> bool:
        """Whether it says something of the two, which another sample could contradict."""
        return self.word in {"helps", "hurts", "equivalent"}


def verdict(
    result: Paired,
    *,
    alpha: float = 0.05,
    delta: float | None = None,
    p: float | None = None,
    comparisons: int | None = None,
) -> Verdict:
    """What may be said of a paired result.

    "helps" and "hurts" need both: intervals that exclude 0, Student's t, that of the bootstrap and that of the
    sign-flip test, and p < alpha. "equivalent" needs ``delta``, the smallest gain that matters, and all three inside
    +-delta: none by itself holds the mean often enough both of skewed gains and of heavy-tailed ones. Where runs
    diverged the mean gain is infinite: the interval of the win rate must then exclude one half, and the test is on
    ranks.

    "no evidence" is said only where evidence was possible. With too few seeds for p, corrected for so many comparisons,
    to fall below alpha, it is "not enough seeds"; seeds at which the two are equal do not count among them.

    Args:
        result: What ``paired`` returned, at the same alpha. Its intervals are those of one comparison.
        alpha: Two-sided error rate.
        delta: Smallest gain that matters, in the metric's own unit; None if none was stated.
        p: A p that replaces the result's own, for example one corrected for several comparisons.
        comparisons: How many p is corrected for; None for the whole number of times that p is the result's own, else 1.

    >>> from tapered.stats import paired
    >>> eight = paired([0.2, 0.1, 0.3, 0.2, 0.1, 0.2, 0.3, 0.2])
    >>> verdict(eight).word, verdict(eight, p=7 * eight.p, comparisons=7).text
    ('helps', 'not enough seeds (9 for 7 comparisons)')
    >>> verdict(paired([0.2, 0.1, 0.3])).reason
    '3 seeds, and a claim at alpha = 0.05 needs at least 8'
    """
    p = result.p if p is None else p
    several = comparisons or _corrected_for(result.p, p)
    needed, differ = seeds_needed(alpha, several), result.n - result.ties
    seeds = counted(result.n, "seed")
    if p is None or result.n < seeds_needed(alpha):
        return _too_few(seeds, f"{needed}", "", alpha, several)
    said = _alike(result) or _by_both(result, significant=p < alpha, delta=delta)
    if said.says or p < alpha or not differ:
        return said
    if result.n < needed:
        return _too_few(seeds, f"{needed}", "", alpha, several)
    reached = seeds_that_reach(alpha, several)
    if differ < reached:
        return _too_few(f"the two differ at {differ} of {seeds}", f"{reached}", " that do", alpha, several)
    return said


def _corrected_for(own: float | None, p: float | None) -> int:
    times = p / own if own and p else 1.0
    return max(1, round(times)) if abs(times - round(times)) < 1e-9 * times else 1


def _too_few(found: str, needed: str, which: str, alpha: float, several: int) -> Verdict:
    for_all = f" for {several} comparisons" if several > 1 else ""
    reason = f"{found}, and a claim at alpha = {alpha:g} needs at least {needed}{which}{for_all}"
    takes = f"{needed}{' that differ' if which else ''} for {counted(several, 'comparison')}"
    return Verdict("not enough seeds", reason, takes)


def _alike(result: Paired) -> Verdict | None:
    if result.ties == result.n:
        return Verdict("no evidence", f"the two are equal at all {result.n} seeds")
    if result.low is not None and result.low == result.high:
        return Verdict("no evidence", f"all {result.n} differences are the same; does the workload follow its seed?")
    return None


def _by_both(result: Paired, *, significant: bool, delta: float | None) -> Verdict:
    if result.low is None:
        return _by_ranks(result, significant=significant)
    return _by_intervals(result, significant=significant, delta=delta)


def _by_ranks(result: Paired, *, significant: bool) -> Verdict:
    low, high = result.win_interval or (0.0, 1.0)
    side = _side(low - 0.5, high - 0.5)
    said = {True: "and the win rate's excludes one half", False: "and the win rate's contains one half"}[side != 0]
    reason = f"no interval of the mean, since {counted(result.one_sided, 'pair')} had one run diverge, {said}"
    return Verdict(_claim(side if significant else 0), reason)


def _by_intervals(result: Paired, *, significant: bool, delta: float | None) -> Verdict:
    ends = {name: each for name, each in _intervals(result).items() if each}
    low, high = min(each[0] for each in ends.values()), max(each[1] for each in ends.values())
    if delta is not None and -delta < low and high < delta:
        return Verdict("equivalent", f"the interval lies within +-{delta:g}, the smallest difference that matters")
    if _side(low, high):
        reason = f"the interval excludes 0 and p is {'' if significant else 'not '}below alpha"
        return Verdict(_claim(_side(low, high) if significant else 0), reason)
    first, *others = ends
    contain = [name for name in others if not _side(*ends[name])]
    if _side(*ends[first]) and contain:
        said = f"{' and '.join(contain)} contain{'s' if len(contain) == 1 else ''}"
        return Verdict("no evidence", f"{first} excludes 0, and {said} it")
    return Verdict("no evidence", "the interval contains 0")


def _intervals(result: Paired) -> dict[str, Ends | None]:
    """What each interval is called, the one that is printed first."""
    student = None if result.low is None or result.high is None else (result.low, result.high)
    return {
        "the t interval": student,
        "that of the bootstrap": result.bootstrap,
        "that of the sign-flip test": result.flips,
    }


def _side(low: float, high: float) -> int:
    """The side of 0 on which an interval lies, 0 where it contains it."""
    return 1 if low > 0 else -1 if high < 0 else 0


def _claim(side: int) -> Word:
    return "helps" if side > 0 else "hurts" if side < 0 else "no evidence"
