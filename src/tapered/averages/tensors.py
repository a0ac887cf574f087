"""What is averaged, by name: an optimizer's parameters or a model's, and its buffers of real numbers where asked."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from tapered.rules import shards


def parameters(optimizer: torch.optim.Optimizer | None, model: nn.Module | None) -> dict[str, Tensor]:
    """Every parameter that holds real or complex numbers, once, by its name: the model's, the optimizer's, or place.

    Raises:
        ValueError: one that is no parameter of the model, is spread over processes, or has another's name.
    """
    named = {} if model is None else {id(param): name for name, param in model.named_parameters()}
    if optimizer is None:
        placed: Iterator[tuple[str, Tensor]] = iter(model.named_parameters() if model is not None else ())
    else:
        placed = _placed(optimizer)
    found: dict[str, Tensor] = {}
    for place, param in placed:
        if not (param.is_floating_point() or param.is_complex()):
            continue
        name = named.get(id(param), place)
        if model is not None and id(param) not in named:
            raise ValueError(
                f"{place} of the optimizer (shape {tuple(param.shape)}) is no parameter of the {type(model).__name__} "
                f"that was given as its model; give the whole model, or leave model= out"
            )
        if shards.is_shared(param):
            raise ValueError(
                f"{name} is spread over processes (a DTensor), and an average is of whole tensors; try torch's "
                f"AveragedModel(model)"
            )
        if name in found and found[name] is not param:
            raise ValueError(f"two parameters are named {name!r}; give the model: average(optimizer, ..., model=model)")
        found[name] = param
    return found


def _placed(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    for index, group in enumerate(optimizer.param_groups):
        names = group.get("param_names") or [f"group {index}, params[{place}]" for place in range(len(group["params"]))]
        yield from zip(names, group["params"], strict=True)


def buffers(model: nn.Module) -> dict[str, Tensor]:
    """A model's buffers of real or complex numbers, once each, by name."""
    return {name: b for name, b in model.named_buffers() if b.is_floating_point() or b.is_complex()}


def size(optimizer: torch.optim.Optimizer | None) -> list[int]:
    """How many parameters each group has: whether some have joined."""
    return [] if optimizer is None else [len(group["params"]) for group in optimizer.param_groups]
