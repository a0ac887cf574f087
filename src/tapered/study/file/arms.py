"""What a study compares: arms, each a rule and its schedules, over a grid of peaks or a space that is searched.

[[arms]]
name = "cooldown"
rule = "Adam"
lr = "hold({1-share}*steps).then(cooldown({share}*steps))"      each peak multiplies it
space = { share = { low = 0.1, high = 0.6 } }                   `tapered tune` fills in {share}
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Self, get_args, get_origin, get_type_hints

import numpy as np
from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import AllowInfNan, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tapered import rules, schedules
from tapered.rules import Rule
from tapered.schedules import Schedule
from tapered.training.averages import Average
from tapered.training.rows import Path as TablePath
from tapered.training.rows import tabulate
from tapered.words import suggest

RULES: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        rules.SGD,
        rules.Adam,
        rules.NAdam,
        rules.RAdam,
        rules.Adamax,
        rules.RMSprop,
        rules.Adagrad,
        rules.Adadelta,
        rules.Lion,
        rules.ScheduleFreeAdamW,
    )
}


def _whole(value: Any) -> Any:
    """A whole number as TOML may write it, 2e3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _average(value: Any) -> Any:
    """An average's fields as the average."""
    return None if value is None else Average.read(value)


Whole = Annotated[int, BeforeValidator(_whole)]
Finite = Annotated[float, AllowInfNan(False)]
Positive = Annotated[Finite, Gt(0)]
Share = Annotated[float, Gt(0), Lt(1)]
Name = Annotated[str, MinLen(1), MaxLen(200)]
PLACEHOLDER = re.compile(r"\{\s*(1\s*-\s*)?([A-Za-z_]\w*)\s*\}")


