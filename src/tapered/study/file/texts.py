"""The texts of an arm as schedules, in which words stand for numbers and for its own rate.

"hold(0.8*steps).then(...)", 2000 ─► read_schedule, read_rate ─► a Schedule, a Controller      "0.1 * shape" ─► shape_of
"""

import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TypeVar

from tapered import schedules
from tapered.schedules import Controller, Schedule

Read = TypeVar("Read", bound=Schedule | Controller)
SHAPE = re.compile(r"\bshape\b(?!\s*=)")  # the word, not an argument's name


def shape_of(rate: Schedule, own: Schedule, steps: int, field: str) -> Schedule:
    """A rate over the highest value that its ``own`` has within so many steps."""
    highest = float(own.table(steps).max(initial=0.0))
    if not 0 < highest < math.inf:
        raise ValueError(f"{field} has the word shape, and lr is nowhere above 0; write a schedule in its place")
    return rate.times(1 / highest)


def read_rate(text: str, steps: int, field: str) -> Schedule | Controller:
    """As `read_schedule`, or the controller that ``text`` writes, which follows what its run tells.

    >>> read_rate("warmup(0.1*steps).then(plateau(factor=0.5))", 2000, "lr")
    warmup(200).then(plateau(factor=0.5))
    """
    return _read(schedules.parse_rate, text, field, {"steps": steps})


def read_schedule(text: str, steps: int, field: str, words: Mapping[str, Schedule] = MappingProxyType({})) -> Schedule:
    """The schedule that ``text`` writes, in which the word ``steps`` stands for a number that may be computed with.

    Args:
        text: The schedule.
        steps: What the word stands for.
        field: Where the text stands.
        words: Other words, and the schedules that they stand for.

    Raises:
        ValueError: If it is no schedule; the message names the field.

    >>> read_schedule("hold(1e-1*steps).then(cooldown(steps - 200, floor=1/steps))", 2000, "lr")
    hold(200).then(cooldown(1800, floor=0.0005))
    """
    return _read(schedules.parse, text, field, {"steps": steps, **words})


def _read(reads: Callable[..., Read], text: str, field: str, words: Mapping[str, int | Schedule]) -> Read:
    try:
        return _known(reads, text, tuple(words.items()))  # type: ignore[no-any-return]  # a cache has no types
    except ValueError as error:
        raise ValueError(f"{field} = {text!r}: {error}") from error


@lru_cache(maxsize=1024)
def _known(reads: Callable[..., Read], text: str, words: tuple[tuple[str, int | Schedule], ...]) -> Read:
    """Read once: an arm's text is asked for by each of its runs."""
    return reads(text, dict(words))
