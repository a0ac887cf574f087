"""Runs of a study as text, and their rows as tensors: what the store's files hold."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from tapered.files.sealed import sealed, unsealed
from tapered.rules import Rule
from tapered.study.store.runs import Branch, Bundle, Run
from tapered.training.rows import Rows

PLANNED = ("key", "arm", "peak", "seed", "steps", "probe")
NAMED = ("params", "buffers", "counts", "scaler")  # fields of rows whose tensors have names


@dataclass(frozen=True)
class Kept:
    """A bundle as its file has it.

    Args:
        bundle: What was trained.
        state: The name of the file that holds its rows; None where none has any.
        sha256: That file's.
        kinds: The kinds of processor that trained it, as text, in order.
    """

    bundle: Bundle
    state: str | None
    sha256: str
    kinds: tuple[str, ...] = ()


def pack(bundle: Bundle, rows: Rows | None, kinds: Sequence[str]) -> tuple[Kept, bytes]:
    """A bundle as its file will have it, and the content of the file of its rows; nothing where it has none."""
    data = b"" if rows is None else save_tensors(rows_to_tensors(rows))
    digest = hashlib.sha256(data).hexdigest()
    return Kept(bundle, f"{bundle.name}-{digest[:12]}.safetensors" if data else None, digest, tuple(kinds)), data


def unpack(kept: Kept, data: bytes, rule: Rule) -> Rows:
    """The rows of a bundle's live branches.

    Raises:
        ValueError: If the data is not what was packed.
    """
    if hashlib.sha256(data).hexdigest() != kept.sha256:
        raise ValueError(f"{kept.state} is not the file that was written")
    return rows_from_tensors(load_tensors(data), kept.bundle.live, rule)


def bundle_to_text(kept: Kept) -> str:
    """JSON of a bundle, with its own SHA-256."""
    branches = [_branch_fields(branch) for branch in kept.bundle.branches]
    return sealed({"state": kept.state, "sha256": kept.sha256, "kinds": list(kept.kinds), "branches": branches})


def _branch_fields(branch: Branch) -> dict[str, Any]:
    return {
        "runs": [{name: getattr(run, name) for name in PLANNED} for run in branch.runs],
        "step": branch.step,
        "diverged": branch.diverged,
        "pruned": branch.pruned,
        "began": branch.began,
        "ended": branch.ended,
        "curve": [[step, {name: _number(value) for name, value in point.items()}] for step, point in branch.curve],
        "losses": branch.losses,
        **({"told": branch.told} if branch.told else {}),
    }


def _number(value: float) -> float | str:
    """JSON has no NaN and no infinity."""
    return value if isfinite(value) else repr(value)


def bundle_from_text(text: str, name: str) -> Kept:
    """The bundle that ``bundle_to_text`` wrote.

    Raises:
        ValueError: If the text is not a bundle of this name, or not what was written.
    """
    fields = unsealed(text)
    try:
        bundle = Bundle(tuple(_branch(part) for part in fields["branches"]))
        found = Kept(bundle, fields["state"], str(fields["sha256"]), tuple(fields["kinds"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if bundle.name != name:
        raise ValueError("its runs are not those that its name stands for")
    return found


def _branch(fields: Mapping[str, Any]) -> Branch:
    return Branch(
        runs=tuple(Run(**run) for run in fields["runs"]),
        step=fields["step"],
        diverged=fields["diverged"],
        pruned=fields["pruned"],
        curve=tuple((step, {k: float(v) for k, v in point.items()}) for step, point in fields["curve"]),
        losses=tuple((step, loss) for step, loss in fields["losses"]),
        told=tuple((step, loss) for step, loss in fields.get("told", ())),
        began=_when(fields.get("began")),
        ended=_when(fields.get("ended")),
    )


def _when(seconds: Any) -> float | None:
    """A time; earlier versions wrote none."""
    return None if seconds is None else float(seconds)


def rows_to_tensors(rows: Rows) -> dict[str, Tensor]:
    """Every tensor of rows under a name: "params/NAME", "state/NAME/KEY", "extra/ROW", ..."""
    parts: dict[str, Tensor] = {}
    for kind in NAMED:
        tensors = getattr(rows, kind)
        parts |= {f"{kind}/{name}": t for name, t in tensors.items()}
    parts |= {f"state/{name}/{key}": t for name, state in rows.state.items() for key, t in state.items()}
    parts |= {
        f"extra/{i}": torch.frombuffer(bytearray(packed), dtype=torch.uint8)
        for i, packed in enumerate(rows.extra)
        if packed
    }
    # safetensors refuses tensors that share memory
    return {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in parts.items()}


def rows_from_tensors(tensors: Mapping[str, Tensor], branches: Sequence[Branch], rule: Rule) -> Rows:
    """The rows whose tensors ``rows_to_tensors`` named, one for each branch."""
    parts: dict[str, dict[str, Tensor]] = {kind: {} for kind in NAMED}
    state: dict[str, dict[str, Tensor]] = {}
    extra = [b""] * len(branches)
    for path, t in tensors.items():
        kind, name = path.split("/", 1)
        if kind == "extra":
            extra[int(name)] = t.numpy().tobytes()
        elif kind == "state":
            name, key = name.rsplit("/", 1)
            state.setdefault(name, {})[key] = t
        else:
            parts[kind][name] = t
    return Rows(
        rule=rule,
        seeds=tuple(branch.runs[0].seed for branch in branches),
        steps=tuple(branch.step for branch in branches),
        state={name: state.get(name, {}) for name in parts["params"]},
        losses=tuple(branch.losses for branch in branches),
        latest=(nan,) * len(branches),
        diverged=(None,) * len(branches),
        extra=tuple(extra),
        **parts,
    )
