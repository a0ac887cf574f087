"""Rates that follow what is observed: a `Controller`, which is no schedule, and the path it steers between two values.

    plateau(...), greedy(...): Controller ─► path(group): a Schedule in force until a value is told
    observed({...: path}, loss, step) ─► the paths from there on

A controller is a value like a schedule: frozen, compared and printed by value, its state included, so that it travels
as text wherever schedules do. What it cannot have is a table: the rates to come depend on losses that nobody knows yet.
"""

# ruff: noqa: SLF001  # a controller asks the schedule before it
import html
from dataclasses import field, fields, replace
from typing import Annotated, Any, ClassVar, Literal, NoReturn, Self, SupportsIndex

import numpy as np

from tapered.schedules import checks
from tapered.schedules.base import Schedule
from tapered.schedules.called import kind, required
from tapered.schedules.checks import NONE_BELOW, Instance, NotNegative, OrNone, converted
from tapered.schedules.curves import Floats
from tapered.schedules.operators import bracketed
from tapered.schedules.states import State
from tapered.schedules.untabulated import Untabulated

Move = Literal["", "lowers", "raises"]
Moved = tuple[State, Move]


@kind
class Controller(Untabulated):
    """A rule that sets a rate by the values that it is told: `plateau(...)`, `greedy(...)`.

    It begins with `initial`, after a `head` where it has one: `warmup(200).then(plateau(...))`; `3e-4 * ...` multiplies
    both, and neither a bound nor `eps`, which are rates. Values told while the head lasts are passed over.

    Args:
        initial: the rate that it begins with.
        head: the schedule before it, which ends.
        state: what it remembers.

    Example:
        >>> from tapered import plateau, warmup
        >>> rule = warmup(200).then(plateau(0.1, factor=0.5))
        >>> isinstance(rule, Controller), rule.rate, rule.head
        (True, 0.1, warmup(200))
    """

    _example: ClassVar[str]
    _bounds: ClassVar[tuple[str, ...]]  # the fields that may have a value for each group
    initial: NotNegative = 1.0
    head: Annotated[Schedule | None, OrNone(Instance("a schedule", Schedule))] = field(default=None, kw_only=True)
    state: Annotated[State, Instance("a state", State)] = field(default_factory=State, kw_only=True)

    def __post_init__(self) -> None:
        kind: Any = type(self)
        for name, convert in checks.converters(kind).items():
            object.__setattr__(self, name, converted(kind.__name__, self._example, name, convert, getattr(self, name)))
        self._check()

    def _check(self) -> None:
        """Refuses fields that do not fit each other."""

    def _counted(self, value: float) -> Moved:
        """What it remembers after a value, and what that does to the rate."""
        raise NotImplementedError

    def _rate(self, move: Move) -> float:
        """The rate after a move."""
        raise NotImplementedError

    def _after(self, together: "list[Self]", move: Move) -> "list[Self]":  # noqa: ARG002  # for those whose groups meet
        """What all groups that follow one rule do once each has its new rate."""
        return together

    @property
    def rate(self) -> float:
        """The rate in force, once the head is over."""
        return self.initial if self.state.rate is None else self.state.rate

    @property
    def start(self) -> int:
        """The step at which its head ends."""
        return 0 if self.head is None else self.head.horizon or 0

    def listens(self, step: int) -> bool:
        """Whether it looks at a value told after so many updates: not where the head made the last of them."""
        return self.head is None or step > self.start

    @property
    def fresh(self) -> Self:
        """The same one before it was told anything."""
        return self._but(state=State())

    @property
    def _rule(self) -> Self:
        """What decides: the same for groups that differ in their rates and bounds alone."""
        memory = replace(self.state, rate=None, before=None, since=0)
        return self._but(initial=1.0, head=None, state=memory, **dict.fromkeys(self._bounds, 0.0))

    def _but(self, **changes: Any) -> Self:
        """As `replace` makes it, of values that were checked before."""
        made = object.__new__(type(self))
        vars(made).update(vars(self), **changes)
        return made

    def _bound(self, name: str) -> float:
        """A bound, once it is that of one group."""
        return float(getattr(self, name))

    def path(self, group: int) -> "steered":
        """The rate of one group until a value is told, with that group's bounds.

        Raises:
            ValueError: bounds were given for each group, and none for this one.
        """
        own = {}
        for name in self._bounds:
            given = getattr(self, name)
            if isinstance(given, tuple):
                if group >= len(given):
                    self._refuse(name, f"one number, or one for each group, group {group} too")
                own[name] = given[group]
        return steered(replace(self, **own) if own else self)

    def fits(self, groups: int) -> None:
        """Where bounds were given for each group, there are as many.

        Raises:
            ValueError: there are more, or fewer.
        """
        for name in self._bounds:
            given = getattr(self, name)
            if isinstance(given, tuple) and len(given) != groups:
                self._refuse(name, f"one number, or one for each of {groups} groups")

    def in_state(self, **state: Any) -> Self:
        """The same one that remembers this; see `State` for the names.

        Example:
            >>> from tapered.schedules import plateau
            >>> plateau(0.1, patience=3).in_state(rate=0.01, before=0.1, since=40, best=0.5, bad=2)
            plateau(0.1, patience=3).in_state(rate=0.01, before=0.1, since=40, best=0.5, bad=2)
        """
        return self._but(state=State(**state).checked())

    def led_by(self, head: Schedule) -> Self:
        """`head.then(self)`.

        Raises:
            ValueError: the head never ends, is no text, or comes before what has begun.
        """
        if head.horizon is None:
            raise ValueError(f"{head} never ends, so {self} cannot come after it; try hold(steps), or .until(steps)")
        if not head.serialisable:
            raise ValueError(
                f"got {head} before {self}, whose state travels as text; a function is none; try warmup(n)"
            )
        if self.state != State():
            raise ValueError(f"got {head} before {self}, which has begun; put it before the same one without a state")
        return replace(self, head=head if self.head is None else head.then(self.head))

    def delayed(self, steps: int) -> Self:
        """Its beginning, that many steps later."""
        return self if self.head is None else replace(self, head=self.head.delayed(steps))

    def in_epochs(self, steps_per_epoch: int) -> Self:
        """Its head counts epochs; values are told when they are."""
        return self if self.head is None else replace(self, head=self.head.in_epochs(steps_per_epoch))

    def __mul__(self, factor: float) -> Self:
        if isinstance(factor, (Schedule, Controller)):
            raise TypeError(f"got {factor} times {self}; {self.why_no_table()}; multiply it by a number")
        by = converted("factor *", f"3e-4 * {type(self).__name__}()", "factor", NONE_BELOW, factor)
        scaled = {n: by * v for n in ("rate", "before") if (v := getattr(self.state, n)) is not None}
        head = None if self.head is None else by * self.head
        return replace(self, initial=by * self.initial, head=head, state=replace(self.state, **scaled))

    __rmul__ = __mul__

    def through(self, rate: float, value: float) -> Self:
        """In proportion: this one times rate / value, and exactly `rate` from now on."""
        made = self * (rate / value)
        return made._but(state=replace(made.state, rate=rate))

    def _refuse(self, name: str, expected: str) -> NoReturn:
        raise ValueError(checks.refusal(type(self).__name__, self._example, name, expected, getattr(self, name)))

    def __str__(self) -> str:
        given = [(of, getattr(self, of.name)) for of in fields(self) if of.name not in ("head", "state")]
        said = [
            f'{of.name}="{value}"' if isinstance(value, str) else f"{of.name}={value!r}"
            for of, value in given[1:]
            if value != of.default
        ]
        first = [] if self.initial == 1.0 else [repr(self.initial)]
        text = f"{type(self).__name__}({', '.join(first + said)})"
        if self.head is not None:
            text = f"{bracketed(self.head, self.head._loose)}.then({text})"
        return f"{text}.in_state({self.state})" if self.state != State() else text

    def __repr__(self) -> str:
        return str(self)


