"""Gains that are drawn, for the controls: how often intervals hold the true value, and what is said of no difference.

normal    the usual case
heavy     Student's t with 2 degrees of freedom: no variance
losses    two losses that are both skewed (lognormal), one less the other: symmetric, as arms that do alike are
skewed    an exponential less its mean: as far from symmetric as a gain that is never far below 0
lognormal one less its mean: one seed in many makes most of it
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import exp

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from tapered.stats import gains, holm, paired, seeds_needed, verdict

Draw = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]
SYMMETRIC: Mapping[str, Draw] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "heavy": lambda rng, shape: rng.standard_t(2, shape),
    "losses": lambda rng, shape: rng.lognormal(size=shape) - rng.lognormal(size=shape),
}
SKEWED: Mapping[str, Draw] = {
    "skewed": lambda rng, shape: rng.exponential(size=shape) - 1.0,
    "lognormal": lambda rng, shape: rng.lognormal(size=shape) - exp(0.5),
}
DRAWS = {**SYMMETRIC, **SKEWED}
WIN_RATE = {"skewed": exp(-1), "lognormal": float(norm.sf(0.5))}  # where it is no half
SEEDS = (5, 6, 8, 12, 20)
AFTER = 12  # so many seeds on, a study takes a tenth as many: 20 seeds have half a million sign patterns


def coverage(studies: int) -> dict[str, float]:
    """How often each interval holds the true mean, or the true win rate; none where there is no interval.

    `all` is the least interval that holds all of the mean's, since a verdict asks all of them.
    """
    facts: dict[str, float] = {}
    for name, draw in DRAWS.items():
        share = WIN_RATE.get(name, 0.5)
        for n in SEEDS:
            many = studies if n <= AFTER else studies // 10
            found = [paired(d) for d in draw(np.random.default_rng(n), (many, n))]
            mean = [[ends for ends in ((r.low, r.high), r.bootstrap, r.flips) if ends] for r in found]
            held = {
                "all": [min(low for low, _ in ends) <= 0 <= max(high for _, high in ends) for ends in mean],
                "t": [r.low <= 0 <= r.high for r in found],
                "bootstrap": [r.bootstrap[0] <= 0 <= r.bootstrap[1] for r in found],
                "flips": [r.flips[0] <= 0 <= r.flips[1] for r in found if r.flips],
                "win_rate": [r.win_interval[0] <= share <= r.win_interval[1] for r in found],
            }
            facts |= {f"{kind}_{name}_{n}": float(np.mean(each)) for kind, each in held.items() if each}
            facts[f"intervals_{name}_{n}"] = many
    return facts


def false_rates(studies: int, arms: tuple[int, ...]) -> dict[str, float]:
    """In which share of studies at least one of so many arms, all like the baseline, is said to help or hurt."""
    facts: dict[str, float] = {"drawn_studies": studies}
    for name in ("normal", "heavy", "skewed"):
        for count in arms:
            shape = (studies, count + 1, seeds_needed(comparisons=count))
            values = DRAWS[name](np.random.default_rng(count), shape)
            facts[f"drawn_false_{name}_{count}"] = float(np.mean([_says(study) for study in values]))
    return facts


def power(studies: int, mean: float = 1.5) -> dict[str, float]:
    """In which share of studies of 8 seeds a gain of so many deviations is said to help; and without the bootstrap."""
    found = [paired(d) for d in np.random.default_rng(8).normal(mean, 1.0, (studies, 8))]
    without = [replace(result, bootstrap=None) for result in found]
    return {
        f"drawn_helps{name}": float(np.mean([verdict(result).word == "helps" for result in results]))
        for name, results in (("", found), ("_without_bootstrap", without))
    }


def _says(values: NDArray[np.float64]) -> bool:
    """Whether anything is said of the arms of a study, a row each, against its first row."""
    found = [paired(gains(row, values[0])) for row in values[1:]]
    corrected = holm([result.p for result in found])
    words = [verdict(r, p=p, comparisons=len(found)).word for r, p in zip(found, corrected, strict=True)]
    return bool({"helps", "hurts"} & set(words))
