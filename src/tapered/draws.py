"""Every random draw as a function of (seed, purpose, step): no generator is carried along, and none can be lost."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

Order = Literal["shuffled", "drawn", "given"]


def generator_seed(seed: int, purpose: str, step: int = 0) -> int:
    """The integer that seeds whatever is drawn for ``purpose`` at ``step`` of the run with this ``seed``.

    It is the first 63 bits of BLAKE2b("purpose/seed/step"), so that neighbouring seeds and steps share nothing, and
    the same integers come out on every machine and version.

    >>> generator_seed(0, "step", 1) == generator_seed(0, "step", 1)
    True
    >>> generator_seed(0, "step", 1) == generator_seed(1, "step", 0)
    False
    """
    digest = hashlib.blake2b(f"{purpose}/{seed}/{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@contextmanager
def seeded(seed: int, purpose: str, step: int = 0) -> Iterator[None]:
    """Run a block with torch seeded by ``generator_seed``; the caller's CPU generator is restored after."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(generator_seed(seed, purpose, step))
        yield


@lru_cache(maxsize=64)
def epoch_order(size: int, seed: int, epoch: int, order: Order) -> Tensor:
    """The examples of an epoch in their order: int64, shape (size,)."""
    if order == "given":
        return torch.arange(size)
    generator = torch.Generator().manual_seed(generator_seed(seed, "epoch", epoch))
    if order == "drawn":
        return torch.randint(size, (size,), generator=generator)
    return torch.randperm(size, generator=generator)
