"""Which gradient would destroy which parameter, and why."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from tapered.guards.moments import overflows
from tapered.guards.sums import gradients, here, shared


@dataclass(frozen=True)
class Fault:
    """A gradient that would destroy its parameter.

    Args:
        step: completed updates before the one that would have used it.
        group: the parameter group's number.
        name: the parameter's, where the guard has its model or the optimizer its names, else its place, "params[3]".
        shape: the parameter's.
        dtype: the gradient's.
        value: its first entry that is not finite, or the largest by size.
        entries: how many of its entries are wrong.
        moment: the second moment that it would make infinite, by torch's name; "" where the gradient is not finite.

    Example:
        >>> print(Fault(3, 0, "head.bias", (2,), torch.float32, float("nan"), 1))
        got nan in the gradient of `head.bias` in group 0 (shape (2,), torch.float32; 1 of 2 entries) at step 3
    """

    step: int
    group: int
    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    value: float
    entries: int
    moment: str = ""

    def __str__(self) -> str:
        what = f", whose square `{self.moment}` cannot hold" if self.moment else ""
        return (
            f"got {self.value!r} in the gradient of `{self.name}` in group {self.group} (shape {self.shape}, "
            f"{self.dtype}; {self.entries:,} of {math.prod(self.shape):,} entries) at step {self.step}{what}"
        )


@torch.no_grad()
def find(optimizer: torch.optim.Optimizer, step: int, scale: float, names: Mapping[int, str]) -> Fault | None:
    """The first fault, in the order of groups and parameters; where gradients are spread, of the first process.

    Args:
        optimizer: any.
        step: completed updates, for the message.
        scale: what the gradients are still multiplied with, by a GradScaler.
        names: of parameters, by id.
    """
    found = next(faults(optimizer, step, scale, names), None)
    if not shared(gradients(optimizer)):
        return found
    everywhere: list[Fault | None] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everywhere, found)
    return next((fault for fault in everywhere if fault is not None), None)


def faults(optimizer: torch.optim.Optimizer, step: int, scale: float, names: Mapping[int, str]) -> Iterator[Fault]:
    """Every gradient that is wrong, looked at entry by entry."""
    for index, group in enumerate(optimizer.param_groups):
        for place, param in enumerate(group["params"]):
            if param.grad is None:
                continue
            grad = here(param.grad)
            moment, bad = "", ~grad.isfinite()
            if not bad.any():
                moment, bad = overflows(optimizer, group, param, grad, scale)
            if bad.any():
                given = group["param_names"][place] if "param_names" in group else f"params[{place}]"
                name = names.get(id(param), given)
                wrong = grad[bad]
                value = float(wrong[wrong.abs().argmax() if moment else 0]) / scale
                yield Fault(step, index, name, tuple(param.shape), grad.dtype, value, wrong.numel(), moment)
