"""A model that looks at its minibatch and then decides: Python's own `if` on a tensor's value."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

from tapered import Workload


class Gated(nn.Module):
    """One layer for minibatches of positive mean, another for the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.positive, self.negative = nn.Linear(4, 1), nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.mean() > 0:
            return self.positive(x)
        return self.negative(x)


def sums(count: int, seed: int) -> TensorDataset:
    """Four numbers and their sum."""
    x = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, x.sum(1, keepdim=True))


workload = Workload("branching", Gated, nn.functional.mse_loss, train=sums(256, 0), valid=sums(64, 1), batch_size=8)
