"""The numbers of a parameter group: what each may be, and the message when it is not.

A group key holds one hyper (`lr`) or two (`betas` holds beta1 and beta2); each is a number or a schedule.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from torch import Tensor

from tapered.schedules import Schedule

NAMES = {"betas": ("beta1", "beta2")}  # every other group key is its hyper's own name
Hyper = float | Tensor | Schedule


@dataclass(frozen=True)
class Range:
    """The values that a hyper may take, and one to paste."""

    low: float
    high: float
    example: str
    low_open: bool = False
    high_open: bool = True

    def __contains__(self, value: float) -> bool:
        """NaN and infinity are in no range."""
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below and math.isfinite(value)

    def __str__(self) -> str:
        ends = "(" if self.low_open else "[", ")" if self.high_open else "]"
        return f"a finite number in {ends[0]}{self.low:g}, {self.high:g}{ends[1]}"


RANGES = {
    "lr": Range(0, math.inf, "1e-3"),
    "beta1": Range(0, 1, "0.9"),
    "beta2": Range(0, 1, "0.999"),
    # where a gradient has always been 0 the root is 0, and 0 / (0 + 0) would be NaN for ever
    "eps": Range(0, math.inf, "1e-8", low_open=True),
    "weight_decay": Range(0, math.inf, "0.01"),
    "momentum": Range(0, math.inf, "0.9"),
    "dampening": Range(-math.inf, math.inf, "0", low_open=True),
    "momentum_decay": Range(0, math.inf, "0.004"),
    "alpha": Range(0, 1, "0.99", high_open=False),
    "rho": Range(0, 1, "0.9", high_open=False),
    "lr_decay": Range(0, math.inf, "0"),
    "initial_accumulator_value": Range(0, math.inf, "0.1"),
    "r": Range(0, math.inf, "0"),
    "weight_lr_power": Range(0, math.inf, "2"),
}


def names(key: str) -> tuple[str, ...]:
    """The hypers that a group key holds."""
    return NAMES.get(key, (key,))


def items(key: str, value: Any, group: int) -> tuple[Any, ...]:
    """The values that a group key holds, one a hyper.

    Raises:
        TypeError, ValueError: a pair was expected.
    """
    if key not in NAMES:
        return (value,)
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"got {value!r} for `{key}` in group {group}; expected a pair; try {key}=(0.9, 0.999)")
    if len(value) != len(NAMES[key]):
        raise ValueError(
            f"got {value!r} for `{key}` in group {group}, {len(value)} values; expected 2; try {key}=(0.9, 0.999)"
        )
    return tuple(value)


def number(name: str, value: Any, group: int, bounds: Range) -> float:
    """The hyper as a float, if it is one that its rule can work with.

    Raises:
        TypeError: no real number. ValueError: NaN, infinite, out of range, or a tensor of several elements.
    """
    if type(value) is float and value in bounds:  # every step comes through here
        return value
    said = f"`{name}` in group {group}; expected {bounds} or a schedule; try {name}={bounds.example}"
    if isinstance(value, Tensor):
        if value.numel() != 1 or value.is_complex():
            raise ValueError(f"got a {value.dtype} tensor of shape {tuple(value.shape)} for {said}")
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"got {value!r} ({type(value).__name__}) for {said}")
    try:
        found = float(value)
    except OverflowError:  # an int beyond float64
        found = math.inf
    if found not in bounds:
        raise ValueError(f"got {value!r:.80} for {said}")
    return found


def moves(group: Mapping[str, Any], name: str) -> bool:
    """A hyper is ever other than 0."""
    return name in group["schedules"] or bool(group[name])


class Live:
    """A schedule read step by step from tables of a few hundred values, since one call costs as much as a table."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        # a user's function is not asked about steps that may never come
        self.block = 256 if schedule.serialisable else 1
        self.start = 0
        self.values: list[float] = []

    def __call__(self, step: int) -> float:
        """`schedule(step)`, bit for bit; the table holds the step before too."""
        if not self.start <= step < self.start + len(self.values):
            self.start = max(step - 1, 0)
            try:
                self.values = self.schedule.table(step + self.block, self.start).tolist()
            except ValueError:  # it may break off later in the block: that is for its own step to say
                self.values = self.schedule.table(step + 1, self.start).tolist()
        return self.values[step - self.start]

    def now(self, name: str, step: int, group: int, bounds: Range) -> float:
        """The value at a step.

        Raises:
            ValueError: the schedule gives something that its rule cannot work with.
        """
        value = self(step)
        if value in bounds:
            return value
        raise ValueError(
            f"got {value!r} for `{name}` in group {group} from its schedule {self.schedule} at step {step}; expected "
            f"{bounds}; try schedule.clamp(low, high)"
        )

    def untouched(self, name: str, shown: float, step: int, group: int) -> None:
        """Nobody else writes this hyper.

        Raises:
            ValueError: the group shows neither this step's value nor the one before.
        """
        if shown != self(step) and (step == 0 or shown != self(step - 1)):
            raise ValueError(
                f"`{name}` in group {group} was set to {shown!r} from outside at step {step}, but it follows "
                f"{self.schedule}, which gives {self(step)!r}; keep one of the two: give the optimizer "
                f"{name}={shown!r} and steer it yourself, or leave the schedule alone (code that insists on a "
                f"scheduler takes as_lr_scheduler(optimizer))"
            )
