"""Which schedule each hyper of each group follows: what `attach` was asked, taken apart by the names of hypers."""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from tapered.attach.places import bounds, names, places, read
from tapered.optim.hypers import number
from tapered.schedules import Controller, Schedule, as_schedule, constant
from tapered.schedules.controllers import each_fits, steered
from tapered.schedules.operators import scaled

Bases = dict[str, float]


@dataclass(frozen=True)
class of_base:  # noqa: N801  # a word of the call, like a schedule's
    """Each group's own base value times a shape: `attach(optimizer, lr=of_base(cosine_decay(decay_steps=1000)))`.

    value(k) = base * shape(k), where base is what the group was made with.

    Args:
        shape: a schedule, or a rule that follows the loss, which begins at 1.

    Example:
        >>> import torch
        >>> from tapered.attach import attach
        >>> from tapered.schedules import linear
        >>> first, second = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
        >>> optimizer = torch.optim.SGD([{"params": [first]}, {"params": [second], "lr": 0.01}], lr=0.1)
        >>> clock = attach(optimizer, lr=of_base(linear(1.0, 0.0, steps=10)))
        >>> clock.schedules
        ({'lr': 0.1 * linear(steps=10)}, {'lr': 0.01 * linear(steps=10)})
    """

    shape: Schedule | Controller

    def __post_init__(self) -> None:
        if not isinstance(self.shape, Controller):
            object.__setattr__(self, "shape", as_schedule(self.shape))


@dataclass(frozen=True)
class Plan:
    """What was asked for: hypers of every group, and of single groups by index or name."""

    hypers: Mapping[str, Any]
    groups: Mapping[int | str, Mapping[str, Any]] = field(default_factory=dict)

    def check(self, groups: list[dict[str, Any]]) -> None:
        """Every group that is spoken of exists.

        Raises:
            TypeError, ValueError: naming it and those that exist.
        """
        for spec in self.hypers.values():
            each_fits(spec.shape if isinstance(spec, of_base) else spec, len(groups))
        known = [*range(len(groups)), *(group["name"] for group in groups if "name" in group)]
        for which, asked in self.groups.items():
            if which not in known:
                raise ValueError(f"got schedules for the group {which!r}; the groups here are {known}")
            if not isinstance(asked, Mapping):
                raise TypeError(f"got {asked!r} for the group {which!r}; expected a dict; try {{'lr': schedule}}")
        if not self.hypers and not any(self.groups.values()):
            raise TypeError("attach needs a schedule; try attach(optimizer, lr=cosine_decay(1e-3, decay_steps=1000))")

    def own(self, groups: list[dict[str, Any]], index: int) -> dict[str, Any]:
        """What was asked for one group alone, by the name of the hyper."""
        found: dict[str, Any] = {}
        for which in (index, groups[index].get("name")):
            asked = self.groups.get(which, {}) if which is not None else {}
            found |= {name: value for key, spec in asked.items() for name, value in parts(groups, index, key, spec)}
        return found

    def shared(self, groups: list[dict[str, Any]], index: int) -> dict[str, Any]:
        """What was asked for every group, without what this one has of its own."""
        asked = {name: v for key, spec in self.hypers.items() for name, v in parts(groups, index, key, spec)}
        return {name: value for name, value in asked.items() if name not in self.own(groups, index)}

    def names(self, groups: list[dict[str, Any]], index: int) -> list[str]:
        """The hypers that it schedules in a group."""
        return [*self.shared(groups, index), *self.own(groups, index)]

    def and_of(self, own: Mapping[int, Mapping[str, Any]]) -> "Plan":
        """This one, and what groups came with."""
        groups: dict[int | str, Mapping[str, Any]] = {**self.groups}
        groups.update(own.items())
        return Plan(self.hypers, groups)

    def and_then(self, other: "Plan") -> "Plan":
        """What groups that come later follow, once another plan goes before this one."""
        kept = {
            which: {key: spec for key, spec in asked.items() if key not in other.hypers}
            for which, asked in self.groups.items()
        }
        return Plan({**self.hypers, **other.hypers}, {**kept, **other.groups})

    def schedules(self, groups: list[dict[str, Any]], index: int, bases: Bases) -> dict[str, Schedule]:
        """The schedule of each hyper of a group, by its name."""
        asked = {**self.shared(groups, index), **self.own(groups, index)}
        return {name: schedule(name, value, index, bases[name]) for name, value in asked.items()}


