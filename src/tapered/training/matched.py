"""Which parameters are in which group of a recipe: each in one, or in the rest.

Recipe(groups, layer_decay), a model's parameters ─► shares, what updates them ─► matched, for people to look at
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tapered.training.shares import shares
from tapered.training.workload import Workload
from tapered.words import counted

REST = "the rest"
FEW = 5  # names that are shown


@dataclass(frozen=True)
class Matched:
    """The parameters of one group.

    Args:
        group: Its patterns as they are written, or "the rest".
        hypers: What holds in the place of the run's hypers.
        rates: Parameter name -> what the run's rate is multiplied by, for the group and for the layer.
        parameters: Numbers in all of them.
    """

    group: str
    hypers: Mapping[str, float]
    rates: Mapping[str, float]
    parameters: int

    def __str__(self) -> str:
        """What is in it, and what holds for that, as a sentence."""
        names, rates = list(self.rates), sorted(self.rates.values())
        few = names if len(names) <= FEW else [*names[: FEW - 2], "...", names[-1]]
        size = f"{counted(len(names), 'tensor')}, {self.parameters:,} parameter{'s' * (self.parameters != 1)}"
        span = " to ".join(f"{rate:.3g}" for rate in dict.fromkeys((rates[0], rates[-1])))
        said = [f"rate x {span}"] * (span != "1") + [f"{name} = {value:g}" for name, value in self.hypers.items()]
        return f"Group {self.group} ({size}: {', '.join(few)}): {', '.join(said) or 'as the run'}."


def matched(workload: Workload) -> tuple[Matched, ...]:
    """What is in each group of a workload's recipe, in their order, and then the rest; nothing where it has none.

    Raises:
        ValueError: If a parameter is in several groups, or a group has none.

    >>> from tapered import Group, Recipe
    >>> from dataclasses import replace
    >>> from tapered.workloads import WORKLOADS
    >>> grouped = Recipe(groups=[Group("*.bias", hypers={"weight_decay": 0.0})])
    >>> for group in matched(replace(WORKLOADS["bmi"](), recipe=grouped)):
    ...     print(group)
    Group *.bias (3 tensors, 34 parameters: 0.bias, 2.bias, 4.bias): weight_decay = 0.
    Group the rest (3 tensors, 320 parameters: 0.weight, 2.weight, 4.weight): as the run.
    """
    recipe = workload.recipe
    if not recipe.groups and recipe.layer_decay is None:
        return ()
    sizes = {name: p.numel() for name, p in workload.build(0).named_parameters() if p.requires_grad}
    rates = {name: share.lr for share in shares(recipe, sizes) for name in share.names}
    left, found = dict.fromkeys(sizes), []
    for group in recipe.groups:
        names = [name for name in sizes if group.takes(name)]
        found.append((str(group), group.hypers, names))
        left = {name: None for name in left if name not in names}
    found += [(REST, {}, list(left))] if left else []
    return tuple(
        Matched(said, dict(hypers), {name: rates[name] for name in names}, sum(sizes[name] for name in names))
        for said, hypers, names in found
    )


def factors(workload: Workload) -> dict[str, float]:
    """What the run's rate is multiplied by, by the names of the groups; of several layers the highest.

    >>> from tapered.workloads import WORKLOADS
    >>> factors(WORKLOADS["bmi"]())
    {'0': 1.0}
    """
    return {group.group: max(group.rates.values(), default=1.0) for group in matched(workload)} or {"0": 1.0}
