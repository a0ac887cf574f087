"""In which order an epoch goes through the training split: by name, or by a function of seed and epoch."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tapered.draws import epoch_order, seeded
from tapered.training.living import SHARED, UnsteadyError

if TYPE_CHECKING:
    from tapered.training.workload import Workload

Sampler = Callable[[int, int], Tensor | np.ndarray[Any, Any] | Sequence[int]]


@lru_cache(maxsize=64)
def ordered(workload: "Workload", seed: int, number: int) -> Tensor:
    """The indices of an epoch in their order: int64.

    Raises:
        TypeError, ValueError: If a function's are none of the split's, or fewer than a step takes.
        UnsteadyError: If it returns others when it is called twice.
    """
    size = len(workload.train)  # type: ignore[arg-type]  # torch's Dataset declares no __len__
    if not callable(workload.order):
        return epoch_order(size, seed, number, workload.order)
    first, second = (_called(workload, workload.order, size, seed, number) for _ in range(2))
    if not torch.equal(first, second):
        raise UnsteadyError(
            f"workload {workload.name!r}: order({seed}, {number}) called twice returned other indices, so that they "
            f"depend on more than seed and epoch; {SHARED}"
        )
    expected = len(first) if (seed, number) == (0, 0) else len(ordered(workload, 0, 0))
    if len(first) != expected:
        raise ValueError(
            f"workload {workload.name!r}: order({seed}, {number}) returned {len(first):,} indices and order(0, 0) "
            f"{expected:,}; expected as many in each epoch"
        )
    return first


def _called(workload: "Workload", order: Sampler, size: int, seed: int, number: int) -> Tensor:
    with seeded(seed, "epoch", number):
        found = order(seed, number)
    try:
        indices = torch.as_tensor(found)
    except (TypeError, ValueError, RuntimeError):
        indices = torch.empty(0, 0)
    whole = not (indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool)
    if indices.dim() != 1 or not (whole or not len(indices)):
        raise TypeError(
            f"workload {workload.name!r}: order({seed}, {number}) returned {type(found).__name__}; expected the "
            f"indices of an epoch, whole numbers; try order=lambda seed, epoch: torch.randperm({size})"
        )
    indices = indices.to("cpu", torch.int64, copy=True)  # the function may change its own
    outside = indices[(indices < 0) | (indices >= size)]
    if len(outside):
        raise ValueError(
            f"workload {workload.name!r}: order({seed}, {number}) returned the index {int(outside[0])}; expected "
            f"indices of the {size:,} training examples, from 0 on"
        )
    return indices


def batches(workload: "Workload", seed: int, start: int, stop: int) -> Tensor:
    """Indices of the examples of updates start, ..., stop - 1: int64, shape (stop - start, step_size)."""
    size, per_epoch, parts = workload.step_size, workload.steps_per_epoch, []
    while start < stop:
        epoch, place = divmod(start, per_epoch)
        count = min(stop - start, per_epoch - place)
        indices = ordered(workload, seed, epoch)
        parts.append(indices[place * size : (place + count) * size].view(count, -1))
        start += count
    return torch.cat(parts) if len(parts) > 1 else parts[0]
