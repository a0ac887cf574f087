"""What the runs of some forests take."""

from collections.abc import Mapping, Sequence

from tapered.rules.base import Rule
from tapered.study.plan.forest import Forest
from tapered.study.result.cost import Cost
from tapered.training.advance import Mode


def cost_of(forests: Sequence[Forest], chosen: Mapping[str, Mode]) -> Cost:
    """What the runs of some forests take, and how the rows of each rule are trained."""
    rules = dict.fromkeys(rule for forest in forests for rule in forest.rules)
    used = [
        (tuple(dict.fromkeys(arm for forest in forests for arm in arms_of(forest, rule))), chosen[repr(rule)])
        for rule in rules
        if repr(rule) in chosen
    ]
    asked, to_run = (sum(getattr(forest.plan, name) for forest in forests) for name in ("asked", "to_run"))
    return Cost(asked, to_run, forests[0].plan.reason if asked == to_run else None, tuple(used))


def arms_of(forest: Forest, rule: Rule) -> list[str]:
    """The arms that have this rule."""
    return list(dict.fromkeys(task.run.arm for task in forest.tasks if task.rule == rule))
