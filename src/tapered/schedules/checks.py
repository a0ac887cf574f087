"""What a schedule's arguments may be, and the one sentence in which everything else is refused.

A field says by its annotation what it takes (`decay_steps: Span`), and `converted` turns what was given into a plain
Python value or raises. numpy scalars and tensors of no dimension count as the numbers they hold.
"""

import difflib
import functools
import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from numbers import Real
from typing import Annotated, Any, Literal, get_args, get_origin

LARGEST_STEP = 2**53  # the last whole number up to which float64 holds every one


class Required:
    """The default of a field that has none."""

    def __repr__(self) -> str:
        return "required"


REQUIRED: Any = Required()


class NotOfKindError(TypeError):
    """Raised by a converter for a value of the wrong type."""


def plain(value: object) -> int | float:
    """`value` as a Python int or finite float; raises for all that is no real number."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise NotOfKindError
    if not isinstance(value, int):
        value = float(value)
    if not math.isfinite(value):  # an int beyond float64 raises OverflowError, a kind of ValueError to callers
        raise ValueError
    return value


@dataclass(frozen=True)
class Within:
    """Takes a number between bounds: as a float, or as an int where it is `whole`."""

    expected: str
    above: float = -math.inf
    least: float = -math.inf
    most: float = math.inf
    whole: Literal["never", "where it is", "always"] = "never"

    def __call__(self, value: object) -> float:
        """The number, or an error without text."""
        number = plain(value)
        if not (self.above < number and self.least <= number <= self.most):
            raise ValueError
        if self.whole == "never":
            return float(number) + 0.0  # so that -0.0, which prints otherwise, does not exist
        if number == int(number):
            return int(number)
        if self.whole == "always":
            raise ValueError
        return float(number)


@dataclass(frozen=True)
class OrNone:
    """Takes None, or what another converter takes."""

    other: Callable[[object], Any]

    @property
    def expected(self) -> str:
        """What the other expects, or None."""
        return f"{self.other.expected} or None"  # type: ignore[attr-defined]  # every converter has it

    def __call__(self, value: object) -> Any:
        """None, or the other's value."""
        return None if value is None else self.other(value)


@dataclass(frozen=True)
class Each:
    """Takes a sequence of at least `least` values that another converter takes."""

    expected: str
    other: Callable[[object], Any]
    least: int = 1

    def __call__(self, value: object) -> tuple[Any, ...]:
        """The values as a tuple."""
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            raise NotOfKindError
        values = tuple(self.other(item) for item in value)
        if len(values) < self.least:
            raise ValueError
        return values


@dataclass(frozen=True)
class Choice:
    """Takes one of a few strings."""

    options: tuple[str, ...]

    @property
    def expected(self) -> str:
        """The options, quoted."""
        return "one of " + ", ".join(f'"{option}"' for option in self.options)

    def __call__(self, value: object) -> str:
        """The string itself."""
        if not isinstance(value, str):
            raise NotOfKindError
        if value not in self.options:
            raise ValueError
        return value


@dataclass(frozen=True)
class Instance:
    """Takes objects of one class."""

    expected: str
    kind: type

    def __call__(self, value: object) -> object:
        """The object itself."""
        if not isinstance(value, self.kind):
            raise NotOfKindError
        return value


@dataclass(frozen=True)
class Tabulated(Instance):
    """Takes schedules that can be tabulated: not the path of a rule that follows a loss."""

    def __call__(self, value: object) -> object:
        """The object itself."""
        if hasattr(value, "controller"):
            raise NotOfKindError
        return super().__call__(value)


def _flag(value: object) -> bool:
    value = value.item() if hasattr(value, "item") else value
    if not isinstance(value, bool):
        raise NotOfKindError
    return value


_FLAG = _flag
_FLAG.expected = "True or False"  # type: ignore[attr-defined]  # a function takes attributes

NUMBER = Within("a finite number")
Number = Annotated[float, NUMBER]
Positive = Annotated[float, Within("a finite number above 0", above=0)]
NONE_BELOW = Within("a finite number from 0 up", least=0)
NotNegative = Annotated[float, NONE_BELOW]
Unit = Annotated[float, Within("a number from 0 to 1", least=0, most=1)]
Below = Annotated[float, Within("a number from 0 to below 1", least=0, most=math.nextafter(1.0, 0.0))]
Span = Annotated[float, Within("a number of steps above 0", above=0, most=LARGEST_STEP, whole="where it is")]
Steps = Annotated[int, Within("a whole number of steps from 1 up", least=1, most=LARGEST_STEP, whole="always")]
Index = Annotated[int, Within("a whole number from 0 up", least=0, most=LARGEST_STEP, whole="always")]
MaybeNumber = Annotated[float | None, OrNone(NUMBER)]
MaybeSteps = Annotated[int | None, OrNone(Steps.__metadata__[0])]


@functools.cache
def converters(cls: type) -> dict[str, Callable[[object], Any]]:
    """The converter of each field of a schedule's class, read from what it was annotated with."""
    return {field.name: _converter(field.type) for field in fields(cls)}


def _converter(hint: Any) -> Callable[[object], Any]:
    if get_origin(hint) is Literal:
        return Choice(get_args(hint))
    return _FLAG if hint is bool else hint.__metadata__[0]


def converted(owner: str, example: str, field: str, convert: Callable[[object], Any], value: object) -> Any:
    """`convert(value)`; what it refuses is refused by name, with `example` to paste."""
    if value is REQUIRED:
        raise TypeError(f"{owner} needs {field}; write for example {example}")
    try:
        return convert(value)
    except NotOfKindError:
        kind: type[Exception] = TypeError
    except (ValueError, OverflowError):
        kind = ValueError
    raise kind(refusal(owner, example, field, convert.expected, value))  # type: ignore[attr-defined]  # as above


def argument(owner: str, example: str, field: str, kind: Any, value: object) -> Any:
    """An argument of a function, of one of the kinds above."""
    return converted(owner, example, field, kind.__metadata__[0], value)


def refusal(owner: str, example: str, field: str, expected: str, value: object) -> str:
    """The sentence in which an argument is refused."""
    return f"{owner}: {field} must be {expected}, got {shown(value)}; write for example {example}"


def shown(value: object) -> str:
    """A value as it is refused, cut short."""
    if type(value) is int and value.bit_length() > 256:  # which Python takes long to write out, or refuses to
        return f"a whole number of {value.bit_length():,} bits"
    return f"{value!r:.80}"


def step(value: object, what: str = "step") -> int:
    """A step as an int: whole, from 0 up, and exact in float64."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()
    try:
        number = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]  # it says so
    except TypeError:
        number = None
    if number is None:
        raise TypeError(
            f"{what} must be a whole number of completed updates, got {value!r:.80}; write for example schedule(100)"
        )
    if not 0 <= number <= LARGEST_STEP:
        raise ValueError(
            f"{what} must be a number of completed updates from 0 to 2**53, got {number}; "
            f"the first update is schedule(0)"
        )
    return number


def suggestion(word: str, known: Iterable[str]) -> str:
    """'; did you mean X?' where a known word is near, else nothing."""
    near = difflib.get_close_matches(word[:80], list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


@dataclass(frozen=True)
class _OneOrEach:
    """Takes one bound, or one for each group."""

    expected: str = "a number from 0 up, or one for each group"

    def __call__(self, value: object) -> float | tuple[float, ...]:
        if isinstance(value, (list, tuple)) and value:
            return tuple(NONE_BELOW(item) for item in value)
        return NONE_BELOW(value)


Bound = Annotated[float | tuple[float, ...], _OneOrEach()]
