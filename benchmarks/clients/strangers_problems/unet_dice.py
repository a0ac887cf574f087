"""A U-Net that finds discs: cross-entropy and soft Dice by picture in the loss, Dice of the split beside it."""

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from tapered import Workload


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


def loss(outputs: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    return functional.binary_cross_entropy_with_logits(outputs, inside) + (1 - soft_dice(outputs, inside)).mean()


def dice(outputs: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Of all pixels of the split."""
    found = (outputs > 0).float()
    return 2 * (found * inside).sum() / (found.sum() + inside.sum()).clamp(min=1)


problem = Workload(
    name="unet_dice",
    model=UNet,
    loss=loss,
    train=discs(64, 0),
    valid=discs(21, 1),
    test=discs(13, 2),
    batch_size=8,
    metrics={"dice": dice, "soft dice": soft_dice},
    eval_batch_size=8,
)

# the same by hand

RULE, PEAK = "SGD", 3e-1
STACKS = True  # whether rows can be trained together


def parts(model: nn.Module, pictures: torch.Tensor, inside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The cross-entropy and the soft Dice of each picture, one after another."""
    crosses, dices = [], []
    for scores, right in zip(model(pictures), inside, strict=True):
        p = torch.sigmoid(scores)
        crosses.append(-(right * functional.logsigmoid(scores) + (1 - right) * functional.logsigmoid(-scores)).mean())
        dices.append((2 * (p * right).sum() + 1) / (p.sum() + right.sum() + 1))
    return torch.stack(crosses), torch.stack(dices)


def loss_by_hand(model: nn.Module, indices: list[int]) -> torch.Tensor:
    crosses, dices = parts(model, *(tensor[indices] for tensor in problem.train.tensors))
    return (crosses + 1 - dices).mean()


def results_by_hand(model: nn.Module, split: str) -> dict[str, float]:
    pictures, inside = getattr(problem, split).tensors
    crosses, dices = parts(model, pictures, inside)
    found, right = model(pictures).numpy() > 0, inside.numpy() > 0
    return {
        "loss": (crosses.double() + 1 - dices.double()).mean().item(),
        "dice": 2 * (found & right).sum() / (found.sum() + right.sum()),
        "soft dice": dices.double().mean().item(),
    }
