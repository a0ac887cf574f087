"""Whether a gradient's square would overflow the second moment that it joins.

    v <- kept v + added g^2       Adam: beta2 and 1 - beta2; RMSprop, Adadelta: alpha, rho; Adagrad: 1 and 1

An infinite v divides every later update to 0: the parameter never moves again, and nothing says so.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tapered.guards.sums import here
from tapered.optim import Optimizer

NAMES = ("exp_avg_sq", "square_avg", "sum")


def overflows(
    optimizer: torch.optim.Optimizer, group: Mapping[str, Any], param: Tensor, grad: Tensor, scale: float
) -> tuple[str, Tensor]:
    """The second moment's name, and the entries where it would be more than the largest number of its dtype."""
    state = optimizer.state.get(param) or {}
    name = moment_of(optimizer, group, state)
    if not name:
        return "", torch.zeros((), dtype=torch.bool)
    before = here(state[name]) if name in state else torch.zeros((), dtype=param.dtype.to_real(), device=grad.device)
    kept, added = weights(group)
    limit = torch.finfo(before.dtype).max
    wide = torch.promote_types(before.dtype, torch.float32)
    joins = (grad.to(wide) * (math.sqrt(added / limit) / scale)).square()
    if before.shape != grad.shape:  # there is none yet, or the gradient is sparse
        return name, joins > 1
    return name, before.to(wide) / limit * kept + joins > 1


def moment_of(optimizer: torch.optim.Optimizer, group: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """The second moment that a parameter has, or will have after its first update; "" for none."""
    if isinstance(optimizer, Optimizer):
        state = optimizer.rule(group).init(torch.zeros(1))
    if state:
        return next((name for name in NAMES if name in state), "")
    # before its first update a stranger's rule is known by its hypers only: Lion has no eps, ASGD has lambd
    if "lr_decay" in group:
        return "sum"
    if "eps" not in group or "lambd" in group:
        return ""
    return "exp_avg_sq" if "betas" in group else "square_avg" if group.keys() & {"alpha", "rho"} else ""


def weights(group: Mapping[str, Any]) -> tuple[float, float]:
    """How much of the second moment stays, and how much of the gradient's square joins it."""
    if "betas" in group:
        beta = float(group["betas"][1])
    elif "alpha" in group or "rho" in group:
        beta = float(group.get("alpha", group.get("rho")))
    else:
        return 1.0, 1.0
    return beta, 1 - beta
