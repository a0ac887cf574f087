"""What the loss and the metrics of a workload are, found once on a sample: means, or functions of a whole split.

is loss(batch) the weighted mean of loss(its parts)?  ─► summed as it comes   else ─► computed from all outputs
is another loss that, or their mean by examples?      ─► the same              else ─► the same
does metric(batch) return a value for each example?   ─► summed as it comes   else ─► computed from all outputs
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise
from math import fsum, isfinite, isnan, nan
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from tapered.draws import generator_seed, seeded
from tapered.training import items, trees
from tapered.training.given import is_object
from tapered.training.memory import fitting, is_out_of_memory
from tapered.training.objective import forward, functions, weighed
from tapered.training.workload import Workload

T = TypeVar("T")
ROUNDING = 1e-5  # relative, of float32 over a sample; what is taken for no mean is right too, it only takes memory
SAMPLE = 32  # examples at least, as a few are alike too often


@dataclass(frozen=True)
class Measures:
    """What the loss and the metrics of a workload are.

    Args:
        means: The losses of which that of a batch is a mean of those of its parts -> whether by the workload's weight,
            else by examples. The one that is trained is so by weight, or not at all.
        each: The metrics that return one value for each example.
        along: In each tensor of the outputs, the axis of the examples.
        targets: The same of the targets.
        lost: What is computed from a part of the outputs that has no such axis, and so from one batch only.
    """

    means: Mapping[str, bool]
    each: frozenset[str]
    along: tuple[int | None, ...]
    targets: tuple[int | None, ...]
    lost: frozenset[str]

    @property
    def mean(self) -> bool:
        """Whether the loss of a batch is the weighted mean of the losses of its parts."""
        return "loss" in self.means

    def summed(self, workload: Workload, name: str) -> bool:
        """Whether it is summed as it comes, so that no outputs are kept for it."""
        if name == "loss" or name in workload.losses:
            return name in self.means
        return name in self.each or is_object(workload.metrics[name])


def together(found: Measures, chunks: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Outputs and targets of chunks as those of all."""
    outputs, targets = zip(*chunks, strict=True)
    none = targets[0] is None  # an objective has no targets
    return trees.joined(outputs, found.along), None if none else trees.joined(targets, found.targets)


def scalar(workload: Workload, name: str, value: Any, count: int = 1) -> float:
    """The number that a loss or a metric returned; of one for each of so many examples their mean.

    Raises:
        TypeError: If it is neither.
    """
    try:
        found = numbers(value).detach()
    except (TypeError, ValueError, RuntimeError):
        found = None
    if found is None or (found.numel() != 1 and (name == "loss" or found.shape != (count,))):
        what = f"a tensor of shape {tuple(found.shape)}" if found is not None else f"a {type(value).__name__}"
        fix = "return the loss" if value is None else "try loss.mean()"
        wanted = (
            f"a scalar tensor; {fix}" if name == "loss" else f"one number, or one for each example{_classes(found)}"
        )
        raise TypeError(f"workload {workload.name!r}: {name} returned {what} in evaluation; expected {wanted}")
    return float(found) if found.numel() == 1 else found.cpu().double().mean().item()


def _classes(found: Tensor | None) -> str:
    if found is None or found.dim() != 1:
        return ""
    return '; of one for each class take their mean, as average="macro" does, or each as a metric of its own'


def numbers(value: Any) -> Tensor:
    """What a metric returned as a tensor; Python's own numbers keep their digits, which torch would cut to its default.

    >>> numbers(0.1).item()
    0.1
    """
    return torch.as_tensor(value, dtype=torch.float64 if isinstance(value, (float, list, tuple)) else None)


def weight_of(workload: Workload, targets: Any, count: int) -> float:
    """What a batch weighs in the loss of a split.

    Raises:
        ValueError: If the workload's weight is no number of at least 0.
    """
    if workload.weight is None:
        return float(count)
    weight = scalar(workload, "weight", workload.weight(targets))
    if not (isfinite(weight) and weight >= 0):
        raise ValueError(
            f"workload {workload.name!r}: weight(targets) is {weight}; expected what a batch weighs, at least 0; try "
            f"weight=lambda targets: (targets != -100).sum()"
        )
    return weight