def parts(groups: list[dict[str, Any]], index: int, key: str, spec: Any) -> Iterator[tuple[str, Any]]:
    """The hypers that an argument names, each with what it is to follow; None leaves a part alone.

    Raises:
        TypeError, ValueError: the group has no such hyper, or another number of parts.
    """
    group, known = groups[index], places(groups[index])
    value = group.get(key)
    if key in known:
        yield key, spec
    elif isinstance(value, (tuple, list)) and names(key, len(value))[0] in known:
        if not isinstance(spec, (tuple, list)) or len(spec) != len(value):
            example = ", ".join(["schedule", *["None"] * (len(value) - 1)])
            raise TypeError(f"got {spec!r} for `{key}` in group {index}; expected {len(value)} parts; try ({example})")
        yield from ((name, part) for name, part in zip(names(key, len(value)), spec, strict=True) if part is not None)
    else:
        near = difflib.get_close_matches(str(key), [*known, *group], n=1)
        hint = f"did you mean `{near[0]}`" if near else f"it has {', '.join(sorted(known))}"
        raise ValueError(f"got a schedule for `{key}`, which group {index} of this optimizer does not have; {hint}")


def schedule(name: str, asked: Any, index: int, base: float) -> Schedule:
    """What was asked for one hyper as a schedule: a number is always that number."""
    if isinstance(asked, of_base):
        asked = base * asked.shape
    if isinstance(asked, Controller):
        return asked.path(index)
    return asked if isinstance(asked, Schedule) else constant(number(name, asked, index, bounds(name)))


def base_values(group: Mapping[str, Any], hypers: Iterable[str]) -> Bases:
    """What a group was made with, as floats; a rate's base is `initial_lr` where a group has it."""
    known = places(group)
    found = {name: read(group, known[name]) for name in hypers}
    if "lr" in found and "initial_lr" in group:
        found["lr"] = group["initial_lr"]
    return {name: float(value.item() if isinstance(value, Tensor) else value) for name, value in found.items()}


def check_bases(
    plan: Plan, groups: list[dict[str, Any]], bases: list[Bases], late: Collection[int], known: int
) -> None:
    """One schedule for every group means one base value for every group, but for rates of groups that joined late.

    The first `known` groups were checked before, or were given the schedule on purpose.

    Raises:
        ValueError: groups were made with values of their own, which the schedule would overrule in silence.
    """
    first: dict[str, tuple[int, float]] = {}
    for index in range(len(groups)):
        for name, asked in plan.shared(groups, index).items():
            if isinstance(asked, of_base) or (name == "lr" and index in late):
                continue
            at, value = first.setdefault(name, (index, bases[index][name]))
            if bases[index][name] != value and index >= known:
                raise ValueError(
                    f"got one schedule of `{name}` for every group, but group {at} was made with {value!r} and group "
                    f"{index} with {bases[index][name]!r}; try {name}=of_base(shape) (each group's own value times a "
                    f"shape), or groups={{{index}: {{'{name}': ...}}}}"
                )


def late_with_a_rate(
    groups: list[dict[str, Any]], plan: Plan, bases: list[Bases], known: int, made: range
) -> Iterator[int]:
    """The groups from `known` on that came with a rate that is no base of the others: copied from a decayed one, say.

    The others are those that the optimizer was `made` with, and of them those that follow what was asked for all, where
    any still does. An `initial_lr` that a group brings is its base, as torch has it.
    """
    rated = [index for index in made if "lr" in bases[index]]
    others = {bases[i]["lr"] for i in [i for i in rated if "lr" in plan.shared(groups, i)] or rated}
    for index in range(known, len(groups)):
        base, group = bases[index].get("lr"), groups[index]
        if base is not None and "lr" in plan.shared(groups, index) and base not in others:
            over_base = isinstance(plan.shared(groups, index)["lr"], of_base)
            if not (over_base and "initial_lr" in group):
                yield index


def check_tensors(slots: Sequence[Any], groups: list[dict[str, Any]]) -> None:
    """A tensor that several groups share holds one value.

    Raises:
        ValueError: it would have to hold several schedules'.
    """
    seen: dict[int, Any] = {}
    for slot in slots:
        found = read(groups[slot.index], slot.place)
        if not isinstance(found, Tensor):
            continue
        other = seen.setdefault(id(found), slot)
        if (other.live.schedule, other.scale) != (slot.live.schedule, slot.scale):
            raise ValueError(
                f"groups {other.index} and {slot.index} share one tensor as `{slot.name}`, and it cannot follow both "
                f"{other.live.schedule} and {slot.live.schedule}; give each its own: "
                f"optimizer.param_groups[{slot.index}]['{slot.key}'] = tensor.clone()"
            )


def as_another(followed: Schedule, its: float, base: float, asked: Any) -> Schedule:
    """What a group that comes later follows: the same as one before it, or the same shape over its own base."""
    if not isinstance(asked, of_base) or its == base:
        return followed
    if isinstance(followed, scaled) and followed.factor == its:
        return base * followed.schedule
    if its:
        return (base / its) * followed
    made = base * asked.shape
    return steered(made) if isinstance(made, Controller) else made
