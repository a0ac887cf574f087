"""Finding a checkpoint and reading it: every byte as it was written, or the one before."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from tapered.checkpoint import files
from tapered.checkpoint.lock import shown
from tapered.files.errors import CheckpointError, DamagedError
from tapered.files.tree import decode
from tapered.words import brief


@dataclass(frozen=True)
class Origin:
    """Where a fork came from.

    Args:
        run: The parent run's id.
        folder: Its checkpoint, as it was given.
        step: Completed updates there.
        change: What the fork does otherwise, as text: {"lr": "0.0001", "moments": "kept", ...}.

    Example:
        >>> Origin("3f2a", "runs/first/000002-step40", 40, {"lr": "0.0001", "moments": "kept"}).change["lr"]
        '0.0001'
    """

    run: str
    folder: str
    step: int
    change: Mapping[str, str]


@brief
@dataclass(frozen=True)
class Resumed:
    """Where a run goes on from.

    Args:
        step: Completed updates; the next one is update `step`.
        folder: The checkpoint that was read.
        run: The run's id.
        lineage: The forks that led to it, the oldest first.
        values: The plain values that were saved, by name.
        metric: What was given as its metric.
        skipped: Newer checkpoints that could not be used, and why.
        kinds: The kinds of processor that trained it, as text; several where it went on under `kinds="any"`.

    Example:
        >>> import tempfile, torch
        >>> from tapered.checkpoint import resume, save
        >>> weight, folder = torch.nn.Parameter(torch.ones(2)), tempfile.mkdtemp()
        >>> path = save(folder, 40, metric=0.25, weight=weight, epoch=3)
        >>> found = resume(folder, weight=weight)
        >>> found.step, found.folder.name, found.values, found.metric, found.lineage, found.skipped
        (40, '000001-step40', {'epoch': 3}, 0.25, (), ())
    """

    step: int
    folder: Path
    run: str
    lineage: tuple[Origin, ...]
    values: Mapping[str, Any]
    metric: float | None
    skipped: tuple[str, ...]
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Read:
    """A checkpoint that was read, hashed and decoded."""

    path: Path
    fields: Mapping[str, Any]
    parts: Mapping[str, dict[str, Any]]
    generators: dict[str, Any] | None
    skipped: tuple[str, ...] = ()

    def resumed(self) -> Resumed:
        """What a user is told of it."""
        fields = self.fields
        return Resumed(
            step=fields["step"],
            folder=self.path,
            run=fields["run"],
            lineage=tuple(Origin(**origin) for origin in fields["lineage"]),
            values={name: part["state"] for name, part in self.parts.items() if part["kind"] == "value"},
            metric=fields["metric"],
            skipped=self.skipped,
            kinds=tuple(fields.get("kinds", ())),
        )


def listed(folder: Path) -> list[Path]:
    """The checkpoints of a folder that is to have some, the newest first.

    Raises:
        CheckpointError: it has none.
    """
    is_folder = os.path.isdir(folder)  # noqa: PTH112 - a name that is too long is no folder, and no error
    known = files.listed(folder) if is_folder else []
    if not known:
        what = "holds no checkpoint" if is_folder else "is no folder"
        raise CheckpointError(f"{shown(folder)} {what}; expected one that `tapered run` or save(folder, ...) filled")
    return known


def find(folder: Path, step: int | None) -> Read:
    """The newest good checkpoint, or that of a step.

    Raises:
        CheckpointError: there is none; with what is wrong with each.
    """
    known = listed(folder)
    wanted = [path for path in known if step is None or files.place_of(path)[1] == step]
    if not wanted:
        steps = sorted({files.place_of(path)[1] for path in known})
        raise CheckpointError(f"{shown(folder)} has no checkpoint at step {step}; its steps are {steps}")
    skipped: list[str] = []
    for path in wanted:
        try:
            found = read(path)
        except DamagedError as error:
            skipped.append(f"{path.name}: {error}")
            continue
        _finite(folder, found, step)
        return Read(found.path, found.fields, found.parts, found.generators, tuple(skipped))
    raise CheckpointError(f"no checkpoint in {shown(folder)} is whole: {'; '.join(skipped)}")


def _finite(folder: Path, found: Read, step: int | None) -> None:
    if found.fields["finite"] or step is not None:
        return
    sound = [f["step"] for f in map(_manifest, files.listed(folder)) if f and f["finite"]]
    fix = f"try resume(..., step={sound[0]}), the last finite one, or" if sound else "no finite one is left; try"
    raise CheckpointError(
        f"{found.path.name} in {shown(folder)} holds parameters, moments or buffers that are not finite; {fix} "
        f"step={found.fields['step']} to load it as it is"
    )


def _manifest(path: Path) -> dict[str, Any] | None:
    try:
        return files.manifest(path)
    except CheckpointError:
        return None


def read(path: Path) -> Read:
    """One checkpoint, every byte of it as it was written.

    Raises:
        DamagedError: it is not. CheckpointError: of another format.
    """
    fields = files.manifest(path)
    tensors: dict[str, Tensor] = {}
    try:
        for file in sorted(fields["files"]):
            if file != files.STATE:
                loaded = safetensors.torch.load(files.read(path, fields, file))
                tensors |= {name: tensor.clone() for name, tensor in loaded.items()}
        state = json.loads(files.read(path, fields, files.STATE))
        shared = decode(state["generators"], tensors)
        parts = {name: decode(part, tensors) for name, part in state["parts"].items()}
        if any(part.keys() - {"numbers"} != {"kind", "class", "state"} for part in parts.values()):
            raise DamagedError("its state names no parts")
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError, RecursionError, RuntimeError) as error:
        raise DamagedError(f"it is not what tapered writes ({type(error).__name__}: {str(error)[:200]})") from error
    return Read(path, fields, parts, shared)