def shares_of(workload: Workload, batches: Sequence[tuple[Any, Any]]) -> list[float]:
    """What each of accumulated minibatches weighs in the loss of their step.

    Raises:
        ValueError: If all of them weigh nothing.
    """
    if workload.weight is None:
        return [1 / len(batches)] * len(batches)
    found = [weight_of(workload, weighed(workload, *batch), 0) for batch in batches]
    total = fsum(found)
    if not total:
        raise ValueError(f"workload {workload.name!r}: the weights of a step's minibatches add up to 0; expected more")
    return [weight / total for weight in found]


@lru_cache(maxsize=16)
def measures(workload: Workload) -> Measures:
    """What the loss and metrics are, found on a sample of the validation split and, in it, on three parts.

    The weights are the initial ones of seed 0 and noise, since a head that starts from zero makes every loss a mean;
    and all is in the model's own precision, as rounding to 16 bits hides what is one and what is not.
    """
    recipe = replace(workload.recipe, precision="float32", params=None)
    if recipe.text() != workload.recipe.text():
        return measures(replace(workload, recipe=recipe))
    size = len(workload.valid)  # type: ignore[arg-type]  # torch's Dataset declares no __len__
    return fitting(_most(workload, size), lambda most: _found(workload, _drawn(size, most)))


def _most(workload: Workload, size: int) -> int:
    return min(size, max(SAMPLE, workload.evaluation_batch))


def _drawn(size: int, most: int) -> Tensor:
    """So many places at random: in data with a period, every so-manyth are all alike."""
    return torch.randperm(size, generator=torch.Generator().manual_seed(generator_seed(0, "sample")))[:most]