class Strict(BaseModel):
    """Unknown keys are refused, true is no 1 and "1" no number, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Peaks(Strict):
    """A logarithmic grid: ``count`` peaks from ``low`` to ``high``, and more in the same ratio beyond its edges.

    >>> Peaks(low=0.01, high=1.0, count=3, above=1).values
    (0.01, 0.1, 1.0, 10.0)
    """

    low: Positive
    high: Positive
    count: Annotated[Whole, Ge(1), Le(1000)]
    below: Annotated[Whole, Ge(0), Le(1000)] = 0
    above: Annotated[Whole, Ge(0), Le(1000)] = 0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high or (self.count > 1) != (self.low < self.high):
            raise ValueError(f"low={self.low:g} and high={self.high:g} do not span {self.count} peaks; try low < high")
        if self.count == 1 and (self.below or self.above):
            raise ValueError("one peak has no ratio to go on by; try count = 2 or more")
        return self

    @property
    def values(self) -> tuple[float, ...]:
        """The peaks, lowest first, rounded to 6 digits so that they read as they are used."""
        ratio = (self.high / self.low) ** (1 / max(1, self.count - 1))
        below = [self.low * ratio**-i for i in range(self.below, 0, -1)]
        above = [self.high * ratio**i for i in range(1, self.above + 1)]
        return tuple(float(f"{v:.6g}") for v in (*below, *np.geomspace(self.low, self.high, self.count), *above))

    def extended(self, below: int, above: int) -> Self:
        """The grid with so many more peaks beyond its edges."""
        return self.model_copy(update={"below": self.below + below, "above": self.above + above})


class Range(Strict):
    """What a number in a schedule's text may be: from ``low`` to ``high``, on a log scale where ``log`` says so.

    ``count`` is how many values of it a grid has.
    """

    low: Finite
    high: Finite
    log: bool = False
    count: Annotated[Whole, Ge(1), Le(1000)] = 5

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low={self.low:g} and high={self.high:g} leave nothing to search; try low < high")
        if self.log and self.low <= 0:
            raise ValueError(f"low={self.low:g} is on no log scale; try a low above 0, or log = false")
        return self

    @property
    def values(self) -> tuple[float, ...]:
        """Its values on a grid, lowest first."""
        between = np.geomspace if self.log else np.linspace
        return tuple(float(f"{value:.6g}") for value in between(self.low, self.high, self.count))


class Arm(Strict):
    """A rule and its schedules.

    ``lr`` is a shape that each peak multiplies; with ``fixed = true`` it stands as written and the arm is reported
    beside the tuned comparison. ``options`` are the rule's structural choices, ``hypers`` numbers or schedule texts
    for its other hypers. ``peaks`` replaces the study's grid, with as many peaks.

    ``resets`` are the shares of the run at which the rule's state starts anew, as after a reload that keeps the
    weights only; with ``[]`` there is none, but the arm shares its steps with those that have some.

    ``average`` says which average of the weights is evaluated in their place; see
    `tapered.training.averages.Average`, whose fields it has.

    ``space`` names the numbers that stand as ``{name}`` or ``{1-name}`` in its texts and are searched beside the peak;
    ``trials`` are those that were tried, each with a peak of its own.
    """

    name: Name
    rule: str
    lr: str
    fixed: bool = False
    options: dict[str, bool | Finite | str] = {}
    hypers: dict[str, float | str] = {}
    peaks: Peaks | None = None
    resets: Annotated[tuple[Share, ...], Field(strict=False)] | None = None
    average: Annotated[Average | None, BeforeValidator(_average)] = None
    space: dict[str, Range] = {}
    trials: Annotated[tuple[dict[str, Finite], ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.rule not in RULES:
            raise ValueError(f"rule={self.rule!r} is unknown; {suggest(self.rule, RULES)}")
        rule = self._rule()
        for name in self.hypers:
            if name not in rule.hypers:
                raise ValueError(f"hypers has {name!r}, unknown to {self.rule}; {suggest(name, rule.hypers)}")
        if self.fixed and self.peaks is not None:
            raise ValueError("fixed = true and peaks exclude each other; a fixed arm's rate stands as written")
        if self.fixed and (self.space or self.trials):
            raise ValueError("fixed = true and space exclude each other; a fixed arm's rate stands as written")
        self.build()
        if self.resets and sorted(set(self.resets)) != list(self.resets):
            raise ValueError(f"resets={list(self.resets)} do not ascend; try {sorted(set(self.resets))}")
        self._check_space()
        return self

    def _check_space(self) -> None:
        """Every placeholder has a range, every range a placeholder, every trial a value for each and its own peak."""
        used = {found[2] for text in self._texts() for found in PLACEHOLDER.finditer(text)}
        for name in sorted(used - set(self.space)):
            raise ValueError(f"{{{name}}} has no range; try space = {{ {name} = {{ low = 0.1, high = 0.5 }} }}")
        for name in sorted(set(self.space) - used):
            raise ValueError(f"space has {name!r}, which stands in no text; try {{{name}}} in lr")
        wanted = {"peak", *self.space}
        if any(set(trial) != wanted or trial["peak"] <= 0 for trial in self.trials):
            raise ValueError(f"a trial of arm {self.name!r} lacks one of {sorted(wanted)}, has another, or peak <= 0")
        if len({trial["peak"] for trial in self.trials}) < len(self.trials):
            raise ValueError(f"two trials of arm {self.name!r} have one peak; expected a peak of its own for each")

    def _texts(self) -> Iterator[str]:
        yield self.lr
        yield from (value for value in self.hypers.values() if isinstance(value, str))

    def build(self) -> Rule:
        """The rule with its options, its resets, and the average that is kept beside it."""
        rule = self._resetting()
        return rule if self.average is None else self.average.wrapped(rule)

    def _resetting(self) -> Rule:
        return self._rule() if self.resets is None else rules.Restarted(self._rule())

    def _rule(self) -> Rule:
        try:
            rule: Rule = RULES[self.rule](**self.options)
        except TypeError as error:
            fields = sorted(RULES[self.rule].__dataclass_fields__)
            raise ValueError(f"options {self.options} do not fit {self.rule}, which has {fields}") from error
        hints = get_type_hints(RULES[self.rule])
        for name, hint in hints.items():
            if get_origin(hint) is ClassVar:
                continue
            _check_option(name, getattr(rule, name), hint)
        return rule

    def at(self, peak: float | None) -> Self:
        """The arm with the numbers of the trial at ``peak`` in its texts; itself where it has no space."""
        if not self.space:
            return self
        trial = next(trial for trial in self.trials if trial["peak"] == peak)
        hypers = {name: _filled(v, trial) if isinstance(v, str) else v for name, v in self.hypers.items()}
        return self.model_copy(
            update={"lr": _filled(self.lr, trial), "hypers": hypers, "space": {}, "trials": (), "peaks": None}
        )

    def schedule(self, steps: int, peak: float | None) -> Schedule:
        """The rate as applied: its shape times the peak."""
        shape = read_schedule(self.at(peak).lr, steps, f"arm {self.name!r}: lr")
        return shape if peak is None else peak * shape

    def path(self, steps: int, peak: float | None, *, lr: Schedule | None = None) -> TablePath:
        """Every hyper at every step; with ``lr`` in the place of its own rate where that is given."""
        rule = self._resetting()
        given: dict[str, Any] = {
            name: read_schedule(value, steps, f"arm {self.name!r}: hypers.{name}") if isinstance(value, str) else value
            for name, value in self.at(peak).hypers.items()
        }
        if self.resets:
            begun = tuple(round(share * steps) for share in self.resets)
            given["begun"] = schedules.piecewise_constant(begun, (0, *begun), switch="at")
        try:
            path = tabulate(rule, steps, lr=lr or self.schedule(steps, peak), **given)
            return path if self.average is None else self.average.over(path)
        except ValueError as error:
            at_peak = "" if peak is None else f" at peak {peak:g}"
            raise ValueError(f"arm {self.name!r}{at_peak}: {error}") from error


def _check_option(name: str, value: Any, hint: Any) -> None:
    """One of a rule's structural choices is of the kind that its annotation says."""
    choices = get_args(hint)
    if choices:
        if value not in choices:
            raise ValueError(f"options.{name}={value!r} is unknown; {suggest(str(value), choices)}")
    elif hint is bool:
        if not isinstance(value, bool):
            raise ValueError(f"options.{name}={value!r} is neither true nor false")
    elif isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise ValueError(f"options.{name}={value!r} is no number of at least 0; try {name} = 0.1")


def _filled(text: str, values: Mapping[str, float]) -> str:
    """The text with its placeholders as numbers of at most 6 digits.

    >>> _filled("hold({1-share}*steps).then(cooldown({share}*steps))", {"share": 0.2})
    'hold(0.8*steps).then(cooldown(0.2*steps))'
    """

    def number(found: re.Match[str]) -> str:
        value = 1 - values[found[2]] if found[1] else values[found[2]]
        # as a person would write it
        return np.format_float_positional(float(f"{value:.6g}"), trim="-")

    return PLACEHOLDER.sub(number, text)


def read_schedule(text: str, steps: int, field: str) -> Schedule:
    """The schedule that ``text`` writes, in which the word ``steps`` stands for a number that may be computed with.

    Raises:
        ValueError: If it is no schedule; the message names the field.

    >>> read_schedule("hold(1e-1*steps).then(cooldown(steps - 200, floor=1/steps))", 2000, "lr")
    hold(200).then(cooldown(1800, floor=0.0005))
    """
    try:
        return schedules.parse(text, {"steps": steps})
    except ValueError as error:
        raise ValueError(f"{field} = {text!r}: {error}") from error