@kind
class steered(Schedule):
    """The rate as a controller has set it: what it is until the next value is told.

    It is what groups follow, and prints as its controller does. It has values, and no table to plan with.
    """

    _example: ClassVar[str] = "plateau(0.1)"
    controller: Annotated[Controller, Instance("a controller", Controller)] = required()

    def _values(self, steps: Floats) -> Floats:
        own, state = self.controller, self.controller.state
        rates = np.full_like(steps, own.rate)
        if state.before is not None:
            rates = np.where(steps < state.since, state.before, rates)
        return rates if own.head is None else np.where(steps < own.start, own.head._values(steps), rates)

    @property
    def serialisable(self) -> bool:
        """Always."""
        return True

    def table(self, *_: Any, **__: Any) -> NoReturn:
        """Refused.

        Raises:
            TypeError: always.
        """
        self.controller.table()

    def to_dict(self) -> NoReturn:
        """Refused: text carries it.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"got {self} for a dict, which carries no state; try its text, str(...)")

    def _repr_html_(self) -> str:
        """Nothing to draw: the text."""
        return f"<code>{html.escape(str(self))}</code>"

    def upcoming(self, stop: SupportsIndex, start: SupportsIndex) -> Floats:
        """The values while nothing is told."""
        return super().table(stop, start)

    def follows_alike(self, other: Schedule) -> bool:
        """The other is of the same rule, in whatever state."""
        return isinstance(other, steered) and other.controller.fresh == self.controller.fresh

    def through(self, rate: float, value: float) -> "steered":
        """In proportion: a group's that has this rate, where this one has that value."""
        return steered(self.controller.through(rate, value))

    def delayed(self, steps: int) -> "steered":
        """Its beginning, that many steps later."""
        return steered(self.controller.delayed(steps))

    def times(self, factor: float) -> "steered":
        """factor * controller."""
        return steered(self.controller * factor)

    def __mul__(self, other: Schedule | float) -> "steered":
        return steered(self.controller * other)  # type: ignore[operator]  # which it refuses

    __rmul__ = __mul__

    def __str__(self) -> str:
        return str(self.controller)


def each_fits(given: Any, groups: int) -> None:
    """Where a hyper, or a part of one, is a controller with bounds for each group, there are as many groups.

    Raises:
        ValueError: there are not.
    """
    for part in given if isinstance(given, (list, tuple)) else (given,):
        if isinstance(part, Controller):
            part.fits(groups)


def planned(schedule: Schedule) -> Schedule:
    """The schedule, where all its values are known beforehand.

    Raises:
        TypeError: it is a rule that follows a loss, or the path that one steers.
    """
    given: Any = schedule
    rule = given.controller if isinstance(given, steered) else given
    if isinstance(rule, Controller):
        raise TypeError(f"got {rule} where a schedule is needed: {rule.why_no_table()}")
    return schedule
