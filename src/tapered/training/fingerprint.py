"""What data a run's numbers depend on, as digests: every item where there are few, else a sample that is called one."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from tapered.draws import Standing, kept, reseed
from tapered.training.order import ordered
from tapered.training.splits import SPLITS

if TYPE_CHECKING:
    from tapered.training.workload import Workload

WHOLE = 4096  # items of a dataset that are all looked at
SAMPLE = 512  # of a larger one, evenly spaced
SHOWN = 20  # hex digits


def of_workload(workload: "Workload") -> dict[str, str]:
    """Digests of what a workload's numbers depend on: its splits, how they are drawn, the initial weights at seed 0."""
    data = workload.data.items()
    splits = {name if name in SPLITS else f"splits.{name}": of_dataset(dataset) for name, dataset in data}
    recipe = workload.recipe.text()
    order: Any = workload.order
    if callable(order):
        order = [ordered(workload, *place) for place in ((0, 0), (0, 1), (1, 0))]
    drawn = workload.name, workload.batch_size, sorted(workload.metrics), order, *([recipe] if recipe else [])
    weights = of_value(dict(workload.build(0).state_dict()))
    return {**splits, "batches": of_value(drawn), "weights": weights}


def of_dataset(dataset: Dataset[Any]) -> str:
    """Hex digits that follow a dataset's items; and of how many, where it is not all of them.

    A dataset of tensors is looked at whole, any other one up to 4,096 items, else at 512 of them.

    >>> of_dataset(TensorDataset(torch.zeros(3), torch.zeros(3)))
    'ea531e7c88a08e6d59ff'
    >>> of_dataset([(i, i) for i in range(5000)]).partition(" ")[2]
    'of a sample, 512 of 5,000 items'
    """
    size = len(dataset)  # type: ignore[arg-type]  # torch's Dataset declares no __len__
    digest = hashlib.sha256(f"{size}".encode())
    if isinstance(dataset, TensorDataset) and type(dataset).__getitem__ is TensorDataset.__getitem__:
        add(digest, list(dataset.tensors))
        return digest.hexdigest()[:SHOWN]
    places = range(size) if size <= WHOLE else [round(i * (size - 1) / (SAMPLE - 1)) for i in range(SAMPLE)]
    drawn = False
    with kept():
        for i in places:
            reseed(0, "fingerprint", i)
            before = Standing.now()
            add(digest, dataset[i])
            drawn = drawn or before.drawn() is not None
    if drawn:  # what was begun when the items of a minibatch drew one after another is another run
        digest.update(b"drawn by place")
    found = digest.hexdigest()[:SHOWN]
    return found if size <= WHOLE else f"{found} of a sample, {SAMPLE} of {size:,} items"


def of_value(value: Any) -> str:
    """Hex digits that follow a tensor, an array, or whatever else an item or a state has."""
    digest = hashlib.sha256()
    add(digest, value)
    return digest.hexdigest()[:SHOWN]


def add(digest: Any, value: Any) -> None:
    """Put a value into a digest; a tensor or an array by every element, whatever its size."""
    if isinstance(value, Tensor):
        digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(value.tobytes())
    elif isinstance(value, tuple | list | np.ndarray):
        digest.update(f"{len(value)}".encode())
        for part in value:
            add(digest, part)
    elif isinstance(value, Mapping):
        digest.update(f"{len(value)}".encode())
        for key, part in value.items():
            add(digest, (key, part))
    else:
        text = repr(value).encode()
        digest.update(f"{len(text)}/".encode() + text)
