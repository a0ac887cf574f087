"""In what two arms differ beside the rate: what a verdict on the rate must say, as it may be owed to that."""

import shlex
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np

from tapered.rules import Rule
from tapered.study.file.arms import Arm
from tapered.study.file.rules import RULES


def differs(ours: Arm, theirs: Arm, steps: int) -> tuple[str, ...]:
    """Each difference as text: "weight_decay 0.01, not 0".

    Args:
        ours: An arm, its numbers as they were found.
        theirs: What it is compared with.
        steps: Updates each run makes.
    """
    if not ours.rule:  # of a script, whose own words are all that is known
        return tuple(_field("args", *(f'"{shlex.join(arm.args)}"' if arm.args else "none" for arm in (ours, theirs))))
    one, two = (RULES[arm.rule](**arm.options) for arm in (ours, theirs))
    return (
        *_kind(one, two),
        *_hypers(ours, theirs, one, two, steps),
        *_field("resets", *(list(arm.resets or ()) for arm in (ours, theirs))),
        *_field("average", *("none" if a.averaged is None else str(a.averaged) for a in (ours, theirs))),
    )


def _kind(one: Rule, two: Rule) -> Iterator[str]:
    """The rule, or its options; what options another rule has means nothing."""
    if type(one) is not type(two):
        yield from _field("rule", type(one).__name__, type(two).__name__)
        return
    for option in fields(one):  # type: ignore[arg-type]
        yield from _field(option.name, *(_toml(getattr(rule, option.name)) for rule in (one, two)))


def _hypers(ours: Arm, theirs: Arm, one: Rule, two: Rule, steps: int) -> Iterator[str]:
    """Those that both rules have, by their values at every step."""
    here, there = (arm.begun(steps, None).hypers for arm in (ours, theirs))
    for name in [name for name in one.hypers if name in two.hypers]:
        if not np.array_equal(here[name], there[name]):
            given = ours.hypers.get(name, one.hypers[name]), theirs.hypers.get(name, two.hypers[name])
            yield from _field(name, *(f"{value:g}" if isinstance(value, int | float) else value for value in given))


def _field(name: str, one: Any, two: Any) -> Iterator[str]:
    if one != two:
        yield f"{name} {one}, not {two}"


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
