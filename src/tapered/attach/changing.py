"""What a clock follows after `replace`, `extend` and a load: made and checked before anything changes."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tapered.attach.following import Bases, Plan, base_values
from tapered.attach.saved import checked, same_hypers
from tapered.attach.slots import Slot
from tapered.optim.late import read
from tapered.optim.policies import Rates, Reload, ending_last
from tapered.schedules import Schedule
from tapered.schedules import followed as read_back
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


@dataclass(frozen=True)
class Loaded:
    """What a clock's state says: what to follow, from which step on, the saved texts, and the last update's values."""

    followed: Followed
    bases: list[Bases]
    step: int
    texts: list[Mapping[str, str]]
    before: Rates


def loaded(clock: "Clock", state: Mapping[str, Any], reload: Reload) -> Loaded:
    """What a clock's state leads to under a policy.

    Raises:
        TypeError, ValueError: it is damaged, of other groups or hypers, or of another schedule.
    """
    step, groups = checked(state)
    if len(groups) != len(clock.groups):
        raise ValueError(
            f"got a clock's state of {len(groups)} groups; this optimizer has {len(clock.groups)}; make "
            "them the same, then load"
        )
    own, followed = clock.schedules, []
    for index, saved in enumerate(groups):
        texts, here = saved["schedules"], own[index]
        if reload.policy == "resume" and clock.takes(index, saved):  # a late group goes on as it was left
            followed.append({name: read(text, clock.all_followed) for name, text in texts.items()})
            clock.as_left(index, followed[index], saved)
            continue
        same_hypers(index, texts, here, reload)
        names = here if reload.policy == "replace" else {**here, **texts}
        followed.append(
            {
                name: reload.chosen(
                    f"`{name}` in group {index}",
                    here.get(name, texts.get(name)),
                    texts.get(name, here.get(name)),
                    step,
                )
                for name in names
            }
        )
    bases = [{**clock.bases[i], **saved["base"]} for i, saved in enumerate(groups)]
    return Loaded(followed, bases, step, [saved["schedules"] for saved in groups], _before(clock, groups, step))


def _before(clock: "Clock", groups: list[dict[str, Any]], step: int) -> Rates:
    """The values of the last update before a state was saved."""
    own, found = clock.schedules, {}
    for index, saved in enumerate(groups):
        for name, text in saved["schedules"].items():
            mine = own[index].get(name)
            with contextlib.suppress(ValueError):  # a user's function cannot be read back
                then = mine if mine is not None and str(mine) == text else read_back(text)
                found[index, name] = then(step - 1) if step else saved["base"][name]
    return found
