"""Items as the run of a seed has them: what is drawn for an item is a function of seed, step and place, in every mode.

    (seed, step, place) ─► an item of a minibatch      (seed, step, index) ─► an item in evaluation
    (seed, step, part) ──► its collation               then the model, from the step's own seed

So neither neighbours, nor the size of a chunk, nor who fetches it changes an item. Items are made on one thread.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from tapered.draws import Standing, kept, reseed
from tapered.training import crew, trees
from tapered.training.devices import CPU, moved
from tapered.training.sending import sent_ahead
from tapered.training.stream import Streamed
from tapered.training.threads import threads
from tapered.training.workload import Workload

Run = tuple[int, int]  # seed and step
Batch = tuple[Any, Any]
BLOCK = 64  # steps whose places are laid out at once
PIECE = 64  # items that are fetched for an evaluation by one worker at once


class ItemError(RuntimeError):
    """An item that could not be made; the message says which, and the cause is attached where it is of this process."""


@dataclass(frozen=True)
class Minibatch:
    """A minibatch of a run.

    Args:
        seed: The run's.
        step: Of which update.
        part: Which of those that are accumulated.
    """

    seed: int
    step: int
    part: int

    def fetch(self, workload: Workload) -> Batch:
        """Inputs and targets."""
        size = workload.batch_size
        first = self.part * size
        indices = workload.batch(self.seed, self.step)[first : first + size]
        if workload.is_whole("train"):
            return workload.fetch("train", indices)
        with threads(1):
            found = _items(workload, "train", indices.tolist(), [f"item/{first + p}" for p in range(size)], self)
            reseed(self.seed, f"collate/{self.part}", self.step)
            return _collated(workload, found, self)

    def __str__(self) -> str:
        return f"for step {self.step} of seed {self.seed}"


def updates(workload: Workload, seeds: Sequence[int], first: int, last: int) -> Generator[list[Batch]]:
    """For each step from first to last - 1 the minibatches of each seed in turn, fetched ahead where there is a crew.

    The shared generators stand anywhere afterwards.
    """
    place = workload.recipe.place
    if not workload.is_whole("train"):
        yield from sent_ahead(place, _fetched(workload, seeds, first, last))
    elif place == CPU or workload.lying("train"):
        yield from _gathered(workload, seeds, first, last)
    else:
        yield from sent_ahead(place, _gathered(workload, seeds, first, last))


def _fetched(workload: Workload, seeds: Sequence[int], first: int, last: int) -> Iterator[list[Batch]]:
    """As `updates`, of items that are made one by one."""
    parts = range(workload.recipe.accumulate)
    wanted = (Minibatch(seed, step, part) for step in range(first, last) for seed in seeds for part in parts)
    # of a stream each worker would read all
    found: Iterator[Batch] = crew.fetch(workload, wanted, 1 if isinstance(workload.train, Streamed) else None)
    for _ in range(first, last):  # workers do not touch the device
        yield [workload.placed(batch) for batch in islice(found, len(seeds) * len(parts))]


def _gathered(workload: Workload, seeds: Sequence[int], first: int, last: int) -> Iterator[list[Batch]]:
    """As `updates`, of a dataset of tensors: indices are laid out for many steps at once."""
    there = workload.recipe.place if workload.lying("train") else CPU
    for begin in range(first, last, BLOCK):
        end = min(begin + BLOCK, last)
        laid = [moved(there, workload.batches(seed, begin, end)) for seed in seeds]
        steps = [[part for row in rows for part in torch.split(row, workload.batch_size)] for rows in laid]
        each = workload.recipe.accumulate
        fetch = workload.gatherer("train")
        for at in range(0, each * (end - begin), each):
            yield [fetch(part) for mine in steps for part in mine[at : at + each]]


@dataclass(frozen=True)
class Piece:
    """Some items of a split, for evaluation.

    Args:
        split: Of which.
        indices: Which.
        run: Whose draws they have; None where it is asked whether any are drawn.
    """

    split: str
    indices: tuple[int, ...]
    run: Run | None

    def fetch(self, workload: Workload) -> tuple[list[Any], bool]:
        """The items, and whether a shared generator has moved."""
        with threads(1):
            if self.run is not None:
                return self._items(workload), True
            before = Standing.now()
            return self._items(workload), before.drawn() is not None

    def _items(self, workload: Workload) -> list[Any]:
        return _items(workload, self.split, self.indices, [f"{self.split}/{i}" for i in self.indices], self)

    @property
    def seed(self) -> int | None:
        """The run's."""
        return None if self.run is None else self.run[0]

    @property
    def step(self) -> int:
        """The run's."""
        return 0 if self.run is None else self.run[1]

    def __str__(self) -> str:
        return "in evaluation"


