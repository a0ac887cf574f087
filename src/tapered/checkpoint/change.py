"""What a fork does otherwise than its parent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from tapered.schedules import Controller, Schedule

Value = float | Tensor | Schedule | Controller


@dataclass(frozen=True)
class Change:
    """How a run goes on otherwise than before; not at all, for a resume.

    Args:
        hypers: Hyper -> a number or schedule, or one for each parameter group.
        keep_moments: False drops the rules' state.
        counted: Whether a new schedule's step 0 is "now" or was at the "start".
        step: Where the fork is.
        saved_hold: Where other hypers differ, the saved ones hold.
        attributes: Plain numbers of modules: the "same", the "saved" ones are set, or "any".

    Example:
        >>> from tapered import linear
        >>> Change({"lr": linear(1e-4, 0.0, steps=20)}, counted="now", step=40).hypers
        {'lr': linear(0.0001, steps=20)}
    """

    hypers: Mapping[str, Value | Sequence[Value]] = field(default_factory=dict)
    keep_moments: bool = True
    counted: Literal["now", "start"] | None = None
    step: int = 0
    saved_hold: bool = False
    attributes: Literal["same", "saved", "any"] = "same"
