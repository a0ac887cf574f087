"""A model with tied weights: one matrix reads letters in and writes them out."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

from tapered import Workload

LETTERS = 11


class Successor(nn.Module):
    """Letter -> embedding -> hidden -> the same embedding, read backwards."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(LETTERS, 16)
        self.hidden = nn.Linear(16, 16)
        self.head = nn.Linear(16, LETTERS, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, letter: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.hidden(self.embedding(letter))))


def successors(count: int, seed: int) -> TensorDataset:
    """A letter, and three times it plus one."""
    letters = torch.randint(0, LETTERS, (count,), generator=torch.Generator().manual_seed(seed))
    return TensorDataset(letters, (3 * letters + 1) % LETTERS)


workload = Workload(
    "tied", Successor, nn.functional.cross_entropy, train=successors(256, 0), valid=successors(64, 1), batch_size=16
)
