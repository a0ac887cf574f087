"""`resume`: everything is read, hashed and checked before anything changes; the same numbers, or a refusal."""

import json
import os
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from tapered.checkpoint import files, generators, lock
from tapered.checkpoint.errors import CheckpointError, CheckpointWarning, DamagedError
from tapered.checkpoint.lock import shown
from tapered.checkpoint.optimizers import Change
from tapered.checkpoint.parts import ORDER, Apply, kind_of, prepare, unwrapped
from tapered.checkpoint.tree import copied, decode


@dataclass(frozen=True)
class Origin:
    """Where a fork came from.

    Args:
        run: The parent run's id.
        folder: Its checkpoint, as it was given.
        step: Completed updates there.
        change: What the fork does otherwise, as text: {"lr": "0.0001", "moments": "kept", ...}.
    """

    run: str
    folder: str
    step: int
    change: Mapping[str, str]


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
    """

    step: int
    folder: Path
    run: str
    lineage: tuple[Origin, ...]
    values: Mapping[str, Any]
    metric: float | None
    skipped: tuple[str, ...]


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
        )


def resume(
    folder: str | os.PathLike[str],
    *,
    step: int | None = None,
    partial: bool = False,
    generators: bool = True,
    hypers: Literal["same", "saved"] = "same",
    **parts: Any,
) -> Resumed:
    """Go on with a run: the same numbers as if it had never stopped, or a refusal that says what differs.

    Everything is read, compared with its SHA-256 and checked against the parts before any part changes; if a part then
    fails to take its state, all are put back. Where the newest checkpoint is damaged, the one before it is used, and a
    `CheckpointWarning` and `skipped` say so.

    Args:
        folder: The run's folder.
        step: Go on from this step's checkpoint; None takes the newest.
        partial: Load only the parts that are given, leave the generators as they are and do not claim the folder: to
            evaluate, while the run may go on elsewhere.
        generators: Put the shared random generators where they were.
        hypers: "same" refuses an optimizer whose rates or options are not the saved ones; "saved" takes those, for
            a run that had moved them by hand.
        parts: What `save` was given, by the same names, built as it was then. Plain values are left out and
            returned.

    Returns:
        The step to go on at, plain values, lineage, what was skipped.

    Raises:
        CheckpointError: no good checkpoint, one of another format, or parts that differ; nothing has changed.

    Example:
        >>> import tempfile, torch, tapered
        >>> from tapered.checkpoint import save
        >>> def parts():
        ...     model = torch.nn.Linear(2, 1)
        ...     return {"model": model, "optimizer": tapered.Adam(model.parameters(), lr=tapered.warmup(10))}
        >>> folder = tempfile.mkdtemp()
        >>> path = save(folder, 7, **parts(), epoch=1)
        >>> found = resume(folder, **parts())
        >>> found.step, found.values["epoch"]
        (7, 1)
    """
    path = Path(folder)
    if hypers not in ("same", "saved"):
        raise ValueError(f"got {hypers!r} for `hypers`; expected 'same' or 'saved'")
    held = None if partial or not _writable(path) else lock.claim(path)
    found = find(path, step)
    change = Change(saved_hold=hypers == "saved")
    calls = prepared(found, parts, change, partial=partial)
    if generators and not partial:
        calls.append(everywhere(found))
    apply_all(calls)
    if held is not None:
        held.run, held.lineage = found.fields["run"], tuple(found.fields["lineage"])
        held.tip = (files.place_of(files.listed(path)[0])[0], found.fields["step"])
    tell(found)
    return found.resumed()


def _writable(folder: Path) -> bool:
    if not folder.is_dir():
        raise CheckpointError(f"{shown(folder)} is no folder; expected the one that save(folder, ...) was given")
    return os.access(folder, os.W_OK)


def find(folder: Path, step: int | None) -> Read:
    """The newest good checkpoint, or that of a step.

    Raises:
        CheckpointError: there is none; with what is wrong with each.
    """
    known = files.listed(folder)
    if not known:
        raise CheckpointError(f"{shown(folder)} holds no checkpoint; expected the folder that save(...) was given")
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
    fix = f"resume(..., step={sound[0]}), the last finite one" if sound else "no finite one is left"
    raise CheckpointError(
        f"{found.path.name} in {shown(folder)} holds parameters that are not finite; try {fix}; or "
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
        if any(part.keys() != {"kind", "class", "state"} for part in parts.values()):
            raise DamagedError("its state names no parts")
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError, RecursionError, RuntimeError) as error:
        raise DamagedError(f"it is not what tapered writes ({type(error).__name__}: {str(error)[:200]})") from error
    return Read(path, fields, parts, shared)


def prepared(
    found: Read, parts: Mapping[str, Any], change: Change, *, partial: bool = False, optional: Sequence[str] = ()
) -> list[tuple[Apply, Apply]]:
    """For each part a call that loads it and one that puts it back; everything is checked.

    Raises:
        CheckpointError: what differs, in which part.
    """
    given = {name: unwrapped(part) for name, part in parts.items()}
    saved = {name: part for name, part in found.parts.items() if part["kind"] != "value" or name in given}
    missing = sorted(saved.keys() - given.keys() - set(optional))
    extra = sorted(given.keys() - saved.keys())
    if (missing and not partial) or extra:
        raise CheckpointError(
            f"{shown(found.path)} was saved with the parts {sorted(saved)}; got {sorted(given)}; "
            + (f"give {missing} too, or partial=True to load only some" if missing else f"leave out {extra}")
        )
    names = sorted(given, key=lambda name: ORDER.index(kind_of(given[name])))
    try:
        loads = [prepare(name, given[name], saved[name], given, change) for name in names]
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            f"{shown(found.path)} cannot be loaded into these parts ({type(error).__name__}: {error})"
        ) from error
    return [(load, undo(given[name])) for name, load in zip(names, loads, strict=True)]


def everywhere(found: Read) -> tuple[Apply, Apply]:
    """The shared generators, to set and to put back."""
    if found.generators is None:
        return (lambda: None), (lambda: None)
    return generators.prepare_everywhere(found.generators), generators.prepare_everywhere(generators.everywhere())


def undo(part: Any) -> Apply:
    """A call that puts a part back to where it is now."""
    kind = kind_of(part)
    if kind == "optimizer":
        kept = {
            "state": defaultdict(dict, {p: dict(entry) for p, entry in part.state.items()}),
            "param_groups": [dict(group) for group in part.param_groups],
        }
        return lambda: part.__setstate__(kept)
    if kind == "tensor":
        before = copied(part)
        return lambda: part.data.copy_(before)
    if kind == "generator":
        return generators.prepare("", part, copied(generators.state_of(part)))
    state = copied(part.state_dict())
    return lambda: part.load_state_dict(state)


def apply_all(calls: list[tuple[Apply, Apply]]) -> None:
    """Load every part, or none.

    Raises:
        CheckpointError: a part did not take its state; all are as they were.
    """
    for done, (load, _) in enumerate(calls):
        try:
            load()
        except BaseException as error:
            for _, back in reversed(calls[: done + 1]):
                back()
            if isinstance(error, Exception) and not isinstance(error, CheckpointError):
                raise CheckpointError(f"a part did not take its state ({type(error).__name__}: {error})") from error
            raise


def tell(found: Read) -> None:
    """Warn of checkpoints skipped, and of what may change the last bits."""
    if found.skipped:
        _warn(f"went on from {found.path.name}, since newer ones are damaged: {'; '.join(found.skipped)}")
    now = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    changed = [
        f"{key} {found.fields[key]} then, {value} now" for key, value in now.items() if found.fields[key] != value
    ]
    if changed:
        _warn(f"saved under {', '.join(changed)}: results may differ in their last bits from an uninterrupted run's")


def _warn(text: str) -> None:
    warnings.warn(text, CheckpointWarning, stacklevel=4)
