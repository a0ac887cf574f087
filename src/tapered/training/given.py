"""What a workload is given, looked at before anything is built."""

from collections.abc import Mapping
from typing import Any, TypeGuard, get_args

import torch
from torch import nn
from torch.utils.data import Dataset, Subset, TensorDataset

from tapered.draws import Order, generator_seed, seeded
from tapered.training.objective import trained
from tapered.training.order import ordered
from tapered.training.recipe import Recipe
from tapered.training.stream import Streamed


def is_object(metric: Any) -> bool:
    """Whether a metric is taken as torchmetrics' are, by `update` and `compute`."""
    return hasattr(metric, "update") and hasattr(metric, "compute")


def is_whole(dataset: Dataset[Any]) -> TypeGuard[TensorDataset]:
    """Whether a dataset's items are those of its tensors and nothing else, which can be indexed in one go."""
    return isinstance(dataset, TensorDataset) and type(dataset).__getitem__ is TensorDataset.__getitem__


def length(dataset: Dataset[Any]) -> int:
    """Items of a map-style dataset."""
    return len(dataset)  # type: ignore[arg-type]  # torch's Dataset declares no __len__


def check_callables(workload: Any) -> None:
    """Refuse a name, functions or metrics that are none."""
    if not isinstance(workload.name, str) or not workload.name:
        raise TypeError(f'got workload name={workload.name!r}; expected a non-empty text; try name="mine"')
    if workload.objective is not None and not callable(workload.objective):
        raise TypeError(
            f"workload {workload.name!r} got objective={workload.objective!r}; expected a function of model and batch; "
            f"try objective=lambda model, batch: model(**batch).loss"
        )
    check_objective(workload)
    for name in ("model", "loss"):
        if not callable(getattr(workload, name)):
            raise TypeError(
                f"workload {workload.name!r} got {name}={getattr(workload, name)!r}; expected a function; "
                f"try {name}={'make_model' if name == 'model' else 'torch.nn.functional.cross_entropy'}"
            )
    if isinstance(workload.model, nn.Module):
        raise TypeError(
            f"workload {workload.name!r} got a built {type(workload.model).__name__} as model; expected a function "
            f"that builds a fresh one for each seed; try model=lambda: {type(workload.model).__name__}(...)"
        )
    if workload.weight is not None and not callable(workload.weight):
        raise TypeError(
            f"workload {workload.name!r} got weight={workload.weight!r}; expected a function of a batch's targets; try "
            f"weight=lambda targets: (targets != -100).sum()"
        )
    if not isinstance(workload.metrics, Mapping):
        raise TypeError(
            f"workload {workload.name!r} got metrics={workload.metrics!r:.80}; expected names and functions; try "
            f'metrics={{"accuracy": accuracy}}'
        )
    for name, metric in workload.metrics.items():
        if name == "loss" or not (callable(metric) or is_object(metric)):
            raise TypeError(
                f"workload {workload.name!r} got metrics[{name!r}]={metric!r}; expected a function, or an object "
                f'with update and compute, under another name than "loss", which is always there; try '
                f'metrics={{"accuracy": accuracy}}'
            )


def check_objective(workload: Any) -> None:
    """Refuse what does not go together with an objective, or not without one."""
    known = workload.objective is not None
    if known and workload.loss is not trained:
        raise TypeError(f"workload {workload.name!r} got a loss and an objective; expected one of them")
    if not known and workload.loss is trained:
        raise TypeError(f"workload {workload.name!r} got objective=None and no loss; expected one of them")
    needs = {"losses": bool(workload.losses), "predict": workload.predict is not None}
    for name, given in needs.items():
        if given and not known:
            raise TypeError(f"workload {workload.name!r} got {name} and no objective, which it belongs to")
    if known and workload.metrics and workload.predict is None:
        raise TypeError(
            f"workload {workload.name!r} got metrics of an objective, and nothing says what they are of; try "
            f"predict=lambda model, batch: (model(batch['x']), batch['y'])"
        )
    if not all(isinstance(name, str) and name for name in workload.losses) or {"loss", *workload.metrics} & set(
        workload.losses
    ):
        raise TypeError(
            f"workload {workload.name!r} got losses={workload.losses!r}; expected names of what objective returns "
            f'beside "loss", none of them a metric\'s'
        )
    for name in ("collate", "predict"):
        given = getattr(workload, name)
        if given is not None and not callable(given):
            raise TypeError(f"workload {workload.name!r} got {name}={given!r}; expected a function")
    if not isinstance(workload.recipe, Recipe):
        raise TypeError(
            f"workload {workload.name!r} got recipe={workload.recipe!r:.80}; expected a Recipe; try "
            f"recipe=Recipe(clip_norm=1.0)"
        )


