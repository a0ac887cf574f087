"""What the templates train: small problems, the same numbers on both sides."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_templates.judge import Side
from torch_templates.template import normal, seeded

ALL = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def weight(side: Side, *shape: int, seed: int = 0, scattered: bool = False) -> nn.Parameter:
    """A parameter; scattered, it is every second number of its memory."""
    made = seeded(*shape, of=side, seed=seed)
    return nn.Parameter(torch.stack([made, made], -1)[..., 0] if scattered else made)


class Affine:
    """The squared length of W x + b for a matrix of 10 x 5, to be made small."""

    def __init__(self, side: Side, *, scattered: bool = False) -> None:
        self.matrix = weight(side, 10, 5, seed=1, scattered=scattered)
        self.bias = weight(side, 10, seed=2, scattered=scattered)
        self.x = seeded(5, of=side, seed=3)

    @property
    def params(self) -> list[nn.Parameter]:
        return [self.matrix, self.bias]

    def loss(self) -> Tensor:
        return (self.matrix.mv(self.x) + self.bias).pow(2).sum()

    def gradients(self, optimizer: Any) -> Tensor:
        """The loss, after its backward pass."""
        optimizer.zero_grad()
        loss = self.loss()
        loss.backward()
        return loss

    def train(self, side: Side, optimizer: Any, steps: int, params: Sequence[Tensor] | None = None) -> None:
        """Updates, after each of which weights and state are seen."""
        for k in range(steps):
            self.gradients(optimizer)
            optimizer.step()
            shown(side, optimizer, self.params if params is None else params, f"update {k}")


def net(side: Side) -> nn.Sequential:
    """Two linear layers with sigmoids; a convolution would do as well."""
    made = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 1), nn.Sigmoid())
    made = made.to(dtype=side.dtype, device=side.device)
    with torch.no_grad():
        for seed, param in enumerate(made.parameters()):
            param.copy_(seeded(*param.shape, of=side, seed=seed))
    return made


def convolution(side: Side) -> tuple[nn.Module, Tensor]:
    """A convolution with a normalization, and a picture for it; `made(x).pow(3).sum()` has a slope."""
    made = nn.Sequential(nn.Conv2d(4, 2, 1, stride=2, bias=False), nn.BatchNorm2d(2))
    with torch.no_grad():
        for seed, param in enumerate(made.parameters()):
            param.copy_(normal(*param.shape, seed=seed))
    return made.to(dtype=side.dtype, device=side.device), seeded(1, 4, 16, 16, of=side, seed=9)


def rosenbrock(point: Tensor) -> Tensor:
    """The banana valley."""
    x, y = point
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def slopes(params: Sequence[Tensor], k: int) -> None:
    """A gradient for each parameter that depends on its place and the update alone."""
    for place, param in enumerate(params):
        made = normal(*param.shape, seed=100 * k + place)
        if param.is_complex():
            made = torch.complex(made, made.flip(0) if made.dim() else made)
        param.grad = made.to(dtype=param.dtype, device=param.device)


def state_of(optimizer: Any, param: Tensor) -> dict[str, Any]:
    """What is kept for a parameter; torch's SGD keeps no count, and None where there is no buffer."""
    return {name: value for name, value in optimizer.state.get(param, {}).items() if value is not None}


def shown(side: Side, optimizer: Any, params: Sequence[Tensor], when: str) -> None:
    """Weights, states and rates, to be the same on both sides."""
    side.see(f"weights after {when}", list(params))
    side.see(f"state after {when}", [state_of(optimizer, param) for param in params])
    side.see(f"rate after {when}", [float(group["lr"]) for group in optimizer.param_groups])


def small_net(side: Side) -> None:
    """Seven updates: without gradients at one, a layer frozen for two, a parameter without dimensions beside."""
    made = net(side)
    x = torch.arange(0.1, 0.7, 0.1, dtype=torch.float64).reshape(3, 2).to(dtype=side.dtype, device=side.device)
    alone = nn.Parameter(seeded(of=side))
    alone.grad = seeded(of=side, seed=1)
    params = [*made.parameters(), alone]
    optimizer = side.make(params, **side.steady())
    for k in range(7):
        optimizer.zero_grad()
        if k in (3, 5):
            made[2].requires_grad_(k == 5)
        if k != 2:
            made(x).sum().backward()
        optimizer.step()
        shown(side, optimizer, params, f"update {k}")
        side.see("dtype of steps", {i: step_dtype(optimizer, p) for i, p in enumerate(params)})


def step_dtype(optimizer: Any, param: Tensor) -> str | None:
    """torch's SGD keeps no count."""
    return str(optimizer.state[param]["step"].dtype) if "step" in optimizer.state.get(param, {}) else None
