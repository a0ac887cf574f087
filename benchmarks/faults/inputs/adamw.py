"""58 bad inputs to AdamW, rows 1 to 15 of the list of faults: arguments, groups, parameters, rates set later."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from inputs.judge import Bad, Go
from torch import nn

NAN, INF = math.nan, math.inf
Kind = Callable[..., torch.optim.Optimizer]


def weights() -> list[torch.Tensor]:
    return [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2, 2))]


def train(optimizer: torch.optim.Optimizer, params: list[torch.Tensor], steps: int = 2) -> None:
    for _ in range(steps):
        for param in params:
            param.grad = torch.ones_like(param)
        optimizer.step()


def option(**options: Any) -> Go:
    """A bad argument."""

    def go(kind: Kind) -> Iterator[list[torch.Tensor]]:
        yield (params := weights())
        train(kind(params, **options), params)

    return go


def group(**options: Any) -> Go:
    """A bad option in the second group."""

    def go(kind: Kind) -> Iterator[list[torch.Tensor]]:
        yield (params := weights())
        train(kind([{"params": params[0]}, {"params": params[1], **options}]), params)

    return go


def parameters(make: Callable[[list[torch.Tensor]], Any]) -> Go:
    """Bad parameters."""

    def go(kind: Kind) -> Iterator[list[torch.Tensor]]:
        yield (params := weights())
        given = make(params)
        optimizer = kind(given)
        train(optimizer, [p for g in optimizer.param_groups for p in g["params"] if p.requires_grad])

    return go


def frozen(make: Callable[[], torch.Tensor]) -> Go:
    """A parameter that follows no gradient, as in every finetuning script: it has to stay as it is."""

    def go(kind: Kind) -> Iterator[list[torch.Tensor]]:
        yield (params := weights())
        still = make()
        before = still.clone()
        train(kind([*params, still]), params)
        return torch.equal(still, before)

    return go


def later(value: Any) -> Go:
    """A rate assigned after two good steps."""

    def go(kind: Kind) -> Iterator[list[torch.Tensor]]:
        optimizer = kind(params := weights())
        train(optimizer, params)
        yield params
        optimizer.param_groups[0]["lr"] = value
        train(optimizer, params)

    return go


def used_up(params: list[torch.Tensor]) -> Iterator[torch.Tensor]:
    spent = iter(params)
    list(spent)
    return spent


def numbers(row: int, field: str, *values: Any, make: Callable[..., Go] = option) -> list[Bad]:
    where = " in a group" if make is group else ""
    return [Bad(row, f"{field}={value!r}{where}", field, make(**{field: value}), value) for value in values]


CASES = [
    *numbers(1, "lr", -1, NAN, torch.tensor(-1.0), torch.tensor(NAN)),
    *numbers(2, "lr", INF, 10**400, torch.tensor(INF)),
    *numbers(3, "lr", "0.1", None, 1j, [0.1]),
    *numbers(4, "lr", torch.tensor([0.1, 0.2]), torch.tensor([])),
    *numbers(5, "betas", (1, 0.9), (0.9, 1), (NAN, 0.9), (0.9, NAN), (-0.1, 0.9)),
    *numbers(6, "betas", (0.9,), (0.9, 0.9, 0.9), None, 0.9, ("0.9", 0.99)),
    *numbers(7, "eps", -1, NAN, INF, 0, "1e-8", None),
    *numbers(8, "weight_decay", -1, NAN, INF, "0.1", None),
    *numbers(9, "lr", NAN, -5, make=group),
    *numbers(9, "betas", (2, 2), make=group),
    *numbers(9, "eps", -1, make=group),
    *numbers(9, "weight_decay", NAN, make=group),
    *numbers(10, "Lr", 0.1, make=group),
    *numbers(10, "weight_deacy", 0.1, make=group),
    Bad(11, "params empty", "params", parameters(lambda _: [])),
    Bad(11, "params used up", "params", parameters(used_up)),
    Bad(11, "params None", "params", parameters(lambda _: None)),
    Bad(11, "params a Module", "params", parameters(lambda _: nn.Linear(2, 2))),
    Bad(11, "a group without params", "params", parameters(lambda _: [{"lr": 0.1}])),
    Bad(12, "params a set", "params", parameters(set)),
    Bad(12, "a group's params a set", "params", parameters(lambda params: [{"params": set(params)}])),
    Bad(13, "a parameter of integers", "params", frozen(lambda: torch.ones(2, dtype=torch.int64))),
    Bad(13, "a parameter without grad", "params", frozen(lambda: torch.ones(2))),
    Bad(13, "a parameter on meta", "params", parameters(lambda _: [nn.Parameter(torch.ones(2, device="meta"))])),
    Bad(13, "a computed parameter", "params", parameters(lambda params: [params[0] * 2])),
    Bad(14, "a parameter twice", "params", parameters(lambda params: [params[0], params[0]])),
    Bad(14, "in two groups", "params", parameters(lambda params: [{"params": params[0]}, {"params": params[0]}])),
    *(Bad(15, f"lr={value!r} assigned later", "lr", later(value), value) for value in (NAN, -1, INF, "0.1")),
]
