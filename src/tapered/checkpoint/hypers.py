"""Whether an optimizer has the rates, options and schedules that were saved; a loaded state would replace them."""

from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import Tensor

from tapered.attach import Clock
from tapered.checkpoint.change import Change
from tapered.files.errors import CheckpointError
from tapered.files.tree import same
from tapered.optim import Optimizer
from tapered.optim.freezing import KEY as ACTS
from tapered.optim.hypers import items, names
from tapered.optim.policies import alike

Tree = dict[str, Any]


def same_clock(name: str, clock: Clock | None, saved: Tree, change: Change) -> None:
    """The optimizer has a clock where it had one, with the same schedules.

    Raises:
        CheckpointError: with the hyper and both schedules.
    """
    for index, group in enumerate(saved["groups"]):
        theirs = group.get("clock", {}).get("schedules", {})
        mine = {} if clock is None else {hyper: str(s) for hyper, s in clock.schedules[index].items()}
        if clock is not None and clock.takes(index, group.get("clock", {})):
            continue  # a late group goes on as it was left
        for hyper in sorted({*theirs, *mine} - change.hypers.keys()):
            one, other = mine.get(hyper, "none"), theirs.get(hyper, "none")
            if not alike(one, other) and not (change.saved_hold and clock is not None and theirs):
                raise CheckpointError(
                    f"`{hyper}` in group {index} of `{name}` followed the attached schedule {other} when it was saved, "
                    f"and here {one}; attach the same before, or fork(...) to another"
                )


def same_schedules(name: str, part: Optimizer, index: int, group: Tree, change: Change, clock: Clock | None) -> None:
    """One of tapered's groups follows the schedules that it followed when it was saved.

    A group that joined late with a number goes on as it was left.

    Raises:
        CheckpointError: with the hyper and both.
    """
    if change.saved_hold:
        return
    own = part.param_groups[index]
    mine, theirs = own["schedules"], group.get("schedules", {})
    if "joined" in own:  # a late group goes on as it was left
        return
    free = {*change.hypers, *({} if clock is None else clock.schedules[index])}
    for hyper in sorted({*mine, *theirs} - free):
        one, other = (found["schedules"].get(hyper, _number(part, found, hyper)) for found in (own, group))
        if not alike(one, other):
            what = f"`{hyper}` in group {index} differs: saved {other}, this optimizer's {one}"
            raise CheckpointError(_differs(name, what))


def _number(part: Optimizer, group: Tree, hyper: str) -> Any:
    """What a group shows of a hyper that follows nothing."""
    return next(
        value
        for key in part.hyper_keys
        for found, value in zip(names(key), items(key, group[key], 0), strict=True)
        if found == hyper
    )


def scheduled(part: torch.optim.Optimizer, groups: Iterable[Tree]) -> set[str]:
    """The group keys of hypers that follow a schedule in any of these groups, and those that keep the schedules."""
    if not isinstance(part, Optimizer):
        return set()
    follows = {name for group in groups for name in group.get("schedules", {})}
    return {"schedules", "step", "joined"} | {key for key in part.hyper_keys if follows & {*names(key)}}


def same_group(
    name: str, own: Tree, saved: Tree, index: int, change: Change, *, driven: bool, but: Collection[str] = ()
) -> None:
    """A group has the options that were saved; a number may have been moved by the run itself.

    It was, where the optimizer was made with the same default and shows it again, or a scheduler or clock moves it.

    Raises:
        CheckpointError: with the option and both values.
    """
    mine, theirs = own["groups"][index], saved["groups"][index]
    if change.saved_hold:
        return
    for key in sorted(
        mine.keys() - {"params", "clock", ACTS, "initial_lr", *change.hypers, *but}
    ):  # others' keys are taken
        one, other = mine.get(key), theirs.get(key)
        number = not isinstance(one, bool) and isinstance(one, (int, float, Tensor, tuple, list))
        base = key == "lr" and "initial_lr" in theirs and _equal(mine.get("initial_lr", one), theirs["initial_lr"])
        default = own["defaults"].get(key)
        moved = default is not None and _equal(one, default) and _equal(saved["defaults"].get(key), default)
        if not (_equal(one, other) or base or (number and (driven or moved))):
            what = f"`{key}` in group {index} differs: saved {other!r:.80}, this optimizer's {one!r:.80}"
            raise CheckpointError(_differs(name, what))


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return len(one) == len(other) and all(_equal(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, Tensor) and isinstance(other, (Tensor, float)):
        return float(one) == float(other)
    return same(one, other)


def _differs(name: str, what: str) -> str:
    return (
        f"`{name}`: {what}; to go on as before, build it as it was, or resume(..., hypers='saved') where the run had "
        f"moved it; for a new value, fork(..., lr=...)"
    )
