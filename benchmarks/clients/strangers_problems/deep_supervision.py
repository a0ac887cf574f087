"""Deep supervision: eight stages, each with an output and a loss of its own, all of them recorded."""

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from tapered import Group, Recipe, Workload


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


STAGES = tuple(f"stage {i}" for i in range(8))


def losses(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
    x, targets = batch
    found = [functional.mse_loss(output, targets) for output in model(x)]
    return {"loss": sum(found) / len(found), **dict(zip(STAGES, found, strict=True))}


def best_stage(outputs: tuple[torch.Tensor, ...], targets: torch.Tensor) -> float:
    """The lowest error of any stage over the split."""
    return min(functional.mse_loss(output, targets).item() for output in outputs)


problem = Workload(
    name="deep_supervision",
    model=Deep,
    objective=losses,
    losses=STAGES,
    predict=lambda model, batch: (model(batch[0]), batch[1]),
    train=curves(256, 0),
    valid=curves(64, 1),
    test=curves(41, 2),
    batch_size=16,
    metrics={"best stage": best_stage},
    eval_batch_size=24,
    recipe=Recipe(clip_norm=0.2, groups=(Group("*.bias", hypers={"weight_decay": 0.0}),)),
)

# the same by hand


def by_stage(model: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The mean square error of each stage."""
    right, found = x.sin(), []
    for stage in model.stages:
        x = x + torch.tanh(x @ stage.weight.T + stage.bias)
        found.append(((x - right) ** 2).mean())
    return found


def results_by_hand(model: nn.Module, split: str) -> dict[str, float]:
    found = [value.item() for value in by_stage(model, getattr(problem, split).tensors[0])]
    return {"loss": sum(found) / 8, "best stage": min(found)} | {f"stage {i}": value for i, value in enumerate(found)}


def groups_by_hand(model: nn.Module) -> list[dict[str, object]]:
    return [
        {"params": [stage.weight for stage in model.stages]},
        {"params": [stage.bias for stage in model.stages], "weight_decay": 0.0},
    ]


BY_HAND = {
    "loss": lambda model, batch: torch.stack(by_stage(model, batch[0])).mean(),
    "results": results_by_hand,
    "rule": "AdamW",
    "peak": 3e-3,
    "stacks": True,
    "groups": groups_by_hand,
    "clip": lambda params: nn.utils.clip_grad_norm_(params, 0.2),
}
