"""What a clock follows after `replace` and `extend`: made and checked before anything changes."""

from typing import TYPE_CHECKING

from tapered.attach.following import Bases, Plan, base_values
from tapered.optim.policies import Reload, ending_last
from tapered.schedules import Schedule
from tapered.schedules.changes import How, extended

if TYPE_CHECKING:
    from tapered.attach.clock import Clock

Followed = list[dict[str, Schedule]]


def replaced(clock: "Clock", plan: Plan, reload: Reload) -> tuple[Followed, list[Bases]]:
    """The schedules and the base values of each group once `plan` goes before what it follows."""
    clock.regroup()
    groups = clock.groups
    plan.check(groups)
    followed, bases = [], []
    for index, own in enumerate(clock.schedules):
        base = {**base_values(groups[index], plan.names(groups, index)), **clock.bases[index]}
        asked = plan.schedules(groups, index, base)
        placed = {name: reload.placed(f"`{name}` in group {index}", s, clock.step) for name, s in asked.items()}
        followed.append({**own, **placed})
        bases.append(base)
    return followed, bases


def lengthened(clock: "Clock", horizon: int, how: How) -> tuple[Followed, int]:
    """The schedules with a later horizon, and the horizon before.

    Raises:
        ValueError: no schedule ends.
    """
    clock.regroup()
    end = ending_last(schedule for found in clock.schedules for schedule in found.values())
    if end is None:
        raise ValueError(f"got horizon={horizon}, but no schedule here ends: {clock!r}")
    step = clock.step
    return [
        {name: extended(s, step, horizon, how) if s.horizon == end else s for name, s in found.items()}
        for found in clock.schedules
    ], end
