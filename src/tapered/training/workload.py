"""What is trained: a model, a loss and data, with every random draw a function of (seed, step).

    seed ──┬─ "model" ────────────► initial weights
           ├─ "epoch", step // n ─► the order of that epoch's minibatches      n = steps_per_epoch
           └─ "step",  step ──────► dropout and whatever else the update draws

So a run carries no generator and no loader position: step k of seed s is the same minibatch with the same dropout
mask in every arm, however often the run was stopped on the way.
"""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset, TensorDataset, default_collate

from tapered.draws import Order, generator_seed, seeded
from tapered.training import fingerprint, trees
from tapered.training.fields import named
from tapered.training.given import check_callables, check_numbers, check_split, check_splits, few, length
from tapered.training.objective import Objective, trained
from tapered.training.order import Sampler, batches, ordered
from tapered.training.precision import built
from tapered.training.reasons import refuse_model
from tapered.training.recipe import Recipe
from tapered.training.splits import SPLITS, Splits
from tapered.training.stream import Streamed
from tapered.words import brief

Loss = Callable[[Any, Any], Tensor]
Metric = Callable[[Any, Any], Tensor | float] | Any  # or an object with update and compute
MOST_AT_ONCE = 2048  # examples that are evaluated at once
SMALL = 2**16  # bytes of examples so small that 4 minibatches of them are no measure of what memory holds


