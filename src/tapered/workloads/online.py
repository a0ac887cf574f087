"""Online convex problems on the box [-1, 1]^d, projection included, with the average regret as metric.

    step t:  w += rule's update   ►   x_t = clip(w - e)   ►   pay f_t(x_t)        e, the excess: w - x_t so far

A rule adds to w and knows nothing of the box. Buffer e takes up what the projection takes off, so that
x_{t+1} = clip(x_t + update): the projected algorithm itself, in both modes, for every rule whose update does not read
the weights (all but those with weight decay, and Schedule-Free).
"""

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from tapered.draws import generator_seed
from tapered.training.workload import Workload

POOL = 4096


class _Player(nn.Module):
    """Plays x_t against f_t and keeps, in float64, what the regret needs.

    The input is what f_t is made of: its slope c (linear) or its centre z (squares), shape (1, d). The output is
    (loss to be differentiated, average regret so far, distance to the best fixed point), shape (1, 3).
    """

    excess: Tensor
    steps: Tensor
    paid: Tensor
    seen: Tensor
    squares: Tensor

    def __init__(self, dimensions: int, *, linear: bool) -> None:
        super().__init__()
        self.linear = linear
        self.w = nn.Parameter(2 * torch.rand(dimensions) - 1)
        self.register_buffer("excess", torch.zeros(dimensions))
        self.register_buffer("steps", torch.zeros((), dtype=torch.float64))
        self.register_buffer("paid", torch.zeros((), dtype=torch.float64))  # sum of f_t(x_t)
        self.register_buffer("seen", torch.zeros(dimensions, dtype=torch.float64))  # sum of c_t or z_t
        self.register_buffer("squares", torch.zeros((), dtype=torch.float64))  # sum of |z_t|^2

    def _cost(self, x: Tensor, given: Tensor) -> Tensor:
        return (given * x).sum() if self.linear else (x - given).square().sum() / 2

    def _best(self) -> tuple[Tensor, Tensor]:
        """The best fixed point so far and what it would have paid, by f's closed form."""
        if self.linear:
            return -self.seen.sign(), -self.seen.abs().sum()
        point = (self.seen / self.steps.clamp(min=1)).clamp(-1, 1)
        return point, (self.squares - 2 * (point * self.seen).sum() + self.steps * point.square().sum()) / 2

    def forward(self, given: Tensor) -> Tensor:
        given = given[0]
        inside = (self.w - self.excess).clamp(-1, 1).detach()
        x = inside + (self.w - self.w.detach())  # projected, with the gradient of f at x
        cost = self._cost(x, given)
        if self.training:
            wide = given.double()
            self.excess.copy_(self.w.detach() - inside)
            self.steps.add_(1)
            self.paid.add_(self._cost(inside.double(), wide))
            self.seen.add_(wide)
            self.squares.add_(wide.square().sum())
        best, least = self._best()
        regret = (self.paid - least) / self.steps.clamp(min=1)
        distance = (inside - best).norm()
        return torch.stack([cost, regret.to(cost.dtype), distance.to(cost.dtype)])[None]


def _workload(name: str, given: Tensor, *, linear: bool, valid: Tensor, order: str, data: str) -> Workload:
    return Workload(
        name=name,
        model=lambda: _Player(given.shape[1], linear=linear),
        loss=lambda outputs, _: outputs[:, 0].mean(),
        train=TensorDataset(given, torch.zeros(len(given))),
        valid=TensorDataset(valid[None], torch.zeros(1)),
        batch_size=1,
        metrics={
            "average regret": lambda outputs, _: outputs[:, 1].mean(),
            "distance": lambda outputs, _: outputs[:, 2].mean(),
        },
        order=order,  # type: ignore[arg-type]  # checked by Workload
        facts={"data": data},
    )


def online(*, dimensions: int = 10, mean: float = 0.5) -> Workload:
    """Online least squares: f_t(x) = 1/2 |x - z_t|^2 on the box, z_t drawn from it, a new one each step.

    The z are uniform in [-1, 1] but for the sign, which is that of ``mean`` more often, so that they average to about
    ``mean`` / 2 in every coordinate. Gradients are at most 2 in each coordinate. The validation loss is f at the pool's
    mean: the excess over the best fixed point. Metrics: "average regret", R(t) / t after t steps, against the best
    fixed point in hindsight; "distance" to that point. The starting point and the z follow from the seed.

    Args:
        dimensions: Coordinates of x.
        mean: Twice what the z average to, from -1 to 1.

    Raises:
        ValueError: If ``dimensions`` is less than 1 or ``mean`` is not in [-1, 1].

    >>> sorted(online().metrics)
    ['average regret', 'distance']
    """
    if dimensions < 1 or not -1 <= mean <= 1:
        raise ValueError(f"got dimensions={dimensions}, mean={mean}; expected at least 1, and a mean in [-1, 1]")
    generator = torch.Generator().manual_seed(generator_seed(0, "online"))
    size, sign = torch.rand(2, POOL, dimensions, generator=generator)
    z = torch.where(sign < (1 + mean) / 2, size, -size)
    data = f"generated; {POOL} points"
    return _workload("online", z, linear=False, valid=z.double().mean(0).float(), order="drawn", data=data)


def counterexample(*, C: float = 3.0, stochastic: bool = False) -> Workload:  # noqa: N803 - the paper's letter
    """Reddi et al. (2018), Theorem 1: f_t(x) = C x where t mod 3 = 1, else -x, on [-1, 1], with C > 2.

    Three steps together cost (C - 2) x, so that x = -1 is best. Adam with beta1 = 0, beta2 = 1 / (1 + C^2) and a rate
    alpha / sqrt(t), alpha < sqrt(1 - beta2), goes to x = +1, the worst point, and its average regret to
    2 (C - 2) / 3; AMSGrad goes to -1 and its average regret to 0.

    Args:
        C: The rare slope.
        stochastic: Draw the slope at random, C with probability 1/3, instead of in turn (their Theorem 3, in kind).

    The starting point is uniform in [-1, 1] and follows from the seed, and so do random slopes. The validation loss is
    the mean cost (C - 2) x / 3. Metrics: "average regret", R(t) / t; "distance" to the best point.

    Raises:
        ValueError: If ``C`` is not above 2, below which Adam's failure is not claimed.

    >>> counterexample().train.tensors[0].flatten().tolist()
    [3.0, -1.0, -1.0]
    """
    if not C > 2:
        raise ValueError(f"got C={C}; expected more than 2, as the theorem has it; try C=3.0")
    slopes = torch.tensor([[C], [-1.0], [-1.0]])
    order = "drawn" if stochastic else "given"
    return _workload(
        "counterexample", slopes, linear=True, valid=slopes.mean(0), order=order, data=f"f_t of slopes {C}, -1, -1"
    )


def regret_bound(steps: int, alpha: float, *, diameter: float, gradient: float) -> float:
    """Zinkevich's bound (2003) on the average regret of projected gradient descent at the rate alpha / sqrt(t).

    R(T) / T <= (D^2 / (2 alpha)) / sqrt(T) + alpha G^2 / sqrt(T)

    It goes to 0; at a constant rate alpha the same proof leaves D^2 / (2 alpha T) + alpha G^2 / 2, which does not.

    Args:
        steps: T.
        alpha: The rate at t = 1.
        diameter: D, of the box: 2 sqrt(d).
        gradient: G, the largest norm of a gradient.

    >>> regret_bound(100, 1.0, diameter=2.0, gradient=1.0)
    0.3
    """
    return float((diameter**2 / (2 * alpha) + alpha * gradient**2) / steps**0.5)
