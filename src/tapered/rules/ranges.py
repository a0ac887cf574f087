"""What each hyper may be, for rules, optimizers and studies alike."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Range:
    """The values that a hyper may take, and one to paste."""

    low: float
    high: float
    example: str
    low_open: bool = False
    high_open: bool = True

    def __contains__(self, value: float) -> bool:
        """NaN and infinity are in no range."""
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below and math.isfinite(value)

    def first_outside(self, values: NDArray[np.float64]) -> int | None:
        """The first place whose value is not in the range; None where all are."""
        # the least and the largest tell of all, and NaN of either
        if not len(values) or (float(values.min()) in self and float(values.max()) in self):
            return None
        return next(place for place, value in enumerate(values.tolist()) if value not in self)

    def __str__(self) -> str:
        ends = "(" if self.low_open else "[", ")" if self.high_open else "]"
        return f"a finite number in {ends[0]}{self.low:g}, {self.high:g}{ends[1]}"


RANGES: Mapping[str, Range] = {
    "lr": Range(0, math.inf, "1e-3"),
    "beta1": Range(0, 1, "0.9"),
    "beta2": Range(0, 1, "0.999"),
    # where a gradient has always been 0 the root is 0, and 0 / (0 + 0) would be NaN for ever
    "eps": Range(0, math.inf, "1e-8", low_open=True),
    "weight_decay": Range(0, math.inf, "0.01"),
    "momentum": Range(0, math.inf, "0.9"),
    "dampening": Range(-math.inf, math.inf, "0", low_open=True),
    "momentum_decay": Range(0, math.inf, "0.004"),
    "alpha": Range(0, 1, "0.99", high_open=False),
    "rho": Range(0, 1, "0.9", high_open=False),
    "lr_decay": Range(0, math.inf, "0"),
    "initial_accumulator_value": Range(0, math.inf, "0.1"),
    "r": Range(0, math.inf, "0"),
    "weight_lr_power": Range(0, math.inf, "2"),
}
FINITE = Range(-math.inf, math.inf, "1.0", low_open=True)  # what a rule of one's own may call a hyper of its own


def ranges_of(rule: Any) -> Mapping[str, Range]:
    """The ranges of a rule's hypers: the common ones, and those that it states itself as `ranges`.

    >>> from tapered import rules
    >>> 0.0 in ranges_of(rules.Adam())["beta1"], 0.0 in ranges_of(rules.ScheduleFreeAdamW())["beta1"]
    (True, False)
    """
    known = {**RANGES, **getattr(rule, "ranges", {})}
    return MappingProxyType({name: known.get(name, FINITE) for name in ("lr", *rule.hypers)})
