"""Where a value stands on an axis, and which values are written beside it."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import asinh, ceil, floor, inf, log10, sinh
from typing import Literal

Kind = Literal["linear", "log", "symlog"]
Marks = Sequence[tuple[float, str]]
Points = Sequence[tuple[float, float | None]]
EVEN = (1.0, 2.0, 2.5, 5.0, 10.0)  # steps between marks, times a power of ten
ROOM = 0.04  # of the axis, on both sides
FEW = 2  # decades
WIDE, WIDEST = 30.0, 1e12  # times the middle size: from the one on a linear axis would show the largest only
LARGEST, SMALLEST = 1.7e308, 5e-324


@dataclass(frozen=True)
class Scale:
    """An axis.

    Args:
        kind: "linear", "log", or "symlog": asinh(value / size), linear about 0 and logarithmic on both sides of it.
        low: The value at its lower end.
        high: That at its upper end, above ``low``.
        size: Of a symlog axis, where it turns from linear to logarithmic.
    """

    kind: Kind
    low: float
    high: float
    size: float = 1.0

    def _on(self, value: float) -> float:
        return log10(value) if self.kind == "log" else asinh(value / self.size) if self.kind == "symlog" else value

    @cached_property
    def _ends(self) -> tuple[float, float]:
        return self._on(self.low), self._on(self.high)

    def place(self, value: float) -> float:
        """From 0 at the lower end to 1 at the upper one.

        >>> Scale("log", 0.01, 1.0).place(0.1), Scale("linear", 0.0, 4.0).place(1.0)
        (0.5, 0.25)
        """
        low, high = self._ends
        unit = max(abs(low), abs(high))  # the ends may lie further apart than the largest float
        return (self._on(value) / unit - low / unit) / (high / unit - low / unit)

    def ticks(self, most: int = 5) -> list[tuple[float, str]]:
        """At most about so many values, with their text.

        >>> Scale("log", 0.005, 20.0).ticks()
        [(0.01, '0.01'), (0.1, '0.1'), (1.0, '1'), (10.0, '10')]
        """
        found = sorted({float(f"{value:.12g}") for value in self._values(most)})
        inside = [value for value in found if self.low <= value <= self.high]
        texts = [written(value) for value in inside]
        apart = texts if len(set(texts)) == len(texts) else [f"{value:.12g}" for value in inside]
        return list(zip(inside, apart, strict=True))

    def _values(self, most: int) -> Iterable[float]:
        if self.kind == "log" and self.high / 10 >= self.low:
            return _powers(self.low, self.high, most)
        if self.kind == "symlog":
            ends = max(-self.low, self.high)
            powers = _powers(self.size, ends, max(1, most // 2)) if self.size < ends else []
            return [0.0, *powers, *(-value for value in powers)]
        return _even(self.low, self.high, most)


def _powers(low: float, high: float, most: int) -> list[float]:
    """Powers of ten, every second, third ... where they are many; with twice and five times where they are few."""
    first, last = floor(log10(low)), ceil(log10(high))
    every = max(1, ceil((last - first - 1) / most))
    between = (1, 2, 5) if last - first <= FEW else (1,)
    exact = (float(f"{k}e{power}") for power in range(first, last + 1) if power % every == 0 for k in between)
    return [value for value in exact if low <= value <= high]


def _even(low: float, high: float, most: int) -> list[float]:
    """Multiples of a round step; in units of the larger end, since the ends may be any two floats."""
    size = float(f"1e{max(floor(log10(max(abs(low), abs(high)))), -300)}")  # no smaller one has a reciprocal
    low, high = low / size, high / size
    least = (high - low) / most
    power = 10.0 ** floor(log10(least))
    step = next(k * power for k in EVEN if k * power >= least * (1 - 1e-9))
    places = range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)
    return [value for k in places if abs(value := k * step * size) < inf]


def apart(marks: Marks, span: Callable[[float, str], tuple[float, float]], gap: float) -> Marks:
    """The marks whose texts stand clear of those before them.

    Args:
        marks: Those that count most first.
        span: From where to where a mark's text reaches.
        gap: What is left free between two.

    >>> apart([(0, "0"), (9, "nine"), (7, "7"), (4, "4")], lambda at, text: (at, at + len(text)), 2)
    [(0, '0'), (9, 'nine'), (4, '4')]
    """
    kept: list[tuple[float, str]] = []
    for value, said in marks:
        start, end = span(value, said)
        others = [span(*other) for other in kept]
        if all(end + gap <= low or high + gap <= start for low, high in others):
            kept.append((value, said))
    return kept


def written(value: float) -> str:
    """A number beside an axis.

    >>> written(1e-05), written(0.25), written(20000.0)
    ('1e-5', '0.25', '20,000')
    """
    if 1e3 <= abs(value) < 1e9:
        return f"{value:,.12g}"
    return re.sub(r"e([+-])0*", lambda found: "e" + found[1].strip("+"), f"{value:.6g}")


def over(values: Iterable[float | None], *, log: bool) -> Scale:
    """The axis that holds all values, with room beside them: none is cropped.

    Args:
        values: What is to be drawn; None is left out.
        log: Whether it is logarithmic, if all of them are above 0.
    """
    found = [value for value in values if value is not None]
    if not found:
        return Scale("linear", 0.0, 1.0)
    low, high = min(found), max(found)
    if log and low > 0:
        room = 10 ** (ROOM * (log10(high) - log10(low))) if high > low else 2.0
        return Scale("log", max(low / room, SMALLEST), min(high * room, LARGEST))
    room = (high * ROOM - low * ROOM) if high > low else abs(high) / 2 or 1.0
    return Scale("linear", max(low - room, -LARGEST), min(high + room, LARGEST))


def signed(values: Iterable[float | None]) -> Scale:
    """The axis of differences, which holds 0; where one is far larger than most of them, it is symlog."""
    found = [0.0, *(value for value in values if value is not None)]
    sizes = sorted(abs(value) for value in found if value)
    if not sizes or sizes[-1] / WIDE <= sizes[len(sizes) // 2]:
        return over(found, log=False)
    return spread(found, max(sizes[len(sizes) // 2], sizes[-1] / WIDEST))


def spread(values: Sequence[float], size: float) -> Scale:
    """A symlog axis that holds all values; it turns at ``size``."""
    low, high = (asinh(end / size) for end in (min(values), max(values)))
    room = ROOM * (high - low)
    return Scale("symlog", max(size * sinh(low - room), -LARGEST), min(size * sinh(high + room), LARGEST), size)
