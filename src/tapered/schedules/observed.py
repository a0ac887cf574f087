"""What a told value does: controllers decide, each once for all that follow it, and steer other paths from there on.

{key: path}, a value, completed steps ─► observed ─► {key: path}
"""

# ruff: noqa: SLF001  # controllers are asked what they keep to themselves
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, TypeVar

from tapered.schedules import checks
from tapered.schedules.controllers import Controller, steered

Key = TypeVar("Key", bound=Hashable)


def observed(paths: Mapping[Key, steered], value: Any, step: int) -> dict[Key, steered]:
    """The paths once a value is told after `step` completed updates.

    Args:
        paths: those of one optimizer; those of one rule and memory decide together.
        value: the loss, or whatever is watched: a number, or what holds one.
        step: completed updates.

    Raises:
        TypeError, ValueError: no real number.
    """
    told = measured(value)
    if not paths:
        raise ValueError(f"got the value {told!r}, and nothing here follows one; try lr=plateau(0.1, factor=0.5)")
    found, rules = dict(paths), dict[Controller, list[Key]]()
    for key, path in paths.items():
        if path.controller.listens(step):
            rules.setdefault(path.controller._rule, []).append(key)
    for keys in rules.values():
        own = [paths[key].controller for key in keys]
        found |= {key: steered(made) for key, made in zip(keys, _told(own, told, step), strict=True)}
    return found


def _told(own: Sequence[Controller], value: float, step: int) -> list[Controller]:
    memory, move = own[0]._counted(value)
    made = [one._but(state=replace(memory, rate=one._rate(move))) for one in own]
    return [_since(one, new, step) for one, new in zip(own, own[0]._after(made, move), strict=True)]


def _since(one: Controller, new: Controller, step: int) -> Controller:
    """With the step at which the rate became another; a second change at one step hides the first."""
    old = one.state
    if new.rate == one.rate or step == 0:
        kept = replace(new.state, before=old.before, since=old.since)
    else:
        kept = replace(new.state, before=old.before if old.since == step else one.rate, since=step)
    if kept.before is None and kept.rate == one.initial:
        kept = replace(kept, rate=None)
    return new._but(state=kept)


def why(path: steered, value: Any) -> str:
    """Why a rate became another, for a report."""
    return f"{type(path.controller).__name__} was told {measured(value):.6g}"


def measured(value: Any) -> float:
    """A told value as a float; NaN and infinite ones too.

    Raises:
        TypeError, ValueError: no real number, or several.
    """
    count = getattr(value, "numel", None)
    size = count() if callable(count) else getattr(value, "size", 1)
    found = value.item() if hasattr(value, "item") and size == 1 else value
    if isinstance(found, bool) or not isinstance(found, Real):
        raise TypeError(f"got {value!r:.80} as an observed value; expected one number; try observe(loss.item())")
    try:
        return float(found)
    except OverflowError:
        raise ValueError(
            f"got {checks.shown(found)} as an observed value; expected a float; try a smaller unit"
        ) from None
