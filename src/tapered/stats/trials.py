"""What tuning with few trials would have given: the best of k peaks, over all ways of choosing k.

scores sorted, best first: s(1), ..., s(K)
P(the best of k is s(r)) = C(K - r, k - 1) / C(K, k)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, isfinite

from tapered.stats.pairs import Direction


@dataclass(frozen=True)
class BestAt:
    """The best of k trials.

    Args:
        k: How many of the K peaks are tried, every choice of k equally likely.
        expected: Mean score of the best of them; None where a choice may hold no peak that has a score.
        median: Median score of the best; None where more than half of the choices hold none.
        lost: Share of the choices in which no peak has a score, since all diverged or were pruned.

    Example:
        >>> best_at([0.3, 0.1, 0.2], k=3)
        BestAt(k=3, expected=0.1, median=0.1, lost=0.0)
    """

    k: int
    expected: float | None
    median: float | None
    lost: float


def best_at(scores: Sequence[float], k: int, direction: Direction = "minimize") -> BestAt:
    """The best of k scores drawn without replacement; exact, by order statistics.

    Args:
        scores: One a peak; what is not finite has no score and comes last.
        k: From 1 to the number of scores.
        direction: Whether a low score is better, or a high one.

    Raises:
        ValueError: If k is outside of 1 to the number of scores.

    >>> best_at([4.0, 1.0, 2.0, 1.0], 1).expected, best_at([4.0, 1.0, 2.0, 1.0], 3).expected
    (2.0, 1.0)
    >>> best_at([1.0, float("inf"), 2.0], 1)
    BestAt(k=1, expected=None, median=2.0, lost=0.3333333333333333)

    References:
        Sivaprasad et al., Optimizer Benchmarking Needs to Account for Hyperparameter Tuning (2020), section 4.
    """
    total = len(scores)
    if not 1 <= k <= total:
        raise ValueError(f"got k={k} of {total} scores; expected 1 to {total}")
    whole = sorted((score for score in scores if isfinite(score)), reverse=direction == "maximize")
    ways = [comb(total - rank, k - 1) for rank in range(1, len(whole) + 1)]
    every = comb(total, k)
    lost = (every - sum(ways)) / every
    expected = None if lost else sum(score * (n / every) for score, n in zip(whole, ways, strict=True))
    return BestAt(k, expected, _median(whole, ways, every), lost)


def _median(scores: Sequence[float], ways: Sequence[int], every: int) -> float | None:
    """The first score by which half of the choices are reached."""
    reached = 0
    for score, n in zip(scores, ways, strict=True):
        reached += n
        if 2 * reached >= every:
            return score
    return None


def doublings(most: int) -> list[int]:
    """1, 2, 4, ... and the last.

    >>> doublings(7), doublings(8), doublings(1)
    ([1, 2, 4, 7], [1, 2, 4, 8], [1])
    """
    return sorted({2**i for i in range(most.bit_length()) if 2**i <= most} | ({most} if most else set()))
