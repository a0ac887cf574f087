"""What a saved state says of a clock, checked before anything is taken from it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tapered.optim.policies import ADVICE, Reload

KEY = "clock"


def taken(group: dict[str, Any]) -> dict[str, Any]:
    """What a saved group says of its clock, taken out of it; {} where it says nothing.

    Raises:
        TypeError, ValueError: it is damaged.
    """
    found = group.pop(KEY, None)
    if found is None:
        return {}
    if not isinstance(found, Mapping) or not {"step", "schedules", "base"} <= found.keys():
        raise ValueError(f"got {found!r} for `{KEY}` of a saved group; expected step, schedules and base")
    whole(found["step"])
    return dict(found)


def counted(optimizer: torch.optim.Optimizer) -> int | None:
    """The most updates that any parameter's state went through; None where there is a state that counts none."""
    states = [state for state in optimizer.state.values() if state]  # schedulefree leaves empty ones
    if not states:
        return 0
    steps = [state.get("step") for state in states if isinstance(state, Mapping)]
    found = [float(step) for step in steps if isinstance(step, (int, float, Tensor))]
    return int(max(found)) if found else None


def whole(step: Any) -> int:
    """A step as an int.

    Raises:
        TypeError, ValueError: no whole number from 0 up.
    """
    if isinstance(step, bool) or not isinstance(step, int):
        raise TypeError(f"got {step!r} for `step`; expected a whole number of completed updates; try step=1000")
    if step < 0:
        raise ValueError(f"got {step!r} for `step`; expected 0 or more completed updates; try step=0")
    return step


def checked(state: Mapping[str, Any]) -> tuple[int, list[dict[str, Any]]]:
    """The step and the groups of a clock's state.

    Raises:
        TypeError, ValueError: it is none.
    """
    if not isinstance(state, Mapping) or not {"format", "step", "groups"} <= state.keys():
        shown = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
        raise ValueError(f"got {shown}; expected a clock's state with format, step and groups; try clock.state_dict()")
    if state["format"] != 1:
        raise ValueError(f"got a clock's state of format {state['format']!r}; this version of tapered reads format 1")
    for index, group in enumerate(state["groups"]):
        for key, kind in (("schedules", str), ("base", float)):
            values = group.get(key) if isinstance(group, Mapping) else None
            if not isinstance(values, Mapping) or not all(isinstance(v, kind) for v in values.values()):
                raise ValueError(f"got {values!r} for `{key}` of group {index}; expected a {kind.__name__} by hyper")
    return whole(state["step"]), [dict(group) for group in state["groups"]]


def same_hypers(index: int, saved: Mapping[str, Any], own: Mapping[str, Any], reload: Reload) -> None:
    """The same hypers are scheduled, or it was said what holds."""
    if reload.policy == "resume" and saved.keys() != own.keys():
        raise ValueError(f"group {index} had schedules of {sorted(saved)}, here of {sorted(own)}; {ADVICE}")
