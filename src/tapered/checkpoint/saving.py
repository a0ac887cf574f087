"""`save`: one new checkpoint, whole or not at all; old ones go only after it has been read again."""

import errno
import json
import math
import operator
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from torch import Tensor, nn

from tapered import kind
from tapered.checkpoint import files, generators, lock, processes
from tapered.checkpoint.lock import shown
from tapered.checkpoint.parts import state_of, unwrapped
from tapered.files.errors import CheckpointError, CheckpointWarning, DamagedError
from tapered.files.tree import NATIVE, Encoder, plain

FILE_BYTES = 1 << 30
LAST_STEP = 2**63 - 1
FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
Best = Literal["min", "max"]


def save(
    folder: str | os.PathLike[str],
    step: int,
    *,
    keep: int | None = 3,
    metric: float | None = None,
    best: Best = "min",
    generators: bool = True,
    **parts: Any,
) -> Path:
    """Save a run at a step into a new folder inside `folder`; a kill at any moment leaves the last checkpoint or this.

    Tensors go into safetensors files, all else into JSON; there is no pickle. Everything is flushed to the disk and
    read again before an older checkpoint goes.

    Args:
        folder: The run's folder, created where it does not exist. One process writes to it, until it ends: of a
            distributed run, the one of rank 0.
        step: Completed updates, at most 2**63 - 1.
        keep: So many of the newest checkpoints stay, beside the best by `metric` and the last one whose parameters are
            all finite; None keeps all.
        metric: What tells the best one; NaN is never best.
        best: Whether a smaller ("min") or larger ("max") metric is better.
        generators: Also save where Python's, numpy's and torch's shared random generators stand.
        parts: By name: modules, optimizers (torch's, tapered's), schedulers, an attached clock, GradScalers, averaged
            models, tensors, random generators, anything with `state_dict` and `load_state_dict`; and plain values
            (numbers, text, lists, dicts), which `resume` gives back.

    Returns:
        The checkpoint's folder.

    Raises:
        TypeError, ValueError: an argument that cannot be, naming it.
        CheckpointError: a part that cannot be saved, a folder in use or that cannot be written, a full disk; the
            checkpoints that were there still are.

    Example:
        >>> import tempfile, torch, tapered
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = tapered.Adam(model.parameters(), lr=tapered.exponential_decay(0.15, 1, 0.9999))
        >>> folder = tempfile.mkdtemp()
        >>> save(folder, 0, model=model, optimizer=optimizer, epoch=0).name
        '000001-step0'
    """
    step = _checked(step, keep, metric, best)
    path = Path(folder)
    processes.check(parts, generators=generators, into=path)
    encoder = Encoder()
    state = state_text(encoder, parts, everywhere=generators)
    held = lock.claim(path)
    with _said(path, sum(t.nbytes for t in encoder.tensors.values()) + len(state)):
        files.sweep(held.folder)
        known = files.listed(held.folder)
        _in_turn(path, known, held, step)
        sequence = files.place_of(known[0])[0] + 1 if known else 1
        held.kinds = tuple(dict.fromkeys((*held.kinds, kind.text(kind.here(gpus=True)))))
        fields = {
            "format": files.FORMAT,
            "tapered": files.version(),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "kind": kind.here(gpus=True),
            "kinds": list(held.kinds),
            "run": held.run,
            "lineage": list(held.lineage),
            "sequence": sequence,
            "step": step,
            "metric": None if metric is None or not math.isfinite(metric) else float(metric),
            "finite": finite(parts.values()),
        }
        data = chain(tensor_files(encoder.tensors), [(files.STATE, state)])
        written = files.write(held.folder, files.name_of(sequence, step), data, fields)
        held.tip = (sequence, step)
    if keep is not None:
        try:
            _rotate(held.folder, keep, best)
        except OSError as error:
            text = f"{written.name} is saved, but an older checkpoint in {shown(path)} cannot be removed"
            warnings.warn(f"{text} ({error.strerror})", CheckpointWarning, stacklevel=2)
    return path / written.name


def _checked(step: int, keep: int | None, metric: float | None, best: str) -> int:
    if isinstance(step, bool) or not hasattr(step, "__index__"):
        raise TypeError(f"got {step!r} for `step`; expected completed updates, a whole number; try step=100")
    if operator.index(step) > LAST_STEP:
        raise ValueError(f"got a `step` above {LAST_STEP}; expected completed updates; try step=100")
    if operator.index(step) < 0:
        raise ValueError(f"got {step!r} for `step`; expected completed updates, at least 0")
    if keep is not None and (isinstance(keep, bool) or not isinstance(keep, int) or keep < 1):
        raise ValueError(f"got {keep!r} for `keep`; expected how many of the newest stay, at least 1, or None for all")
    if metric is not None and (isinstance(metric, bool) or not isinstance(metric, (int, float))):
        raise TypeError(f"got {metric!r} for `metric`; expected a number; try metric=float(loss)")
    if best not in ("min", "max"):
        raise ValueError(f"got {best!r} for `best`; expected 'min' or 'max'")
    return operator.index(step)


