"""How many updates an optimizer has made, when a process meets it: 0, or what its state brought along.

run.started(step)   else a clock of tapered's   else its own count, left by the witness   else Adam's `step`
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.parameter import UninitializedParameter

from tapered.attach import clock_of
from tapered.attach.saved import counted
from tapered.optim import Optimizer

KEY = "tapered_updates"  # in the first group of an optimizer that keeps no count, so that its state dict carries one


def made(optimizer: torch.optim.Optimizer) -> int | None:
    """The updates that an optimizer has made; None where nothing in it says so, 0 where it is as it was made."""
    clock = clock_of(optimizer)
    if clock is not None:
        return clock.step
    if isinstance(optimizer, Optimizer):
        return optimizer.steps
    group = optimizer.param_groups[0]
    for key in (KEY, "step"):
        if isinstance(group.get(key), (int, torch.Tensor)):
            return int(group[key])
    return counted(optimizer)


def counts(optimizer: torch.optim.Optimizer) -> bool:
    """Whether its own state will say how many updates it has made, once it has made one."""
    if clock_of(optimizer) is not None or isinstance(optimizer, Optimizer) or "step" in optimizer.param_groups[0]:
        return True
    return any(isinstance(state, Mapping) and "step" in state for state in optimizer.state.values())


def follows(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a schedule of tapered's writes its rate already."""
    if clock_of(optimizer) is not None:
        return True
    return isinstance(optimizer, Optimizer) and any("lr" in own for own in optimizer.schedules)


def size(optimizer: torch.optim.Optimizer) -> int:
    """The numbers that it updates; lazy parameters have none yet."""
    params = [param for group in optimizer.param_groups for param in group["params"]]
    return sum(param.numel() for param in params if not isinstance(param, UninitializedParameter))


def shares(one: torch.optim.Optimizer, other: torch.optim.Optimizer) -> bool:
    """Whether both update some parameter."""
    ours: set[Any] = {id(param) for group in one.param_groups for param in group["params"]}
    return any(id(param) in ours for group in other.param_groups for param in group["params"])
