"""The peaks that an arm is tried at."""

from typing import Annotated, Self

import numpy as np
from annotated_types import Ge, Le
from pydantic import model_validator

from tapered.study.file.fields import Positive, Strict, Whole


class Peaks(Strict):
    """A logarithmic grid: ``count`` peaks from ``low`` to ``high``, and more in the same ratio beyond its edges.

    >>> Peaks(low=0.01, high=1.0, count=3, above=1).values
    (0.01, 0.1, 1.0, 10.0)
    """

    low: Positive
    high: Positive
    count: Annotated[Whole, Ge(1), Le(1000)]
    below: Annotated[Whole, Ge(0), Le(1000)] = 0
    above: Annotated[Whole, Ge(0), Le(1000)] = 0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high or (self.count > 1) != (self.low < self.high):
            raise ValueError(f"low={self.low:g} and high={self.high:g} do not span {self.count} peaks; try low < high")
        if self.count == 1 and (self.below or self.above):
            raise ValueError("one peak has no ratio to go on by; try count = 2 or more")
        return self

    @property
    def values(self) -> tuple[float, ...]:
        """The peaks, lowest first, rounded to 6 digits so that they read as they are used."""
        ratio = (self.high / self.low) ** (1 / max(1, self.count - 1))
        below = [self.low * ratio**-i for i in range(self.below, 0, -1)]
        above = [self.high * ratio**i for i in range(1, self.above + 1)]
        return tuple(float(f"{v:.6g}") for v in (*below, *np.geomspace(self.low, self.high, self.count), *above))

    def extended(self, below: int, above: int) -> Self:
        """The grid with so many more peaks beyond its edges."""
        return self.model_copy(update={"below": self.below + below, "above": self.above + above})