def state_text(encoder: Encoder, parts: Mapping[str, Any], *, everywhere: bool) -> bytes:
    """Everything but the tensors, as JSON; the tensors are in the encoder after."""
    given = {name: unwrapped(part) for name, part in parts.items()}
    trees = {}
    for name, part in given.items():
        tree = state_of(name, part, given)
        trees[name] = {**tree, "state": encoder.encode(tree["state"], name)}
    shared = encoder.encode(generators.everywhere(), "generators") if everywhere else None
    return json.dumps({"parts": trees, "generators": shared}, allow_nan=False).encode()


def tensor_files(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, bytes]]:
    """safetensors files of about a gigabyte each, made one at a time."""
    batch: dict[str, Tensor] = {}
    size = number = 0
    for name, tensor in tensors.items():
        if batch and size + tensor.nbytes > FILE_BYTES:
            yield f"tensors-{number}.safetensors", safetensors.torch.save(batch)
            batch, size, number = {}, 0, number + 1
        batch[name] = plain(tensor)
        size += tensor.nbytes
    if batch:
        yield f"tensors-{number}.safetensors", safetensors.torch.save(batch)


def finite(parts: Iterable[Any]) -> bool:
    """Whether every parameter and every moment is: one 1e30 gradient leaves sound weights beside a moment of inf.

    No buffer may be NaN either, as BatchNorm's statistics become where an update was skipped but the batch was seen.
    One may be infinite: masks of attention are.
    """
    every = list(parts)
    modules = [part for part in every if isinstance(part, nn.Module)]
    return all(bool(t.isfinite().all()) for part in every for t in _numbers(part)) and not any(
        bool(buffer.isnan().any()) for module in modules for buffer in module.buffers()
    )


def _numbers(part: Any) -> Iterable[Tensor]:
    if isinstance(part, nn.Module):
        return part.parameters()
    if isinstance(part, torch.optim.Optimizer):
        moments = chain.from_iterable(state.values() for state in part.state.values() if isinstance(state, dict))
        return (moment for moment in moments if type(moment) is Tensor and moment.dtype in NATIVE)
    return [part] if isinstance(part, Tensor) else []


def _in_turn(folder: Path, known: list[Path], held: lock.Held, step: int) -> None:
    """This process's run goes on here; another's checkpoints are not rotated away."""
    if not known:
        return
    newest = files.place_of(known[0])
    if held.tip is None or held.tip[0] > newest[0]:
        raise CheckpointError(
            f"{shown(folder)} holds a run at step {newest[1]} that this one does not go on from; "
            f"resume({shown(folder)!r}, ...) first, or save into another folder"
        )
    if step < held.tip[1]:
        raise CheckpointError(
            f"got step {step} after step {held.tip[1]} in {shown(folder)}; to go back, resume(..., step=...) first; "
            f"for a new run, save into another folder"
        )


def _rotate(folder: Path, keep: int, best: Best) -> None:
    known = files.listed(folder)
    old = known[keep:]
    if not old:
        return
    fields = {}
    for path in known:
        try:
            fields[path] = files.manifest(path)
        except CheckpointError:  # damaged, or another version's: it goes when its turn comes
            continue
    sound = [path for path in known if path in fields and fields[path]["finite"]]
    measured = [path for path in known if path in fields and fields[path]["metric"] is not None]
    sign = 1 if best == "min" else -1
    stay = {*sound[:1], *sorted(measured, key=lambda path: sign * fields[path]["metric"])[:1]}
    for path in old:
        if path not in stay:
            files.remove(path)


@contextmanager
def _said(folder: Path, size: int) -> Iterator[None]:
    """What the disk refused, as a sentence."""
    try:
        yield
    except OSError as error:
        if not folder.is_dir():
            raise CheckpointError(
                f"{shown(folder)} is gone, deleted or moved while this run held it; put it back, or save to another "
                f"folder"
            ) from error
        why = error.strerror or str(error)
        if error.errno in FULL:
            why += f"; it takes about {size:,} bytes" + _short(folder, size)
        raise CheckpointError(
            f"{shown(folder)} could not take the checkpoint ({why}); what was saved before still stands; "
            f"make room or choose another folder, and save again"
        ) from error
    except DamagedError as error:
        raise CheckpointError(
            f"{shown(folder)} did not keep what was written: {error}; what was saved before stands; check the disk"
        ) from error


def _short(folder: Path, size: int) -> str:
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return ""
    return f", {max(size - free, 1):,} bytes short" if free < size + 65536 else f", {free:,} are free (a quota?)"
