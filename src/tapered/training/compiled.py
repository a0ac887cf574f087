"""The loop's model as torch compiles it, once for all that are built alike, and the compiler's errors in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from tapered.training.reasons import uncompiled

if TYPE_CHECKING:
    from tapered.training.workload import Workload

THEIRS = ("torch._dynamo", "torch._inductor")  # where the compiler's errors are from, which take seconds to import


class UncompiledError(RuntimeError):
    """A model that torch does not compile here; the cause is attached."""


def called(workload: "Workload", model: nn.Module) -> nn.Module:
    """What a batch goes through: the model, or what torch makes of it when it is first called."""
    return cast("nn.Module", torch.compile(model)) if workload.recipe.compile else model


@contextmanager
def told(workload: "Workload") -> Iterator[None]:
    """Run a block in which a model may be compiled.

    Raises:
        UncompiledError: If it is not.
    """
    try:
        yield
    except RuntimeError as error:
        if not type(error).__module__.startswith(THEIRS):
            raise
        raise UncompiledError(
            f"workload {workload.name!r} asks for compile = true, but {uncompiled(error)}; leave compile out"
        ) from error