@torch.no_grad()
def _found(workload: Workload, places: Tensor) -> Measures:
    sizes = _parts(len(places))
    with seeded(0, "sample"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # training says them again; some are of trying what does not fit
        model = workload.build(0).eval()
        batches = _batches(workload, model, places, sizes)
        shaken = _tried(lambda: _batches(workload, _shaken(model), places, sizes))
    if shaken is not None and all(isfinite(loss) for batch in shaken for loss in batch.losses):
        batches = shaken
    whole, last = batches[0], batches[-1]
    found = Measures(
        _means(workload, batches),
        frozenset(name for name in whole.shapes if all(batch.shapes[name] == (batch.count,) for batch in batches)),
        trees.axes(whole.outputs, whole.count, last.outputs, last.count),
        trees.axes(whole.targets, whole.count, last.targets, last.count),
        frozenset(),
    )
    return found if whole is last else replace(found, lost=_lost(workload, found, (whole, last)))


def _tried(attempt: Callable[[], T]) -> T | None:
    """What it returns; None where it raises, as a score of one class does, or a factor of a matrix."""
    try:
        return attempt()
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return None


def _lost(workload: Workload, found: Measures, batches: Sequence["_Batch"]) -> frozenset[str]:
    """What two batches have each by itself and no more when put together, with `Apart` for what could not be."""
    if trees.is_whole([batch.outputs for batch in batches], found.along):
        return frozenset()
    chunks = [(batch.outputs, batch.targets) for batch in batches]
    known = functions(workload)

    def has(name: str, outputs: Any, targets: Any) -> bool:
        value = _tried(lambda: scalar(workload, name, known[name](outputs, targets)))
        return value is not None and not isnan(value)

    return frozenset(
        name
        for name in known
        if not found.summed(workload, name)
        and all(has(name, *chunk) for chunk in chunks)
        and not has(name, *together(found, chunks))
    )


def _parts(size: int) -> list[int]:
    """Three parts, no two alike where there are enough.

    >>> _parts(64), _parts(2), _parts(1)
    ([10, 22, 32], [1, 1], [])
    """
    cuts = sorted({0, size // 6, size // 2, size})
    return [b - a for a, b in pairwise(cuts)] if size > 1 else []


def _shaken(model: nn.Module) -> nn.Module:
    for p in model.parameters():
        if p.is_floating_point():
            p.add_(0.5 * torch.randn_like(p) / max(1, p[:1].numel() if p.dim() else 1) ** 0.5)
    return model


@dataclass(frozen=True)
class _Batch:
    outputs: Any
    targets: Any
    count: int
    losses: tuple[float, ...]  # NaN where there is none
    weight: float
    rounding: float
    shapes: dict[str, tuple[int, ...] | None]


def _batches(workload: Workload, model: nn.Module, places: Tensor, sizes: Sequence[int]) -> list[_Batch]:
    """The whole sample, and its parts."""
    parts = torch.split(places, list(sizes)) if sizes else ()
    return [_batch(workload, model, indices) for indices in (places, *parts)]


def _batch(workload: Workload, model: nn.Module, indices: Tensor) -> _Batch:
    # each item under its own seed: drawn ones are the same alone and among others
    (inputs, targets), _ = items.evaluated(workload, "valid", indices, [(0, 0)])
    with torch.set_grad_enabled(workload.derivatives):
        outputs = trees.detached(forward(workload, model, inputs, evaluating=True))
    known = functions(workload)
    losses = [_tried(lambda f=known[name]: torch.as_tensor(f(outputs, targets))) for name in ("loss", *workload.losses)]  # type: ignore[misc]
    eps = [torch.finfo(loss.dtype).eps for loss in losses if loss is not None and loss.is_floating_point()]
    metrics = {name: known[name] for name, metric in workload.metrics.items() if not is_object(metric)}
    return _Batch(
        outputs,
        targets,
        len(indices),
        tuple(nan if loss is None else scalar(workload, "loss", loss) for loss in losses),
        weight_of(workload, weighed(workload, inputs, targets), len(indices)),
        max([ROUNDING, *(8 * each for each in eps)]),
        {name: _tried(partial(_shape, metric, outputs, targets)) for name, metric in metrics.items()},
    )


def _shape(metric: Any, outputs: Any, targets: Any) -> tuple[int, ...]:
    return tuple(torch.as_tensor(metric(outputs, targets)).shape)


def _means(workload: Workload, batches: Sequence[_Batch]) -> dict[str, bool]:
    """The losses that are means, and whether by weight."""
    known: dict[str, bool] = {}
    for place, name in enumerate(("loss", *workload.losses)):
        if _is_mean(batches, place, [batch.weight for batch in batches]):
            known[name] = True
        elif place and _is_mean(batches, place, [float(batch.count) for batch in batches]):
            known[name] = False
    return known


def _is_mean(batches: Sequence[_Batch], place: int, weights: Sequence[float]) -> bool:
    whole, parts = (
        batches[0].losses[place],
        [(weight, batch.losses[place]) for weight, batch in zip(weights[1:], batches[1:], strict=True) if weight],
    )
    total = fsum(weight for weight, _ in parts)
    if not total:
        return True
    mean = fsum(weight * loss for weight, loss in parts) / total
    return abs(mean - whole) <= batches[0].rounding * max(abs(whole), *(abs(loss) for _, loss in parts))


def sample(workload: Workload) -> Tensor:
    """Places in the validation split of as many examples as go through at once, at random."""
    size = len(workload.valid)  # type: ignore[arg-type]  # as above
    return _drawn(size, _most(workload, size))


def told(workload: Workload) -> Iterator[str]:
    """What a result must say of its loss, a sentence each."""
    mean = "mean" if workload.weight is None else "weighted mean"
    for name in ("loss", *workload.losses):
        if name not in measures(workload).means:
            said = f"The loss {'' if name == 'loss' else repr(name) + ' '}of a batch is no {mean} over its examples"
            yield f"{said}; on a split it was computed from all outputs together."
