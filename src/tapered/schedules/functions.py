"""A user's own functions as schedules. They train, tabulate and combine like the others, but no text can carry them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, NoReturn

import numpy as np

from tapered.schedules import checks
from tapered.schedules.base import Schedule
from tapered.schedules.called import kind, required
from tapered.schedules.checks import MaybeSteps
from tapered.schedules.curves import Floats


@dataclass(frozen=True)
class _Callable:
    expected: str = "a function of the step"

    def __call__(self, value: object) -> object:
        if not callable(value) or isinstance(value, Schedule):
            raise checks.NotOfKindError
        return value


StepFunction = Annotated[Callable[[int], float], _Callable()]


@kind
class _Function(Schedule):
    """What both have: the function, and a horizon where the user names one."""

    function: StepFunction = required()
    steps: MaybeSteps = None

    @property
    def horizon(self) -> int | None:
        """`steps`; none where it is not given."""
        return self.steps

    @property
    def serialisable(self) -> bool:
        """False: text and JSON cannot carry Python code."""
        return False

    def to_dict(self) -> NoReturn:
        """Refused: plain values cannot carry Python code."""
        raise ValueError(
            f"{self} holds Python code, which no text or JSON can carry; write it with the named schedules"
        )

    def _name(self) -> str:
        return getattr(self.function, "__qualname__", None) or repr(self.function)

    def _asked(self, steps: Floats) -> list[int]:
        held = steps if self.steps is None else np.minimum(steps, self.steps)
        if (held != np.floor(held)).any():  # a stretched repetition asks between the steps
            raise ValueError(f"{self} takes whole steps only; write .repeat(times) without t_mul")
        return [int(step) for step in held.tolist()]

    def _at(self, step: int) -> float:
        value = self.function(step)
        try:
            return float(checks.plain(value))
        except (TypeError, ValueError, OverflowError):
            raise ValueError(
                f"{self} gave {value!r:.80} at step {step}, a schedule's value must be a finite number; "
                f"return a float for every step"
            ) from None

    def __str__(self) -> str:
        end = "" if self.steps is None else f", steps={self.steps}"
        return f"{type(self).__name__}({self._name()}{end})"


@kind
class from_function(_Function):
    """value(k) = function(k), for any function from the step, an int, to a number; with `steps`, of min(k, steps).

    The function must give the same value each time it is asked. Two are equal where they hold the same function object.
    torch's LambdaLR. `steps` gives it a horizon.

    Args:
        function: from the step, an int, to a number.
        steps: the horizon; None for none.

    Raises:
        ValueError: at a call or a table, where the function's value is not a finite number.

    Example:
        >>> def my_rate(step):
        ...     return 0.1 / (1 + step)
        >>> rate = from_function(my_rate)
        >>> rate, rate(9), rate.serialisable
        (from_function(my_rate), 0.01, False)
    """

    _example: ClassVar[str] = "from_function(lambda step: 0.1 / (1 + step))"

    def _values(self, steps: Floats) -> Floats:
        asked = self._asked(steps)
        known = {step: self._at(step) for step in dict.fromkeys(asked)}
        return np.array([known[step] for step in asked])


@kind
class cumulative_product(_Function):
    """value(0) = 1, value(k) = value(k - 1) * function(k): the factors of torch's MultiplicativeLR.

    A value takes k calls of the function, so ask for a table where many are needed. With `steps`, no factor after that
    step counts.

    Args:
        function: from the step, an int, to a factor.
        steps: the last step whose factor counts, and the horizon; None for no end.

    Example:
        >>> rate = 0.1 * cumulative_product(lambda step: 0.5)
        >>> rate.table(4)
        array([0.1   , 0.05  , 0.025 , 0.0125])
    """

    _example: ClassVar[str] = "cumulative_product(lambda step: 0.95)"

    def _values(self, steps: Floats) -> Floats:
        asked = self._asked(steps)
        factors = [1.0, *(self._at(step) for step in range(1, max(asked) + 1))]
        return np.multiply.accumulate(factors)[asked]
