r"""What is left in AdamW's weights of the start and of each update: decay lr * wd shrinks both, step after step.

    w_T = c_0 w_0 - sum_k c_k u_k,     c_k = lr_k prod_{i>k} (1 - lr_i wd_i),     c_0 = prod_i (1 - lr_i wd_i)

Exact for every rule with decoupled decay; u_k is the update at a rate of 1. At constant rates it is an exponential mean
over 1 / (lr wd) updates (Wang and Aitchison 2024, arXiv 2405.13698). A rate that falls weakens the decay with it.
"""

from dataclasses import dataclass
from typing import SupportsIndex

import numpy as np

from tapered.pictures.fragment import line
from tapered.theory import given
from tapered.theory.given import Floats, Rates


@dataclass(frozen=True, eq=False)
class Shares:
    """What the weights after the last step are made of.

    Args:
        start: c_0, what is left of the weights at the start.
        updates: c_k, what is left of each update, shape (steps,).

    Example:
        >>> found = shares(0.1, 0.5, steps=3)
        >>> round(found.start, 6), found.updates.round(6).tolist(), round(found.effective, 2), found.half
        (0.857375, [0.09025, 0.095, 0.1], 2.99, 1)
    """

    start: float
    updates: Floats

    def __repr__(self) -> str:
        return f"Shares({self.start:.3g} of the start, about {self.effective:.4g} of {len(self.updates):,} updates)"

    def _repr_html_(self) -> str:
        said = str(self)[7:-1]
        return line(list(enumerate(self.updates.tolist())), said, ("update", "what is left of it"), log=False)

    @property
    def effective(self) -> float:
        """How many updates of equal size would be averaged alike: 1 / sum p^2, p the updates' shares; 0 if none."""
        sizes = np.abs(given.scaled(np.abs(self.updates))[0])
        squares = float(np.square(sizes).sum())
        return float(sizes.sum()) ** 2 / squares if squares else 0.0

    @property
    def half(self) -> int | None:
        """The step up to which the first half of all that updates add was made; None where nothing is left of any."""
        sizes = np.cumsum(np.abs(self.updates))
        return int(np.searchsorted(sizes, sizes[-1] / 2)) if sizes[-1] > 0 else None


def shares(lr: Rates, weight_decay: Rates, steps: SupportsIndex) -> Shares:
    """What is left in AdamW's weights of the start and of each update.

    Args:
        lr: The rate: a number, a schedule, or a table of one a step.
        weight_decay: Decoupled, multiplied by the rate, as torch's AdamW has it: likewise.
        steps: Updates.

    Raises:
        TypeError: If something is no number, table or schedule.
        ValueError: If one of them is negative or not finite.

    Example:
        >>> from tapered.schedules import constant, linear
        >>> for rate in (constant(3e-3), 3e-3 * linear(steps=1000)):
        ...     found = shares(rate, 1.0, 1000)
        ...     print(f"{found.start:.3f} of the start, about {found.effective:.0f} updates")
        0.050 of the start, about 603 updates
        0.222 of the start, about 886 updates
    """
    count = given.whole(steps)
    rate, decay = given.rates(lr, count, "lr"), given.rates(weight_decay, count, "weight_decay")
    keep = 1 - rate * decay
    after = np.concatenate([np.cumprod(keep[::-1])[::-1], [1.0]])  # of the start and of each update, lr left out
    return Shares(float(after[0]), rate * after[1:])
