"""A set transformer: sets of up to nine points under a mask, attention over them, dropout in training."""

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset

from tapered import Workload

MOST = 9


class Sets(Dataset):
    """Points of the plane with a mask, and the longest of them: ((points, mask), length)."""

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.points = torch.randn(count, MOST, 2, generator=generator)
        self.there = torch.arange(MOST) < torch.randint(1, MOST + 1, (count, 1), generator=generator)
        self.longest = self.points.norm(dim=-1).masked_fill(~self.there, 0).amax(1)

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor]:
        return (self.points[index], self.there[index]), self.longest[index]


class SetTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(2, 16)
        self.among = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.seed = nn.Parameter(torch.randn(1, 1, 16))
        self.pool = nn.MultiheadAttention(16, 2, dropout=0.1, batch_first=True)
        self.head = nn.Linear(16, 1)

    def forward(self, inputs: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        points, there = inputs
        hidden = self.among(self.enter(points), src_key_padding_mask=~there)
        pooled, _ = self.pool(self.seed.expand(len(points), -1, -1), hidden, hidden, key_padding_mask=~there)
        return self.head(pooled[:, 0]).squeeze(-1)


def absolute(outputs: torch.Tensor, longest: torch.Tensor) -> torch.Tensor:
    """One value for each set."""
    return (outputs - longest).abs()


def correlation(outputs: torch.Tensor, longest: torch.Tensor) -> torch.Tensor:
    """Over the split."""
    return torch.corrcoef(torch.stack([outputs, longest]))[0, 1]


problem = Workload(
    name="set_transformer",
    model=SetTransformer,
    loss=functional.mse_loss,
    train=Sets(256, 0),
    valid=Sets(70, 1),
    test=Sets(41, 2),
    batch_size=16,
    metrics={"absolute": absolute, "correlation": correlation},
    eval_batch_size=32,
)

# the same by hand

RULE, PEAK = "SGD", 1e-2
STACKS = False  # whether rows can be trained together


def loss_by_hand(model: nn.Module, indices: list[int]) -> torch.Tensor:
    data = problem.train
    return (model((data.points[indices], data.there[indices])) - data.longest[indices]).square().mean()


def results_by_hand(model: nn.Module, split: str) -> dict[str, float]:
    data = getattr(problem, split)
    found, right = model((data.points, data.there)).double(), data.longest.double()
    a, b = found - found.mean(), right - right.mean()
    return {
        "loss": (found - right).square().mean().item(),
        "absolute": (found - right).abs().mean().item(),
        "correlation": ((a * b).sum() / (a.square().sum() * b.square().sum()).sqrt()).item(),
    }
