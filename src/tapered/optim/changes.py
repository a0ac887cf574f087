"""Other schedules for an optimizer under way: replaced, or extended to a later horizon; and the line that says so."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tapered.optim.hypers import followed, items, names
from tapered.optim.multipliers import factor
from tapered.optim.parameters import check_keys
from tapered.optim.policies import Counted, Rates, Reload, ending_last
from tapered.schedules import Schedule
from tapered.schedules.changes import How, extended
from tapered.schedules.controllers import each_fits, steered
from tapered.schedules.observed import observed

if TYPE_CHECKING:
    from tapered.optim.resumable import Resumable

Follows = dict[str, Schedule]


def replaced(
    optimizer: "Resumable", counted: Counted | None, groups: Mapping[int, Mapping[str, Any]], hypers: Mapping[str, Any]
) -> list[tuple[dict[str, Any], Follows]]:
    """The groups with other hypers, and their schedules; the optimizer is not touched. See `Optimizer.replace`."""
    reload, made = Reload("replace", counted), []
    for given in hypers.values():
        each_fits(given, len(optimizer.param_groups))
    for index in groups:
        if index not in range(len(optimizer.param_groups)):
            raise ValueError(f"got hypers for the group {index!r}; this optimizer has {len(optimizer.param_groups)}")
    for index, own in enumerate(optimizer.param_groups):
        asked = {**hypers, **groups.get(index, {})}
        check_keys(asked, optimizer.hyper_keys, index)
        group, follows = dict(own), dict(optimizer._resolved(index))  # noqa: SLF001  # its other half
        for key, value in asked.items():
            placed = [
                reload.placed(f"`{name}` in group {index}", part, optimizer.steps)
                if isinstance(part, Schedule)
                else part
                for name, part in zip(names(key), followed(key, value, index), strict=True)
            ]
            for name in names(key):
                follows.pop(name, None)
            group[key] = tuple(placed) if len(placed) > 1 else placed[0]
            optimizer.split(group, follows, key, index)
        group["schedules"] = {name: str(schedule) for name, schedule in follows.items()}
        if "lr" in asked:
            group.pop("joined", None)  # it has been given a rate of its own
        optimizer.rule(group)
        made.append((group, follows))
    return made


def controlled(optimizer: "Resumable", value: Any) -> dict[tuple[int, str], steered]:
    """The paths of the hypers that follow a controller, once it is told a value; the optimizer is not touched."""
    every = ((index, *pair) for index, found in enumerate(optimizer.schedules) for pair in found.items())
    paths = {(index, name): path for index, name, path in every if isinstance(path, steered)}
    return observed(paths, value, optimizer.steps)


def lengthened(optimizer: "Resumable", horizon: int, how: How) -> list[Follows]:
    """The groups' schedules with a later horizon; see `Optimizer.extend`."""
    every = optimizer.schedules
    end = ending_last(schedule for found in every for schedule in found.values())
    if end is None:
        raise ValueError(f"got horizon={horizon}, but no schedule here ends: {every}")
    return [
        {name: extended(s, optimizer.steps, horizon, how) if s.horizon == end else s for name, s in found.items()}
        for found in every
    ]


def shown(optimizer: "Resumable", groups: Sequence[Mapping[str, Any]]) -> Rates:
    """The rate, and every hyper with a schedule, as a list of groups shows them: those of the next update."""
    found = {}
    for index, (own, group) in enumerate(zip(optimizer.param_groups, groups, strict=True)):
        for key in optimizer.hyper_keys:
            for name, value in zip(names(key), items(key, group[key], index), strict=True):
                if name == "lr" or name in own["schedules"]:
                    found[index, name] = float(value)
    return found


def used(optimizer: "Resumable", groups: Sequence[Mapping[str, Any]], step: int) -> Rates:
    """The same of the update before `step`, as far as it is known: a number may have been written since."""
    found = dict(shown(optimizer, groups))
    for index, group in enumerate(groups):
        for name, text in group.get("schedules", {}).items():
            with contextlib.suppress(ValueError):  # a user's function cannot be read back
                times = factor(group, optimizer.param_groups[index]["multiplier"], index) if name == "lr" else 1.0
                found[index, name] = optimizer.known(text)(max(step - 1, 0)) * times
    return found
