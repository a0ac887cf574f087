"""A U-Net that finds discs: cross-entropy and soft Dice are trained together, and the weights are averaged (SWA)."""

import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import TensorDataset

from tapered import Group, Recipe, Workload

Batch = tuple[torch.Tensor, torch.Tensor]


def discs(count: int, seed: int) -> TensorDataset:
    """Noisy pictures of 16x16 with a disc in each, and where it is."""
    generator = torch.Generator().manual_seed(seed)
    middle = 4 + 8 * torch.rand(count, 2, 1, 1, generator=generator)
    radius = 1 + 4 * torch.rand(count, 1, 1, generator=generator)
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    inside = ((y - middle[:, 0]) ** 2 + (x - middle[:, 1]) ** 2 < radius**2).float()[:, None]
    return TensorDataset(inside + 0.5 * torch.randn(inside.shape, generator=generator), inside)


def double(inner: int, outer: int) -> nn.Module:
    # smooth, as is the pooling: at the corner of a ReLU or between two maxima a rounding decides on a gradient
    return nn.Sequential(
        nn.Conv2d(inner, outer, 3, padding=1), nn.SiLU(), nn.Conv2d(outer, outer, 3, padding=1), nn.SiLU()
    )


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.bottom = double(1, 8), double(8, 16)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.across, self.head = double(16, 8), nn.Conv2d(8, 1, 1)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        fine = self.down(pictures)
        coarse = self.bottom(functional.avg_pool2d(fine, 2))
        return self.head(self.across(torch.cat([fine, self.up(coarse)], dim=1)))


def soft_dice(outputs: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """One value for each picture."""
    found = outputs.sigmoid()
    return (2 * (found * inside).sum((1, 2, 3)) + 1) / (found.sum((1, 2, 3)) + inside.sum((1, 2, 3)) + 1)


def losses(model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
    outputs, inside = model(batch[0]), batch[1]
    cross = functional.binary_cross_entropy_with_logits(outputs, inside)
    overlap = soft_dice(outputs, inside).mean()
    return {"loss": cross + 1 - overlap, "cross-entropy": cross, "soft dice": overlap}


def dice(outputs: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Of all pixels of the split."""
    found = (outputs > 0).float()
    return 2 * (found * inside).sum() / (found.sum() + inside.sum()).clamp(min=1)


problem = Workload(
    name="unet_dice",
    model=UNet,
    objective=losses,
    losses=("cross-entropy", "soft dice"),
    predict=lambda model, batch: (model(batch[0]), batch[1]),
    train=discs(64, 0),
    valid=discs(21, 1),
    test=discs(13, 2),
    batch_size=8,
    metrics={"dice": dice},
    eval_batch_size=8,
    recipe=Recipe(groups=(Group("down.*", lr=0.1),)),  # as a backbone that was trained before
)
AVERAGE = {"kind": "swa", "start": 12}

# the same by hand


def parts(model: nn.Module, pictures: torch.Tensor, inside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The cross-entropy and the soft Dice of each picture, one after another."""
    crosses, dices = [], []
    for scores, right in zip(model(pictures), inside, strict=True):
        p = torch.sigmoid(scores)
        crosses.append(-(right * functional.logsigmoid(scores) + (1 - right) * functional.logsigmoid(-scores)).mean())
        dices.append((2 * (p * right).sum() + 1) / (p.sum() + right.sum() + 1))
    return torch.stack(crosses), torch.stack(dices)


def loss_by_hand(model: nn.Module, batch: Batch) -> torch.Tensor:
    crosses, dices = parts(model, *batch)
    return (crosses + 1 - dices).mean()


def results_by_hand(model: nn.Module, split: str) -> dict[str, float]:
    pictures, inside = getattr(problem, split).tensors
    crosses, dices = (each.double() for each in parts(model, pictures, inside))
    found, right = model(pictures).numpy() > 0, inside.numpy() > 0
    return {
        "loss": (crosses + 1 - dices).mean().item(),
        "cross-entropy": crosses.mean().item(),
        "soft dice": dices.mean().item(),
        "dice": 2 * (found & right).sum() / (found.sum() + right.sum()),
    }


def groups_by_hand(model: nn.Module) -> list[dict[str, object]]:
    rest = [*model.bottom.parameters(), *model.up.parameters(), *model.across.parameters(), *model.head.parameters()]
    return [{"params": list(model.down.parameters()), "share": 0.1}, {"params": rest}]


BY_HAND = {
    "loss": loss_by_hand,
    "results": results_by_hand,
    "rule": "SGD",
    "peak": 3e-1,
    "stacks": True,
    "groups": groups_by_hand,
    "average": AveragedModel,
    "begins": 12,
}
