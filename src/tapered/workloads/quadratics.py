r"""W1: a noisy quadratic whose expected loss is known in closed form, for every schedule.

    f(w; x) = 1/2 sum_i h_i (w_i - x_i)^2      gradient h_i (w_i - mean of x_i over the minibatch)

The x of a minibatch are drawn with replacement from a pool that has mean 0 and variance sigma^2 exactly, in each
coordinate, so that the gradient's noise at each step is independent of all others, with variance h_i^2 sigma^2 / B.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from tapered.draws import generator_seed
from tapered.theory.quadratic import curvatures, quadratic
from tapered.training.workload import Workload

POOL = 4096


class _Centre(nn.Module):
    """w of R^d; its output for a sample x is sqrt(h) * (w - x)."""

    scale: Tensor

    def __init__(self, h: NDArray[np.float64]) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(len(h)))
        self.register_buffer("scale", torch.from_numpy(h).sqrt().float())

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * (self.w - x)


def _half_square(outputs: Tensor, _: Tensor) -> Tensor:
    return outputs.square().sum(-1).mean() / 2


def noisy_quadratic(
    *, dimensions: int = 16, condition: float = 1000.0, sigma: float = 1.0, batch_size: int = 1
) -> Workload:
    """A quadratic of known condition number and known noise: where decay must help, and with ``sigma=0`` must not.

    The validation loss is the expected excess 1/2 sum_i h_i w_i^2, which is 0 at its optimum w = 0. Initial weights
    are standard normal. The minibatch of a step follows from (seed, step), so that rows of one seed see the same noise.

    Args:
        dimensions: Coordinates.
        condition: Largest curvature over the smallest, which is 1.
        sigma: Standard deviation of a sample in each coordinate; 0 gives a deterministic, smooth, convex problem.
        batch_size: Samples a step, whose mean is what the gradient sees.

    Raises:
        ValueError: If a size is out of range.

    >>> noisy_quadratic(dimensions=4).build(0).w.shape
    torch.Size([4])
    """
    if dimensions < 1 or not condition >= 1 or not sigma >= 0 or (dimensions == 1 and condition != 1):
        raise ValueError(
            f"got dimensions={dimensions}, condition={condition}, sigma={sigma}; expected dimensions of at least 1, "
            f"condition of at least 1 (1 where there is one dimension) and sigma of at least 0; try noisy_quadratic()"
        )
    h = curvatures(dimensions, condition)
    generator = torch.Generator().manual_seed(generator_seed(0, "noisy_quadratic"))
    x = torch.randn(POOL, dimensions, generator=generator, dtype=torch.float64)
    x = x - x.mean(0)
    x = (sigma * x / x.square().mean(0).sqrt()).float()
    return Workload(
        name="noisy_quadratic",
        model=lambda: _Centre(h),
        loss=_half_square,
        train=TensorDataset(x, torch.zeros(POOL)),
        valid=TensorDataset(torch.zeros(1, dimensions), torch.zeros(1)),
        batch_size=batch_size,
        order="drawn",
        facts={"data": f"generated; {POOL} samples", "condition": repr(condition), "sigma": repr(sigma)},
    )


def expected_loss(
    rates: Sequence[float] | NDArray[np.float64],
    start: NDArray[np.float64],
    *,
    condition: float = 1000.0,
    sigma: float = 1.0,
    batch_size: int = 1,
) -> NDArray[np.float64]:
    """The expected validation loss of gradient descent after 0, 1, ..., len(rates) steps, exactly.

    E[w_i^2] <- (1 - lr h_i)^2 E[w_i^2] + lr^2 h_i^2 sigma^2 / B,   loss = 1/2 sum_i h_i E[w_i^2]

    Args:
        rates: The rate of each step.
        start: Initial weights, shape (dimensions,).
        condition: As of the workload.
        sigma: As of the workload.
        batch_size: As of the workload.

    >>> expected_loss([0.5], np.array([2.0]), condition=1.0, sigma=0.0).tolist()
    [2.0, 0.5]
    """
    return quadratic(
        rates,
        len(rates),
        rule="SGD",
        dimensions=len(start),
        condition=condition,
        sigma=sigma,
        batch_size=batch_size,
        start=start,
    ).losses


def sgd_floor(
    rate: float, *, dimensions: int = 16, condition: float = 1000.0, sigma: float = 1.0, batch_size: int = 1
) -> float:
    """Where gradient descent at a constant rate ends: the fixed point of ``expected_loss``, exactly.

    sum_i lr h_i^2 (sigma^2 / B) / (2 (2 - lr h_i)); infinite from lr = 2 / max h on.

    >>> round(sgd_floor(0.5, dimensions=1, condition=1.0), 4)
    0.1667
    """
    h = curvatures(dimensions, condition)
    if rate * h.max() >= 2:
        return float("inf")
    return float((rate * h**2 * sigma**2 / batch_size / (2 - rate * h)).sum() / 2)


def adam_floor(
    rate: float, *, dimensions: int = 16, condition: float = 1000.0, sigma: float = 1.0, batch_size: int = 1
) -> float:
    """Where Adam at a small constant rate ends, to first order in the rate: lr s / 4 sum_i h_i, s = sigma / sqrt(B).

    Near the optimum the gradient is noise, so that sqrt(v_i) = h_i s and Adam is gradient descent at the rate
    lr / (h_i s) in coordinate i, whose floor is E[w_i^2] = lr s / (2 - lr / s). It falls with the rate and not
    with the steps: only a rate that decays gets below it.

    >>> round(adam_floor(0.01, dimensions=1, condition=1.0), 6)
    0.0025
    """
    s = sigma / batch_size**0.5
    return float(rate * s / 4 * curvatures(dimensions, condition).sum())