@brief
@named
@dataclass(frozen=True, eq=False)  # a workload equals itself only: functions and data have no equality
class Workload(Splits):
    """A training problem that every arm of a study shares.

    The loss of a minibatch is ``loss(model(inputs), targets)``, a scalar tensor. What the model returns may be a tensor
    or a tuple, list or dict of them. Where that does not say it, ``objective(model, batch)`` stands in its place: a
    loss inside the model's forward, of several terms, of derivatives, of the whole batch.

    Args:
        name: How tables and verdicts call it.
        model: Builds a fresh ``torch.nn.Module``; called without arguments, under a seed.
        loss: ``loss(outputs, targets)`` -> scalar tensor, as a rule a mean over examples.
        train: A map-style dataset whose items are pairs (input, target), tensors or dicts and tuples of them; under an
            ``objective`` any items that ``collate`` makes a batch of. Any torch ``Dataset`` with a length works, and an
            ``IterableDataset`` under ``order="given"``: the place of an item is its count, so that a run that goes on
            reads from the start of the epoch. What has no length is counted once.
        valid: The split on which peaks are chosen and arms compared.
        test: The split that is looked at once, at the end; None if there is none.
        batch_size: Examples a step. A fresh permutation orders each epoch, and its last partial minibatch is
            dropped, so that every step sees exactly ``batch_size`` examples.
        metrics: Name -> what is evaluated beside ``"loss"``, of the whole split: ``metric(outputs, targets)`` that
            returns a value for each example, shape (batch,), of which the mean is taken; one that returns a number,
            which is called once on all outputs and targets of the split (F1, correlation); or an object with
            ``update(outputs, targets)`` and ``compute()``, as torchmetrics', a fresh copy for each evaluation. One
            value for each class is refused: their mean is not what ``average="macro"`` says, where some are absent.
        order: How an epoch is ordered: "shuffled"; "drawn" takes each example at random with replacement, so that
            minibatches are independent; "given" goes through the data as it stands, the same for every seed. Or a
            function ``order(seed, epoch)`` that returns the indices of an epoch, as many in each; what it draws from
            the shared generators follows seed and epoch.
        facts: What is known of the data, to be kept with a result: where from, hash, version.
        weight: ``weight(targets)``, what a batch weighs in the loss of a split, the weighted mean over batches: the
            count of tokens that are not padding, the sum of the examples' weights. None counts examples. A loss that
            is found to be no such mean (Dice, contrastive ones) is computed from all outputs of the split at once.
            Under an ``objective`` it is ``weight(batch)``. Accumulated minibatches weigh so, too.
        eval_batch_size: Examples that are evaluated at once, in every mode; None takes 4 minibatches, and up to 2,048
            examples where they are small. It is halved where memory runs out.
        objective: ``objective(model, batch)`` -> scalar tensor, or a dict of them of which ``"loss"`` is trained; in
            the place of ``loss``.
        losses: Names of the others in that dict, which are recorded as metrics are: each as a mean by ``weight`` or by
            examples, whichever is the split's own value; one that is neither is computed from the whole split.
        predict: ``predict(model, batch) -> (outputs, targets)``, what the metrics are of under an ``objective``.
        collate: ``collate(items)``, a list of items -> a batch; torch's ``default_collate`` where left out.
        derivatives: Whether the loss takes derivatives of the model, so that it is evaluated under enabled gradients.
        recipe: How a step is made of it: clipping, accumulation, groups of parameters; workers that fetch its items.
        splits: Name -> another dataset on which runs are evaluated as on ``valid``, under the names "name/loss" and so
            on for every metric. ``valid`` stays the one that chooses.
        valid_size: How many examples of ``valid`` are evaluated, the same for every run, drawn once; None for all.

    Raises:
        TypeError: If a field is not of the kind above.
        ValueError: If the training split is shorter than one minibatch, or a split is empty.

    >>> problem = quadratic()
    >>> problem.steps_per_epoch, problem.epochs_to_steps(2.5)
    (128, 320)
    >>> problem.batch(seed=0, step=0).shape
    torch.Size([8])
    """

    name: str
    model: Callable[[], nn.Module]
    loss: Loss = None  # type: ignore[assignment]  # of an objective it is read off
    train: Dataset[Any] = None  # type: ignore[assignment]  # refused below, as it stands behind one that may be missing
    valid: Dataset[Any] = None  # type: ignore[assignment]
    test: Dataset[Any] | None = None
    batch_size: int = 32
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    order: Order | Sampler = "shuffled"
    facts: Mapping[str, str] = field(default_factory=dict)
    weight: Callable[[Any], Tensor | float] | None = None
    eval_batch_size: int | None = None
    objective: Objective | None = None
    losses: tuple[str, ...] = ()
    predict: Callable[[nn.Module, Any], tuple[Any, Any]] | None = None
    collate: Callable[[list[Any]], Any] = default_collate
    derivatives: bool = False
    recipe: Recipe = field(default_factory=Recipe)
    splits: Mapping[str, Dataset[Any]] = field(default_factory=dict)
    valid_size: int | None = None

    def __post_init__(self) -> None:
        """Refuse what could not be trained, before anything is built."""
        if self.objective is not None and self.loss is None:
            object.__setattr__(self, "loss", trained)
        object.__setattr__(self, "losses", tuple(self.losses))
        check_callables(self)
        check_splits(self)
        for split in SPLITS:
            object.__setattr__(self, split, _by_index(getattr(self, split)))
        splits = {name: _by_index(dataset) for name, dataset in self.splits.items()}
        object.__setattr__(self, "splits", MappingProxyType(splits))
        for split, dataset in self.data.items():
            check_split(self.name, split, dataset, pairs=self.objective is None)
        object.__setattr__(self, "valid", few(self.name, self.valid, self.valid_size))
        check_numbers(self)
        _ = self.recipe.place  # that is not here is refused before anything is made
        object.__setattr__(self, "metrics", MappingProxyType(dict(self.metrics)))
        object.__setattr__(self, "facts", MappingProxyType(dict(self.facts)))

    @property
    def data(self) -> dict[str, Dataset[Any]]:
        """Every split that there is, by name: "train", "valid", "test", and those of `splits`."""
        known = {name: getattr(self, name) for name in SPLITS if name != "test" or self.test is not None}
        return known | dict(self.splits)

    @property
    def measured(self) -> tuple[str, ...]:
        """The names of what is evaluated of a split: "loss", the other losses, the metrics."""
        return ("loss", *self.losses, *self.metrics)

    @property
    def names(self) -> tuple[str, ...]:
        """The name of every number of an evaluation: those of ``valid``, and "name/loss" and so on of other splits.

        >>> quadratic().names
        ('loss', 'distance')
        """
        return (*self.measured, *(f"{split}/{name}" for split in self.splits for name in self.measured))

    @property
    def steps_per_epoch(self) -> int:
        """Updates in one pass over the training split: whole minibatches, or accumulated ones."""
        examples = len(ordered(self, 0, 0)) if callable(self.order) else length(self.train)
        return examples // self.step_size

    @property
    def step_size(self) -> int:
        """Examples of an update."""
        return self.batch_size * self.recipe.accumulate

    @property
    def evaluation_batch(self) -> int:
        """Examples that are evaluated at once where memory allows, the same in every mode.

        >>> quadratic().evaluation_batch, quadratic(batch_size=64, samples=64, dimensions=4096).evaluation_batch
        (2048, 256)
        """
        if self.eval_batch_size is not None:
            return self.eval_batch_size
        with seeded(0, "check"):
            small = SMALL // max(1, trees.size_of(self.valid[0]))
        return max(self.batch_size, min(MOST_AT_ONCE, max(4 * self.batch_size, small)))

    def epochs_to_steps(self, epochs: float) -> int:
        """Steps in ``epochs`` passes over the training split, rounded to the nearest step and at least 1.

        The only place where a horizon in epochs becomes one in steps.

        Raises:
            ValueError: If ``epochs`` is not a positive finite number.
        """
        if not (isfinite(epochs) and epochs > 0):
            raise ValueError(f"got epochs={epochs!r}; expected a positive finite number; try epochs=10")
        return max(1, round(epochs * self.steps_per_epoch))

    def batch(self, seed: int, step: int) -> Tensor:
        """Indices of the examples of update `step` of the run with `seed`: int64, shape (step_size,)."""
        return self.batches(seed, step, step + 1)[0]

    def batches(self, seed: int, start: int, stop: int) -> Tensor:
        """Indices of the examples of updates start, ..., stop - 1: int64, shape (stop - start, step_size)."""
        return batches(self, seed, start, stop)

    def build(self, seed: int) -> nn.Module:
        """The model with its initial weights, which depend on ``seed`` only.

        Raises:
            TypeError: If ``model()`` returns something else than a ``torch.nn.Module`` with a trainable parameter.
        """
        with seeded(seed, "model"):
            model = self._made()
        if not isinstance(model, nn.Module):
            raise TypeError(
                f"workload {self.name!r}: model() returned {type(model).__name__}; expected a torch.nn.Module"
            )
        refuse_model(self.name, model)
        if not any(p.requires_grad for p in model.parameters()):
            raise TypeError(f"workload {self.name!r}: model() returned a {type(model).__name__} with nothing to train")
        return built(self.recipe, model)

    def _made(self) -> nn.Module:
        try:
            inspect.signature(self.model).bind()
        except TypeError as error:
            kind = getattr(self.model, "__name__", type(self.model).__name__)
            raise TypeError(
                f"workload {self.name!r}: model is called without arguments, but {kind} is {error}; try "
                f"model=lambda: {kind}(...)"
            ) from error
        except ValueError:  # a function of C, which does not say what it takes
            pass
        return self.model()

    def fingerprints(self) -> dict[str, str]:
        """Digests of what the numbers depend on: each split's items, how they are drawn, the initial weights at seed 0.

        Tensor datasets are hashed whole, others item by item where there are at most 4,096, and beyond that by their
        length and 512 evenly spaced items, and the text then says that it is of a sample.

        >>> sorted(quadratic().fingerprints())
        ['batches', 'train', 'valid', 'weights']
        """
        return fingerprint.of_workload(self)

    def fingerprint(self) -> str:
        """One digest of `fingerprints`."""
        return hashlib.sha256(repr(sorted(self.fingerprints().items())).encode()).hexdigest()


