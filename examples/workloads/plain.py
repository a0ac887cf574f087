"""A model and a dataset of your own: items are made when they are asked for."""

import math

import torch
from torch import nn
from torch.utils.data import Dataset

from tapered import Workload


class Waves(Dataset):
    """32 samples of a noisy sine wave, and its frequency."""

    def __init__(self, first: int, count: int) -> None:
        self.first, self.count = first, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, float]:
        generator = torch.Generator().manual_seed(self.first + index)
        frequency, phase = torch.rand(2, generator=generator).tolist()
        place = torch.linspace(0, 2 * math.pi, 32)
        return torch.sin((1 + frequency) * place + phase) + 0.1 * torch.randn(32, generator=generator), frequency


class Network(nn.Module):
    """32 -> 24 -> 1."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(32, 24), nn.Linear(24, 1)

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        return self.outer(torch.tanh(self.inner(wave))).squeeze(-1)


def squared_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs - targets.to(outputs.dtype)).square().mean()


workload = Workload("waves", Network, squared_error, train=Waves(0, 512), valid=Waves(512, 128), batch_size=16)