def _items(
    workload: Workload, split: str, indices: Sequence[int], purposes: Sequence[str], asked: Minibatch | Piece
) -> list[Any]:
    """Items of a split, each under its own seed where they are a run's."""
    dataset: Any = workload.split(split)
    if isinstance(dataset, Streamed):
        return dataset.at(indices)
    found, seed, step = [], asked.seed, asked.step
    for i, purpose in zip(indices, purposes, strict=True):
        if seed is not None:
            reseed(seed, purpose, step)
        try:
            found.append(dataset[i])
        except MemoryError:
            raise
        except Exception as error:
            raise ItemError(
                f"workload {workload.name!r}: item {i} of the {split} split, fetched {asked}, raised "
                f"{type(error).__name__}: {error}"
            ) from error
    return found


def _collated(workload: Workload, found: list[Any], asked: object) -> Batch:
    try:
        return workload.paired(workload.collate(found))
    except MemoryError:
        raise
    except Exception as error:
        raise ItemError(
            f"workload {workload.name!r}: the collation of {len(found)} items, {asked}, raised "
            f"{type(error).__name__}: {error}"
        ) from error


def evaluated(workload: Workload, split: str, indices: Tensor, runs: Sequence[Run]) -> tuple[Batch, bool]:
    """Items of a split for the evaluation of runs.

    Returns:
        One batch and False where all runs have the same items; where the items are drawn, the batches of the runs
        stacked along a first axis, and True.
    """
    if workload.is_whole(split):
        return workload.fetch(split, indices), False
    with kept():
        if len(runs) > 1:
            found, drawn = _pieces(workload, split, indices, None)
            before = Standing.now()
            batch = _collated(workload, found, "in evaluation")
            if not drawn and before.drawn() is None:  # so that no other seed could have given others
                return workload.placed(batch), False
        known = {run: _drawn(workload, split, indices, run) for run in dict.fromkeys(runs)}
    if len(runs) == 1:
        return known[runs[0]], False
    inputs, targets = zip(*(known[run] for run in runs), strict=True)
    return (trees.stacked(inputs), trees.stacked(targets)), True


def _drawn(workload: Workload, split: str, indices: Tensor, run: Run) -> Batch:
    """The items of one run, each under its own seed."""
    found, _ = _pieces(workload, split, indices, run)
    reseed(run[0], f"{split}/collate/{int(indices[0])}", run[1])
    return workload.placed(_collated(workload, found, "in evaluation"))


def _pieces(workload: Workload, split: str, indices: Tensor, run: Run | None) -> tuple[list[Any], bool]:
    stream = isinstance(workload.split(split), Streamed)  # which is read in one pass, and by one process
    wanted = [
        Piece(split, tuple(part.tolist()), run) for part in torch.split(indices, len(indices) if stream else PIECE)
    ]
    found = [each.fetch(workload) for each in wanted] if stream else list(crew.fetch(workload, wanted))
    return [item for items, _ in found for item in items], any(drawn for _, drawn in found)


def purpose(whose: str, first: int) -> str:
    """What a metric by its name, or the model under no name, draws for over the chunk of a split that begins here."""
    return " ".join(["evaluate", *([whose] if whose else []), *([str(first)] if first else [])])
