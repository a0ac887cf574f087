"""torch's own `.pt` files, read for their optimizer state; a file that is not plainly tensors is refused unread.

zip: sizes against the file's ─► pickle: every name it calls against a list, without running it ─► torch.load
"""

import os
import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tapered.checkpoint.lock import shown
from tapered.files.errors import CheckpointError
from tapered.files.tree import leaves
from tapered.optim import Optimizer

ALLOWED = {"torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "collections OrderedDict"}


def load_torch(
    path: str | os.PathLike[str], optimizer: torch.optim.Optimizer, *, key: str | None = None, **policy: Any
) -> None:
    """Load an optimizer's state from a file that `torch.save` wrote.

    The state is by position, as torch keeps it; with tapered's optimizers shapes and ranges are checked before anything
    changes. `torch.load` runs with `weights_only=True`, which no environment variable turns off, and only after sizes
    and every name in the file were found to be plain: hostile files run nothing and take no more memory than they have
    bytes.

    Args:
        path: The file.
        optimizer: Of the same algorithm; torch's or tapered's.
        key: Where the state stands in a dict of several; None finds "optimizer", "optimizer_state_dict" or the state
            itself.
        policy: For tapered's optimizers, which hypers hold: `policy="saved"` and so on, see `load_state_dict`.

    Raises:
        CheckpointError: no such file, damaged, hostile, or without an optimizer's state; nothing has changed.
        ValueError: the optimizer refuses the state.

    Example:
        >>> import tempfile, tapered
        >>> weight = torch.nn.Parameter(torch.ones(2))
        >>> old = torch.optim.Adam([weight], lr=1e-3)
        >>> weight.sum().backward()
        >>> old.step()
        >>> path = tempfile.mkdtemp() + "/old.pt"
        >>> torch.save({"optimizer": old.state_dict()}, path)
        >>> new = tapered.Adam([weight], lr=1e-3)
        >>> load_torch(path, new)
        >>> new.steps
        1
    """
    file = Path(path)
    sizes = _sizes(file)
    try:
        found = torch.load(file, map_location="cpu", weights_only=True, mmap=False)
    except Exception as error:
        raise CheckpointError(f"{shown(file)} cannot be loaded as tensors and plain values: {error!s:.200}") from error
    kept = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in _tensors(found)}
    if sum(kept.values()) > sizes:
        raise CheckpointError(f"{shown(file)} names tensors of {sum(kept.values()):,} bytes and holds {sizes:,}")
    state = _state(file, found, key)
    if isinstance(optimizer, Optimizer):
        optimizer.load_state_dict(state, **policy)
        return
    _check(file, optimizer, state)
    optimizer.load_state_dict(dict(state))


def _sizes(file: Path) -> int:
    """Bytes in the file's records, which are stored as they are; every name that its pickle calls is plain.

    Raises:
        CheckpointError: otherwise.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            records, size = archive.infolist(), file.stat().st_size
            declared = sum(record.file_size for record in records)
            packed = [record.filename for record in records if record.compress_type != zipfile.ZIP_STORED]
            pickles = [record for record in records if record.filename.endswith(".pkl")]
            plain = not packed and declared <= size and len(pickles) == 1
            strange = sorted(set(_calls(archive.read(pickles[0]))) - ALLOWED) if plain else []
    except (OSError, zipfile.BadZipFile, ValueError, RuntimeError, IndexError, KeyError) as error:
        raise CheckpointError(
            f"{shown(file)} is no whole file of torch.save ({error!s:.100}); files from before torch 1.6 are not read: "
            f"load and save it again with a newer torch"
        ) from error
    if not plain:
        raise CheckpointError(
            f"{shown(file)} has {size:,} bytes, declares {declared:,}, {len(packed)} records packed, {len(pickles)} "
            f"pickles; torch.save writes no such file"
        )
    if strange:
        raise CheckpointError(
            f"{shown(file)} calls {strange[:3]}; an optimizer's state holds tensors and plain values only"
        )
    return declared


def _calls(data: bytes) -> Iterator[str]:
    """Every name that a pickle would look up, found without running it."""
    for code, argument, _ in pickletools.genops(data):
        if code.name == "GLOBAL":
            module, _, name = str(argument).partition(" ")
            plain = module == "torch" and (
                name.endswith("Storage") or isinstance(getattr(torch, name, None), torch.dtype)
            )
            yield next(iter(ALLOWED)) if plain else str(argument)
        elif code.name in ("STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEWOBJ", "NEWOBJ_EX"):
            yield code.name


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (value for _, value in leaves(tree) if isinstance(value, Tensor))


def _state(file: Path, found: Any, key: str | None) -> Mapping[str, Any]:
    keys = sorted(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
    candidates = [key] if key is not None else ["optimizer", "optimizer_state_dict"]
    if isinstance(found, Mapping):
        here = [found[name] for name in candidates if name in found] + ([found] if key is None else [])
        for state in here:
            if isinstance(state, Mapping) and {"state", "param_groups"} <= state.keys():
                return state
    raise CheckpointError(f"{shown(file)} holds {keys} and no optimizer's state; try key=... where it stands")


def _check(file: Path, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """torch loads other shapes and values in silence."""
    groups = optimizer.param_groups
    sizes = [len(group["params"]) for group in state["param_groups"]], [len(group["params"]) for group in groups]
    if sizes[0] != sizes[1]:
        raise CheckpointError(
            f"{shown(file)} is of groups with {sizes[0]} parameters; this optimizer's have {sizes[1]}"
        )
    params = [p for group in groups for p in group["params"]]
    for place, number in enumerate(number for group in state["param_groups"] for number in group["params"]):
        for name, value in state["state"].get(number, {}).items():
            if not isinstance(value, Tensor) or value.numel() == 1:
                continue
            if value.shape != params[place].shape:
                raise CheckpointError(
                    f"`{name}` of parameter {number} in {shown(file)} has the shape {tuple(value.shape)}; the "
                    f"parameter has {tuple(params[place].shape)}"
                )
