"""torch.optim.lr_scheduler to schedules: live ones, their state dicts, and calls as text; nested ones too.

Where torch's curve is not what the scheduler's documentation says it is, the documented curve is kept and a note says
so; `exact=True` keeps torch's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tapered.convert.calls import Call, read_call
from tapered.convert.plateaus import torch_plateau
from tapered.convert.result import Conversion, conversion, joined, rates, scaled
from tapered.convert.torch_cycles import Groups
from tapered.convert.torch_forms import FORMS, Form
from tapered.convert.torch_notes import after, before
from tapered.convert.torch_replay import Replay
from tapered.convert.torch_tree import COMPOSITES, Node, from_call, from_live, from_state, pick
from tapered.schedules import Schedule, cumulative_product, from_function
from tapered.schedules.operators import multiplied

# These write their own rate at each step; the others multiply the one in force.
ABSOLUTE = ("LambdaLR", "CosineAnnealingWarmRestarts", "CyclicLR", "OneCycleLR")


def from_torch(
    source: Any,
    *,
    lr: float | Sequence[float] | None = None,
    name: str | None = None,
    groups: Groups | None = None,
    exact: bool = False,
) -> Conversion:
    """The schedules, one for each parameter group, of a torch scheduler; of ReduceLROnPlateau the controllers.

    Args:
        source: A live scheduler, the state dict of one, or a constructor's call as text, such as
            "SequentialLR([LinearLR(0.1, 1.0, 10), CosineAnnealingLR(90)], [10])".
        lr: The base rate, or one for each group: needed for text, else taken from the source.
        name: The class that a state dict is of, where its keys do not tell.
        groups: The optimizer's param_groups, where a state dict needs them (OneCycleLR).
        exact: Keeps torch's curve also where it departs from what it documents: past the end as text; in nested and
            mixed compositions as a function that replays torch, which cannot be written as text.

    Raises:
        ValueError: ReduceLROnPlateau inside another; a scheduler of one's own; arguments torch refuses too.
        TypeError: a source that is none of the three.

    Example:
        >>> from_torch("StepLR(optimizer, 30, gamma=0.5)", lr=0.1).schedule
        exponential_decay(0.1, decay_steps=30, decay_rate=0.5, staircase=True)
    """
    rule = torch_plateau(source, lr, name)
    if rule is not None:
        return rule
    node = _node(source, name, groups)
    if lr is None and not node.bases:
        raise ValueError(f'{node.name} as text has no base rate; give lr, for example from_torch("...", lr=0.1)')
    if lr is not None:
        node = node.based(rates(lr, "from_torch(..., lr=0.1)"))
    notes = before(node)
    if node.name != "SequentialLR" or lr is not None:
        groups = None  # only its first scheduler begins from the group's rate; all others keep a base rate of their own
    elif not isinstance(source, Mapping):
        groups = source.optimizer.param_groups
    found = [_converted(node, group, groups, notes, exact=exact) for group in range(len(node.bases))]
    return conversion(found, notes + after(node, source, found, own=lr is None))


def _node(source: Any, name: str | None, groups: Groups | None) -> Node:
    if isinstance(source, (str, Call)):
        return from_call(read_call(source) if isinstance(source, str) else source)
    if isinstance(source, Mapping):
        return from_state(source, name, groups)
    if hasattr(source, "optimizer") and hasattr(source, "state_dict"):
        return from_live(source)
    raise TypeError(
        f"from_torch takes a torch scheduler, its state dict or a call as text, got {source!r:.80}; "
        'write for example from_torch("StepLR(30)", lr=0.1)'
    )


def _converted(node: Node, group: int, groups: Groups | None, notes: list[str], *, exact: bool) -> Schedule:
    first = groups[group].get("initial_lr") if groups and group < len(groups) else None
    base = node.bases[group] if first is None else float(first)
    try:
        if exact and _odd(node):
            notes.append(
                f"torch's own {node.name} is replayed step by step; a function, which cannot be written as text"
            )
            return from_function(Replay(node, group))
        return _schedule(node, group, base, notes, exact=exact)
    except AttributeError as error:  # of a form, which finds an argument missing
        raise ValueError(
            f"{node.name}, group {group}: it has no {error}; is it another class's state? give name="
        ) from None
    except (ValueError, TypeError) as error:
        raise type(error)(f"{node.name}, group {group}: {error}") from None


def _schedule(node: Node, group: int, base: float, notes: list[str], *, exact: bool) -> Schedule:
    """The documented curve on a base rate; `exact` matters to leaves."""
    if node.name == "SequentialLR":
        return _sequential(node, group, base, notes, exact=exact)
    if node.name == "ChainedScheduler":
        return _chained(node, group, base, notes, exact=exact)
    arguments = {key: value if key == "milestones" else pick(value, group) for key, value in node.arguments.items()}
    own = float(arguments["base_lr"]) if node.name == "CyclicLR" else base
    return FORMS[node.name](Form(arguments, own, exact, notes))


def _sequential(node: Node, group: int, base: float, notes: list[str], *, exact: bool) -> Schedule:
    stones = list(node.arguments["milestones"])
    if stones != sorted(stones) or any(stone != int(stone) or stone < 0 for stone in stones):
        raise ValueError(f"milestones must be rising whole steps from 0 up, got {stones}")
    if len(stones) != len(node.children) - 1:
        raise ValueError(f"it takes one milestone less than schedulers, got {len(stones)} for {len(node.children)}")
    for index, child in enumerate(node.children):
        if child.name in COMPOSITES:
            does = "shifts it by a step" if index == 0 else "raises NotImplementedError at its milestone"
            notes.append(f"torch's SequentialLR with a {child.name} in it {does}; kept: the composition as written")
    pieces: list[Schedule] = []
    for index, child in enumerate(node.children):
        if child.name == "MultiplicativeLR" and index:  # the only one that torch does not start from the base rate
            last = pieces[-1](stones[index - 1] - (stones[index - 2] if index > 1 else 0) - 1)
            factor = pick(child.arguments["lr_lambda"], group)
            pieces.append(scaled(last * factor(0), cumulative_product(factor)))
        else:
            own = base if index == 0 and child.name not in ABSOLUTE else child.bases[group]
            pieces.append(_schedule(child, group, own, notes, exact=exact))
    return joined(pieces, stones)


def _chained(node: Node, group: int, base: float, notes: list[str], *, exact: bool) -> Schedule:
    if _odd(node):
        notes.append(
            "torch's ChainedScheduler is not the product of its factors where one of them writes its own rate "
            "(LambdaLR, restarts, cycles, a SequentialLR's milestone) or has an eta_min; kept: the product "
            "(exact=True keeps torch's)"
        )
    found = _schedule(_unit(node.children[0], base), group, 1.0, notes, exact=exact)
    for child in node.children[1:]:
        found = multiplied(found, _schedule(_unit(child, base), group, 1.0, notes, exact=exact))
    return scaled(base, found)


def _unit(node: Node, base: float) -> Node:
    """The scheduler as a factor: its rates over the base rate."""
    if base == 0:
        raise ValueError("a chain on the base rate 0 has no factors")
    arguments = {
        key: _over(value, base) if key in ("eta_min", "max_lr", "base_lr") else value
        for key, value in node.arguments.items()
    }
    ones = tuple(1.0 for _ in node.bases)
    return Node(node.name, arguments, tuple(_unit(child, base) for child in node.children), ones)


def _over(value: Any, base: float) -> Any:
    return tuple(item / base for item in value) if isinstance(value, (list, tuple)) else value / base


def _odd(node: Node) -> bool:
    """Whether torch's composition departs from the documented one before any end."""
    if node.name == "SequentialLR":
        return any(child.name in COMPOSITES for child in node.children)
    if node.name != "ChainedScheduler" or (len(node.children) == 1 and node.children[0].name not in COMPOSITES):
        return False
    return any(
        child.name in ABSOLUTE or child.name == "SequentialLR" or _odd(child) or child.name == "CosineAnnealingLR"
        for child in node.children
    )
