"""A model with BatchNorm, whose running mean and variance are written during training."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

from tapered import Workload


def network() -> nn.Module:
    # a bias before BatchNorm is taken out again: its gradient is rounding, of which Adam would make whole steps
    return nn.Sequential(nn.Linear(8, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


def blobs(count: int, seed: int) -> TensorDataset:
    """Points around three centres in eight dimensions, far from zero mean and unit variance."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=generator)
    centres = 2.0 * torch.eye(3, 8)
    return TensorDataset(5.0 + 3.0 * (centres[labels] + torch.randn(count, 8, generator=generator)), labels)


workload = Workload(
    "batchnorm", network, nn.functional.cross_entropy, train=blobs(512, 0), valid=blobs(256, 1), batch_size=32
)
