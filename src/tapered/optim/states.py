"""What an optimizer keeps of each parameter: made when it is needed, found missing by its names."""

import functools
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tapered import rules
from tapered.rules import Rule, shards
from tapered.rules.base import scalar_dtype

State = MutableMapping[Tensor, dict[str, Any]]


@functools.cache
def names_of(rule: Rule) -> tuple[str, ...]:
    """The state tensors that a rule works with."""
    return tuple(rule.init(torch.empty((), device="meta")))


def count_of(rule: Rule, param: Tensor, steps: float) -> Tensor:
    """A count, shape=(): on the CPU as in torch, or where torch's kernel for this rule reads it, as float32."""
    beside = param.is_cuda and isinstance(rule, (rules.Adam, rules.Adagrad, rules.SGD))
    dtype, device = (torch.float32, param.device) if beside else (scalar_dtype(), torch.device("cpu"))
    return torch.tensor(steps, dtype=dtype, device=device)


def complete(state: Mapping[str, Any], rule: Rule) -> bool:
    """A parameter's state has all that its rule needs, and its count."""
    return "step" in state and all(name in state for name in names_of(rule))


@torch.inference_mode(mode=False)  # what is made there can be used nowhere else
@torch.no_grad()
def create(state: State, rule: Rule, params: Sequence[Tensor], group: Sequence[Tensor]) -> None:
    """Make what is missing of these parameters' state; a group's counts are the elements of one vector.

    Args:
        state: the optimizer's; entries that are not the rule's are left alone.
        rule: the arithmetic.
        params: of these parameters.
        group: all parameters of their group.
    """
    lacking = [param for param in params if not complete(state.setdefault(param, {}), rule)]
    for param in lacking:
        own = state[param]
        missing = {name: tensor for name, tensor in rule.init(param.detach()).items() if name not in own}
        if "step" not in own:
            own["step"] = count_of(rule, param, 0.0)
        elif missing and isinstance(rule, rules.SGD):
            # its momentum sets in: the first buffer is the gradient itself, as at a first step, which is not damped
            own["step"] = torch.zeros_like(own["step"])
        own.update(missing)
    counts = [(param, state[param]["step"]) for param in group if "step" in (state.get(param) or ())]
    if lacking and len({(count.device, count.dtype) for _, count in counts}) == 1:
        for (param, _), count in zip(counts, torch.stack([count for _, count in counts]).unbind(), strict=True):
            state[param]["step"] = count


def lent(rule: Rule, params: Sequence[Tensor], state: State) -> Iterator[tuple[Tensor, Tensor]]:
    """Put the weights to evaluate into parameters; each that was changed, with what it held."""
    for param in (p for p in params if state.get(p)):
        own = shards.local(param)
        found = {name: shards.local(state[param][name]) for name in names_of(rule) if name in state[param]}
        weights = rule.readout(own, found) if len(found) == len(names_of(rule)) else own
        if weights is not own:
            before = own.clone()
            own.copy_(weights)
            yield own, before
