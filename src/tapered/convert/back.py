"""Schedules back to other frameworks' callables: LambdaLR's factor, and optax's count -> value."""

import operator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapered.schedules import Schedule
from tapered.schedules.checks import plain
from tapered.schedules.controllers import planned
from tapered.schedules.curves import Floats


class _Stateless:
    """Has a `__dict__`, which stays empty: LambdaLR's state dict copies it, and plain loading takes no schedules."""

    __slots__ = ("__dict__",)


@dataclass(frozen=True, slots=True)
class Factor(_Stateless):
    """step -> schedule(step) / lr, what LambdaLR multiplies a base rate of `lr` by."""

    schedule: Schedule
    lr: float

    def __call__(self, step: int) -> float:
        """The factor at a step."""
        return self.schedule(step) / self.lr

    def check(self, optimizer: Any) -> "Factor":
        """Itself, where each group's base rate is `lr`; LambdaLR multiplies by initial_lr, or by lr if there is none.

        Raises:
            ValueError: a group has another base rate, on which the schedule would be scaled.
        """
        for index, group in enumerate(optimizer.param_groups):
            base = float(group.get("initial_lr", group["lr"]))
            if base != self.lr:
                raise ValueError(
                    f"group {index} has the base rate {base}, but the factor is for lr={self.lr}; "
                    f"write to_lambda(schedule, lr={base}), one for each group"
                )
        return self


def to_lambda(schedule: Schedule, lr: float) -> Factor:
    """A function for LambdaLR(optimizer, function) on an optimizer whose base rate is `lr`.

    torch multiplies it by the base rate again, so a rate may differ from the schedule's in its last bit; with lr=1.0 it
    does not. `to_lambda(...).check(optimizer)` refuses an optimizer with another base rate.

    Args:
        schedule: any.
        lr: the rate that the optimizer was made with.

    Raises:
        ValueError: `lr` is 0 or no finite number.

    Example:
        >>> from tapered.schedules import warmup
        >>> to_lambda(0.1 * warmup(4), lr=0.1)(1)
        0.25
    """
    try:
        base = float(plain(lr))
    except (TypeError, ValueError, OverflowError):
        base = 0.0
    if not base:
        raise ValueError(f"lr must be a finite number other than 0, got {lr!r:.80}; write to_lambda(schedule, lr=1.0)")
    return Factor(planned(schedule), base)


@dataclass(frozen=True)
class Count:
    """count -> value: in closed form for an int, from a table for jax's arrays and traced values."""

    schedule: Schedule
    steps: int | None
    _table: Floats | None = field(default=None, compare=False, repr=False)

    def __call__(self, count: Any) -> Any:
        """A Python float for an int, else a jax array of the count's shape."""
        try:
            return self.schedule(operator.index(count))
        except TypeError:  # an array of several counts, or a traced one
            return self._looked_up(count)

    def _looked_up(self, count: Any) -> Any:
        import jax.numpy as jnp  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  # optional

        if self._table is None:
            raise ValueError(
                f"{self.schedule} never ends, so a traced count needs a table of some length; "
                "write to_optax(schedule, steps=100_000)"
            )
        table = jnp.asarray(self._table)
        return table[jnp.clip(jnp.asarray(count), 0, len(self._table) - 1)]


def to_optax(schedule: Schedule, steps: int | None = None) -> Count:
    """A schedule as optax takes it: `optax.adam(to_optax(schedule))`, also under jit, vmap and scan.

    An int gives a Python float in closed form. Anything else, such as the count inside a jitted update, is looked up in
    a table of the steps 0 to `steps`, past which it holds the last value: float32, or float64 where jax has it enabled.

    Args:
        schedule: What to convert.
        steps: The length of the table; the schedule's horizon unless given.

    Example:
        >>> from tapered.schedules import linear
        >>> to_optax(linear(steps=4))(1)
        0.75
    """
    planned(schedule)
    end = schedule.horizon if steps is None else steps
    if end is not None and not 0 <= end <= 2**27:
        raise ValueError(f"steps must be from 0 to 2**27, since a table is kept, got {end}; give a shorter steps=")
    return Count(schedule, steps, None if end is None else np.ascontiguousarray(schedule.table(end + 1)))
