"""What cannot be seeded, found before anything is trained: all is made and fetched twice, and what differs is named.

build twice ─► the same weights      fetch twice, backwards ─► the same items      train twice ─► the same numbers
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch.utils.data import Subset

from tapered import rules
from tapered.draws import seeded
from tapered.training.advance import advance, deterministic, evaluate
from tapered.training.living import GENERATOR, SHARED, UnsteadyError, differing, marks
from tapered.training.objective import forward, loss_of
from tapered.training.precision import cast
from tapered.training.rows import start, tabulate
from tapered.training.stream import Streamed
from tapered.training.workload import Workload

ITEMS = 8  # of a split, evenly spaced
STEPS = 2
ELSE = "a generator of its own, the clock, a thread, or what came before"


def check(workload: Workload) -> None:
    """Refuse a workload whose numbers depend on more than seed and step.

    It takes a few models, a few items of each split, and four steps. What raises here is left to training, which
    raises it again and names the run.

    Raises:
        UnsteadyError: With what differs when it is made twice, and the fix.

    >>> from tapered.training.workload import quadratic
    >>> check(quadratic())
    """
    with deterministic():
        for part in (_weights, _items, _training, _remembered):
            try:
                part(workload)
            except UnsteadyError:
                raise
            except Exception:  # noqa: BLE001, S112 - the user's own
                continue


def _weights(workload: Workload) -> None:
    models = [workload.build(0) for _ in range(2)]
    tensors = [dict([*model.named_parameters(), *model.named_buffers()]) for model in models]
    apart = differing(*map(marks, tensors))
    if not apart:  # not every difference of attributes is one of numbers, but that of a generator will be
        mine, theirs = map(marks, models)
        apart = [name for name in differing(mine, theirs) if mine.get(name, "").startswith(GENERATOR)]
    if apart:
        raise UnsteadyError(
            f"workload {workload.name!r}: model() built twice with one seed differs in {apart[0]!r}, so that its "
            f"weights depend on {ELSE}; {SHARED}"
        )


def _items(workload: Workload) -> None:
    for split, dataset in workload.data.items():
        if isinstance(dataset, Streamed):
            _passes(workload, split, dataset)
            continue
        if workload.is_whole(split):
            continue
        size = len(dataset)  # type: ignore[arg-type]  # torch's Dataset declares no __len__
        places = sorted({i * size // ITEMS for i in range(ITEMS)} | {size - 1})
        first = {i: _fetched(workload, split, i) for i in places}
        again = {i: _fetched(workload, split, i) for i in reversed(places)}
        own = marks(dataset, whole=False)
        for i in places:
            if first[i] != again[i]:
                raise UnsteadyError(
                    f"workload {workload.name!r}: item {i} of the {split} split, fetched twice with one seed, differs, "
                    f"so that it depends on {ELSE}; {SHARED}"
                )
        for i in places:
            _fetched(workload, split, i)
        if moved := differing(own, marks(dataset, whole=False)):
            raise UnsteadyError(
                f"workload {workload.name!r}: the {split} split remembers {moved[0]!r} from item to item, so that an "
                f"item may depend on when it is fetched; make items a function of the index and of the shared draws"
            )


def _passes(workload: Workload, split: str, dataset: Streamed) -> None:
    """Two passes over the first items of a stream."""
    places = range(min(ITEMS, len(dataset)))
    first, again = (marks(Streamed(dataset.dataset, len(dataset)).at(places)) for _ in range(2))
    if first != again:
        raise UnsteadyError(
            f"workload {workload.name!r}: two passes over the {split} split begin with other items, so that these "
            f"depend on {ELSE}; {SHARED}"
        )


def _fetched(workload: Workload, split: str, i: int) -> dict[str, str]:
    with seeded(0, "twice", i):
        return marks(workload.fetch(split, torch.tensor([i])))


def _training(workload: Workload) -> None:
    """A few steps and an evaluation of a few items, twice from one state."""
    rule = rules.SGD()
    alone = replace(workload.recipe, workers=0)  # so little is fetched at once here
    few = replace(workload, valid=_few(workload.valid), valid_size=None, splits={}, recipe=alone)
    begun, path = start(few, rule, [0]), tabulate(rule, STEPS, lr=1e-3)

    def once() -> tuple[Any, Any]:
        rows = advance(few, begun, [path], STEPS)
        found: Any = None
        with suppress(ArithmeticError, RuntimeError, IndexError, TypeError):  # a metric of so few items may not exist
            found = evaluate(few, rows, "valid")[0]
        return marks([rows.params, rows.buffers, rows.losses]), found

    (mine, here), (theirs, there) = once(), once()
    if mine != theirs:
        raise UnsteadyError(
            f"workload {workload.name!r}: a training step made twice from one state and seed gives other numbers "
            f"({_which(workload)} differs), which depend on {ELSE}; {SHARED}"
        )
    if repr(here) != repr(there):
        names = [name for name in here or {} if repr(here[name]) != repr((there or {}).get(name))]
        raise UnsteadyError(
            f"workload {workload.name!r}: {names[0] if names else 'evaluation'} on the valid split, computed twice "
            f"from one state and seed, differs, so that it depends on {ELSE}; {SHARED}"
        )


def _few(dataset: Any) -> Subset[Any]:
    size = len(dataset)
    if isinstance(dataset, Streamed):
        return Subset(dataset, range(min(ITEMS, size)))
    return Subset(dataset, sorted({i * size // ITEMS for i in range(ITEMS)}))


def _which(workload: Workload) -> str:
    """What of a step differs first."""

    def once() -> list[Any]:
        model = workload.build(0).train()
        with seeded(0, "step", 0):
            inputs, targets = workload.fetch("train", workload.batch(0, 0)[: workload.batch_size])
            with cast(workload.recipe):
                outputs = forward(workload, model, inputs)
                loss = workload.loss(outputs, targets)
            return [marks(part) for part in ((inputs, targets), outputs, loss)]

    names = ("an item of the train split", "the model's output", "the loss")
    return next((name for name, a, b in zip(names, once(), once(), strict=True) if a != b), "a gradient")


def _remembered(workload: Workload) -> None:
    """What functions shared by all runs remember: the same step made twice must leave them alike."""
    model = workload.build(0).train()

    def once() -> dict[str, dict[str, str]]:
        with seeded(0, "step", 0):
            inputs, targets = workload.fetch("train", workload.batch(0, 0)[: workload.batch_size])
            loss_of(workload, model, inputs, targets)
        return {name: marks(function) for name, function in functions.items()}

    functions: dict[str, Callable[..., Any]] = {"the loss": workload.loss}
    if workload.objective is not None:
        functions = {"the objective": workload.objective}
    mine, theirs = once(), once()
    for name in functions:
        if moved := differing(mine[name], theirs[name]):
            raise UnsteadyError(
                f"workload {workload.name!r}: {name} remembers {moved[0]!r} from call to call, which every run shares "
                f"and every save loses; make it a function of outputs and targets, or a buffer of the model"
            )
