"""A run of a study as a value and as text, and its row as tensors: what the store keeps."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from torch import Tensor

from tapered.rules import Rule
from tapered.train import Row

Curve = tuple[tuple[int, Mapping[str, float]], ...]


@dataclass(frozen=True)
class Run:
    """One run: an arm at one peak and one seed.

    Args:
        key: Hash of everything the run's numbers depend on (see ``run_key``).
        arm: The arm's name.
        peak: What the arm's rate is multiplied by; None for an arm whose rate stands as written.
        seed: Its seed.
        steps: Updates it is to make.
        step: Updates made.
        curve: (step, metric name -> value on the validation split), in order of steps.
        losses: (step, training loss), a bounded number of points.
        diverged: The step whose loss was not finite, else None.
        value: The study's metric at the last evaluation; NaN where the run diverged or is not finished.
    """

    key: str
    arm: str
    peak: float | None
    seed: int
    steps: int
    step: int = 0
    curve: Curve = ()
    losses: tuple[tuple[int, float], ...] = ()
    diverged: int | None = None
    value: float = float("nan")

    @property
    def finished(self) -> bool:
        """Whether it has made all its steps or diverged on the way."""
        return self.step >= self.steps or self.diverged is not None


def run_key(facts: Mapping[str, Any]) -> str:
    """Twenty hex digits of the SHA-256 of the facts as sorted JSON.

    >>> run_key({"seed": 1, "peak": 0.1}) == run_key({"peak": 0.1, "seed": 1})
    True
    """
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, whenever the power goes."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def run_to_text(run: Run, state: str, digest: str) -> str:
    """JSON of a run and of the file that holds its state, with that file's SHA-256."""
    fields = {
        **{name: getattr(run, name) for name in ("key", "arm", "peak", "seed", "steps", "step", "diverged")},
        "value": _number(run.value),
        "curve": [[step, {name: _number(value) for name, value in point.items()}] for step, point in run.curve],
        "losses": run.losses,
        "state": state,
        "sha256": digest,
    }
    return json.dumps(fields, allow_nan=False)


def _number(value: float) -> float | str:
    """JSON has no NaN and no infinity."""
    return value if isfinite(value) else repr(value)


def run_from_text(text: str) -> Run:
    """The run that ``run_to_text`` wrote.

    Raises:
        ValueError: If the text is not such a run.
    """
    try:
        fields = json.loads(text)
        return Run(
            **{name: fields[name] for name in ("key", "arm", "peak", "seed", "steps", "step", "diverged")},
            value=float(fields["value"]),
            curve=tuple((step, {k: float(v) for k, v in point.items()}) for step, point in fields["curve"]),
            losses=tuple((step, loss) for step, loss in fields["losses"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def row_to_tensors(row: Row) -> dict[str, Tensor]:
    """Every tensor of a row under a name: "params/NAME", "state/NAME/KEY", ..."""
    parts: dict[str, Tensor] = {}
    for kind, tensors in (("params", row.params), ("buffers", row.buffers), ("counts", row.counts)):
        parts |= {f"{kind}/{name}": t for name, t in tensors.items()}
    parts |= {f"state/{name}/{key}": t for name, state in row.state.items() for key, t in state.items()}
    # safetensors refuses tensors that share memory
    return {name: t.detach().clone().contiguous() for name, t in parts.items()}


def row_from_tensors(tensors: Mapping[str, Tensor], run: Run, rule: Rule) -> Row:
    """The row whose tensors ``row_to_tensors`` named."""
    parts: dict[str, dict[str, Tensor]] = {"params": {}, "buffers": {}, "counts": {}}
    state: dict[str, dict[str, Tensor]] = {}
    for path, t in tensors.items():
        kind, name = path.split("/", 1)
        if kind == "state":
            name, key = name.rsplit("/", 1)
            state.setdefault(name, {})[key] = t
        else:
            parts[kind][name] = t
    state = {name: state.get(name, {}) for name in parts["params"]}
    return Row(rule=rule, seed=run.seed, step=run.step, state=state, losses=run.losses, diverged=run.diverged, **parts)
