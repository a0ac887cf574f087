"""Every random draw as a function of (seed, purpose, step): no generator is carried along, and none can be lost.

Three generators are shared by whoever draws: Python's `random`, numpy's and torch's. They are seeded together, so that
a dataset that augments with numpy, or weights drawn by it, follow the run's seed as dropout does.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

Order = Literal["shuffled", "drawn", "given"]
UNDRAWN = (
    "the model or its loss draws from {}, and rows that are trained together would share its randomness, where each is "
    'to follow its own seed and step; train one row after another: mode = "loop"'
)


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


FOLLOWING: list[torch.Generator] = []  # of devices on which something is trained, beside the processor's


def follow(generator: torch.Generator) -> None:
    """Have a device's generator follow seed and step as well, from now on in this process."""
    if not any(generator is known for known in FOLLOWING):
        FOLLOWING.append(generator)


def reseed(seed: int, purpose: str, step: int = 0) -> None:
    """Seed Python's, numpy's and torch's shared generators by ``generator_seed``; numpy's by its low 32 bits.

    Every step does so, since which of them a model or dataset will draw from cannot be known before: about 7 us.
    """
    number = generator_seed(seed, purpose, step)
    # torch.manual_seed also looks for other devices and takes 100 times as long
    torch.default_generator.manual_seed(number)
    # more bits would take numpy five times as long
    np.random.seed(number & 0xFFFFFFFF)  # noqa: NPY002 - the shared generator is what is seeded here
    random.seed(number)
    for generator in FOLLOWING:
        generator.manual_seed(number)


@dataclass(frozen=True, eq=False)
class Standing:
    """Where the three shared generators stand, and those of devices."""

    python: tuple[Any, ...]
    numpy: tuple[Any, ...]
    torch: Tensor
    devices: tuple[Tensor, ...] = ()

    @staticmethod
    def now() -> "Standing":
        """Where they stand now."""
        devices = tuple(generator.get_state() for generator in FOLLOWING)
        return Standing(random.getstate(), np.random.get_state(), torch.default_generator.get_state(), devices)  # type: ignore[arg-type]  # noqa: NPY002

    def drawn(self) -> str | None:
        """Which of them has moved since, in words; None if none has.

        >>> before = Standing.now()
        >>> before.drawn() is None, random.random() < 1, before.drawn()
        (True, True, "Python's random")
        >>> before.put_back()
        """
        now = Standing.now()
        if not all(map(torch.equal, (self.torch, *self.devices), (now.torch, *now.devices))):
            return "torch"
        if not all(np.array_equal(mine, theirs) for mine, theirs in zip(self.numpy, now.numpy, strict=True)):
            return "numpy.random"
        return None if self.python == now.python else "Python's random"

    def put_back(self) -> None:
        """Have them stand here again."""
        torch.default_generator.set_state(self.torch)
        for generator, state in zip(FOLLOWING, self.devices, strict=False):  # one may have come since
            generator.set_state(state)
        np.random.set_state(self.numpy)  # noqa: NPY002
        random.setstate(self.python)


@contextmanager
def kept() -> Iterator[Standing]:
    """Run a block after which the caller's generators stand where they stood before it."""
    before = Standing.now()
    try:
        yield before
    finally:
        before.put_back()


@contextmanager
def seeded(seed: int, purpose: str, step: int = 0) -> Iterator[None]:
    """Run a block with the shared generators seeded by ``reseed``; the caller's are restored after."""
    with kept():
        reseed(seed, purpose, step)
        yield


class DrawError(RuntimeError):
    """A draw where none can follow the seed of its run; the message says whose, and what to do."""


@contextmanager
def undrawn() -> Iterator[None]:
    """Run a model or loss for several rows at once, which must not draw: each row has a seed, the block has none.

    Not a probe: every call is looked at, so that a draw that comes once in a thousand steps is refused when it comes.

    Raises:
        DrawError: If a shared generator has moved, or torch refused to draw under `vmap`.
    """
    before = Standing.now()
    try:
        yield
    except RuntimeError as error:
        if "randomness" not in str(error):
            raise
        raise DrawError(UNDRAWN.format("torch")) from error
    if who := before.drawn():
        before.put_back()
        raise DrawError(UNDRAWN.format(who))


@lru_cache(maxsize=64)
def epoch_order(size: int, seed: int, epoch: int, order: Order) -> Tensor:
    """The examples of an epoch in their order: int64, shape (size,)."""
    if order == "given":
        return torch.arange(size)
    generator = torch.Generator().manual_seed(generator_seed(seed, "epoch", epoch))
    if order == "drawn":
        return torch.randint(size, (size,), generator=generator)
    return torch.randperm(size, generator=generator)
