"""W1: functions of two variables with known minima, deterministic; a seed is a starting point in the usual region.

The loss is f - f*, the regret, since f* = 0 for all four.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from tapered.training.workload import Workload

Function = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Surface:
    """A function f(x, y) >= 0.

    Args:
        function: f, on tensors of one shape.
        minima: The points where it is 0.
        low: The lower corner of the region that starting points are drawn from.
        high: The upper one.
    """

    function: Function
    minima: tuple[tuple[float, float], ...]
    low: tuple[float, float]
    high: tuple[float, float]


def _rosenbrock(x: Tensor, y: Tensor) -> Tensor:
    return (1 - x) ** 2 + 100 * (y - x * x) ** 2


def _beale(x: Tensor, y: Tensor) -> Tensor:
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def _himmelblau(x: Tensor, y: Tensor) -> Tensor:
    return (x * x + y - 11) ** 2 + (x + y * y - 7) ** 2


def _ackley(x: Tensor, y: Tensor) -> Tensor:
    # a norm, since its gradient at 0 is 0 where a root's is infinite; expm1, since 20 + e - 20 e^a - e^b loses digits
    distance = torch.linalg.vector_norm(torch.stack([x, y]), dim=0) / 2**0.5
    waves = (torch.cos(2 * torch.pi * x) + torch.cos(2 * torch.pi * y)) / 2 - 1
    return -20 * torch.expm1(-0.2 * distance) - torch.e * torch.expm1(waves)


# Himmelblau's other minima are roots of polynomials, given to float32's precision and more
_HIMMELBLAU = ((3.0, 2.0), (-2.805118086953, 3.131312518250), (-3.779310253378, -3.283185991286),
               (3.584428340330, -1.848126526964))  # fmt: skip
SURFACES: Mapping[str, Surface] = MappingProxyType(
    {
        "rosenbrock": Surface(_rosenbrock, ((1.0, 1.0),), (-2.0, -1.0), (2.0, 3.0)),
        "beale": Surface(_beale, ((3.0, 0.5),), (-4.5, -4.5), (4.5, 4.5)),
        "himmelblau": Surface(_himmelblau, _HIMMELBLAU, (-5.0, -5.0), (5.0, 5.0)),
        "ackley": Surface(_ackley, ((0.0, 0.0),), (-5.0, -5.0), (5.0, 5.0)),
    }
)


class _Point(nn.Module):
    """A point of the plane, the same whatever the input."""

    def __init__(self, surface: Surface) -> None:
        super().__init__()
        low, high = torch.tensor(surface.low), torch.tensor(surface.high)
        self.w = nn.Parameter(low + (high - low) * torch.rand(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.w + 0 * x


def surface(name: str = "rosenbrock") -> Workload:
    """A function of two variables as a workload: one example, one step an epoch, nothing random but the start.

    Args:
        name: "rosenbrock" (a curved valley, minimum at (1, 1)), "beale" (flat, with cliffs; (3, 0.5)), "himmelblau"
            (four minima) or "ackley" (many local minima around (0, 0)).

    The metric "distance" is that to the nearest minimum.

    Raises:
        ValueError: If there is no such function.

    >>> surface("beale").build(0).w.shape
    torch.Size([2])
    """
    if name not in SURFACES:
        raise ValueError(f'got name={name!r}; expected one of {", ".join(SURFACES)}; try name="rosenbrock"')
    found = SURFACES[name]
    nothing = TensorDataset(torch.zeros(1, 2), torch.zeros(1))

    def loss(outputs: Tensor, _: Tensor) -> Tensor:
        return found.function(*outputs.unbind(-1)).mean()

    def distance(outputs: Tensor, _: Tensor) -> Tensor:
        return torch.cdist(outputs, torch.tensor(found.minima)).amin(-1).mean()

    return Workload(
        name=name,
        model=lambda: _Point(found),
        loss=loss,
        train=nothing,
        valid=nothing,
        batch_size=1,
        metrics={"distance": distance},
        order="given",
        facts={"data": "none; a function of two variables"},
    )
