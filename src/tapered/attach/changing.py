"""What a clock follows after `replace` and `extend`: made and checked before anything changes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tapered.attach.following import Bases, Plan, base_values
from tapered.attach.slots import Slot
from tapered.optim.policies import Reload, ending_last
from tapered.schedules import Schedule
from tapered.schedules.changes import How, extended

if TYPE_CHECKING:
    from tapered.attach.clock import Clock

Followed = list[dict[str, Schedule]]


def replaced(
    clock: "Clock", plan: Plan, reload: Reload, written: Sequence[tuple[Slot, Schedule]]
) -> tuple[Followed, list[Bases]]:
    """The schedules and the base values of each group once `plan` goes before what it follows.

    Raises:
        TypeError, ValueError: what was asked for, or a schedule that was written into a group where none was asked for.
    """
    groups = clock.groups
    plan.check(groups)
    given = {(index, name) for index in range(len(groups)) for name in plan.names(groups, index)}
    for slot, schedule in written:
        if (slot.index, slot.name) not in given:
            slot.ours(schedule)
    clock.look(given)
    followed, bases = [], []
    for index, own in enumerate(clock.followed):
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
    end = ending_last(schedule for found in clock.schedules for schedule in found.values())
    if end is None:
        raise ValueError(f"got horizon={horizon}, but no schedule here ends: {clock!r}")
    step = clock.step
    return [
        {name: extended(s, step, horizon, how) if s.horizon == end else s for name, s in found.items()}
        for found in clock.schedules
    ], end
