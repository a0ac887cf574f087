"""The splits of a workload, whose items become batches: fetched, collated, laid on the device.

indices ─► items of a split ─ collate ─► batch ─► (inputs, targets) on the device
╰─► of a split of tensors, which lies there, in one go                 ─►╯
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.utils.data import Dataset, default_collate

from tapered.training.devices import CPU, lying, moved
from tapered.training.given import is_whole
from tapered.training.recipe import Recipe
from tapered.training.stream import Streamed

SPLITS = ("train", "valid", "test")


class Splits:
    """The half of a `Workload` that reads its data; the fields are there."""

    if TYPE_CHECKING:
        name: str
        objective: Any
        collate: Callable[[list[Any]], Any]
        recipe: Recipe
        splits: Mapping[str, Dataset[Any]]

    def split(self, name: str) -> Dataset[Any]:
        """The dataset called ``name``: "train", "valid", "test", or one of `splits`.

        Raises:
            ValueError: If there is no such split.
        """
        dataset: Dataset[Any] | None = getattr(self, name) if name in SPLITS else self.splits.get(name)
        if dataset is None:
            known = ", ".join(dict.fromkeys([*SPLITS, *self.splits]))
            raise ValueError(f"workload {self.name!r} has no split {name!r}; expected one of {known}")
        return dataset

    def is_whole(self, split: str) -> bool:
        """Whether a split's batches are its tensors at some indices, and nothing else."""
        return self.collate is default_collate and is_whole(self.split(split))

    def fetch(self, split: str, indices: Tensor) -> tuple[Any, Any]:
        """The batch (inputs, targets) of a split at ``indices``, int64; of an ``objective`` (batch, None).

        A ``TensorDataset`` is indexed in one go; the items of any other dataset are fetched one by one and collated.
        What they draw is from where the shared generators stand; a run's minibatches are `training.items`'.
        """
        dataset: Any = self.split(split)
        if self.is_whole(split):
            return self.gatherer(split)(indices)
        places = indices.tolist()
        found = dataset.at(places) if isinstance(dataset, Streamed) else [dataset[i] for i in places]
        return self.placed(self.paired(self.collate(found)))

    def gatherer(self, split: str) -> Callable[[Tensor], tuple[Any, Any]]:
        """What gathers the batches of a split whose items are its tensors', again and again."""
        there, dataset = self.lying(split), self.split(split)
        tensors: Any = there or dataset.tensors  # type: ignore[attr-defined]  # as `is_whole` says
        if self.recipe.place == CPU:
            return lambda indices: self.paired(tuple([tensor[indices] for tensor in tensors]))

        def gathered(indices: Tensor) -> tuple[Any, Any]:
            if there is not None:
                indices = moved(self.recipe.place, indices)
            return self.placed(self.paired(tuple(tensor[indices] for tensor in tensors)))

        return gathered

    def lying(self, split: str) -> tuple[Tensor, ...] | None:
        """The tensors of a split that is one of tensors, on the device; None where it is another's memory or too small.

        They are copied once, however often they are asked for.
        """
        dataset: Any = self.split(split)
        if self.recipe.place == CPU:
            return None
        if split not in self.copied:
            self.copied[split] = lying(self.recipe.place, dataset.tensors)
        return self.copied[split]

    @cached_property
    def copied(self) -> dict[str, tuple[Tensor, ...] | None]:
        """Splits that lie on the device, by name; None for one that does not fit."""
        return {}

    def paired(self, batch: Any) -> tuple[Any, Any]:
        """A batch as inputs and targets; of an ``objective`` all of it is inputs."""
        if self.objective is not None:
            return batch, None
        inputs, targets = batch
        return inputs, targets

    def placed(self, batch: tuple[Any, Any]) -> tuple[Any, Any]:
        """Inputs and targets on the device."""
        inputs, targets = batch
        return moved(self.recipe.place, inputs), moved(self.recipe.place, targets)
