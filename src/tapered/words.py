"""Numbers in words, as messages, tables and pages say them."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from math import isfinite
from reprlib import Repr
from typing import Any, TypeVar

LARGE = 1e9  # from here on with a power of ten
MOST_DECIMALS = 8
LETTERS = 480  # of a value that is printed
LISTED = re.compile(r"\(([^(),]*,){11,}[^(),]*\)")  # brackets around twelve or more
Kind = TypeVar("Kind", bound=type)


def counted(n: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "seed"), counted(0, "seed"), counted(2400, "step")
    ('1 seed', '0 seeds', '2,400 steps')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


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


def duration(seconds: float) -> str:
    """A short time to three digits, in the unit that takes no power of ten.

    >>> duration(1.25e-4), duration(1.06e-3), duration(0.99996), duration(75.0)
    ('125 us', '1.06 ms', '1 s', '75 s')
    """
    seconds = float(f"{seconds:.3g}")
    unit, size = next((each for each in (("us", 1e-6), ("ms", 1e-3)) if seconds < 1000 * each[1]), ("s", 1.0))
    return f"{plain(seconds / size, 3)} {unit}"


def plain(value: float, digits: int = 4) -> str:
    """A number to so many significant digits, with a power of ten only where it is very large or very small.

    >>> plain(0.012345), plain(123456.0), plain(-12.0), plain(0.0), plain(1.2e-7), plain(1e308)
    ('0.01235', '123,500', '-12', '0', '1.2e-07', '1e+308')
    """
    short = f"{value:.{digits}g}"
    return f"{float(short):,.0f}" if "e+" in short and abs(value) < LARGE else short


def place_of(value: float, digits: int = 2) -> int:
    """The decimal place of the last of so many significant digits; below 0 left of the point, 0 where there are none.

    >>> place_of(0.0019), place_of(0.0994), place_of(250.0), place_of(0.0)
    (4, 3, -1, 0)
    """
    if value == 0 or not isfinite(value):
        return 0
    return digits - 1 - int(f"{value:.{digits - 1}e}".partition("e")[2])


def placed(value: float, place: int, least: int = 1) -> str:
    """A number to a decimal place, to more where fewer than ``least`` significant digits would be left of it.

    >>> placed(0.017664, 4), placed(746.3, 0, 2), placed(0.0123, 0, 2), placed(-0.0, 1), placed(12345.6, -2)
    ('0.0177', '746', '0.012', '0', '12,346')
    """
    if value == 0 or not isfinite(value):
        return f"{abs(value):g}"
    decimals = max(place, place_of(value, least), 0)
    if abs(value) >= LARGE or decimals > MOST_DECIMALS:
        return f"{value:.3g}"
    return f"{value:,.{decimals}f}"


def percent(share: float) -> str:
    """A change as a percentage with its sign; a ratio where that says more.

    >>> percent(-0.5593), percent(0.034), percent(0.000001), percent(90.0), percent(2500.0)
    ('-56%', '+3.4%', 'less than 0.1%', '+9,000%', '2501 times')
    """
    if share >= 100:
        return f"{plain(share + 1)} times"
    if abs(share) < 0.0005:
        return "less than 0.1%"
    return f"{100 * share:+,.0f}%" if abs(share) >= 0.0995 else f"{100 * share:+.1f}%"


def shortened(text: str) -> str:
    """A text whose long lists of numbers show their first two and their last.

    >>> shortened("0.1 * piecewise_interpolate((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13), (1, 0))")
    '0.1 * piecewise_interpolate((1, 2, ... 13 in all, 13), (1, 0))'
    """

    def few(found: re.Match[str]) -> str:
        parts = [part.strip() for part in found[0][1:-1].split(",")]
        return f"({parts[0]}, {parts[1]}, ... {len(parts)} in all, {parts[-1]})"

    return LISTED.sub(few, text)


def suggest(name: str, known: Iterable[Any]) -> str:
    """What to write instead: the nearest of the known names, or all of them.

    >>> suggest("Adan", ["Adam", "SGD"])
    'try "Adam"'
    """
    names = [str(k) for k in known if not str(k).startswith("_")]
    near = difflib.get_close_matches(name[:80], names, 1, 0.6)
    return f'try "{near[0]}"' if near else "expected one of " + ", ".join(names)


class _Short(Repr):
    """What is long is told by its size."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 2
        self.maxtuple = self.maxlist = self.maxdict = self.maxset = self.maxfrozenset = 3
        self.maxstring, self.maxother = 80, 60

    def repr_tuple(self, x: tuple[Any, ...], level: int) -> str:
        """A named one is told by its name."""
        return f"{type(x).__name__}(...)" if hasattr(x, "_fields") else self._few(super().repr_tuple(x, level), x)

    def repr_list(self, x: list[Any], level: int) -> str:
        """How many there are, where some are left out."""
        return self._few(super().repr_list(x, level), x)

    def _few(self, text: str, x: Any) -> str:
        return f"<{len(x):,}: {text[1:-1]}>" if len(x) > self.maxtuple else text

    def repr_mappingproxy(self, x: Any, level: int) -> str:
        """As a dict."""
        return self.repr_dict(dict(x), level)

    def repr_instance(self, x: Any, level: int) -> str:
        """Another value by its name, an array by its shape."""
        if is_dataclass(x) and hasattr(type(x).__repr__, "__wrapped__"):  # one that has no words of its own
            return f"{type(x).__name__}(...)"
        shape = getattr(x, "shape", None)
        if isinstance(shape, tuple) and shape:
            return f"<{' x '.join(map(str, shape))} numbers>"
        return super().repr_instance(x, level)


SHORT = _Short()


def brief(cls: Kind) -> Kind:
    """A dataclass that prints on one line of at most about 500 letters, however much it holds.

    >>> from dataclasses import dataclass
    >>> @brief
    ... @dataclass
    ... class Curve:
    ...     name: str
    ...     losses: tuple[float, ...]
    >>> Curve("a", (3.0, 2.0, 1.5, 1.25))
    Curve(name='a', losses=<4: 3.0, 2.0, 1.5, ...>)
    """

    def shown(self: Any) -> str:
        parts = (f"{field.name}={SHORT.repr(getattr(self, field.name))}" for field in fields(self) if field.repr)
        text = f"{type(self).__name__}({', '.join(parts)})"
        return text if len(text) <= LETTERS else f"{text[: LETTERS - 4]}...)"

    shown.__wrapped__ = cls.__repr__  # type: ignore[attr-defined]
    cls.__repr__ = shown  # type: ignore[method-assign,assignment]
    return cls
