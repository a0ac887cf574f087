"""Optimizers around optimizers: which of them makes the updates, and which steps no hook would see.

SAM and its relatives make theirs by the step of a `base_optimizer` that shares their groups, within `second_step` or
`step(closure)`; wrappers (Lookahead, Schedule-Free's) by that of their `optimizer`. The inner one's updates count.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch

HOOKS = ("step_pre", "step_post", "state_dict_pre", "state_dict_post", "load_state_dict_pre", "load_state_dict_post")
INNER = ("base_optimizer", "_base_optimizer", "optimizer")


def maker(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The optimizer whose `step` makes the updates: the innermost that shares this one's groups."""
    for name in INNER:
        inner = getattr(optimizer, name, None)
        if (
            isinstance(inner, torch.optim.Optimizer)
            and inner is not optimizer
            and has(inner, *HOOKS)
            and inner.param_groups is optimizer.param_groups
        ):
            return maker(inner)
    return optimizer


def has(optimizer: torch.optim.Optimizer, *kinds: str) -> bool:
    """It takes hooks of these kinds, as torch's optimizers do."""
    return all(hasattr(optimizer, f"_optimizer_{kind}_hooks") for kind in kinds)


def takes_hooks(optimizer: torch.optim.Optimizer, call: str) -> None:
    """It is an optimizer of torch's kind, whose updates can be seen.

    Raises:
        TypeError, ValueError: with what to `call` instead.
    """
    kind = type(optimizer).__name__
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"got {kind}; expected a torch.optim.Optimizer")
    if hasattr(optimizer, "fused_backward"):
        raise ValueError(
            f"{kind} makes its updates in fused_backward(loss, lr), where no hook sees them, and takes the rate as an "
            f"argument; write optimizer.fused_backward(loss, lr=schedule(k)) at update k instead of {call}"
        )
    if not has(optimizer, "step_pre", "step_post") or not has(maker(optimizer), *HOOKS):
        inner = getattr(optimizer, "optimizer", None)
        fix = "its .optimizer" if isinstance(inner, torch.optim.Optimizer) else "the optimizer that it wraps"
        raise TypeError(f"got {kind}, a wrapper that takes no hooks; try {call} on {fix}")


def around(optimizer: torch.optim.Optimizer, name: str, before: Callable[[], None], after: Callable[[], None]) -> None:
    """Call `before` and `after` around a method of this optimizer, until `apart`."""
    method = getattr(optimizer, name)

    @functools.wraps(method)
    def called(*args: Any, **kwargs: Any) -> Any:
        before()
        try:
            return method(*args, **kwargs)
        finally:
            after()

    setattr(optimizer, name, called)


def apart(optimizer: torch.optim.Optimizer, name: str) -> None:
    """The class's own method again."""
    optimizer.__dict__.pop(name, None)
