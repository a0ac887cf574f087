"""Minibatches whose place is a step: nothing of a loader has to be saved."""

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

from tapered.draws import generator_seed


class Batches(Sampler[list[int]]):
    """A batch sampler without an end: minibatch k is a function of the seed and k.

        epoch, place = divmod(k, size // batch_size)      minibatch k = part `place` of permutation(seed, epoch)

    Each epoch is a fresh permutation, and its last partial minibatch is left out. A resumed run sets `start` to the
    step it goes on at. Give the `DataLoader` a generator of its own, else each of its iterators draws one number from
    torch's shared generator, and dropout after a resume would differ.

    Args:
        size: Examples in the data set.
        batch_size: Examples a minibatch.
        seed: What the order follows.
        start: The first minibatch's number.

    Raises:
        TypeError, ValueError: a number that cannot be.

    Example:
        >>> from itertools import islice
        >>> whole = list(islice(Batches(10, batch_size=4, seed=0), 5))
        >>> list(islice(Batches(10, batch_size=4, seed=0, start=3), 2)) == whole[3:]
        True
    """

    def __init__(self, size: int, *, batch_size: int, seed: int = 0, start: int = 0) -> None:
        for name, value, least in (("size", size, 1), ("batch_size", batch_size, 1), ("start", start, 0)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"got {value!r} for `{name}`; expected a whole number of at least {least}")
            if value < least:
                raise ValueError(f"got {value!r} for `{name}`; expected at least {least}")
        if batch_size > size:
            raise ValueError(f"got batch_size={batch_size} for {size} examples; try batch_size={size}")
        self.size, self.batch_size, self.seed, self.start = size, batch_size, seed, start

    def __iter__(self) -> Iterator[list[int]]:
        per_epoch = self.size // self.batch_size
        epoch, place = divmod(self.start, per_epoch)
        while True:
            generator = torch.Generator().manual_seed(generator_seed(self.seed, "epoch", epoch))
            order = torch.randperm(self.size, generator=generator).tolist()
            for first in range(place * self.batch_size, per_epoch * self.batch_size, self.batch_size):
                yield order[first : first + self.batch_size]
            epoch, place = epoch + 1, 0
