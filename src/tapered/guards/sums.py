"""One pass over all gradients: a sum of squares that is small says that every entry is finite, and its square too."""

import math

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from tapered.rules.kernels import real

SMALL = 1 << 14  # entries; below it one more call costs more than the copy that saves it
MARGIN = 1e-6  # squares below this part of the largest number take a million steps to overflow Adagrad's sum


def gradients(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """All that there are."""
    return [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]


def shared(grads: list[Tensor]) -> bool:
    """Some gradient is spread over processes, which must then decide alike."""
    return any(type(grad) is not Tensor and hasattr(grad, "to_local") for grad in grads)


def here(tensor: Tensor) -> Tensor:
    """The entries that this process holds, as one dense tensor of real numbers."""
    if type(tensor) is not Tensor and hasattr(tensor, "to_local"):
        tensor = tensor.to_local()
    if tensor.is_sparse:
        tensor = tensor.coalesce().values()
    return real(tensor)


@torch.no_grad()
def sound(grads: list[Tensor], scale: float) -> bool:
    """No gradient can be wrong; they are `scale` times the true ones. False says to look at each."""
    found = squares(grads) / scale**2
    if shared(grads):
        found = largest(found, grads[0].device)
    return found <= MARGIN * min(torch.finfo(dtype).max for dtype in {grad.dtype for grad in grads})


def squares(grads: list[Tensor]) -> float:
    """The sum of every entry's square: infinite or NaN where an entry is, or where a square is in the entry's dtype."""
    large: list[Tensor] = []
    small: list[Tensor] = []
    others: list[Tensor] = []
    for grad in grads:
        if type(grad) is Tensor and grad.dtype is torch.float32 and grad.is_cpu and not grad.is_sparse:
            (small if grad.numel() < SMALL else large).append(grad.reshape(-1))
        else:
            others.append(here(grad))
    if small:
        large.append(torch.cat(small))
    # on an accelerator one call serves all; on a CPU it takes several times as long as dot products
    return sum(float(torch.dot(flat, flat)) for flat in large) + (float(get_total_norm(others)) ** 2 if others else 0.0)


def largest(value: float, device: torch.device) -> float:
    """Over all processes; NaN counts as infinite, since a maximum may lose it."""
    found = torch.tensor(math.inf if math.isnan(value) else value, dtype=torch.float32, device=device)
    torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
    return float(found)
