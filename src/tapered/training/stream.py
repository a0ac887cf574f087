"""Datasets that can only be read from their start, as datasets by index: the place of an item is its count.

    iter(dataset) ─► 0, 1, 2, ...      at([5, 6, 7]) ─► read on, or again from the start ─► their items

An item is a function of its place: a pass begins under a fixed seed, and each item is read under one of its own, so
that passes are alike also where they draw.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from torch.utils.data import Dataset, IterableDataset

from tapered.draws import kept, reseed

MOST = 10**8  # items that are counted


@dataclass
class _Pass:
    """A pass under way: where it stands, and what was read last."""

    items: Iterator[Any]
    process: int  # a fork shares the open files of its iterators, and begins anew
    place: int = 0
    last: dict[int, Any] = field(default_factory=dict)


_passes: WeakKeyDictionary["Streamed", _Pass] = WeakKeyDictionary()  # of a dataset nothing changes as it is read


class Streamed(Dataset[Any]):
    """An iterable dataset by index.

    Args:
        dataset: What is read; each `iter` of it begins at its start.
        size: How many items an epoch has; by default what its `len` says, and where it says nothing they are counted.

    Raises:
        ValueError: If it has no end and no length.

    >>> class Few(IterableDataset):
    ...     def __iter__(self):
    ...         return iter([(0, 1), (2, 3), (4, 5)])
    >>> found = Streamed(Few())
    >>> len(found), found[2], found.at([0, 2])
    (3, (4, 5), [(0, 1), (4, 5)])
    """

    def __init__(self, dataset: IterableDataset[Any], size: int | None = None) -> None:
        self.dataset = dataset
        self.size = _size(dataset) if size is None else size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, i: int) -> Any:
        return self.at([i if i >= 0 else i + self.size])[0]

    def at(self, indices: Sequence[int]) -> list[Any]:
        """The items at some places, read in one pass.

        Raises:
            IndexError: If there is no such place.
            ValueError: If it ends before its length.
        """
        outside = [i for i in indices if not 0 <= i < self.size]
        if outside:
            raise IndexError(f"place {outside[0]} of {self.size} items")
        now = _passes.get(self)
        if now is not None and now.process == os.getpid() and now.last.keys() >= set(indices):
            return [now.last[i] for i in indices]  # as of rows, which read the same one after another
        with kept():
            found: dict[int, Any] = {}
            for i in sorted(set(indices)):
                now = _passes.get(self)
                if now is None or now.process != os.getpid() or i < now.place:
                    now = self._begin()
                while now.place < i:
                    self._next(now)
                found[i] = self._next(now)
        if now is not None:
            now.last = found
        return [found[i] for i in indices]

    def _begin(self) -> _Pass:
        _passes.pop(self, None)  # the one before is closed first
        reseed(0, "stream")
        _passes[self] = begun = _Pass(iter(self.dataset), os.getpid())
        return begun

    def _next(self, now: _Pass) -> Any:
        reseed(0, "stream", now.place + 1)
        try:
            item = next(now.items)
        except StopIteration:
            _passes.pop(self, None)
            raise ValueError(
                f"{type(self.dataset).__name__} ended after {now.place} items; its length says {self.size}, and every "
                f"pass must have as many"
            ) from None
        except BaseException:
            _passes.pop(self, None)  # a generator that raised is at its end
            raise
        now.place += 1
        return item


def _size(dataset: IterableDataset[Any]) -> int:
    if hasattr(dataset, "__len__"):
        return len(dataset)
    with kept():
        reseed(0, "stream")
        count, items = 0, iter(dataset)
        reseed(0, "stream", 1)
        for _ in items:
            count += 1
            reseed(0, "stream", count + 1)
            if count > MOST:
                raise ValueError(
                    f"{type(dataset).__name__} has no end after {MOST:,} items; give it a __len__ that says how many "
                    f"an epoch has"
                )
    return count
