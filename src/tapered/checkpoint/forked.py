"""A fork's new hypers: written into a saved optimizer state before it is loaded, or told to its clock after."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from tapered.attach import Clock, clock_of
from tapered.checkpoint.change import Change
from tapered.files.errors import CheckpointError
from tapered.optim import Optimizer
from tapered.optim.hypers import NAMES, number
from tapered.optim.policies import is_constant
from tapered.rules.ranges import RANGES
from tapered.schedules import Controller, Schedule

KEY_OF = {name: (key, place) for key, pair in NAMES.items() for place, name in enumerate(pair)}
State = dict[str, Any]


def write(
    name: str, part: torch.optim.Optimizer, state: State, change: Change, schedulers: Sequence[LRScheduler]
) -> Callable[[], None]:
    """Change the hypers in a state that `part` is about to load; what is returned is done after.

    Raises:
        CheckpointError: a scheduler would write the rate again, or the optimizer takes no schedule.
        TypeError, ValueError: a value that the hyper cannot have.
    """
    if not change.hypers:
        return lambda: None
    for scheduler in schedulers:
        raise CheckpointError(
            f"{type(scheduler).__name__} would write its own rate over the new one of `{name}` at its next step; fork "
            f"without it, on an optimizer that it was not made for, and build another after"
        )
    groups = state["param_groups"]
    clock = clock_of(part)
    given = {hyper: _each(name, hyper, value, len(groups)) for hyper, value in change.hypers.items()}
    for index, group in enumerate(groups):
        for hyper, values in given.items():
            _write(name, part, group, index, hyper, values[index], change, clock)
    return _quiet(groups) if clock is None else _told(clock, groups, given, change)


def _each(name: str, hyper: str, given: Any, groups: int) -> list[Any]:
    values = list(given) if isinstance(given, (list, tuple)) else [given] * groups
    if len(values) != groups:
        raise ValueError(f"got {len(values)} values for `{hyper}`; `{name}` has {groups} parameter groups")
    return [value.path(index) if isinstance(value, Controller) else value for index, value in enumerate(values)]


def _write(
    name: str,
    part: torch.optim.Optimizer,
    group: State,
    index: int,
    hyper: str,
    value: Any,
    change: Change,
    clock: Clock | None,
) -> None:
    key, place = KEY_OF.get(hyper, (hyper, None))
    if key not in group:
        raise ValueError(f"got a new `{hyper}` for `{name}`, whose groups have {sorted(group.keys() - {'params'})}")
    if isinstance(value, Schedule):
        placed(value, change)
        if not isinstance(part, Optimizer) and clock is None:
            raise CheckpointError(
                f"`{name}` is torch's {type(part).__name__}, which takes no schedule; try attach({name}, lr=...) "
                f"before the fork, or tapered's optimizer"
            )
        if clock is not None:
            return
        value = placed(value, change)
        group["schedules"] = {**group["schedules"], hyper: str(value)}
        value = value(group["step"])
    elif "schedules" in group:
        group["schedules"] = {k: v for k, v in group["schedules"].items() if k != hyper}
    ranges = part.ranges if isinstance(part, Optimizer) else RANGES
    shown: float = number(hyper, value, index, ranges[hyper]) if hyper in ranges else value
    _show(group, key, place, shown)


def _show(group: State, key: str, place: int | None, shown: float) -> None:
    if place is not None:
        group[key] = tuple(shown if i == place else old for i, old in enumerate(group[key]))
    else:
        group[key] = torch.full_like(group[key], shown) if isinstance(group[key], Tensor) else shown
    if key == "lr" and "initial_lr" in group:  # else a scheduler built later would start from the old rate
        group["initial_lr"] = shown


def placed(schedule: Schedule, change: Change) -> Schedule:
    """A new schedule, its step 0 where the fork asks for it.

    Args:
        schedule: the new one.
        change: where the fork is, and from where the schedule counts.

    Raises:
        ValueError: it was not said, or the schedule cannot be written down.

    Example:
        >>> from tapered import linear
        >>> placed(linear(1e-4, 0.0, steps=20), Change(counted="now", step=40))
        linear(0.0001, steps=20).delayed(40)
    """
    if not schedule.serialisable:
        raise ValueError(f"{schedule} cannot be written into the fork's lineage; try a schedule that prints as code")
    if is_constant(schedule):
        return schedule
    if change.counted not in ("now", "start"):
        raise ValueError(
            f"got counted={change.counted!r} with the schedule {schedule}; expected 'now', its step 0 is step "
            f"{change.step} of the run, or 'start', it is read at {change.step}; try counted='now' (--counted now)"
        )
    return schedule.delayed(change.step) if change.counted == "now" and change.step else schedule


def _quiet(groups: list[State]) -> Callable[[], None]:
    """A clock that is not there any more leaves no trace."""
    for group in groups:
        group.pop("clock", None)
    return lambda: None


def _told(clock: Clock, groups: list[State], given: Mapping[str, list[Any]], change: Change) -> Callable[[], None]:
    """The clock goes on from the parent's step and schedules, but for the new ones."""
    own = clock.state_dict()
    for group, mine in zip(groups, own["groups"], strict=True):
        group.setdefault("clock", {"step": change.step, **mine})
    carried = [{name: group["clock"][name] for name in ("schedules", "base")} for group in groups]
    new = {index: {hyper: values[index] for hyper, values in given.items()} for index in range(len(groups))}

    def tell() -> None:
        clock.load_state_dict({**own, "step": change.step, "groups": carried}, policy="saved")
        clock.replace(counted=change.counted, groups=new)

    return tell
