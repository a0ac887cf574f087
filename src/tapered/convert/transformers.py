"""Transformers' get_scheduler names to schedules."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from tapered.convert.calls import Call
from tapered.convert.plateaus import transformers_live, transformers_rule
from tapered.convert.result import Conversion, conversion, rates, scaled
from tapered.convert.transformers_forms import Forms
from tapered.schedules import Schedule
from tapered.schedules.checks import suggestion

PLATEAUS = ("reduce_lr_on_plateau", "greedy")
NAMES = (
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt",
    "reduce_lr_on_plateau", "cosine_with_min_lr", "cosine_warmup_with_min_lr", "warmup_stable_decay", "greedy",
)  # fmt: skip
FLOORED = ("cosine_with_min_lr", "cosine_warmup_with_min_lr")


def from_transformers(
    name: Any,
    *,
    lr: float | Sequence[float] | None = None,
    num_warmup_steps: int | None = None,
    num_training_steps: int | None = None,
    default_lr: float | None = None,
    exact: bool = False,
    scheduler_specific_kwargs: Mapping[str, Any] | None = None,
    **more: Any,
) -> Conversion:
    """The schedules of transformers.get_scheduler(name, ...), one for each rate in `lr`.

    Args:
        name: One of its twelve; "reduce_lr_on_plateau" and "greedy", which follow the loss, give a controller. Or a
            live scheduler that follows it, or the state dict of a GreedyLR.
        lr: The base rate, or one for each parameter group; of a live scheduler those in force.
        num_warmup_steps: As there.
        num_training_steps: As there.
        default_lr: The optimizer's own default rate, which Transformers takes min_lr and lr_end as fractions of, for
            all groups; the first of `lr` unless given.
        exact: Keeps the cosines that rise again after the end, and floors that are scaled to a group's rate.
        scheduler_specific_kwargs: As there; Trainer's lr_scheduler_kwargs.
        **more: The same, written out.

    Raises:
        ValueError: an unknown name, or arguments that Transformers refuses too.
        TypeError: arguments that the name does not take.

    Example:
        >>> from_transformers("cosine", lr=3e-4, num_warmup_steps=100, num_training_steps=1000).schedule
        0.0003 * warmup(100).then(cosine_decay(decay_steps=900))
    """
    if not isinstance(getattr(name, "value", name), str):
        return transformers_live(name, lr)
    name = _known(name)
    specific = _specific(scheduler_specific_kwargs, more)
    if name in PLATEAUS:
        return transformers_rule(name, lr, specific, num_warmup_steps)
    bases = rates(lr, 'from_transformers("cosine", lr=3e-4, num_warmup_steps=100, num_training_steps=1000)')
    given = {"num_warmup_steps": num_warmup_steps, "num_training_steps": num_training_steps}
    asked = {key: value for key, value in given.items() if value is not None}
    default = bases[0] if default_lr is None else default_lr
    notes: list[str] = []
    found = []
    for base in bases:
        origin = default if exact else base
        shape = _shape(name, asked, specific, origin, Forms(notes, exact=exact))
        found.append(scaled(base, shape))
    notes += _unread(name, asked, specific)
    if name != "constant":
        notes.append(
            f"transformers' {name}, built on a loaded optimizer and then loaded, is at its first rate for a step; "
            "kept: the curve, which is a function of the step alone"
        )
    own_floor = name == "polynomial" or specific.get("min_lr") is not None
    if own_floor and any(base != default for base in bases):
        kept = "that" if exact else "the floor as given, for each group (exact=True keeps transformers')"
        notes.append(f"transformers scales the floor of {name} with a group's rate over {default}; kept: {kept}")
    return conversion(found, notes)


def _unread(name: str, asked: Mapping[str, Any], specific: Mapping[str, Any]) -> list[str]:
    """What Transformers passes over, of what it is given."""
    unread = []
    if name == "constant" and asked.get("num_warmup_steps"):
        unread.append("num_warmup_steps, which constant_with_warmup reads")
    if name == "warmup_stable_decay" and "num_training_steps" in asked and "num_stable_steps" in specific:
        unread.append("num_training_steps where num_stable_steps is given")
    notes = [f"transformers' {name} passes over {what}; kept: that" for what in unread]
    if name == "inverse_sqrt" and specific.get("timescale") is not None:
        notes.append("transformers before 5.4 passes over the timescale of inverse_sqrt; kept: the timescale as given")
    return notes


def _specific(given: object, more: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the name's own function, given as one dict, as get_scheduler takes them, or by name."""
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f'scheduler_specific_kwargs must be a dict, such as {{"num_cycles": 2}}, got {given!r:.80}')
    twice = sorted(set(given or ()) & set(more))
    if twice:
        raise TypeError(f"{twice[0]} is given by name and in scheduler_specific_kwargs; give it once")
    return {**(given or {}), **more}


def _known(name: object) -> str:
    found = str(getattr(name, "value", name))  # its SchedulerType too
    if found not in NAMES:
        raise ValueError(
            f"transformers has no scheduler {found!r}{suggestion(found, NAMES)}; it has {', '.join(NAMES)}"
        )
    return found


def _shape(name: str, asked: dict[str, Any], more: dict[str, Any], origin: float, forms: Forms) -> Schedule:
    form = getattr(forms, "cosine" if name == "cosine_with_min_lr" else name)
    takes = inspect.signature(form).parameters
    # get_scheduler hands on only what its function takes, of these two
    given = {key: value for key, value in asked.items() if key in takes} | more
    if name in FLOORED:
        given = _floored(name, given, origin)
    elif "min_lr_rate" in given or "lr_init" in given:
        raise TypeError(f"{name} takes no {'min_lr_rate' if 'min_lr_rate' in given else 'lr_init'}")
    if name == "polynomial":
        given["lr_init"] = origin
    found: Schedule = form(**Call(name, (), given).bound(inspect.signature(form)))
    return found


def _floored(name: str, given: dict[str, Any], origin: float) -> dict[str, Any]:
    floor, rate = given.pop("min_lr", None), given.pop("min_lr_rate", None)
    if (floor is None) == (rate is None):
        raise ValueError(f"{name} takes min_lr or min_lr_rate, one of the two, got {floor} and {rate}")
    return given | {"min_lr_rate": floor / origin if rate is None else rate}
