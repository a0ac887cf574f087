"""What a folder holds: each checkpoint verified, with its step, rates, schedules and lineage."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tapered.checkpoint import files
from tapered.checkpoint.reading import Origin, Read, listed, read
from tapered.files.errors import CheckpointError, DamagedError
from tapered.words import brief


@brief
@dataclass(frozen=True)
class Described:
    """One checkpoint.

    Args:
        name: Its folder's.
        step: Completed updates.
        damage: What is wrong with it; "" where every byte is as it was written.
        foreign: It is whole, but another version of tapered wrote it, in another format.
        finite: Whether its parameters are.
        metric: What it was given.
        size: Bytes.
        rates: For each parameter group of each optimizer, the rate as saved: that of the next update.
        schedules: "OPTIMIZER group K HYPER" -> the schedule as text.
        lineage: The forks that led to it.
        values: Its plain values.
        kinds: The kinds of processor that trained it, as text.

    Example:
        >>> Described("000004-step60", 60, damage="state.json is missing").step
        60
    """

    name: str
    step: int
    damage: str = ""
    foreign: bool = False
    finite: bool = True
    metric: float | None = None
    size: int = 0
    rates: tuple[float, ...] = ()
    schedules: Mapping[str, str] = ()  # type: ignore[assignment]
    lineage: tuple[Origin, ...] = ()
    values: Mapping[str, Any] = ()  # type: ignore[assignment]
    kinds: tuple[str, ...] = ()


def describe(folder: str | os.PathLike[str]) -> list[Described]:
    """Verify every checkpoint in a folder, the newest first; nothing is changed or claimed.

    Args:
        folder: a run's.

    Raises:
        CheckpointError: there is none.

    Example:
        >>> import tempfile, torch, tapered
        >>> from tapered.checkpoint import save
        >>> weight, folder = torch.nn.Parameter(torch.ones(2)), tempfile.mkdtemp()
        >>> path = save(folder, 0, weight=weight, optimizer=tapered.SGD([weight], lr=tapered.linear(0.5, 0.0, steps=9)))
        >>> found = describe(folder)[0]
        >>> found.damage, found.rates, found.schedules
        ('', (0.5,), {'optimizer group 0 lr': 'linear(0.5, steps=9)'})
    """
    return [_describe(found) for found in listed(Path(folder))]


def _describe(path: Path) -> Described:
    try:
        found = read(path)
    except CheckpointError as error:
        whole = not isinstance(error, DamagedError)
        return Described(path.name, files.place_of(path)[1], damage=str(error), foreign=whole, schedules={}, values={})
    result = found.resumed()
    return Described(
        name=path.name,
        step=result.step,
        finite=found.fields["finite"],
        metric=result.metric,
        size=sum(entry["bytes"] for entry in found.fields["files"].values()),
        rates=tuple(float(group["lr"]) for _, _, group in _groups(found) if "lr" in group),
        schedules={
            f"{name} group {index} {hyper}": text
            for name, index, group in _groups(found)
            for hyper, text in {**group.get("schedules", {}), **group.get("clock", {}).get("schedules", {})}.items()
        },
        lineage=result.lineage,
        values=result.values,
        kinds=result.kinds,
    )


def _groups(found: Read) -> list[tuple[str, int, dict[str, Any]]]:
    return [
        (name, index, group)
        for name, part in found.parts.items()
        if part["kind"] == "optimizer"
        for index, group in enumerate(part["state"]["groups"])
    ]
