"""optax's schedules by name and arguments, as optax names them, to ours. optax need not be installed."""
# ruff: noqa: D102, FBT001, FBT002  # the methods of Forms are the framework's own functions, in name and order

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tapered.convert.calls import Call, read_call
from tapered.convert.optax_points import Scales, begun, cumulative
from tapered.convert.result import Conversion, affine, conversion, joined, scaled
from tapered.schedules import (
    Schedule,
    constant,
    cosine_decay,
    exponential_decay,
    linear,
    piecewise_constant,
    piecewise_interpolate,
    polynomial_decay,
)
from tapered.schedules.checks import suggestion


class Forms:
    """A method for each of optax's functions, with its arguments."""

    def __init__(self, notes: list[str], *, exact: bool) -> None:
        self.notes, self.exact = notes, exact

    def _repaired(self, name: str, field: str, value: float, kept: float) -> Schedule:
        """What optax turns into a constant without a word."""
        if not self.exact:
            raise ValueError(
                f"{name}: {field} must be above 0, got {value}; optax makes of it, silently, {kept} for ever; "
                "exact=True keeps that"
            )
        self.notes.append(f"optax takes {field}={value} for a constant {kept}, silently; kept: that")
        return constant(kept)

    def constant_schedule(self, value: float) -> Schedule:
        return constant(value)

    def linear_schedule(
        self, init_value: float, end_value: float, transition_steps: int, transition_begin: int = 0
    ) -> Schedule:
        return self.polynomial_schedule(init_value, end_value, 1, transition_steps, transition_begin)

    def polynomial_schedule(
        self, init_value: float, end_value: float, power: float, transition_steps: int, transition_begin: int = 0
    ) -> Schedule:
        if transition_steps <= 0:
            return self._repaired("polynomial_schedule", "transition_steps", transition_steps, init_value)
        if power == 1:
            path: Schedule = linear(init_value, end_value, transition_steps)
        elif end_value <= init_value:
            path = polynomial_decay(init_value, transition_steps, end=end_value, power=power)
        else:
            path = affine(end_value, init_value, polynomial_decay(decay_steps=transition_steps, end=0.0, power=power))
        return path.delayed(transition_begin) if transition_begin > 0 else path

    def piecewise_constant_schedule(self, init_value: float, boundaries_and_scales: Scales = None) -> Schedule:
        points, values = cumulative(init_value, boundaries_and_scales)
        while points and points[0] <= 0:  # already passed at step 0
            del points[0], values[0]
        return piecewise_constant(tuple(points), tuple(values), switch="at") if points else constant(values[0])

    def piecewise_interpolate_schedule(
        self,
        interpolate_type: Literal["linear", "cosine"],
        init_value: float,
        boundaries_and_scales: Scales = None,
    ) -> Schedule:
        points, values = begun(interpolate_type, *cumulative(init_value, boundaries_and_scales))
        return piecewise_interpolate(tuple(points), tuple(values), interpolate_type) if points else constant(values[0])

    def exponential_decay(
        self,
        init_value: float,
        transition_steps: int,
        decay_rate: float,
        transition_begin: int = 0,
        staircase: bool = False,
        end_value: float | None = None,
    ) -> Schedule:
        if transition_steps <= 0:
            return self._repaired("exponential_decay", "transition_steps", transition_steps, init_value)
        if decay_rate == 0:
            return self._repaired("exponential_decay", "decay_rate", decay_rate, init_value)
        path: Schedule = exponential_decay(init_value, transition_steps, decay_rate, staircase)
        if end_value is not None:
            path = path.clamp(low=end_value) if decay_rate < 1 else path.clamp(high=end_value)
        return path.delayed(transition_begin) if transition_begin > 0 else path

    def cosine_decay_schedule(
        self, init_value: float, decay_steps: int, alpha: float = 0.0, exponent: float = 1.0
    ) -> Schedule:
        if 0 <= alpha <= 1:
            return cosine_decay(init_value, decay_steps, alpha=alpha, exponent=exponent)
        return affine(alpha * init_value, init_value, cosine_decay(decay_steps=decay_steps, exponent=exponent))

    def warmup_constant_schedule(self, init_value: float, peak_value: float, warmup_steps: int) -> Schedule:
        if warmup_steps <= 0:
            return self._repaired("warmup_constant_schedule", "warmup_steps", warmup_steps, init_value)
        return linear(init_value, peak_value, warmup_steps)

    def warmup_cosine_decay_schedule(
        self,
        init_value: float,
        peak_value: float,
        warmup_steps: int,
        decay_steps: int,
        end_value: float = 0.0,
        exponent: float = 1.0,
    ) -> Schedule:
        if decay_steps <= warmup_steps:
            raise ValueError(
                f"decay_steps must be above warmup_steps, {warmup_steps}, which it includes, got {decay_steps}"
            )
        alpha = 0.0 if peak_value == 0 else end_value / peak_value
        fall = self.cosine_decay_schedule(peak_value, decay_steps - warmup_steps, alpha, exponent)
        return self._warmed(init_value, peak_value, warmup_steps, fall)

    def warmup_exponential_decay_schedule(
        self,
        init_value: float,
        peak_value: float,
        warmup_steps: int,
        transition_steps: int,
        decay_rate: float,
        transition_begin: int = 0,
        staircase: bool = False,
        end_value: float | None = None,
    ) -> Schedule:
        fall = self.exponential_decay(peak_value, transition_steps, decay_rate, transition_begin, staircase, end_value)
        return self._warmed(init_value, peak_value, warmup_steps, fall)

    def _warmed(self, init_value: float, peak_value: float, steps: int, rest: Schedule) -> Schedule:
        if steps < 0:
            raise ValueError(f"warmup_steps must be from 0 up, got {steps}; optax begins so far along, silently")
        return linear(init_value, peak_value, steps).then(rest) if steps > 0 else rest

    def sgdr_schedule(self, cosine_kwargs: Sequence[Mapping[str, Any]]) -> Schedule:
        form = self.warmup_cosine_decay_schedule
        calls = [Call("warmup_cosine_decay_schedule", (), kwargs) for kwargs in cosine_kwargs]
        cycles = [form(**call.bound(inspect.signature(form))) for call in calls]
        if not cycles:
            raise ValueError("sgdr_schedule takes a list of arguments, one for each cycle, got none")
        ends = [sum(kwargs["decay_steps"] for kwargs in cosine_kwargs[:index]) for index in range(1, len(cycles))]
        return joined(cycles, ends)

    def linear_onecycle_schedule(
        self,
        transition_steps: int,
        peak_value: float,
        pct_start: float = 0.3,
        pct_final: float = 0.85,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> Schedule:
        turns = {
            int(pct_start * transition_steps): div_factor,
            int(pct_final * transition_steps): 1.0 / div_factor,
            transition_steps: 1.0 / final_div_factor,
        }  # as optax: of turns at one step the last counts
        return self.piecewise_interpolate_schedule("linear", peak_value / div_factor, turns)

    def cosine_onecycle_schedule(
        self,
        transition_steps: int,
        peak_value: float,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> Schedule:
        turns = {int(pct_start * transition_steps): div_factor, transition_steps: 1.0 / (div_factor * final_div_factor)}
        return self.piecewise_interpolate_schedule("cosine", peak_value / div_factor, turns)

    def join_schedules(self, schedules: Sequence[Any], boundaries: Sequence[int]) -> Schedule:
        if len(boundaries) != len(schedules) - 1:
            raise ValueError(
                f"join_schedules takes one boundary less than schedules, got {len(boundaries)} for {len(schedules)}; "
                "optax drops the rest silently"
            )
        ends = list(boundaries)
        if ends != sorted(ends) or any(end < 0 or end != int(end) for end in ends):
            raise ValueError(f"join_schedules: boundaries must be rising whole steps from 0 up, got {ends}")
        return joined([self.read(schedule) for schedule in schedules], ends)

    def read(self, source: Any) -> Schedule:
        """A call, or one as text, or a schedule of ours as it is."""
        if isinstance(source, Schedule):
            return source
        if not isinstance(source, (str, Call)):
            raise TypeError(f"join_schedules takes calls as text or schedules, got {source!r:.80}")
        call = source if isinstance(source, Call) else read_call(source)
        if call.name not in NAMES:
            raise ValueError(
                f"optax has no schedule {call.name}{suggestion(call.name, NAMES)}; it has {', '.join(NAMES)}"
            )
        form = getattr(self, call.name)
        try:
            found: Schedule = form(**call.bound(inspect.signature(form)))
        except (TypeError, ValueError) as error:
            said = str(error)
            raise type(error)(said if call.name in said else f"{call.name}: {said}") from None
        return found


NAMES = tuple(name for name in vars(Forms) if not name.startswith("_") and name != "read")


def from_optax(source: str, *args: Any, exact: bool = False, scale: float = 1.0, **kwargs: Any) -> Conversion:
    """The schedule that an optax function makes, in float64 where optax computes in float32 unless told otherwise.

    Args:
        source: The function's name, with its arguments after it, or the whole call as text.
        *args: The function's own arguments; in join_schedules, the schedules are calls as text, or schedules of ours.
        exact: Takes what optax silently turns into a constant, such as warmup_constant_schedule(0.0, 1.0, 0), which is
            0 for ever.
        scale: A factor on all of it, for shapes written from 0 to 1.
        **kwargs: The function's own, by name.

    Raises:
        ValueError: an unknown name, or arguments that make no sense.
        TypeError: arguments that the function does not take.

    Example:
        >>> from_optax("warmup_cosine_decay_schedule", 0.0, 1.0, 50, decay_steps=1000).schedule
        linear(0.0, end=1.0, steps=50).then(cosine_decay(decay_steps=950))
        >>> from_optax("join_schedules([linear_schedule(0.0, 0.1, 20), constant_schedule(0.1)], [20])").schedule
        linear(0.0, end=0.1, steps=20).then(constant(0.1))
    """
    call = Call(source, args, kwargs) if args or kwargs else read_call(source)
    notes: list[str] = []
    schedule = Forms(notes, exact=exact).read(call)
    return conversion([scaled(scale, schedule)], notes)
