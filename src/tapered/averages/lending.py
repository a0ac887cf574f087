"""The average in the weights' place for a block, and everything as it was after it, whatever happens there."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from tapered.draws import kept

CHANGED = (
    "the weights were changed within readout(), where they are those of the average: a step, or a state that was "
    "loaded; that is undone, and they are the trained ones again; train outside of the block"
)


@contextlib.contextmanager
def lent(tensors: Mapping[str, Tensor], averages: Mapping[str, Tensor], watched: Iterable[str]) -> Iterator[None]:
    """Within the block these tensors hold their averages.

    Raises:
        RuntimeError: something else was written into one of those `watched`.
    """
    own = {name: tensors[name].detach().clone() for name in averages}
    try:
        _write(tensors, averages)
        versions = {name: tensors[name]._version for name in watched if name in averages}  # noqa: SLF001  # torch's own
        yield
        if any(tensors[name]._version != version for name, version in versions.items()):  # noqa: SLF001  # as above
            raise RuntimeError(CHANGED)
    finally:
        _write(tensors, own)


@torch.inference_mode(mode=False)
@torch.no_grad()
def _write(tensors: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        tensors[name].copy_(value)
    torch.clear_autocast_cache()  # else a block of autocast goes on with the weights that it has cast before


@contextlib.contextmanager
def recomputed(model: nn.Module, batches: Iterable[Any]) -> Iterator[None]:
    """Within the block BatchNorm's statistics are those of these minibatches under the weights of now."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    own = [(buffer, buffer.detach().clone()) for norm in norms for buffer in norm.buffers()]
    momenta = [(norm, norm.momentum) for norm in norms]
    modes = [(module, module.training) for module in model.modules()]
    try:
        try:
            with kept():  # training's random numbers are not used up
                update_bn(batches, model)
        finally:
            for norm, momentum in momenta:
                norm.momentum = momentum
            for module, training in modes:
                module.training = training
        yield
    finally:
        with torch.no_grad():
            for buffer, value in own:
                buffer.copy_(value)
