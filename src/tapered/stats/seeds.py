"""How many seeds it takes: to say anything of so many comparisons, and to show a difference of a size.

least p of n seeds, corrected (Holm) for m comparisons = m / 2^(n-1)        8 seeds: m <= 6 at alpha = 0.05, 9: m <= 12
"""

from math import ceil

from scipy import special

from tapered.stats.flips import PATTERNS

SEEDS_FOR_A_CLAIM = 8


def seeds_that_reach(alpha: float = 0.05, comparisons: int = 1) -> int:
    """The fewest seeds, all of one sign, whose p is below alpha when corrected for so many comparisons.

    Raises:
        ValueError: If alpha is not between 0 and 1, comparisons is below 1, or p is not resolved so far.

    >>> [seeds_that_reach(0.05, m) for m in (1, 6, 7, 12, 13, 25, 26)]
    [6, 8, 9, 9, 10, 10, 11]
    """
    if not 0 < alpha < 1:
        raise ValueError(f"got alpha={alpha!r}; expected a number between 0 and 1; try alpha=0.05")
    if comparisons < 1:
        raise ValueError(f"got comparisons={comparisons!r}; expected how many p is corrected for; try 1")
    if comparisons / PATTERNS >= alpha:
        raise ValueError(
            f"got alpha={alpha:g} for {comparisons:,} comparisons; p is known to {1 / PATTERNS:g} each, so that no "
            f"number of seeds could show one; try alpha={min(0.05, 2 * comparisons / PATTERNS):g}"
        )
    n = 1
    while comparisons / 2 ** (n - 1) >= alpha:
        n += 1
    return n


def seeds_needed(alpha: float = 0.05, comparisons: int = 1) -> int:
    """Seeds below which nothing is claimed: 8, or more where p could not fall below alpha with fewer.

    Args:
        alpha: Two-sided error rate, of all comparisons together.
        comparisons: How many arms are compared with the baseline, which p is corrected for (Holm).

    Raises:
        ValueError: As ``seeds_that_reach``.

    >>> seeds_needed(), seeds_needed(0.001), seeds_needed(comparisons=7)
    (8, 11, 9)
    """
    return max(SEEDS_FOR_A_CLAIM, seeds_that_reach(alpha, comparisons))


def seeds_for(delta: float, spread: float, *, alpha: float = 0.05, power: float = 0.8, comparisons: int = 1) -> int:
    """About how many seeds show a mean gain of ``delta`` where gains deviate by ``spread`` from seed to seed.

        n = ((z(1 - alpha / (2 comparisons)) + z(power)) * spread / delta)^2 + 2

    7.85 (spread / delta)^2 for one comparison, a two-sided 5% and a power of 80%, and two more since the deviation is
    estimated; never fewer than ``seeds_needed``.

    Args:
        delta: The smallest gain that matters, above 0.
        spread: The gains' standard deviation over seeds.
        alpha: How often a study may err where nothing is to be found.
        power: How often it shall find such a gain.
        comparisons: Made at once, for which alpha is divided.

    Raises:
        ValueError: If delta is not above 0.

    >>> seeds_for(1.0, 1.0), seeds_for(0.5, 1.0), seeds_for(5.0, 1.0), seeds_for(5.0, 1.0, comparisons=7)
    (10, 34, 8, 9)
    """
    if not delta > 0:
        raise ValueError(f"got delta={delta!r}; expected the smallest gain that matters, above 0; try delta=0.01")
    z = float(special.ndtri(1 - alpha / (2 * comparisons)) + special.ndtri(power))
    ratio = min(z * spread / delta, 1e9)  # beyond any study, and within what ceil takes
    return max(seeds_needed(alpha, comparisons), ceil(ratio * ratio) + 2)
