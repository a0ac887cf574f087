"""The gradients of stacked rows, (rows, *shape) each, as a recipe has them: of accumulated minibatches, clipped."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from tapered.training.objective import weighed
from tapered.training.recipe import Recipe
from tapered.training.workload import Workload

Tensors = dict[str, Tensor]
SMALL = 1e-6  # beside a norm, as torch has it


def accumulated(
    gradient: Callable[..., Any], workload: Workload, mine: Tensors, others: Tensors, batches: Sequence[tuple[Any, Any]]
) -> tuple[Tensors, Tensor, Tensors]:
    """Gradients and losses, (rows,), as means over minibatches, and the buffers after the last of them.

    Args:
        gradient: Parameters, other tensors, inputs, targets -> gradients, (losses, buffers), of all rows.
        workload: What is trained; its `weight` says what a minibatch weighs.
        mine: What is trained, stacked.
        others: Frozen parameters and buffers, stacked.
        batches: Inputs and targets of each minibatch, stacked.
    """
    if len(batches) == 1:
        grads, (losses, written) = gradient(mine, others, *batches[0])
        return grads, losses, written
    weights = _shares(workload, batches, next(iter(mine.values())))
    grads, total, written = {}, torch.zeros((), device=weights[0].device), dict(others)
    for weight, batch in zip(weights, batches, strict=True):
        found, (losses, new) = gradient(mine, written, *batch)
        written = {**written, **new}
        total = total + weight * losses
        for name, grad in found.items():
            part = weight.to(grad.dtype).view(-1, *[1] * (grad.dim() - 1)) * grad
            grads[name] = grads[name] + part if name in grads else part
    return grads, total, written


def _shares(workload: Workload, batches: Sequence[tuple[Any, Any]], like: Tensor) -> list[Tensor]:
    """What each minibatch weighs in each row, (rows,)."""
    if workload.weight is None:
        return [torch.full((len(like),), 1 / len(batches), device=like.device)] * len(batches)
    weight = workload.weight
    found = [vmap(lambda of: torch.as_tensor(weight(of)))(weighed(workload, *batch)).float() for batch in batches]
    total = torch.stack(found).sum(0)
    return [each / total for each in found]


def clipped(recipe: Recipe, grads: Tensors) -> None:
    """Shorten the gradients of each row, in place, as `clip_grad_norm_` and `clip_grad_value_` do."""
    if recipe.clip_norm is not None:
        squares = [grad.abs().square().flatten(1).sum(1) for grad in grads.values()]
        norms = sum(squares[1:], squares[0]).sqrt()  # stacked, torch's compiler stumbles over more than a dozen
        shorter = (recipe.clip_norm / (norms + SMALL)).clamp(max=1.0)
        for name, grad in grads.items():
            grads[name] = grad * shorter.to(grad.real.dtype).view(-1, *[1] * (grad.dim() - 1))
    if recipe.clip_value is not None:
        for name, grad in grads.items():
            grads[name] = grad.clamp(-recipe.clip_value, recipe.clip_value)
