"""Deep supervision: eight stages, each with an output and a loss of its own; the model returns a tuple of eight."""

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from tapered import Workload


def curves(count: int, seed: int) -> TensorDataset:
    """Eight numbers and their sines."""
    x = torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, x.sin())


class Deep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(nn.Linear(8, 8) for _ in range(8))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = []
        for stage in self.stages:
            x = x + torch.tanh(stage(x))
            outputs.append(x)
        return tuple(outputs)


def loss(outputs: tuple[torch.Tensor, ...], targets: torch.Tensor) -> torch.Tensor:
    return sum(functional.mse_loss(output, targets) for output in outputs) / len(outputs)


def last(outputs: tuple[torch.Tensor, ...], targets: torch.Tensor) -> torch.Tensor:
    """What is used in the end: one value for each example."""
    return (outputs[-1] - targets).square().mean(1)


def best_stage(outputs: tuple[torch.Tensor, ...], targets: torch.Tensor) -> float:
    """The lowest error of any stage over the split."""
    return min(functional.mse_loss(output, targets).item() for output in outputs)


problem = Workload(
    name="deep_supervision",
    model=Deep,
    loss=loss,
    train=curves(256, 0),
    valid=curves(64, 1),
    test=curves(41, 2),
    batch_size=16,
    metrics={"last": last, "best stage": best_stage},
    eval_batch_size=24,
)

# the same by hand

RULE, PEAK = "Adam", 3e-3
STACKS = True  # whether rows can be trained together


def losses(model: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The mean square error of each stage."""
    right, found = x.sin(), []
    for stage in model.stages:
        x = x + torch.tanh(x @ stage.weight.T + stage.bias)
        found.append(((x - right) ** 2).mean())
    return found


def loss_by_hand(model: nn.Module, indices: list[int]) -> torch.Tensor:
    return torch.stack(losses(model, problem.train.tensors[0][indices])).mean()


def results_by_hand(model: nn.Module, split: str) -> dict[str, float]:
    found = [value.item() for value in losses(model, getattr(problem, split).tensors[0])]
    return {"loss": sum(found) / 8, "last": found[-1], "best stage": min(found)}
