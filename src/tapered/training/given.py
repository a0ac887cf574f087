"""What a workload is given, looked at before anything is built."""

from collections.abc import Mapping
from typing import Any, TypeGuard, get_args

from torch import nn
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from tapered.draws import Order, seeded
from tapered.training.objective import trained
from tapered.training.recipe import Recipe


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
    if isinstance(dataset, IterableDataset) or not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise TypeError(
            f"workload {workload!r} got {split}={type(dataset).__name__}, which has no length or no items by index; "
            f"expected a map-style dataset; try torch.utils.data.TensorDataset(inputs, targets)"
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


def check_numbers(workload: Any) -> None:
    """Refuse batches of no size, or larger than the data, and an order that there is not."""
    for field_, size in (("batch_size", workload.batch_size), ("eval_batch_size", workload.eval_batch_size)):
        if (size is not None or field_ == "batch_size") and (not isinstance(size, int) or size is True or size < 1):
            raise ValueError(
                f"workload {workload.name!r} got {field_}={size!r}; expected a whole number of at least 1; "
                f"try {field_}=32"
            )
    if workload.steps_per_epoch == 0:
        examples = length(workload.train)
        raise ValueError(
            f"workload {workload.name!r} has {examples} training examples and batch_size={workload.batch_size}"
            + (f", accumulate={workload.recipe.accumulate}" if workload.recipe.accumulate > 1 else "")
            + f", less than one minibatch; try batch_size={max(1, examples // workload.recipe.accumulate)}"
        )
    if workload.order not in get_args(Order):
        raise ValueError(
            f"workload {workload.name!r} got order={workload.order!r}; expected one of {', '.join(get_args(Order))}; "
            f'try order="shuffled"'
        )
