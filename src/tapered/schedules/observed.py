"""What a told value does: controllers decide, each once for all that follow it, and steer other paths from there on.

{key: path}, a value, completed steps ─► observed ─► {key: path}
a rule, all that it was told ─► decided ─► applied: the rate as it was, which is a schedule
"""

# ruff: noqa: SLF001  # controllers are asked what they keep to themselves
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, TypeVar

from tapered.schedules import checks
from tapered.schedules.base import Schedule
from tapered.schedules.controllers import Controller, steered
from tapered.schedules.operators import constant
from tapered.schedules.pieces import piecewise_constant

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


@dataclass(frozen=True)
class Decision:
    """A rate that became another.

    Args:
        step: Completed updates; the next one is the first at the new rate.
        value: What was told.
        before: The rate until then.
        after: The rate from then on.
    """

    step: int
    value: float
    before: float
    after: float


def decided(rule: Controller, told: Iterable[tuple[int, float]]) -> tuple[Controller, tuple[Decision, ...]]:
    """A rule of one group once it was told values after so many steps, in order, and what it decided.

    Example:
        >>> from tapered import plateau
        >>> decided(plateau(0.1, patience=0, factor=0.5), [(10, 1.0), (20, 2.0)])[1]
        (Decision(step=20, value=2.0, before=0.1, after=0.05),)
    """
    path, found = rule.path(0), list[Decision]()
    for step, value in told:
        old, path = path.controller.rate, observed({0: path}, value, step)[0]
        if path.controller.rate != old:
            found.append(Decision(step, value, old, path.controller.rate))
    return path.controller, tuple(found)


def applied(rule: Controller, decisions: Sequence[Decision]) -> Schedule:
    """The rate as a rule set it: its head, then what it decided. Of no decisions, how it begins.

    Example:
        >>> from tapered import plateau, warmup
        >>> applied(warmup(4).then(plateau()), [Decision(20, 2.0, 1.0, 0.5)])
        warmup(4).then(piecewise_constant((16,), values=(1.0, 0.5), switch="at"))
    """
    held: Schedule = constant(rule.initial)
    if decisions:
        rates = (rule.initial, *(decision.after for decision in decisions))
        held = piecewise_constant(tuple(decision.step - rule.start for decision in decisions), rates, switch="at")
    return held if rule.head is None else rule.head.then(held)


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
