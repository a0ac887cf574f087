"""Keras's learning-rate schedules, as keras.optimizers.schedules.serialize writes them, to ours."""
# ruff: noqa: D102, FBT001, FBT002, N802  # the methods of Forms are the framework's own functions, in name and order

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tapered.convert.calls import Call
from tapered.convert.keras_out import config
from tapered.convert.plateaus import keras_plateau
from tapered.convert.result import Conversion, affine, conversion
from tapered.schedules import (
    Schedule,
    constant,
    cosine_decay,
    cosine_decay_restarts,
    exponential_decay,
    inverse_time_decay,
    linear,
    piecewise_constant,
    polynomial_decay,
)
from tapered.schedules.checks import suggestion
from tapered.schedules.controllers import planned

_EXAMPLE = '{"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.1, "decay_steps": 1000}}'


class Forms:
    """A method for each of Keras's classes, with its constructor's arguments, name aside."""

    def __init__(self, notes: list[str], *, exact: bool) -> None:
        self.notes, self.exact = notes, exact

    def ExponentialDecay(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
    ) -> Schedule:
        return exponential_decay(initial_learning_rate, decay_steps, decay_rate, staircase)

    def InverseTimeDecay(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
    ) -> Schedule:
        return inverse_time_decay(initial_learning_rate, decay_steps, decay_rate, staircase)

    def PiecewiseConstantDecay(self, boundaries: Sequence[float], values: Sequence[float]) -> Schedule:
        whole = [int(boundary) for boundary in boundaries]
        if list(boundaries) != whole:
            end = "that" if self.exact else "them as given (exact=True keeps Keras's)"
            self.notes.append(f"Keras cuts boundaries that are not whole to the step's integer type; kept: {end}")
        return piecewise_constant(tuple(whole if self.exact else boundaries), tuple(values))

    def PolynomialDecay(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 1e-4,
        power: float = 1.0,
        cycle: bool = False,
    ) -> Schedule:
        if end_learning_rate <= initial_learning_rate:
            return polynomial_decay(initial_learning_rate, decay_steps, end_learning_rate, power, cycle)
        shape = polynomial_decay(decay_steps=decay_steps, end=0.0, power=power, cycle=cycle)
        return affine(end_learning_rate, initial_learning_rate, shape)

    def CosineDecay(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> Schedule:
        if warmup_target is None and warmup_steps:
            self.notes.append("Keras passes over warmup_steps where warmup_target is not given; kept: no warmup")
        peak = initial_learning_rate if warmup_target is None else warmup_target
        if 0 <= alpha <= 1:
            fall: Schedule = cosine_decay(peak, decay_steps, alpha=alpha)
        else:
            fall = affine(alpha * peak, peak, cosine_decay(decay_steps=decay_steps))
        if warmup_target is None or not warmup_steps:
            return fall
        return linear(initial_learning_rate, warmup_target, warmup_steps).then(fall)

    def CosineDecayRestarts(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
    ) -> Schedule:
        if t_mul != 1.0:
            end = "its formula, in float64" if self.exact else "each restart where it is (exact=True keeps the formula)"
            self.notes.append(
                f"Keras finds restarts by logarithms in float32, which miss some by rounding; kept: {end}"
            )
        return cosine_decay_restarts(
            initial_learning_rate, first_decay_steps, t_mul, m_mul, alpha, tf_exact=self.exact and t_mul != 1.0
        )


NAMES = tuple(name for name in vars(Forms) if not name.startswith("_"))


def from_keras(source: Mapping[str, Any] | str | float, *, exact: bool = False) -> Conversion:
    """The schedule of a Keras config, with the formulas that Keras has, in float64.

    Args:
        source: What keras.optimizers.schedules.serialize gives, as a dict or as JSON; an optimizer's config, whose
            learning_rate is taken; or a plain number. The callback ReduceLROnPlateau, as class_name and config, gives a
            controller that begins with 1.
        exact: Keeps Keras's way to find restarts, and its cut of boundaries to whole steps.

    Raises:
        ValueError: no such config, a class of one's own, or arguments out of range.
        TypeError: arguments that the class does not have.

    Example:
        >>> config = {"initial_learning_rate": 0.0, "decay_steps": 900, "warmup_target": 0.1, "warmup_steps": 100}
        >>> from_keras({"class_name": "CosineDecay", "config": config}).schedule
        linear(0.0, end=0.1, steps=100).then(cosine_decay(0.1, decay_steps=900))
    """
    try:
        given = json.loads(source) if isinstance(source, str) else source
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error}; a config is for example {_EXAMPLE}") from None
    rule = keras_plateau(given)
    if rule is not None:
        return rule
    notes: list[str] = []
    return conversion([_read(given, Forms(notes, exact=exact))], notes)


def _read(given: Any, forms: Forms) -> Schedule:
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return constant(given)
    if not isinstance(given, Mapping):
        raise ValueError(f"no Keras config: {given!r:.80}; write for example {_EXAMPLE}")  # noqa: TRY004  # perhaps JSON
    inner = given.get("config")
    for holder in (given, inner):
        if isinstance(holder, Mapping) and "learning_rate" in holder:  # an optimizer's
            return _read(holder["learning_rate"], forms)
    name = given.get("class_name")
    if name not in NAMES:
        raise ValueError(f"Keras has no schedule {name!r:.80}{suggestion(str(name), NAMES)}; it has {', '.join(NAMES)}")
    if not isinstance(inner, Mapping):
        raise ValueError(f"{name}'s config must be a mapping, got {inner!r:.80}; write for example {_EXAMPLE}")  # noqa: TRY004  # as above
    form = getattr(forms, name)
    arguments = {key: value for key, value in inner.items() if key != "name"}
    if not all(isinstance(value, (int, float, list, tuple, type(None))) for value in arguments.values()):
        raise ValueError(f"{name}'s config must hold numbers and lists of them, got {arguments!r:.200}")
    found: Schedule = form(**Call(name, (), arguments).bound(inspect.signature(form)))
    return found


def to_keras(schedule: Schedule) -> dict[str, Any]:
    """The config that keras.optimizers.schedules.deserialize reads, where Keras has the schedule.

    Args:
        schedule: any.

    Raises:
        ValueError: Keras has none for a part of it, which is named.

    Example:
        >>> from tapered.schedules import warmup
        >>> to_keras(0.1 * warmup(100).then(cosine_decay(decay_steps=900)))["config"]["warmup_target"]
        0.1
        >>> to_keras(cosine_decay(decay_steps=9).delayed(3))
        Traceback (most recent call last):
        ...
        ValueError: Keras has no schedule for cosine_decay(decay_steps=9).delayed(3)
    """
    found = config(planned(schedule))
    place = {"module": "keras.optimizers.schedules", "class_name": found.name}
    return place | {"config": dict(found.kwargs), "registered_name": None}
