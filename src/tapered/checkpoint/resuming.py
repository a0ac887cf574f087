"""`resume`: everything is read, hashed and checked before anything changes; the same numbers, or a refusal."""

import os
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from tapered import kind
from tapered.attach import Clock, clock_of
from tapered.checkpoint import files, generators, lock, processes
from tapered.checkpoint.attributes import numbers_of, setting
from tapered.checkpoint.change import Change
from tapered.checkpoint.lock import shown
from tapered.checkpoint.parts import ORDER, Apply, both, kind_of, prepare, unwrapped
from tapered.checkpoint.reading import Read, Resumed, find
from tapered.files.errors import CheckpointError, CheckpointWarning
from tapered.files.tree import copied
from tapered.optim import Optimizer


class Call(NamedTuple):
    """Loads a part, or puts it back to where it was."""

    name: str
    load: Apply
    back: Apply


def resume(
    folder: str | os.PathLike[str],
    *,
    step: int | None = None,
    partial: bool = False,
    generators: bool = True,
    hypers: Literal["same", "saved"] = "same",
    attributes: Literal["same", "saved"] = "same",
    kinds: Literal["same", "any"] = "same",
    **parts: Any,
) -> Resumed:
    """Go on with a run: the same numbers as if it had never stopped, or a refusal that says what differs.

    Everything is read, compared with its SHA-256 and checked against the parts before any part changes; if a part then
    fails to take its state, all are put back, and one that cannot be is named. Where the newest checkpoint is damaged,
    the one before it is used, and a `CheckpointWarning` and `skipped` say so.

    Args:
        folder: The run's folder.
        step: Go on from this step's checkpoint; None takes the newest.
        partial: Load only the parts that are given, leave the generators as they are and do not claim the folder: to
            evaluate, while the run may go on elsewhere.
        generators: Put the shared random generators where they were.
        hypers: "same" refuses an optimizer whose rates or options are not the saved ones; "saved" takes those, for
            a run that had moved them by hand.
        attributes: Plain numbers that modules keep beside their state dict, as an average its count: "same" refuses
            those that differ from the saved ones; "saved" sets them.
        kinds: "same" refuses to go on where the last bits may be others, under another version of torch, number of
            threads or kind of processor (`tapered.kind`); "any" goes on, warns, and the next checkpoint says so.
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
    for name, given, other in (
        ("hypers", hypers, "saved"),
        ("attributes", attributes, "saved"),
        ("kinds", kinds, "any"),
    ):
        if given not in ("same", other):
            raise ValueError(f"got {given!r} for `{name}`; expected 'same' or {other!r}")
    processes.check(parts, generators=generators and not partial)
    held = None if partial or not _writable(path) or not processes.alone() else lock.claim(path)
    found = find(path, step)
    if kinds == "same" and not partial and (changed := otherwise(found)):
        raise CheckpointError(
            f"{shown(found.path)} was saved under {', '.join(changed)}: the last bits would differ from the "
            f"uninterrupted run's; go on as it was, or resume(..., kinds='any') (--kinds any)"
        )
    change = Change(saved_hold=hypers == "saved", attributes="any" if partial and attributes == "same" else attributes)
    calls = prepared(found, parts, change, partial=partial)
    if generators and not partial:
        calls.append(everywhere(found))
    apply_all(calls)
    if held is not None:
        held.run, held.lineage = found.fields["run"], tuple(found.fields["lineage"])
        held.kinds = tuple(found.fields.get("kinds", ()))
        held.tip = (files.place_of(files.listed(path)[0])[0], found.fields["step"])
    tell(found, partial=partial)
    return found.resumed()


def _writable(folder: Path) -> bool:
    if not os.path.isdir(folder):  # noqa: PTH112 - a name that is too long is no folder, and no error
        raise CheckpointError(
            f"{shown(folder)} is no folder; expected one that `tapered run` or save(folder, ...) filled"
        )
    return os.access(folder, os.W_OK)


def prepared(
    found: Read, parts: Mapping[str, Any], change: Change, *, partial: bool = False, optional: Sequence[str] = ()
) -> list[Call]:
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
    return [Call(name, load, undo(given[name])) for name, load in zip(names, loads, strict=True)]


def everywhere(found: Read) -> Call:
    """The shared generators, to set and to put back."""
    if found.generators is None:
        return Call("generators", lambda: None, lambda: None)
    here = generators.prepare_everywhere(generators.everywhere())
    return Call("generators", generators.prepare_everywhere(found.generators), here)


def undo(part: Any) -> Apply:
    """A call that puts a part back to where it is now."""
    kind = kind_of(part)
    if kind == "optimizer":
        kept: dict[str, Any] = {
            "state": defaultdict(dict, {p: dict(entry) for p, entry in part.state.items()}),
            "param_groups": [dict(group) for group in part.param_groups],
        }
        if isinstance(part, Optimizer):
            kept["_running"] = part._running.copied()  # noqa: SLF001  # the optimizer's other half
        clock = clock_of(part)
        after = None if clock is None else undo(clock)

        def back() -> None:
            try:
                part.__setstate__(kept)
            finally:
                if after is not None:
                    after()

        return back
    if kind == "tensor":
        before = copied(part)
        return lambda: part.data.copy_(before)
    if kind == "generator":
        return generators.prepare("", part, copied(generators.state_of(part)))
    state, how = copied(part.state_dict()), {"policy": "saved"} if isinstance(part, Clock) else {}
    if kind == "module":
        return both(lambda: part.load_state_dict(state), setting(part, numbers_of(part)))
    return lambda: part.load_state_dict(state, **how)


def apply_all(calls: Sequence[Call]) -> None:
    """Load every part, or none.

    Raises:
        CheckpointError: a part did not take its state; all are as they were, except those that it names.
    """
    for done, call in enumerate(calls):
        try:
            call.load()
        except BaseException as error:
            lost = _put_back(calls[: done + 1])
            if not isinstance(error, Exception) or (isinstance(error, CheckpointError) and not lost):
                for text in lost:
                    error.add_note(f"could not be put back: {text}")
                raise
            said = str(error) if isinstance(error, CheckpointError) else _untaken(call.name, error)
            if lost:
                said += f"; could not be put back: {', '.join(lost)}; all else is as it was; build what is named anew"
            raise CheckpointError(said) from error


def _untaken(name: str, error: Exception) -> str:
    return f"`{name}` did not take its state ({type(error).__name__}: {error})"


def _put_back(calls: Sequence[Call]) -> list[str]:
    """Put every part back, the last first; those that would not, and why."""
    lost = []
    for call in reversed(calls):
        try:
            call.back()
        except BaseException as error:  # noqa: BLE001 - the others are put back too, and the first error is raised
            lost.append(f"`{call.name}` ({type(error).__name__}: {error})")
    return lost


def tell(found: Read, *, partial: bool = False) -> None:
    """Warn of checkpoints skipped, and of what may change the last bits."""
    if found.skipped:
        _warn(f"went on from {found.path.name}, since newer ones are damaged: {'; '.join(found.skipped)}")
    changed = otherwise(found)
    if changed and not partial:
        _warn(f"saved under {', '.join(changed)}: results may differ in their last bits from an uninterrupted run's")


def otherwise(found: Read) -> list[str]:
    """What of torch, threads and the kind of processor is not as it was, so that the last bits may differ."""
    now = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    changed = [
        f"{key} {found.fields[key]} then, {value} now" for key, value in now.items() if found.fields[key] != value
    ]
    return changed + kind.differing(found.fields.get("kind", {}), kind.here(gpus=True))


def _warn(text: str) -> None:
    warnings.warn(text, CheckpointWarning, stacklevel=4)
