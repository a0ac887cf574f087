"""torch's schedulers, live, saved or as text, to one form: the constructor's name and arguments, and the base rates."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.optim import lr_scheduler

from tapered.convert.calls import Call
from tapered.convert.torch_cycles import Groups, cyclic, one_cycle, refuse_unsaid
from tapered.schedules.checks import suggestion

LEAVES = (
    "LambdaLR", "MultiplicativeLR", "StepLR", "MultiStepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR",
    "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "OneCycleLR",
)  # fmt: skip
COMPOSITES = ("SequentialLR", "ChainedScheduler")
# A key that only this class's state has, in the order to look for them.
KEYS = {
    "_milestones": "SequentialLR", "_schedulers": "ChainedScheduler", "patience": "ReduceLROnPlateau",
    "_schedule_phases": "OneCycleLR", "step_ratio": "CyclicLR", "T_0": "CosineAnnealingWarmRestarts",
    "T_max": "CosineAnnealingLR", "power": "PolynomialLR", "start_factor": "LinearLR", "factor": "ConstantLR",
    "milestones": "MultiStepLR", "step_size": "StepLR", "gamma": "ExponentialLR",
}  # fmt: skip


@dataclass(frozen=True)
class Node:
    """A scheduler: its class, constructor arguments, the schedulers in it, and each group's base rate."""

    name: str
    arguments: Mapping[str, Any]
    children: tuple["Node", ...] = ()
    bases: tuple[float, ...] = ()

    @property
    def leaves(self) -> tuple["Node", ...]:
        """All that are no composites."""
        return tuple(leaf for child in self.children for leaf in child.leaves) or (self,)

    def based(self, bases: tuple[float, ...]) -> "Node":
        """The same on other base rates, down to the leaves; where a leaf has its own, as CyclicLR does, those."""
        own = self.arguments.get("base_lr") if self.name == "CyclicLR" else None
        bases = bases if own is None else tuple(pick(own, group) for group in range(len(bases)))
        return replace(self, children=tuple(child.based(bases) for child in self.children), bases=bases)


def pick(value: Any, group: int) -> Any:
    """A group's own value, where there is one for each."""
    return value[group] if isinstance(value, (list, tuple)) else value


def known(name: str) -> str:
    """The name, or a refusal."""
    if name == "ReduceLROnPlateau":
        raise ValueError(
            "ReduceLROnPlateau lowers the rate by the loss that it is shown, so it is no function of the step and "
            "cannot be converted inside another; write warmup(n).then(plateau(...)), or convert it alone"
        )
    if name not in LEAVES and name not in COMPOSITES:
        near = suggestion(name, LEAVES + COMPOSITES)
        raise ValueError(f"{name} is no scheduler of torch.optim.lr_scheduler{near}; schedules.from_function takes any")
    return name


def from_call(call: Call) -> Node:
    """The scheduler that a constructor's call makes."""
    parameters = dict(inspect.signature(getattr(lr_scheduler, known(call.name))).parameters)
    for absent in ("optimizer", "last_epoch"):
        parameters.pop(absent, None)
    arguments = call.bound(inspect.Signature(list(parameters.values())))
    inner = arguments.pop("schedulers", ())
    if isinstance(inner, Call) or not all(isinstance(child, Call) for child in inner):
        raise ValueError(f"{call.name} takes a list of schedulers, got {inner!r:.80}")
    return Node(call.name, arguments, tuple(from_call(child) for child in inner))


def from_live(scheduler: Any) -> Node:
    """A live scheduler."""
    kind = type(scheduler)
    if kind.__module__ != lr_scheduler.__name__:
        raise ValueError(
            f"{kind.__name__} is no scheduler of torch.optim.lr_scheduler; schedules.from_function takes any"
        )
    return _read(known(kind.__name__), vars(scheduler), scheduler.optimizer.param_groups)


def from_state(state: Mapping[str, Any], name: str | None, groups: Groups | None) -> Node:
    """A scheduler's state dict; the class is told from its keys unless named."""
    found = name or next((kind for key, kind in KEYS.items() if key in state), None)
    if found is None and "lr_lambdas" in state:
        found = "LambdaLR"  # or MultiplicativeLR: refused alike below
    if found is None:
        raise ValueError(f"no torch scheduler has such a state dict, with the keys {', '.join(map(str, state)):.200}")
    if known(found) in ("LambdaLR", "MultiplicativeLR"):
        raise ValueError(
            f"the state dict of a {found} does not hold its function, of a callable object its attributes at most; "
            "convert the live scheduler, or for one of transformers' write from_transformers(name, lr=...)"
        )
    if found == "CyclicLR":
        refuse_unsaid(state)
    try:
        return _read(found, state, groups)
    except (KeyError, AttributeError) as error:
        raise ValueError(f"a {found}'s state dict should have {error}; is it another class's? give name=") from None


def _read(name: str, given: Mapping[str, Any], groups: Groups | None) -> Node:
    if name in COMPOSITES:
        children = tuple(_child(child, groups) for child in given["_schedulers"])
        arguments = {"milestones": tuple(given["_milestones"])} if name == "SequentialLR" else {}
        return Node(name, arguments, children, children[0].bases)
    bases = tuple(float(base) for base in given["base_lrs"])
    match name:
        case "LambdaLR" | "MultiplicativeLR":
            arguments = {"lr_lambda": tuple(given["lr_lambdas"])}
        case "MultiStepLR":
            arguments = {"milestones": tuple(given["milestones"].elements()), "gamma": given["gamma"]}
        case "CyclicLR":
            arguments = cyclic(given, bases)
        case "OneCycleLR":
            arguments = one_cycle(given, bases, groups)
        case _:
            names = [of for of in inspect.signature(getattr(lr_scheduler, name)).parameters if of in given]
            arguments = {of: given[of] for of in names if of not in ("optimizer", "last_epoch")}
    return Node(name, arguments, (), bases)


def _child(child: Any, groups: Groups | None) -> Node:
    return from_state(child, None, groups) if isinstance(child, Mapping) else from_live(child)


def constructed(node: Node, optimizer: torch.optim.Optimizer, group: int) -> lr_scheduler.LRScheduler:
    """torch's own scheduler, built anew on an optimizer of one group, which stands for `group`."""
    arguments = {
        name: pick(value, group) if name != "milestones" else list(value) for name, value in node.arguments.items()
    }
    if node.children:
        inner = [constructed(child, optimizer, group) for child in node.children]
        if node.name == "ChainedScheduler":
            return lr_scheduler.ChainedScheduler(inner)
        return lr_scheduler.SequentialLR(optimizer, inner, arguments["milestones"])
    made: lr_scheduler.LRScheduler = getattr(lr_scheduler, node.name)(optimizer, **arguments)
    return made
