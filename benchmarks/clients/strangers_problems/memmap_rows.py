"""Rows of a table on disk, a numpy memmap, fetched by two workers, each with a weight: losses are weighted means."""

import tempfile

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, Subset

from tapered import Recipe, Workload

ROWS, COLUMNS = 400, 8
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def table() -> np.memmap:
    """Columns, then target, then weight."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(ROWS, COLUMNS))
    y = np.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:3]
    weights = generator.exponential(size=(ROWS, 1))
    with tempfile.TemporaryFile() as file:
        file.write(np.concatenate([x, y, weights], axis=1).astype("f4").tobytes())
        file.flush()
        return np.memmap(file, "f4", "r", shape=(ROWS, COLUMNS + 2))


class Table(Dataset):
    def __init__(self) -> None:
        self.rows = table()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.float32, np.float32]:
        row = self.rows[index]
        return np.array(row[:COLUMNS]), row[COLUMNS], row[COLUMNS + 1]


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(COLUMNS, 32), nn.Tanh(), nn.Linear(32, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x).squeeze(-1)


def weighted(model: nn.Module, batch: Batch) -> torch.Tensor:
    x, y, weights = batch
    return (weights * (model(x) - y) ** 2).sum() / weights.sum()


def unexplained(outputs: torch.Tensor, targets: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """1 - R^2 over the split, weighted: so early R^2 is near 0, and single precision has few digits left of it."""
    outputs, y, weights = outputs.double(), *(part.double() for part in targets)
    mean = (weights * y).sum() / weights.sum()
    return (weights * (outputs - y) ** 2).sum() / (weights * (y - mean) ** 2).sum()


data = Table()
problem = Workload(
    name="memmap_rows",
    model=Network,
    objective=weighted,
    predict=lambda model, batch: (model(batch[0]), batch[1:]),
    train=Subset(data, range(250)),
    valid=Subset(data, range(250, 330)),
    test=Subset(data, range(330, ROWS)),
    batch_size=8,
    metrics={"unexplained": unexplained},
    weight=lambda batch: batch[2].sum(),
    eval_batch_size=32,
    recipe=Recipe(workers=2, accumulate=2),
)

# the same by hand
WHERE = {"valid": slice(250, 330), "test": slice(330, ROWS)}


def loss_by_hand(model: nn.Module, batch: Batch) -> torch.Tensor:
    x, y, weights = batch
    return (weights / weights.sum() * (model(x) - y) ** 2).sum()


def results_by_hand(model: nn.Module, split: str) -> dict[str, float]:
    rows = np.array(data.rows[WHERE[split]])
    found = model(torch.from_numpy(rows[:, :COLUMNS])).numpy().astype("f8")
    y, weights = rows[:, -2].astype("f8"), rows[:, -1].astype("f8")
    loss = np.average((found - y) ** 2, weights=weights)
    spread = np.average((y - np.average(y, weights=weights)) ** 2, weights=weights)
    return {"loss": float(loss), "unexplained": float(loss / spread)}


BY_HAND = {
    "loss": loss_by_hand,
    "results": results_by_hand,
    "rule": "Adam",
    "peak": 3e-3,
    "stacks": True,
    "accumulate": 2,
    "weight": lambda batch: batch[2].sum(),
}
