"""Averages moved on in place, so that the rule beside them keeps its own kernel."""

from collections.abc import Callable, Mapping

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
    weights = [real(param.detach()) for param in params.values()]
    kept = [states[name] for name in params]
    return rule.rule, alone, torch.no_grad()(_move(rule, weights, kept))


def _move(rule: Beside, weights: list[Tensor], kept: list[State]) -> Move:
    match rule:
        case Averaged():
            return _towards(weights, [real(state["average"]) for state in kept])
        case Latest():
            return _taking(rule.latest, weights, kept)
    raise NotImplementedError(f"{type(rule).__name__} has no movement in place")


def _towards(weights: list[Tensor], averages: list[Tensor]) -> Move:
    def move(hyper: Mapping[str, float]) -> None:
        newest = hyper["newest"]
        if newest == 1:
            torch._foreach_copy_(averages, weights)
        elif newest:
            torch._foreach_lerp_(averages, [wide(weight) for weight in weights], newest)

    return move


def _taking(latest: int, weights: list[Tensor], kept: list[State]) -> Move:
    places = [real(state["latest"]) for state in kept]
    taken = int(kept[0]["taken"]) if kept else 0

    def move(hyper: Mapping[str, float]) -> None:
        nonlocal taken
        if hyper["taken"] == taken:
            return
        taken = int(hyper["taken"])
        torch._foreach_copy_([place[(taken - 1) % latest] for place in places], weights)
        for state in kept:
            state["taken"].fill_(taken)

    return move
