"""Numbers of an arm that `tapered tune` searches: what they may be, and where they stand.

lr = "hold({1-share}*steps).then(cooldown({share}*steps))"     average = { kind = "ema", decay = "{decay}" }
space = { share = { low = 0.1, high = 0.6 }, decay = { low = 0.9, high = 0.999 } }
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

import numpy as np
from annotated_types import Ge, Le
from pydantic import model_validator

from tapered.study.file.fields import Finite, Strict, Whole

PLACEHOLDER = re.compile(r"\{\s*(1\s*-\s*)?([A-Za-z_]\w*)\s*\}")


class Range(Strict):
    """What a number that is searched may be: from ``low`` to ``high``, on a log scale where ``log`` says so.

    ``whole`` takes whole numbers only. ``count`` is how many values of it a grid has, or as many as there are.
    """

    low: Finite
    high: Finite
    log: bool = False
    count: Annotated[Whole, Ge(1), Le(1000)] = 5
    whole: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low={self.low:g} and high={self.high:g} leave nothing to search; try low < high")
        if self.log and self.low <= 0:
            raise ValueError(f"low={self.low:g} is on no log scale; try a low above 0, or log = false")
        for end in ("low", "high"):
            if self.whole and (getattr(self, end) % 1 or abs(getattr(self, end)) >= 1e6):
                raise ValueError(
                    f"{end}={getattr(self, end):g} is no whole number below a million, and whole = true searches "
                    f"those; try {end} = 1, or whole = false"
                )
        return self

    @property
    def values(self) -> tuple[float, ...]:
        """Its values on a grid, lowest first.

        >>> Range(low=1, high=3, whole=True).values
        (1.0, 2.0, 3.0)
        """
        between = np.geomspace if self.log else np.linspace
        found = [float(f"{value:.6g}") for value in between(self.low, self.high, self.count)]
        return tuple(dict.fromkeys(float(round(value)) for value in found)) if self.whole else tuple(found)


def ends(space: Mapping[str, Range]) -> tuple[dict[str, float], dict[str, float]]:
    """The numbers of a space at its low and at its high end."""
    return {name: found.low for name, found in space.items()}, {name: found.high for name, found in space.items()}


def names_in(value: Any) -> set[str]:
    """The numbers that stand in a text, or in the members of a list or table.

    >>> sorted(names_in({"decay": "{decay}", "start": "{1-share}", "every": 5}))
    ['decay', 'share']
    """
    if isinstance(value, str):
        return {found[2] for found in PLACEHOLDER.finditer(value)}
    members = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return {name for member in members for name in names_in(member)}


def filled(text: str, values: Mapping[str, float]) -> str:
    """The text with its placeholders as numbers of at most 6 digits.

    >>> filled("hold({1-share}*steps).then(cooldown({share}*steps))", {"share": 0.2})
    'hold(0.8*steps).then(cooldown(0.2*steps))'
    """

    def number(found: re.Match[str]) -> str:
        value = 1 - values[found[2]] if found[1] else values[found[2]]
        # as a person would write it
        return np.format_float_positional(float(f"{value:.6g}"), trim="-")

    return PLACEHOLDER.sub(number, text)


def number_of(value: Any, values: Mapping[str, float]) -> Any:
    """What a text that is one placeholder stands for, whole where it is; any other value as it is.

    >>> number_of("{1-share}", {"share": 0.25}), number_of("{n}", {"n": 3.0}), number_of(0.5, {})
    (0.75, 3, 0.5)
    """
    if not (isinstance(value, str) and PLACEHOLDER.fullmatch(value.strip())):
        return value
    number = float(filled(value.strip(), values))
    return int(number) if number.is_integer() else number
