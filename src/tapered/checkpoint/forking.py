"""`fork`: a child run at another rate or schedule, its parent, step and change written down."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from torch.optim.lr_scheduler import LRScheduler

from tapered.checkpoint import files, lock, processes
from tapered.checkpoint.change import Change, Value
from tapered.checkpoint.lock import shown
from tapered.checkpoint.parts import kind_of, unwrapped
from tapered.checkpoint.reading import Resumed, find, read
from tapered.checkpoint.resuming import Call, apply_all, everywhere, prepared, tell
from tapered.checkpoint.saving import save
from tapered.files.errors import CheckpointError
from tapered.schedules import Controller, Schedule


def fork(
    folder: str | os.PathLike[str],
    *,
    into: str | os.PathLike[str],
    step: int | None = None,
    lr: Value | Sequence[Value] | None = None,
    hypers: Mapping[str, Value | Sequence[Value]] | None = None,
    keep_moments: bool = True,
    counted: Literal["now", "start"] | None = None,
    generators: bool = True,
    **parts: Any,
) -> Resumed:
    """Begin a child run from a checkpoint, at another rate: it is in force at the child's first update.

    The parts are loaded as `resume` does, but for the hypers that are asked for. The child's first checkpoint is saved
    into `into` at once, with its parent, step and change as lineage.

    Args:
        folder: The parent run's folder; it is only read.
        into: The child's folder, new or empty of checkpoints.
        step: The parent's step to fork at; None takes its newest.
        lr: The new rate: number, schedule or controller; a list gives one to each parameter group. None leaves it.
        hypers: New values of others, by name: {"weight_decay": 0.1, "beta1": linear(0.9, 0.5, steps=100)}.
        keep_moments: False begins with fresh rule state (moments, momentum); Adam's bias correction then starts again,
            so the first updates are as large as at a run's start. Schedules count on.
        counted: For new schedules: "now", their step 0 is the fork; "start", they are read at the run's step.
        generators: Put the shared random generators where they were.
        parts: What the parent saved, by the same names. torch's schedulers may be left out when `lr` is given, and must
            be: they would write their old rate again. Build a new one on the forked optimizer.

    Returns:
        The child's step, run id and lineage.

    Raises:
        ValueError, TypeError: a hyper that cannot be, or a schedule without `counted`.
        CheckpointError: as `resume`, or `into` holds a run; nothing has changed.

    Example:
        >>> import tempfile, torch, tapered
        >>> from tapered.checkpoint import save
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = tapered.SGD(model.parameters(), lr=1e-3)
        >>> parent, child = tempfile.mkdtemp(), tempfile.mkdtemp()
        >>> path = save(parent, 100, model=model, optimizer=optimizer)
        >>> forked = fork(parent, into=child, lr=1e-4, model=model, optimizer=optimizer)
        >>> optimizer.param_groups[0]["lr"], forked.lineage[0].change["lr"]
        (0.0001, '0.0001')
    """
    parent, child = Path(folder), Path(into)
    processes.check(parts, generators=generators, into=child)
    new = {**({} if lr is None else {"lr": lr}), **(hypers or {})}
    found = find(parent, step)
    change = Change(new, keep_moments, counted, found.fields["step"])
    _one_optimizer(parts, change)
    _empty(parent, child)
    calls = prepared(found, parts, change, optional=_stale(found.parts) if "lr" in new else ())
    if generators:
        calls.append(everywhere(found))
    values = {name: part["state"] for name, part in found.parts.items() if part["kind"] == "value"}
    written: list[Path] = []

    def first() -> None:
        begin(parent, child, found.resumed(), change)
        written.append(save(child, found.fields["step"], generators=generators, **parts, **values))

    apply_all([*calls, Call("the first checkpoint", first, lambda: lock.release(child))])
    tell(found)
    result = read(written[0]).resumed()
    return replace(result, folder=written[0], values=values, metric=None, skipped=found.skipped)


def begin(parent: Path, child: Path, found: Resumed, change: Change) -> None:
    """Claim a fork's folder and write down where it comes from; what is saved there next is its first checkpoint.

    Args:
        parent: the folder of the run that is forked.
        child: the fork's own, new or empty.
        found: where the parent stood, as `resume` says it.
        change: what the fork does otherwise.

    Raises:
        CheckpointError: the folder holds a run.

    Example:
        >>> import tempfile, torch
        >>> from tapered.checkpoint import resume, save
        >>> weight = torch.nn.Parameter(torch.ones(2))
        >>> parent, child = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
        >>> path = save(parent, 40, weight=weight)
        >>> begin(parent, child, resume(parent, weight=weight), Change({"lr": 1e-4}, step=40))
        >>> path = save(child, 41, weight=weight)
        >>> resume(child, weight=weight).lineage[0].change
        {'lr': '0.0001', 'moments': 'kept'}
    """
    _empty(parent, child)
    origin = {
        "run": found.run,
        "folder": str(found.folder.resolve()),
        "step": found.step,
        "change": {
            **{name: _text(value) for name, value in change.hypers.items()},
            "moments": "kept" if change.keep_moments else "reset",
            **({"counted": change.counted} if change.counted else {}),
        },
    }
    held = lock.claim(child)
    held.lineage, held.kinds = (*(asdict(past) for past in found.lineage), origin), found.kinds


def _one_optimizer(parts: Mapping[str, Any], change: Change) -> None:
    known = [name for name, part in parts.items() if kind_of(unwrapped(part)) == "optimizer"]
    if change.hypers and len(known) != 1:
        raise ValueError(f"got new {sorted(change.hypers)} with the optimizers {known}; a fork changes one optimizer's")


def _empty(parent: Path, child: Path) -> None:
    if child.resolve() == parent.resolve():
        raise CheckpointError(f"a fork goes into a folder of its own; got {shown(child)}, its parent's")
    if child.is_dir() and files.listed(child):
        raise CheckpointError(f"{shown(child)} holds a run already; fork into a new folder")


def _stale(saved: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Parts of torch's schedulers, which a new rate puts out of force."""
    known = _classes(LRScheduler)
    return [name for name, part in saved.items() if part["class"] in known]


def _classes(kind: type) -> set[str]:
    return {f"{kind.__module__}.{kind.__qualname__}"}.union(*map(_classes, kind.__subclasses__()))


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_text(item) for item in value)}]"
    return str(value) if isinstance(value, (Schedule, Controller)) else repr(float(value))
