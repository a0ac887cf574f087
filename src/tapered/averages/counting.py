"""How many updates an optimizer says that it has made, so that two states of different moments are noticed."""

import torch

from tapered.attach import clock_of
from tapered.attach.layers import maker
from tapered.attach.saved import counted
from tapered.optim import Optimizer


def at_hand(optimizer: torch.optim.Optimizer) -> int | None:
    """The count of a clock, or of one of tapered's; None of any other."""
    clock, inner = clock_of(optimizer), maker(optimizer)
    if clock is not None:
        return clock.step
    return inner.steps if isinstance(inner, Optimizer) else None


def looked_up(optimizer: torch.optim.Optimizer) -> int | None:
    """The same, or the most that a parameter's state says; None where it counts nothing."""
    known = at_hand(optimizer)
    return counted(maker(optimizer)) if known is None else known
