"""Whether an optimizer has the rates, options and schedules that were saved; a loaded state would replace them."""

from typing import Any

from torch import Tensor

from tapered.attach import Clock
from tapered.checkpoint.change import Change
from tapered.checkpoint.errors import CheckpointError
from tapered.checkpoint.tree import same
from tapered.optim import Optimizer
from tapered.optim.hypers import items, names

Tree = dict[str, Any]


def same_clock(name: str, clock: Clock | None, saved: Tree, change: Change) -> None:
    """The optimizer has a clock where it had one, with the same schedules.

    Raises:
        CheckpointError: with the hyper and both schedules.
    """
    for index, group in enumerate(saved["groups"]):
        theirs = group.get("clock", {}).get("schedules", {})
        mine = {} if clock is None else {hyper: str(s) for hyper, s in clock.schedules[index].items()}
        for hyper in sorted({*theirs, *mine} - change.hypers.keys()):
            one, other = mine.get(hyper, "none"), theirs.get(hyper, "none")
            if one != other and not (change.saved_hold and clock is not None and theirs):
                raise CheckpointError(
                    f"`{hyper}` in group {index} of `{name}` followed the attached schedule {other} when it was saved, "
                    f"and here {one}; attach the same before, or fork(...) to another"
                )


def same_hypers(name: str, part: Optimizer, index: int, group: Tree, change: Change, clock: Clock | None) -> None:
    """One of tapered's groups has the hypers and schedules that were saved.

    Raises:
        CheckpointError: with the hyper and both values.
    """
    if change.saved_hold:
        return
    followed = {} if clock is None else clock.schedules[index]
    mine, theirs = (_followed(part, found) for found in (part.param_groups[index], group))
    for hyper in sorted(mine.keys() - change.hypers.keys() - followed.keys()):
        one, other = mine[hyper], theirs.get(hyper)
        if one != other:
            what = f"`{hyper}` in group {index} differs: saved {other}, this optimizer's {one}"
            raise CheckpointError(_differs(name, what))


def _followed(part: Optimizer, group: Tree) -> dict[str, str]:
    """Each hyper's schedule as text, or its number."""
    shown = {hyper: float(value) for key in part.hyper_keys if key in group
             for hyper, value in zip(names(key), items(key, group[key], 0), strict=True)}  # fmt: skip
    return {hyper: str(group["schedules"].get(hyper, value)) for hyper, value in shown.items()}


def same_group(name: str, own: Tree, saved: Tree, index: int, change: Change, *, driven: bool) -> None:
    """A torch group has the options that were saved; a number may have been moved by the run itself.

    It was, where the optimizer was made with the same default and shows it again, or a scheduler or clock moves it.

    Raises:
        CheckpointError: with the option and both values.
    """
    mine, theirs = own["groups"][index], saved["groups"][index]
    if change.saved_hold:
        return
    for key in sorted({*mine, *theirs} - {"params", "clock", "initial_lr", *change.hypers}):
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
