"""A fork's new hypers, written into a saved optimizer state before it is loaded."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from tapered.checkpoint.errors import CheckpointError
from tapered.optim import Optimizer
from tapered.optim.hypers import NAMES, RANGES, number
from tapered.schedules import Schedule

if TYPE_CHECKING:
    from tapered.checkpoint.optimizers import Change

KEY_OF = {name: (key, place) for key, pair in NAMES.items() for place, name in enumerate(pair)}


def apply(
    name: str, part: torch.optim.Optimizer, state: dict[str, Any], change: "Change", drivers: Sequence[Any]
) -> None:
    """Change the hypers in a state that `part` is about to load.

    Raises:
        CheckpointError: a scheduler would write the rate again, or the optimizer takes no schedule.
        TypeError, ValueError: a value that the hyper cannot have.
    """
    if not change.keep_moments:
        state["state"] = {}
    if not change.hypers:
        return
    for driver in drivers:
        if isinstance(driver, LRScheduler):
            raise CheckpointError(
                f"{type(driver).__name__} would write its own rate over the new one of `{name}` at its next step; fork "
                f"without it and build another scheduler after, or attach(optimizer, lr=schedule)"
            )
    groups = state["param_groups"]
    for hyper, given in change.hypers.items():
        values = list(given) if isinstance(given, (list, tuple)) else [given] * len(groups)
        if len(values) != len(groups):
            raise ValueError(f"got {len(values)} values for `{hyper}`; `{name}` has {len(groups)} parameter groups")
        for index, (group, value) in enumerate(zip(groups, values, strict=True)):
            _write(name, part, group, index, hyper, value, change)


def _write(
    name: str, part: torch.optim.Optimizer, group: dict[str, Any], index: int, hyper: str, value: Any, change: "Change"
) -> None:
    key, place = KEY_OF.get(hyper, (hyper, None))
    if key not in group:
        raise ValueError(f"got a new `{hyper}` for `{name}`, whose groups have {sorted(group.keys() - {'params'})}")
    ranges = part.ranges if isinstance(part, Optimizer) else RANGES
    if isinstance(value, Schedule):
        value = counted(value, change)
        if not isinstance(part, Optimizer):
            raise CheckpointError(
                f"`{name}` is a {type(part).__module__}.{type(part).__name__}, which takes no schedule; "
                f"clock = attach({name}, ...) and give the clock as a part, or use tapered's optimizer"
            )
        group["schedules"] = {**group["schedules"], hyper: str(value)}
        value = value(group["step"])
    elif "schedules" in group:
        group["schedules"] = {k: v for k, v in group["schedules"].items() if k != hyper}
    shown: float | Tensor = number(hyper, value, index, ranges[hyper]) if hyper in ranges else value
    if place is not None:
        shown = tuple(shown if i == place else old for i, old in enumerate(group[key]))
    elif isinstance(group[key], Tensor):
        shown = torch.full_like(group[key], float(shown))
    group[key] = shown
    if hyper == "lr" and "initial_lr" in group:  # else a scheduler built later would start from the old rate
        group["initial_lr"] = float(shown)  # type: ignore[arg-type]


def counted(schedule: Schedule, change: "Change") -> Schedule:
    """A new schedule, its step 0 where the fork asks for it.

    Raises:
        ValueError: it was not said, or the schedule cannot be written down.
    """
    if change.counted not in ("now", "start"):
        raise ValueError(
            f"got counted={change.counted!r} with the schedule {schedule}; expected 'now', its step 0 is step "
            f"{change.step} of the run, or 'start', it is read at {change.step}; try counted='now'"
        )
    if not schedule.serialisable:
        raise ValueError(f"{schedule} cannot be written into the fork's lineage; try a schedule that prints as code")
    return schedule.delayed(change.step) if change.counted == "now" and change.step else schedule
