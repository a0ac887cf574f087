"""Other schedules for an optimizer under way: replaced, or extended to a later horizon; and the line that says so."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tapered.optim.hypers import items, names
from tapered.optim.parameters import check_keys
from tapered.optim.policies import Counted, Rates, Reload, ending_last
from tapered.schedules import Schedule
from tapered.schedules.changes import How, extended

if TYPE_CHECKING:
    from tapered.optim.resumable import Resumable


def replaced(
    optimizer: "Resumable", counted: Counted | None, groups: Mapping[int, Mapping[str, Any]], hypers: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The groups with other hypers; the optimizer is not touched. See `Optimizer.replace`."""
    reload, made = Reload("replace", counted), []
    for index in groups:
        if index not in range(len(optimizer.param_groups)):
            raise ValueError(f"got hypers for the group {index!r}; this optimizer has {len(optimizer.param_groups)}")
    for index, own in enumerate(optimizer.param_groups):
        asked = {**hypers, **groups.get(index, {})}
        check_keys(asked, optimizer.hyper_keys, index)
        group = {**own, "schedules": dict(own["schedules"])}
        for key, value in asked.items():
            placed = [
                reload.placed(f"`{name}` in group {index}", part, optimizer.steps)
                if isinstance(part, Schedule)
                else part
                for name, part in zip(names(key), items(key, value, index), strict=True)
            ]
            for name in names(key):
                group["schedules"].pop(name, None)
            group[key] = tuple(placed) if len(placed) > 1 else placed[0]
            optimizer.split(group, key, index)
        optimizer.rule(group)
        made.append(group)
    return made


def lengthened(optimizer: "Resumable", horizon: int, how: How) -> list[dict[str, Schedule]]:
    """The groups' schedules with a later horizon; see `Optimizer.extend`."""
    every = [group["schedules"] for group in optimizer.param_groups]
    end = ending_last(schedule for found in every for schedule in found.values())
    if end is None:
        raise ValueError(f"got horizon={horizon}, but no schedule here ends: {every}")
    return [
        {name: extended(s, optimizer.steps, horizon, how) if s.horizon == end else s for name, s in found.items()}
        for found in every
    ]


def shown(optimizer: "Resumable", groups: list[dict[str, Any]]) -> Rates:
    """The rate, and every hyper with a schedule, as a list of groups shows them."""
    found = {}
    for index, (own, group) in enumerate(zip(optimizer.param_groups, groups, strict=True)):
        for key in optimizer.hyper_keys:
            for name, value in zip(names(key), items(key, group[key], index), strict=True):
                if name == "lr" or name in own["schedules"]:
                    found[index, name] = float(value)
    return found