def _by_index(dataset: Any) -> Any:
    return Streamed(dataset) if isinstance(dataset, IterableDataset) else dataset


class _Point(nn.Module):
    """A point w of R^d; its output for a sample x is sqrt(h) * (w - x)."""

    scale: Tensor

    def __init__(self, curvature: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(curvature.shape))
        self.register_buffer("scale", curvature.sqrt())

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * (self.w - x)


def _half_square(outputs: Tensor, _: Tensor) -> Tensor:
    return outputs.square().sum(-1).mean() / 2


def quadratic(
    *, dimensions: int = 4, condition: float = 10.0, noise: float = 1.0, samples: int = 1024, batch_size: int = 8
) -> Workload:
    """A noisy quadratic, small and exact: the fake to try a study on.

    The loss of a sample x is f(w; x) = 1/2 sum_i h_i (w_i - x_i)^2, with curvatures h from 1 to ``condition`` on a log
    scale and x normal with standard deviation ``noise``, its mean over the training split removed. So the optimum is
    w = 0, and the validation loss is the noiseless excess 1/2 sum_i h_i w_i^2. A constant rate leaves a floor that
    grows with the rate; a decaying one goes below it.

    >>> quadratic().build(0).w.shape
    torch.Size([4])
    """
    curvature = torch.logspace(0, torch.tensor(condition).log10().item(), dimensions)
    generator = torch.Generator().manual_seed(generator_seed(0, "quadratic"))
    x = noise * torch.randn(samples, dimensions, generator=generator)
    return Workload(
        name="quadratic",
        model=lambda: _Point(curvature),
        loss=_half_square,
        train=TensorDataset(x - x.mean(0), torch.zeros(samples)),
        valid=TensorDataset(torch.zeros(1, dimensions), torch.zeros(1)),
        batch_size=batch_size,
        metrics={"distance": lambda outputs, _: outputs.norm(dim=-1)},
    )
