"""One step left out: the optimizer finds no gradient, and what it counts all the same is put back after."""

from typing import Any

import torch
from torch import Tensor


class LeftOut:
    """From now until `end` there are no gradients; then everything that stood in groups and state stands again.

    torch's rules do nothing without gradients. Others count in their groups, whatever there is to update.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        params = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        self.grads: list[tuple[Tensor, Tensor | None]] = [(p, p.grad) for p in params]
        self.groups = [(group, dict(group)) for group in optimizer.param_groups]
        self.state: dict[Any, Any] = {
            key: dict(entry) for key, entry in optimizer.state.items() if isinstance(entry, dict)
        }
        for param in params:
            param.grad = None

    def end(self) -> None:
        """The gradients are there again, for whoever logs them."""
        for param, grad in self.grads:
            param.grad = grad
        state = self.optimizer.state
        for key in [key for key, entry in state.items() if isinstance(entry, dict)]:
            if key not in self.state:
                del state[key]
        for whole, kept in (*self.groups, *((state[key], kept) for key, kept in self.state.items())):
            whole.clear()
            whole.update(kept)
