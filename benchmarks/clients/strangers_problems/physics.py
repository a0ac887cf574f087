"""A physics-informed network for u'' = -u, u(0) = 0, u'(0) = 1: derivatives in the loss, in evaluation as well."""

import math

import torch
from torch import nn
from torch.utils.data import TensorDataset

from tapered import Recipe, Workload


def places(count: int, seed: int) -> TensorDataset:
    """Places between 0 and pi, and the solution there."""
    x = math.pi * torch.rand(count, 1, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, x.sin())


class Network(nn.Module):
    """u(x) = x + x^2 N(x), which meets both conditions at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + x**2 * self.inner(x)


def residual(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    x = batch[0].requires_grad_()
    u = model(x)
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
    return (bend + u).square().mean()


def error(u: torch.Tensor, exact: torch.Tensor) -> torch.Tensor:
    """Relative, over the split: |u - sin| / |sin|."""
    return (u - exact).norm() / exact.norm()


problem = Workload(
    name="physics",
    model=Network,
    objective=residual,
    derivatives=True,
    predict=lambda model, batch: (model(batch[0]), batch[1]),
    train=places(128, 0),
    valid=places(50, 1),
    test=places(33, 2),
    batch_size=16,
    metrics={"error": error},
    eval_batch_size=16,
    recipe=Recipe(clip_value=0.05),
)

# the same by hand


def solved(model: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """u and u'' + u by the chain rule, layer by layer."""
    first, _, second, _, last = model.inner
    a, one, two = x @ first.weight.T + first.bias, first.weight.T.expand(len(x), -1), 0.0
    for layer in (second, last):
        t = a.tanh()
        one, two = (1 - t**2) * one, (1 - t**2) * two - 2 * t * (1 - t**2) * one**2
        a, one, two = t @ layer.weight.T + layer.bias, one @ layer.weight.T, two @ layer.weight.T
    u = x + x**2 * a
    return u, 2 * a + 4 * x * one + x**2 * two + u


def results_by_hand(model: nn.Module, split: str) -> dict[str, float]:
    x, exact = getattr(problem, split).tensors
    u, rest = (tensor.double() for tensor in solved(model, x))
    return {
        "loss": rest.square().mean().item(),
        "error": ((u - exact).square().sum() / exact.double().square().sum()).sqrt().item(),
    }


BY_HAND = {
    "loss": lambda model, batch: solved(model, batch[0])[1].square().mean(),
    "results": results_by_hand,
    "rule": "Adam",
    "peak": 3e-3,
    "stacks": False,
    "clip": lambda params: nn.utils.clip_grad_value_(params, 0.05),
}
