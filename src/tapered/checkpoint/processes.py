"""Runs of several processes: one writes, all read; what they share out among themselves is torch's to save."""

from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from torch import Tensor, distributed, nn, optim

from tapered.checkpoint.lock import shown
from tapered.files.errors import CheckpointError
from tapered.rules.shards import is_shared


def alone() -> bool:
    """This process is the only one, or the one that writes."""
    return not _several() or distributed.get_rank() == 0


def check(parts: Mapping[str, Any], *, generators: bool, into: Path | None = None) -> None:
    """Each part is whole in this process, generators are asked for only where one process has all, the first writes.

    Args:
        parts: those to save or to load.
        generators: they are to be saved or set, too.
        into: the folder to write to.

    Raises:
        CheckpointError: with what to do instead.
    """
    for name, part in parts.items():
        for where, tensor in _tensors(part):
            if is_shared(tensor) and hasattr(tensor, "full_tensor"):
                raise CheckpointError(
                    f"`{name}{where}` is a DTensor, of which each process holds a part; save and load such parts with "
                    f"torch.distributed.checkpoint (get_state_dict(model, optimizer), then dcp.save): schedules and "
                    f"steps are in the optimizer's state dict and come along"
                )
    if generators and _several():
        raise CheckpointError(
            f"got generators=True in a run of {distributed.get_world_size()} processes: each has random generators of "
            f"its own, and one process writes; try generators=False, and seed each process from its rank and the step"
        )
    if into is not None and not alone():
        raise CheckpointError(
            f"this is process {distributed.get_rank()} of {distributed.get_world_size()}, and one writes to "
            f"{shown(into)}; try `if torch.distributed.get_rank() == 0:` before save or fork, and resume in all"
        )


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def _tensors(part: Any) -> Iterable[tuple[str, Tensor]]:
    """A part's tensors, each with its place."""
    if isinstance(part, Tensor):
        return [("", part)]
    if isinstance(part, nn.Module):
        return ((f".{key}", tensor) for key, tensor in chain(part.named_parameters(), part.named_buffers()))
    if isinstance(part, optim.Optimizer):
        params = chain.from_iterable(group["params"] for group in part.param_groups)
        return ((f".params[{place}]", param) for place, param in enumerate(params))
    return []
