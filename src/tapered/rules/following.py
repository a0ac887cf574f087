"""Averages moved on in place, so that the rule beside them keeps its own kernel."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from tapered.rules.averaged import Averaged, Beside, Latest
from tapered.rules.base import Rule, State
from tapered.rules.kernels import real, wide

Move = Callable[[Mapping[str, float]], None]


def apart(
    rule: Rule, params: Mapping[str, Tensor], states: Mapping[str, State]
) -> tuple[Rule, Mapping[str, State], Move]:
    """The rule that trains, its states, and a function that moves what is kept beside it on, given an update's hypers.

    It is called after each update, and moves the averages of all parameters, also of those without a gradient, as
    `torch.optim.swa_utils.AveragedModel.update_parameters` does.
    """
    if not isinstance(rule, Beside):
        return rule, states, lambda _: None
    alone = {name: rule.without(state) for name, state in states.items()}
    weights, kept = [param.detach() for param in params.values()], [states[name] for name in params]
    taken = int(kept[0]["taken"]) if kept and isinstance(rule, Latest) else 0

    def move(hyper: Mapping[str, float]) -> None:
        nonlocal taken
        value = hyper[rule.own[0]]
        if not isinstance(rule, Latest) or value != taken:
            moved(rule, weights, kept, value)
        taken = int(value)

    return rule.rule, alone, move


@torch.no_grad()
def moved(rule: Beside, weights: Sequence[Tensor], kept: Sequence[State], value: float) -> None:
    """Move what is kept beside these weights on in place, by the value of the rule's own hyper.

    A `Latest` is given a number of weights taken that has risen.
    """
    weights = [real(weight) for weight in weights]
    match rule:
        case Averaged():
            _towards(weights, [real(state["average"]) for state in kept], value)
        case Latest():
            places = [real(state["latest"][int(value - 1) % rule.latest]) for state in kept]
            torch._foreach_copy_(places, weights)
            for state in kept:
                state["taken"].fill_(value)
        case _:
            raise NotImplementedError(f"{type(rule).__name__} has no movement in place")


def _towards(weights: list[Tensor], averages: list[Tensor], newest: float) -> None:
    if newest == 1:
        torch._foreach_copy_(averages, weights)
    elif newest:
        torch._foreach_lerp_(averages, [wide(weight) for weight in weights], newest)
