"""Paired gains over seeds, and what they say.

    gain_i = how much better the candidate is than the baseline at seed i        i = 1 .. n

A gain is positive where the candidate is better, whether the metric is to fall or to rise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, isnan
from typing import Literal

import numpy as np

from tapered.stats.flips import sign_flips
from tapered.stats.intervals import Ends, bootstrap_interval, deviation, share_interval, t_interval

Direction = Literal["minimize", "maximize"]


@dataclass(frozen=True)
class Paired:
    """What ``n`` paired gains say.

    Args:
        n: Pairs.
        mean: Mean gain; None where a run diverged, since such a gain is infinite, or n = 0.
        low: Lower end of Student's t interval for the mean; None where there is no mean, or n < 2.
        high: Its upper end.
        bootstrap: The interval for the mean that allows for skewness, bootstrap-t's (see ``intervals``); None where a
            gain is infinite, and for fewer than 5.
        flips: The interval for the mean that inverts the sign-flip test; None where a gain is infinite, and where there
            are too few for one, 5 at alpha = 0.05 (see ``flips``).
        spread: Standard deviation of the gains; None where there is no interval.
        p: Two-sided p of the sign-flip test; None if n = 0.
        wins: Pairs in which the candidate is better.
        losses: Pairs in which it is worse.
        ties: Pairs in which both are equal, or both diverged.
        win_rate: Wins as a share of the pairs that differ; None where none does.
        win_interval: Clopper and Pearson's interval for it.
        one_sided: Pairs in which exactly one of the two runs diverged.
        level: Confidence of the intervals, 0.95 for alpha = 0.05.

    Example:
        >>> from tapered.stats import gains, paired
        >>> found = paired(gains([0.9, 0.8, 0.7], [1.0, 1.0, 1.0]))
        >>> found.n, round(found.mean, 6), found.wins, found.p
        (3, 0.2, 3, 0.25)
    """

    n: int
    mean: float | None
    low: float | None
    high: float | None
    bootstrap: Ends | None
    flips: Ends | None
    spread: float | None
    p: float | None
    wins: int
    losses: int
    ties: int
    win_rate: float | None
    win_interval: Ends | None
    one_sided: int
    level: float


def gains(candidate: Sequence[float], baseline: Sequence[float], direction: Direction = "minimize") -> list[float]:
    """Gain of the candidate over the baseline at each seed, positive where it is better.

    A value that is not finite stands for a diverged run. It is worse than every finite one, so the gain is infinite
    where one of the two diverged, and 0 where both did.

    Args:
        candidate: A value a seed.
        baseline: Likewise, in the same order of seeds.
        direction: Whether a low value is better ("minimize"), or a high one.

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
    """Mean, intervals, sign-flip test, wins and their rate.

    Args:
        gain: One a seed, as `gains` gives them.
        alpha: 1 minus the confidence of the intervals.

    Raises:
        ValueError: If a gain is NaN (see ``gains``) or alpha is not between 0 and 1.

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
    mean, ends = t_interval(d, alpha)
    p, flips = sign_flips(d, alpha) if len(d) else (None, None)
    wins, losses = int((d > 0).sum()), int((d < 0).sum())
    return Paired(
        n=len(d),
        mean=mean,
        low=ends and ends[0],
        high=ends and ends[1],
        bootstrap=bootstrap_interval(d, alpha),
        flips=flips,
        spread=deviation(d) if ends else None,
        p=p,
        wins=wins,
        losses=losses,
        ties=len(d) - wins - losses,
        win_rate=wins / (wins + losses) if wins + losses else None,
        win_interval=share_interval(wins, wins + losses, alpha),
        one_sided=int(np.isinf(d).sum()),
        level=1 - alpha,
    )
