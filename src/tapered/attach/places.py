"""Where a parameter group keeps its hypers: a key holds one number (`lr`) or several (`betas`: beta1, beta2)."""

import math
import re
from collections.abc import Mapping
from numbers import Real
from typing import Any

from torch import Tensor

from tapered.rules.ranges import RANGES, Range

ANY = Range(-math.inf, math.inf, "0", low_open=True)
KNOWN = {name: RANGES[name] for name in ("lr", "weight_decay", "momentum", "eps")}
Place = tuple[str, int | None]  # a group's key, and the place in its tuple


def scalar(value: object) -> bool:
    """A number or a tensor of one element: something that a schedule can write."""
    if isinstance(value, Tensor):
        return value.numel() == 1 and value.is_floating_point()
    return isinstance(value, Real) and not isinstance(value, bool)


def names(key: str, parts: int) -> tuple[str, ...]:
    """The hypers of a key that holds several: beta1, beta2 of `betas`, else key[0], key[1]."""
    return tuple(f"beta{i + 1}" if key == "betas" else f"{key}[{i}]" for i in range(parts))


def places(group: Mapping[str, Any]) -> dict[str, Place]:
    """Every hyper of a group that can be scheduled, by its name."""
    found: dict[str, Place] = {}
    for key, value in group.items():
        if key in ("params", "initial_lr"):
            continue
        if scalar(value):
            found[key] = key, None
        elif isinstance(value, (tuple, list)) and value and all(map(scalar, value)):
            found |= {name: (key, i) for i, name in enumerate(names(key, len(value)))}
    return found


def bounds(name: str) -> Range:
    """What a hyper may be: by its name where that means the same everywhere, else any finite number."""
    if re.fullmatch(r"beta\d+", name):
        return RANGES["beta1"]
    return KNOWN.get(name, ANY)


def read(group: Mapping[str, Any], place: Place) -> float | Tensor:
    """What stands there."""
    key, part = place
    value: float | Tensor = group[key] if part is None else group[key][part]
    return value


def write(group: dict[str, Any], place: Place, value: float) -> None:
    """A tensor is filled in place, so that what was compiled with it stays valid; a number is replaced."""
    found = read(group, place)
    if isinstance(found, Tensor):
        found.fill_(value)
    else:
        put(group, place, value)


def put(group: dict[str, Any], place: Place, value: float | Tensor) -> None:
    """Put a number or a tensor there."""
    key, part = place
    if part is None:
        group[key] = value
    else:
        parts = list(group[key])
        parts[part] = value
        group[key] = type(group[key])(parts)


def same(found: float | Tensor, value: float) -> bool:
    """What stands in a group is this value, in the precision it is kept in."""
    if isinstance(found, Tensor):
        return found.detach().cpu() == found.new_tensor(value, device="cpu")  # type: ignore[return-value]
    return found == value
