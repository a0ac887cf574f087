"""Numbers in words, as messages, tables and pages say them."""

import difflib
from collections.abc import Iterable
from math import isfinite
from typing import Any


def counted(n: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "seed"), counted(0, "seed")
    ('1 seed', '0 seeds')
    """
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def sized(size: float) -> str:
    """Bytes to two digits or more.

    >>> sized(5000), sized(3 * 2**30)
    ('4.9 KiB', '3.0 GiB')
    """
    unit = "KiB" if size < 2**20 else "MiB" if size < 2**30 else "GiB"
    return f"{size / {'KiB': 2**10, 'MiB': 2**20, 'GiB': 2**30}[unit]:,.1f} {unit}"


def lasting(seconds: float) -> str:
    """About how long.

    >>> lasting(0.2), lasting(59), lasting(3600), lasting(36000), lasting(float("nan"))
    ('about 1 s', 'about 59 s', 'about 60 min', 'about 10 h', 'unknown')
    """
    if not isfinite(seconds):
        return "unknown"
    if seconds < 100:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 6000 else f"about {round(seconds / 3600)} h"


def suggest(name: str, known: Iterable[Any]) -> str:
    """What to write instead: the nearest of the known names, or all of them.

    >>> suggest("Adan", ["Adam", "SGD"])
    'try "Adam"'
    """
    names = [str(k) for k in known if not str(k).startswith("_")]
    near = difflib.get_close_matches(name[:80], names, 1, 0.6)
    return f'try "{near[0]}"' if near else "expected one of " + ", ".join(names)