def check_split(workload: str, split: str, dataset: Any, *, pairs: bool = True) -> None:
    """Refuse a dataset that is empty, or whose items are no pairs by index where they have to be."""
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise TypeError(
            f"workload {workload!r} got {split}={type(dataset).__name__}, which has no length or no items by index; "
            f"expected a map-style dataset, or an IterableDataset; try torch.utils.data.TensorDataset(inputs, targets)"
        )
    if len(dataset) == 0:
        raise ValueError(f"workload {workload!r} got an empty {split} split; expected at least one example")
    if not pairs:
        return
    with seeded(0, "check"):
        item = dataset[0]
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise TypeError(
            f"workload {workload!r}: an item of its {split} split is {type(item).__name__} of "
            f"{len(item) if hasattr(item, '__len__') else 'no'} parts; expected a pair (input, target); "
            f"try ((a, b), target) for more than one input"
        )


def check_splits(workload: Any) -> None:
    """Refuse splits under names that are no text or are taken, and names that two numbers of an evaluation share."""
    taken = {"train", "valid", "test"}
    if not isinstance(workload.splits, Mapping):
        raise TypeError(
            f"workload {workload.name!r} got splits={type(workload.splits).__name__}; expected names and datasets; try "
            f'splits={{"shifted": dataset}}'
        )
    for name in workload.splits:
        if not isinstance(name, str) or not name or name in taken:
            raise ValueError(
                f"workload {workload.name!r} got the split {name!r} in splits; expected a text other than "
                f'{", ".join(sorted(taken))}; try splits={{"shifted": dataset}}'
            )
    names = list(workload.names)
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(
            f"workload {workload.name!r} evaluates two numbers under the name {twice[0]!r}; give the split or the "
            f"metric another"
        )


def few(workload: str, dataset: Any, size: int | None) -> Any:
    """So many examples of a split, drawn once for every run, in their order; all of them where there is no size."""
    if size is None or (size == length(dataset) and not isinstance(size, bool)):
        return dataset
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size < length(dataset):
        raise ValueError(
            f"workload {workload!r} got valid_size={size!r}; expected how many of the {length(dataset):,} examples of "
            f"valid are evaluated; try valid_size={min(512, length(dataset))}"
        )
    generator = torch.Generator().manual_seed(generator_seed(0, "valid"))
    places = torch.randperm(length(dataset), generator=generator)[:size].sort().values
    if is_whole(dataset):
        return TensorDataset(*(tensor[places] for tensor in dataset.tensors))
    return dataset.at(places.tolist()) if isinstance(dataset, Streamed) else Subset(dataset, places.tolist())


def check_numbers(workload: Any) -> None:
    """Refuse batches of no size, or larger than the data, and an order that there is not."""
    for field_, size in (("batch_size", workload.batch_size), ("eval_batch_size", workload.eval_batch_size)):
        if (size is not None or field_ == "batch_size") and (not isinstance(size, int) or size is True or size < 1):
            raise ValueError(
                f"workload {workload.name!r} got {field_}={size!r}; expected a whole number of at least 1; "
                f"try {field_}=32"
            )
    check_order(workload)
    if workload.steps_per_epoch == 0:
        examples = len(ordered(workload, 0, 0)) if callable(workload.order) else length(workload.train)
        fewer = examples // workload.batch_size if workload.recipe.accumulate > 1 else 0
        raise ValueError(
            f"workload {workload.name!r} has {examples} training examples{' an epoch' * callable(workload.order)} and "
            f"batch_size={workload.batch_size}"
            + (f", accumulate={workload.recipe.accumulate}" if workload.recipe.accumulate > 1 else "")
            + ", less than one minibatch; try "
            + (f"accumulate={fewer}" if fewer else f"batch_size={max(1, examples // workload.recipe.accumulate)}")
        )


def check_order(workload: Any) -> None:
    """Refuse an order that there is not, or in which a dataset cannot be read."""
    if not callable(workload.order) and workload.order not in get_args(Order):
        raise ValueError(
            f"workload {workload.name!r} got order={workload.order!r}; expected one of {', '.join(get_args(Order))}, "
            f'or a function of seed and epoch; try order="shuffled"'
        )
    if isinstance(workload.train, Streamed) and workload.order != "given":
        shown = getattr(workload.order, "__qualname__", repr(workload.order))
        raise ValueError(
            f"workload {workload.name!r} got order={shown} of the {type(workload.train.dataset).__name__} train, which "
            f'is read from its start; expected order="given"'
        )
