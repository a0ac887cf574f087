"""Groups that join an optimizer under way, at step k.

without a rate        the schedule of the others, from step k on
with a number r       r * schedule(j) / schedule(k) at step j: it falls as the others do, and not twice
with a schedule       that one
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tapered.optim.hypers import items, names
from tapered.optim.multipliers import factor
from tapered.schedules import Schedule, followed
from tapered.schedules.controllers import steered
from tapered.schedules.operators import scaled

Follows = Mapping[str, Schedule]
WITH_A_RATE, AS_THE_OTHERS = "with a rate", "as the others"  # how a group `joined`


def following(given: Mapping[str, Any], follows: Sequence[Follows]) -> dict[str, Any]:
    """What a late group gets for each key that it does not name: the others' schedules, else the given defaults."""
    found = {}
    for key, default in given.items():
        parts = tuple(
            next((own[name] for own in follows if name in own), part)
            for name, part in zip(names(key), items(key, default, len(follows)), strict=True)
        )
        found[key] = parts if len(parts) > 1 else parts[0]
    return found


def anchored(group: dict[str, Any], follows: dict[str, Schedule], others: Sequence[Follows], index: int) -> None:
    """Let a late group's number fall as the others' rate does; the group says how it `joined`.

    Before the first update nothing has decayed, so a number is a constant rate, as in the constructor.

    Raises:
        ValueError: the others' rate is 0, so it says nothing of what comes.
    """
    others = [own for own in others if "lr" in own]
    if not others:
        return
    group["joined"], step = WITH_A_RATE, group["step"]
    if step == 0:
        return
    times = factor(group, group["multiplier"], index) or 1.0
    follows["lr"] = reanchored(others[0]["lr"], float(group["lr"]), step, index, times)
    group["lr"] = follows["lr"](step) * times


def read(text: str, known: Iterable[Schedule]) -> Schedule:
    """The schedule that a text stands for; a user's function, which no text carries, where it is known here.

    Raises:
        ValueError: a text that cannot be read back.
    """
    factor_, _, rest = text.partition(" * ")
    for schedule in known:
        shape = schedule.schedule if isinstance(schedule, scaled) else schedule
        if str(schedule) == text:
            return schedule
        if rest and not shape.serialisable and text == f"{factor_} * {shape}":  # a late group in proportion to it
            return scaled(float(factor_), shape)
    return followed(text)


def reanchored(schedule: Schedule, rate: float, step: int, index: int, times: float = 1.0) -> Schedule:
    """The shape of a schedule through a rate at a step: rate / (times * schedule(step)) * schedule.

    Raises:
        ValueError: the schedule gives 0 there.
    """
    shape = schedule.schedule if isinstance(schedule, scaled) else schedule
    value = shape(step) * times
    if not value > 0:
        raise ValueError(
            f"got lr={rate!r} for group {index}, which joined late and follows {shape} in proportion, and that gives "
            f"{value!r} at step {step}; give the group a schedule of its own, constant({rate!r}) for one"
        )
    return shape.through(rate / times, shape(step)) if isinstance(shape, steered) else scaled(rate / value, shape)
