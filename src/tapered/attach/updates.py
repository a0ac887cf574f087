"""Whether a call of an optimizer's `step` is an update that counts, and whether it may be made."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch

T = TypeVar("T")
Groups = list[dict[str, Any]]


def alone(optimizer: torch.optim.Optimizer) -> None:
    """No torch scheduler was made for the optimizer: it would write the rate, too.

    Raises:
        ValueError: there is one.
    """
    if hasattr(optimizer.step, "_wrapped_by_lr_sched"):
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        raise ValueError(
            f"a torch LRScheduler was made for this {type(optimizer).__name__} and writes `lr` (now {rates}), too; "
            "keep one of the two: leave the scheduler out (code that insists on one takes as_lr_scheduler(clock)), or, "
            "where it is gone already, `del optimizer.step`"
        )


def moves(groups: Groups) -> bool:
    """Some parameter has a gradient."""
    for group in groups:
        for param in group["params"]:
            if param.grad is not None:
                return True
    return False


def skipped(optimizer: torch.optim.Optimizer) -> bool:
    """A GradScaler leaves it to a fused optimizer to skip a step whose gradients overflowed."""
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found.item())


def untraced(function: Callable[..., T]) -> Callable[..., T]:
    """A hook that torch.compile leaves alone, and that costs nothing more; what it calls needs the same."""
    return torch._dynamo.decorators.skip(function)  # noqa: SLF001  # torch's own name
