"""A model with dropout: the masks of a step follow from the seed and the step, in every arm."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

from tapered import Workload


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.25), nn.Linear(32, 1))


def products(count: int, seed: int) -> TensorDataset:
    """Eight numbers, and the product of the first two."""
    x = torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, x[:, :1] * x[:, 1:2])


workload = Workload(
    "dropout", network, nn.functional.mse_loss, train=products(512, 0), valid=products(256, 1), batch_size=16
)
