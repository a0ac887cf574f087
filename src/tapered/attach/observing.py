"""What a clock does with a value that is told: its controllers decide, and the rates of the next update are written."""

from typing import TYPE_CHECKING, Any

from tapered.attach.saved import KEY
from tapered.attach.slots import as_before
from tapered.optim.policies import report
from tapered.schedules.controllers import steered
from tapered.schedules.observed import observed, why

if TYPE_CHECKING:
    from tapered.attach.clock import Clock


def observe(clock: "Clock", value: Any) -> None:
    """See `Clock.observe`."""
    if not clock.attached:
        raise ValueError("this clock was detached; try clock = attach(optimizer, ...)")
    if KEY in clock.groups[0]:
        clock.taken_in()
    clock.look()
    groups, step, slots = clock.groups, clock.step, clock.steered
    paths = {(slot.index, slot.name): slot.live.schedule for slot in slots}
    found = observed({key: path for key, path in paths.items() if isinstance(path, steered)}, value, step)
    with as_before(slots):
        before = {(slot.index, slot.name): slot.coming(groups[slot.index], step) for slot in slots}
        for slot in slots:
            slot.follow(found[slot.index, slot.name])
        now = {(slot.index, slot.name): slot.at(step) for slot in slots}
    for slot in slots:
        slot.write(groups[slot.index], now[slot.index, slot.name])
    changed = {key: rate for key, rate in now.items() if rate != before[key]}
    if changed:
        clock.report = report(step, before, changed, why(found[next(iter(changed))], value))
