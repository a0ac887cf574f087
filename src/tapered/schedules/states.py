"""Where a rule that follows a loss stands: a small value, printed into the text of the rate that it steers."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Annotated, Any

from tapered.schedules import checks
from tapered.schedules.checks import NONE_BELOW, Each, Index, OrNone, Within, converted

INFINITE = (float("inf"), -float("inf"))


@dataclass(frozen=True)
class _Measured:
    """Takes a number or an infinite one: what a loss may be that is better than another."""

    expected: str = "a number"

    def __call__(self, value: object) -> float:
        return float(value) if value in INFINITE else float(checks.plain(value))


Rate = Annotated[float | None, OrNone(NONE_BELOW)]
Measured = Annotated[float | None, OrNone(_Measured())]
Window = Annotated[tuple[float, ...], Each("finite numbers", Within("a finite number"), least=0)]


@dataclass(frozen=True)
class State:
    """What a rule remembers of the values that it was told.

    Args:
        rate: the rate from update `since` on; None for the one that it begins with.
        before: the rate of the updates before `since`; None where it never changed.
        since: completed updates when it changed.
        best: the best value; None where there was none.
        bad: values in a row that were no better.
        good: values in a row that were.
        cooling: values that are not looked at yet, after the rate was lowered.
        warming: and after it was raised.
        floored: how often the rate was to be lowered with all groups at their floor.
        window: the last values, where they are averaged.
        total: their sum, as it was counted on.
    """

    rate: Rate = None
    before: Rate = None
    since: Index = 0
    best: Measured = None
    bad: Index = 0
    good: Index = 0
    cooling: Index = 0
    warming: Index = 0
    floored: Index = 0
    window: Window = ()
    total: Annotated[float, Within("a finite number")] = 0.0

    def checked(self) -> "State":
        """The same one, of Python's own numbers.

        Raises:
            TypeError, ValueError: something that no rule remembers.
        """
        kinds, example = checks.converters(State), "plateau().in_state(rate=0.5, bad=2)"
        found = {name: converted("in_state", example, name, kind, getattr(self, name)) for name, kind in kinds.items()}
        if (self.before is None) != (self.since == 0):
            raise ValueError(f"in_state: got since={self.since} with before={self.before}; expected both or neither")
        return State(**found)

    def given(self) -> Iterator[tuple[str, Any]]:
        """What it does not begin with."""
        values = ((field, getattr(self, field.name)) for field in fields(self))
        return ((of.name, value) for of, value in values if value != of.default)

    def __str__(self) -> str:
        return ", ".join(f"{name}={written(value)}" for name, value in self.given())


def written(value: object) -> str:
    """A value as Python reads it back, an infinite one too."""
    return repr(value).replace("inf", "1e999") if isinstance(value, float) else repr(value)
