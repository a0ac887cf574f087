"""The numbers of a parameter group: what each may be, and the message when it is not.

A group key holds one hyper (`lr`) or two (`betas` holds beta1 and beta2); each is a number or a schedule.
"""

import math
from numbers import Real
from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT
from typing_extensions import TypeAliasType

from tapered.rules.ranges import Range
from tapered.schedules import Controller, Schedule

NAMES = {"betas": ("beta1", "beta2")}  # every other group key is its hyper's own name
# under names of their own, since help shows them in every argument
Hyper = TypeAliasType("Hyper", float | Tensor | Schedule | Controller)
Params = TypeAliasType("Params", ParamsT)


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


def followed(key: str, value: Any, group: int) -> tuple[Any, ...]:
    """The same as a group follows them: of a controller the path that it steers there.

    Raises:
        TypeError, ValueError: a pair was expected; a controller with bounds for other groups.
    """
    parts = items(key, value, group)
    return tuple(part.path(group) if isinstance(part, Controller) else part for part in parts)


def first(key: str, value: Any) -> Any:
    """A group key's value before the first update, with a number in the place of each schedule."""
    parts = [part(0) if isinstance(part, Schedule) else part for part in followed(key, value, 0)]
    return tuple(parts) if len(parts) > 1 else parts[0]


def number(name: str, value: Any, group: int, bounds: Range) -> float:
    """The hyper as a float, if it is one that its rule can work with.

    Raises:
        TypeError: no real number. ValueError: NaN, infinite, out of range, or a tensor of several elements.
    """
    if type(value) is float and value in bounds:  # every step comes through here
        return value
    said = f"`{name}` in group {group}; expected {bounds} or a schedule; try {name}={bounds.example}"
    if isinstance(value, Schedule):
        raise TypeError(
            f"got the schedule {value} written into `{name}` of group {group}, where the number in force stands; try "
            f"optimizer.replace({name}=..., counted='now' or 'start')"
        )
    if isinstance(value, Tensor):
        if value.numel() != 1 or value.is_complex():
            raise ValueError(f"got a {value.dtype} tensor of shape {tuple(value.shape)} for {said}")
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"got {value!r} ({type(value).__name__}) for {said}{_instead(value)}")
    try:
        found = float(value)
    except OverflowError:  # an int beyond float64
        found = math.inf
    if found not in bounds:
        raise ValueError(f"got {value!r:.80} for {said}")
    return found


def _instead(value: Any) -> str:
    """What makes a schedule of a text or a function."""
    if isinstance(value, str):
        return f", or parse({value!r:.80}, {{'steps': 2000}})"
    return ", or from_function(...)" if callable(value) else ""


class Live:
    """A schedule read step by step from tables of a few hundred values, since one call costs as much as a table."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule, self.text = schedule, str(schedule)
        # a user's function is not asked about steps that may never come
        self.block = 256 if schedule.serialisable else 1
        self.start = 0
        self.values: list[float] = []

    def __call__(self, step: int) -> float:
        """`schedule(step)`, bit for bit."""
        if not self.start <= step < self.start + len(self.values):
            try:
                self.values = self.schedule.upcoming(step + self.block, step).tolist()
            except ValueError:  # it may break off later in the block: that is for its own step to say
                self.values = self.schedule.upcoming(step + 1, step).tolist()
            self.start = step
        return self.values[step - self.start]

    def now(self, name: str, step: int, group: int, bounds: Range, scale: float = 1.0) -> float:
        """The value at a step, times the group's multiplier.

        Raises:
            ValueError: the schedule gives something that its rule cannot work with.
        """
        value = self(step) * scale
        if value in bounds:
            return value
        times = "" if scale == 1.0 else f" times the group's multiplier {scale!r}"
        raise ValueError(
            f"got {value!r} for `{name}` in group {group} from its schedule {self.schedule}{times} at step {step}; "
            f"expected {bounds}; try schedule.clamp(low, high)"
        )


def shows(given: Any, value: float) -> bool:
    """A group shows this value, in the precision that it is kept in."""
    if isinstance(given, Tensor):
        return bool(given.detach().cpu() == given.new_tensor(value, device="cpu"))
    return bool(given == value)
