"""A group's rate multiplier: layer-wise decay and its kin put a factor beside the rate, under a key of their own.

rate = schedule(k) * group["lr_scale"]
"""

import re
import warnings
from collections.abc import Collection, Mapping
from numbers import Real
from typing import Any

from torch import Tensor

from tapered.optim.hypers import number
from tapered.rules.ranges import Range

FACTOR = Range(0, float("inf"), "1.0")
LIKE = re.compile(
    r"(lr|learning_rate|rate)_?(scale|scaling|mult|multi|multiplier|mul|times|ratio|factor|coeff?|weight|rel)"
    r"|(scale|mult|multiplier|mul|ratio|factor|coeff?)_?(lr|learning_rate)|layer_scale|layer_decay",
    re.IGNORECASE,
)


class TaperedWarning(UserWarning):
    """Something that may not be what was meant; it is said once, and nothing is changed."""


def factor(group: Mapping[str, Any], key: str | None, index: int) -> float:
    """What multiplies a scheduled rate of this group; 1 where it says nothing.

    Raises:
        TypeError, ValueError: no finite number from 0 up.
    """
    if key is None or key not in group:
        return 1.0
    value = group[key]
    return value if type(value) is float and value in FACTOR else number(key, value, index, FACTOR)


def warn_of_others(groups: Mapping[int, Mapping[str, Any]], key: str | None, known: Collection[str]) -> None:
    """Say once which keys look like a multiplier and are not the one that is used."""
    found: dict[str, list[int]] = {}
    for index, group in groups.items():
        for name, value in group.items():
            plain = isinstance(value, (Real, Tensor)) and not isinstance(value, bool)
            if name != key and name not in known and plain and LIKE.fullmatch(str(name)):
                found.setdefault(str(name), []).append(index)
    for name, where in found.items():
        used = f"{key!r} is" if key else "none is"
        warnings.warn(
            f"the key {name!r} in group {', '.join(map(str, where))} looks like a multiplier of the rate, and does "
            f"nothing: {used} used; try multiplier={name!r}, or multiplier=None where it is none",
            TaperedWarning,
            stacklevel=4,
        )
