"""Arithmetic with a word that stands for a number, in a schedule's text: `0.5*steps`, `(steps - 100) / 3`.

Numbers are taken as they are written, in decimal, and computed with exactly: nothing is rounded before it is used.
"""

import ast
import inspect
import operator
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, get_args

from tapered.schedules import checks

BITS = 4096  # of a numerator or denominator; float64 takes 1,075
COUNTS = {"half_life", "milestones"}  # whose annotations do not say that they count steps


OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


@dataclass(frozen=True)
class Amount:
    """An exact number.

    Args:
        value: The number.
        follows: Whether a word is part of it, so that it is rounded where it counts steps.
    """

    value: Fraction
    follows: bool

    def combined(self, other: "Amount", do: Callable[[Fraction, Fraction], Any]) -> "Amount":
        """Both under an operator.

        Raises:
            ValueError: division by 0, or a number of more than 4,096 bits.
        """
        try:
            value = Fraction(do(self.value, other.value))
        except ZeroDivisionError:
            raise ValueError("it divides by 0") from None
        if max(abs(value.numerator), value.denominator).bit_length() > BITS:
            raise ValueError("no number is that large or that fine")
        return Amount(value, self.follows or other.follows)

    def plain(self, *, count: bool) -> int | float:
        """As Python's number: the nearest whole one, halves to the even one, where it follows a word and counts steps.

        Raises:
            OverflowError: it is beyond float64.
        """
        if count and self.follows:
            return round(self.value)
        return int(self.value) if self.value.denominator == 1 else float(self.value)


def amount(value: Any) -> Amount | None:
    """A number as it would be written in decimal; None for anything else."""
    if isinstance(value, Amount):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value in (float("inf"), -float("inf")):
        return None
    return Amount(Fraction(value if isinstance(value, int) else repr(value)), follows=False)


def settled(value: Any, *, count: bool) -> Any:
    """Amounts as Python's numbers, also inside tuples."""
    if isinstance(value, tuple):
        return tuple(settled(part, count=count) for part in value)
    return value.plain(count=count) if isinstance(value, Amount) else value


def counting(function: Callable[..., Any]) -> frozenset[str]:
    """The names of the arguments that count steps, of a schedule's class, a recipe or a method.

    >>> from tapered.schedules import exponential_decay, recipes
    >>> sorted(counting(exponential_decay)), sorted(counting(recipes.one_cycle))
    (['decay_steps', 'half_life'], ['total_steps'])
    """
    names = {name for name in inspect.signature(function).parameters if name in COUNTS}
    if isinstance(function, type):  # a schedule's
        return frozenset(names | {name for name, kind in checks.converters(function).items() if _counts(kind)})
    hints = {name: part.annotation for name, part in inspect.signature(function).parameters.items()}
    return frozenset(names | {name for name, hint in hints.items() if hint is int or int in get_args(hint)})


def _counts(kind: Any) -> bool:
    inner = getattr(kind, "other", kind)
    return isinstance(inner, checks.Within) and inner.most == checks.LARGEST_STEP
