"""A schedule: step -> value, and the operators that make schedules out of schedules.

    value(k) is the value that update k uses, k = 0, 1, ...; past its horizon a schedule holds its last value

A kind of schedule is a frozen dataclass with one method, `_values`, its formula on a float64 array of steps.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NoReturn, SupportsIndex, overload

import numpy as np

from tapered.schedules import checks
from tapered.schedules.curves import Floats

if TYPE_CHECKING:
    from tapered.schedules.controllers import Controller

BLOCK = 8192  # steps evaluated at once: arrays that stay in the cache make a long table 1.5 to 4 times as fast
LOOKED_AT = 10_000  # boundaries, as a schedule may have any number of them within a step
CooldownShape = Literal["linear", "cosine", "1-sqrt", "square", "mirror cosine", "exponential", "rex"]


@dataclass(frozen=True, repr=False)
class Schedule:
    """A value for every step from 0 on: `schedule(step)`, in closed form, in float64.

    Schedules compare and hash by value, print as the expression that `parse` reads, and combine:
    `0.1 * s`, `s * other`, `s + other`, `s.times(n)`, `s.then(next)`, `s.clamp(low, high)`, `s.delayed(n)`,
    `s.repeat(n)`, `s.staircase(n)`, `s.until(n)`, `s.cooldown(at, steps, shape)`, `s.stretched(at, horizon)`,
    `s.held(at, steps)`, and in another unit: `s.in_epochs(n)`, `s.in_samples(n)`, `s.in_tokens(n)`.

    Raises:
        TypeError, ValueError: an argument of a kind that cannot be, with what it must be and an example.

    Example:
        >>> from tapered import cosine_decay, parse, warmup
        >>> rate = 3e-4 * warmup(200) * cosine_decay(decay_steps=2000)
        >>> rate(0), rate(200) < 3e-4, rate.horizon
        (0.0, True, 2000)
        >>> rate
        0.0003 * warmup(200) * cosine_decay(decay_steps=2000)
        >>> parse(str(rate)) == rate
        True
    """

    _example: ClassVar[str]  # a call to paste, shown in errors
    _spelling: ClassVar[Mapping[str, str]] = {}  # argument names, where they are not the field's
    __array_ufunc__: ClassVar[None] = None  # so that numpy's scalars leave `*` and `+` to us

    def __post_init__(self) -> None:
        kind: Any = type(self)
        for field, convert in checks.converters(kind).items():
            name = self._spelling.get(field, field)
            value = checks.converted(kind.__name__, self._example, name, convert, getattr(self, field))
            object.__setattr__(self, field, value)
        self._check()

    def _check(self) -> None:
        """Refuses fields that do not fit each other."""

    @property
    def _loose(self) -> bool:
        """Whether its text needs brackets before a method's dot."""
        return False

    def _parts(self) -> "Iterator[Schedule]":
        """The schedules it is made of."""
        values = (getattr(self, field.name) for field in fields(self))
        return (value for value in values if isinstance(value, Schedule))

    def _anchored(self) -> "Iterator[Schedule]":
        """The parts that fall to an absolute `end` other than 0, which a factor before all of it would move."""
        return itertools.chain.from_iterable(part._anchored() for part in self._parts())  # noqa: SLF001  # its own kind

    def _refuse(self, field: str, expected: str) -> NoReturn:
        raise ValueError(checks.refusal(type(self).__name__, self._example, field, expected, getattr(self, field)))

    def _values(self, steps: Floats) -> Floats:
        raise NotImplementedError

    def __call__(self, step: SupportsIndex) -> float:
        """The value at a step, a Python float.

        Raises:
            TypeError: the step is no whole number.
            ValueError: the step is below 0, or the value overflows.
        """
        at = checks.step(step)
        # As an array, since numpy's and Python's scalars round otherwise than its vector loops do (of squares by power,
        # one in twenty, on AVX512); and as a pair, since an array of one may be taken for a broadcast scalar, for which
        # those loops have short cuts. From two elements on, an element's bits depend on no place and no length.
        with np.errstate(all="ignore"):
            value = float(self._values(np.array((at, at), dtype=np.float64))[0])
        if not math.isfinite(value):
            self._overflow(at, value)
        return value

    def table(self, stop: SupportsIndex, start: SupportsIndex = 0) -> Floats:
        """The values of steps start, ..., stop - 1 as a float64 array; bit for bit what calls give.

        Example:
            >>> from tapered.schedules import linear
            >>> linear(1.0, 0.0, steps=4).table(6)
            array([1.  , 0.75, 0.5 , 0.25, 0.  , 0.  ])
        """
        first, last = checks.step(start, "start"), checks.step(stop, "stop")
        if last < first:
            raise ValueError(f"table needs stop >= start, got stop={last}, start={first}; write table({first}, {last})")
        blocks = range(first, last, BLOCK)
        values = np.concatenate([np.empty(0), *(self._block(at, min(at + BLOCK, last)) for at in blocks)])
        finite = np.isfinite(values)
        if not finite.all():
            at = int(np.argmin(finite))
            self._overflow(first + at, float(values[at]))
        return values

    def upcoming(self, stop: SupportsIndex, start: SupportsIndex) -> Floats:
        """What a group that follows it reads ahead: its table."""
        return self.table(stop, start)

    def _block(self, first: int, last: int) -> Floats:
        steps = np.arange(first, last, dtype=np.float64) if last - first > 1 else np.full(2, float(first))
        with np.errstate(all="ignore"):
            return self._values(steps)[: last - first]

    def _overflow(self, at: int, value: float) -> NoReturn:
        raise ValueError(f"{self} is {value} at step {at}, a schedule must be finite; bound it with .until({at})")

    @property
    def horizon(self) -> int | None:
        """The step at which it ends: from there on it holds its last value. None where it never ends."""
        return None

    def marks(self, limit: int = 32) -> tuple[tuple[int, str], ...]:
        """The first `limit` steps where pieces meet, with a word on what happens there.

        At most LOOKED_AT boundaries are looked at: of pieces far shorter than a step, or than a staircase's, no more.

        Example:
            >>> from tapered.schedules import cooldown, hold, warmup
            >>> warmup(200).then(hold(1600)).then(cooldown(400)).marks()
            ((200, 'warmup ends, hold begins'), (1800, 'hold ends, cooldown begins'), (2200, 'cooldown ends'))
        """
        grouped = itertools.groupby(itertools.islice(self._marks(), LOOKED_AT), key=lambda mark: mark[0])
        first = itertools.islice(grouped, limit)
        return tuple((at, ", ".join(dict.fromkeys(note for _, note in marks))) for at, marks in first)

    def _marks(self) -> Iterator[tuple[int, str]]:
        """The boundaries in order, perhaps without end."""
        if self.horizon is not None:
            yield self.horizon, f"{type(self).__name__} ends"

    def _edge(self, *, last: bool) -> str:  # noqa: ARG002  # used where there is a first and a last piece
        """The name of the piece it begins or ends with."""
        return type(self).__name__

    @property
    def serialisable(self) -> bool:
        """Whether `parse` and `from_dict` can bring it back: not where it holds a Python function."""
        return all(part.serialisable for part in self._parts())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and TOML; `from_dict` is the way back.

        Example:
            >>> from tapered.schedules import warmup
            >>> warmup(200).to_dict()
            {'name': 'warmup', 'steps': 200}
        """
        return {"name": type(self).__name__} | {name: _plain(value) for name, value in self._given()}

    def __str__(self) -> str:
        return f"{type(self).__name__}({self._arguments()})"

    def _given(self) -> list[tuple[str, object]]:
        """The names and values of the arguments that are not the default."""
        values = ((field, getattr(self, field.name)) for field in fields(self))
        return [(self._spelling.get(of.name, of.name), value) for of, value in values if value != of.default]

    def _arguments(self, skip: int = 0) -> str:
        """The arguments that are not the default; the first of all by position, the others by name."""
        first = fields(self)[skip].name
        given = self._given()[skip:]
        return ", ".join(_text(value) if name == first else f"{name}={_text(value)}" for name, value in given)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from tapered.schedules import picture  # noqa: PLC0415  # draws schedules, so it stands above them

        return picture.svg(self)

    def __mul__(self, other: "Schedule | float") -> "Schedule":
        if isinstance(other, Schedule):
            check_factor(self, other)
            check_factor(other, self)
            return multiplied(self, other)
        made = scaled(no_controller(other), self)
        check_factor(made, self)
        return made

    __rmul__ = __mul__  # called with numbers only

    def times(self, factor: float) -> "Schedule":
        """factor * schedule(k), an absolute `end` in it included, which `factor * schedule` refuses.

        Example:
            >>> from tapered.schedules import cosine_decay
            >>> cosine_decay(0.1, decay_steps=100, end=0.01).times(0.5).table(101, 100)
            array([0.005])
        """
        return scaled(factor, self)

    def __add__(self, other: "Schedule | float") -> "Schedule":
        return added(self, as_schedule(other))

    def __radd__(self, other: float) -> "Schedule":
        return added(as_schedule(other), self)

    @overload
    def then(self, following: "Schedule | float") -> "Schedule": ...
    @overload
    def then(self, following: "Controller") -> "Controller": ...
    def then(self, following: "Schedule | Controller | float") -> "Schedule | Controller":
        """This one up to its horizon, then the other from its own step 0; or what follows the loss from there on."""
        if isinstance(following, controllers.Controller):
            return following.led_by(self)
        return then(self, as_schedule(following))

    def clamp(self, low: float | None = None, high: float | None = None) -> "Schedule":
        """Kept between low and high."""
        return clamp(self, low, high)

    def delayed(self, steps: int) -> "Schedule":
        """The first value for `steps` steps, then the path from its beginning."""
        return delayed(self, steps)

    def until(self, steps: int) -> "Schedule":
        """The path up to step `steps`, whose value is then held: gives a horizon to what has none."""
        return until(self, steps)

    def repeat(self, times: int, t_mul: float = 1.0, m_mul: float = 1.0) -> "Schedule":
        """The path from 0 to its horizon, `times` times, each t_mul times as long and m_mul times as high."""
        return repeat(self, times, t_mul, m_mul)

    def staircase(self, steps: int) -> "Schedule":
        """The value of the last multiple of `steps`."""
        return staircase(self, steps)

    def stretched(self, at: int, horizon: int) -> "Schedule":
        """From step `at` on, what remains is spread over the steps up to a new horizon."""
        return stretched(self, at, horizon)

    def held(self, at: int, steps: int) -> "Schedule":
        """The value at step `at` is held for `steps` more steps; then the path goes on."""
        return held(self, at, steps)

    def in_epochs(self, steps_per_epoch: int) -> "Schedule":
        """This one counts epochs: value(k) = schedule(k // steps_per_epoch), as a scheduler stepped once an epoch."""
        return in_epochs(self, steps_per_epoch)

    def in_samples(self, batch_size: int) -> "Schedule":
        """This one counts samples: value(k) = schedule(k * batch_size)."""
        return in_samples(self, batch_size)

    def in_tokens(self, tokens_per_step: int) -> "Schedule":
        """This one counts tokens: value(k) = schedule(k * tokens_per_step)."""
        return in_tokens(self, tokens_per_step)

    def cooldown(self, at: int, steps: int, shape: CooldownShape = "linear", floor: float = 0.0) -> "Schedule":
        """Leaves the path at step `at` and goes to `floor` times the value there, or to zero, in `steps` steps."""
        return cooled(self, at, steps, shape, floor)


Part = Annotated[Schedule, checks.Tabulated("a schedule", Schedule)]


def as_schedule(value: Schedule | float) -> Schedule:
    """A schedule as it is; a number as the schedule that is always that number.

    Args:
        value: a schedule, or a number.

    Raises:
        TypeError: a rule that follows a loss, which has no values beforehand.

    Example:
        >>> as_schedule(0.1)
        constant(0.1)
    """
    return value if isinstance(value, Schedule) else constant(no_controller(value))


def no_controller(value: float) -> float:
    """What is taken for a number is no rule that follows the loss.

    Raises:
        TypeError: it is one.
    """
    if isinstance(value, controllers.Controller):
        raise TypeError(f"got {value} where a schedule or a number is needed: {value.why_no_table()}")
    return value


def _text(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.to_dict() if isinstance(value, Schedule) else value


# At the end, since these are schedules themselves and need the class above.
from tapered.schedules.operators import added, check_factor, constant, multiplied, scaled  # noqa: E402, I001  # first, the next need it
from tapered.schedules.methods import clamp, cooled, delayed, repeat, staircase, then, until  # noqa: E402  # as above
from tapered.schedules.changes import held, stretched  # noqa: E402  # as above
from tapered.schedules.units import in_epochs, in_samples, in_tokens  # noqa: E402  # as above
from tapered.schedules import controllers  # noqa: E402  # as above
