"""The minibatches of stacked rows: gathered by each row's indices from what all of them share."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from tapered.draws import kept
from tapered.training import items, trees
from tapered.training.devices import CPU
from tapered.training.objective import strange_of
from tapered.training.trees import TreeError
from tapered.training.workload import Workload

AT_ONCE = 2**17  # indices of rows that are laid out at once: a megabyte, which stays in a cache


def _whole(workload: Workload) -> tuple[Tensor, ...] | None:
    """The training split's tensors, to be gathered where the rows are; None where that is not possible."""
    if not workload.is_whole("train"):
        return None
    dataset: Any = workload.train
    return tuple(dataset.tensors) if workload.recipe.place == CPU else workload.lying("train")


class Batches:
    """Minibatches of all rows for a block of steps: rows of one seed see the same."""

    def __init__(self, workload: Workload, seeds: Sequence[int], first: int, last: int) -> None:
        self.workload = workload
        self.seeds = list(dict.fromkeys(seeds))
        there = workload.recipe.place
        self.place = torch.tensor([self.seeds.index(seed) for seed in seeds], device=there)
        self.whole = _whole(workload)
        if self.whole is not None:  # gathered where they lie
            indices = torch.stack([workload.batches(seed, first, last) for seed in self.seeds], dim=1)
            self.laid, self.pair = _laid_out(indices.to(there), self.place), workload.paired(self.whole)
        else:
            self.ahead = items.updates(workload, self.seeds, first, last)

    def __call__(self) -> tuple[Any, Any, Tensor]:
        """Inputs and targets of the block's next step, and for each row its indices into them."""
        if self.whole is not None:
            return *self.pair, next(self.laid)
        with kept():
            batches = next(self.ahead)
        if strange := strange_of(*batches[0]):
            raise TreeError(f"its {strange}, and rows take tensors, or dicts and tuples of them")
        inputs, targets = (trees.rows(parts, self.workload.batch_size) for parts in zip(*batches, strict=True))
        size = self.workload.step_size
        return inputs, targets, self.place[:, None] * size + torch.arange(size, device=self.place.device)


def _laid_out(indices: Tensor, place: Tensor) -> Iterator[Tensor]:
    """Of (steps, seeds, examples) each row's for one step after another."""
    steps = max(1, AT_ONCE // max(1, len(place) * indices.shape[2]))
    for part in torch.split(indices, steps):
        yield from part.index_select(1, place).unbind()
