"""Which parameters are updated at which hypers: a recipe's groups and layers, by the names of parameters.

Recipe(groups, layer_decay), names ─► shares, each with its factor of the rate and hypers of its own
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tapered.words import suggest

if TYPE_CHECKING:
    from tapered.training.recipe import Recipe

NUMBERED = re.compile(r"^(.*?)\.?(\d+)\.")


@dataclass(frozen=True)
class Share:
    """Parameters of one group.

    Args:
        names: Their names.
        lr: What the rate is multiplied by.
        hypers: What holds in the place of the run's hypers.
    """

    names: tuple[str, ...]
    lr: float = 1.0
    hypers: tuple[tuple[str, float], ...] = ()

    def of(self, tables: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        """The hypers of the run at each step as they are for these parameters.

        Raises:
            ValueError: If the run's rule has no such hyper.
        """
        unknown = [name for name, _ in self.hypers if name not in tables]
        if unknown:
            known = sorted(name for name in tables if name != "lr")
            raise ValueError(f"a group sets {unknown[0]!r}, which the rule does not have; {suggest(unknown[0], known)}")
        found = dict(tables) | {name: np.full_like(tables[name], value) for name, value in self.hypers}
        return found if self.lr == 1 else {**found, "lr": found["lr"] * self.lr}


def shares(recipe: "Recipe", names: Iterable[str]) -> tuple[Share, ...]:
    """The parameters by what they are updated at, each in one share, in the order of their first ones.

    Raises:
        ValueError: If a parameter is in several groups, or a group has none.

    >>> from tapered import Group, Recipe
    >>> shares(Recipe(groups=(Group("*bias", lr=0.1),)), ["0.weight", "0.bias", "1.weight"])
    (Share(names=('0.weight', '1.weight'), lr=1.0, hypers=()), Share(names=('0.bias',), lr=0.1, hypers=()))
    """
    names = list(names)
    decays = _layers(recipe.layer_decay, names)
    found: dict[tuple[float, tuple[tuple[str, float], ...]], list[str]] = {}
    taken: set[int] = set()
    for name in names:
        mine = [i for i, group in enumerate(recipe.groups) if group.takes(name)]
        if len(mine) > 1:
            both = " and ".join(repr(str(recipe.groups[i])) for i in mine[:2])
            raise ValueError(f"the parameter {name!r} is in the groups {both}; expected one for each; narrow a match")
        taken |= set(mine)
        group = recipe.groups[mine[0]] if mine else None
        own = (1.0, ()) if group is None else (group.lr, tuple(sorted(group.hypers.items())))
        key = (own[0] * decays[name], own[1])
        found.setdefault(key, []).append(name)
    idle = [str(group) for i, group in enumerate(recipe.groups) if i not in taken]
    if idle:
        raise ValueError(
            f"no parameter is in the group {idle[0]!r}; expected patterns of {', '.join(names[:8])}"
            f"{', ...' * (len(names) > 8)}; try match = {names[0]!r}"
        )
    return tuple(Share(tuple(mine), lr, hypers) for (lr, hypers), mine in found.items())


def _layers(decay: float | None, names: list[str]) -> dict[str, float]:
    """What the rate of each parameter is multiplied by, for the depth of its layer.

    Raises:
        ValueError: If no names are numbered.
    """
    if decay is None:
        return dict.fromkeys(names, 1.0)
    matches = {name: match for name in names if (match := NUMBERED.match(name))}
    if not matches:
        raise ValueError(
            f"got layer_decay={decay!r}, but no parameter is of a numbered layer: {', '.join(names[:8])}; state "
            f"the groups: groups=[Group('encoder.*', lr=0.1)]"
        )
    prefix = next(iter(matches.values())).group(1)
    numbers = {name: int(match.group(2)) for name, match in matches.items() if match.group(1) == prefix}
    first = names.index(next(iter(numbers)))
    above = any(name not in numbers for name in names[first:])  # a head
    top = max(numbers.values()) + above
    depth = {name: -1 if i < first else top for i, name in enumerate(names)} | numbers
    return {name: decay ** (top - depth[name]) for name in names}
