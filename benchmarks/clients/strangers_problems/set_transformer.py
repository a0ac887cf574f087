"""A set transformer: sets of up to nine points, padded under a mask; dropout; lower layers at lower rates, as tuned."""

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from tapered import Recipe, Workload

MOST = 9


def sets(count: int, seed: int) -> list[torch.Tensor]:
    """Points of the plane."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, MOST + 1, (count,), generator=generator).tolist()
    return [torch.randn(size, 2, generator=generator) for size in sizes]


def padded(items: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Sets, what of them is there, and how long the longest point of each is."""
    sizes = torch.tensor([len(points) for points in items])
    points = pad_sequence(items, batch_first=True)
    there = torch.arange(points.shape[1]) < sizes[:, None]
    return {"points": points, "there": there, "longest": points.norm(dim=-1).amax(1)}


class SetTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(2, 16)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True) for _ in range(2)
        )
        self.query, self.out = nn.Linear(16, 1), nn.Linear(16, 1)

    def forward(self, points: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        hidden = self.enter(points)
        for layer in self.layers:
            hidden = layer(hidden, src_key_padding_mask=~there)
        looked = self.query(hidden).squeeze(-1).masked_fill(~there, -torch.inf).softmax(1)
        return self.out((looked[..., None] * hidden).sum(1)).squeeze(-1)


def predicted(model: nn.Module, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    return model(batch["points"], batch["there"]), batch["longest"]


def absolute(outputs: torch.Tensor, longest: torch.Tensor) -> torch.Tensor:
    """One value for each set."""
    return (outputs - longest).abs()


def correlation(outputs: torch.Tensor, longest: torch.Tensor) -> torch.Tensor:
    """Over the split."""
    return torch.corrcoef(torch.stack([outputs, longest]))[0, 1]


problem = Workload(
    name="set_transformer",
    model=SetTransformer,
    objective=lambda model, batch: functional.mse_loss(*predicted(model, batch)),
    predict=predicted,
    collate=padded,
    train=sets(256, 0),
    valid=sets(70, 1),
    test=sets(41, 2),
    batch_size=16,
    metrics={"absolute": absolute, "correlation": correlation},
    eval_batch_size=32,
    recipe=Recipe(layer_decay=0.5, clip_norm=1.0),
)

# the same by hand


def filled(items: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The same padding: what dropout draws depends on it."""
    points = torch.zeros(len(items), max(map(len, items)), 2)
    there = torch.zeros(points.shape[:2], dtype=torch.bool)
    for place, each in enumerate(items):
        points[place, : len(each)], there[place, : len(each)] = each, True
    return points, there, torch.stack([each.square().sum(1).max().sqrt() for each in items])


def loss_by_hand(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> torch.Tensor:
    points, there, longest = batch
    return (model(points, there) - longest).square().mean()


def results_by_hand(model: nn.Module, split: str) -> dict[str, float]:
    """One set after another, without padding."""
    data = getattr(problem, split)
    found = torch.cat([model(points[None], torch.ones(1, len(points), dtype=torch.bool)) for points in data]).double()
    right = torch.stack([points.norm(dim=1).max() for points in data]).double()
    a, b = found - found.mean(), right - right.mean()
    return {
        "loss": (found - right).square().mean().item(),
        "absolute": (found - right).abs().mean().item(),
        "correlation": ((a * b).sum() / (a.square().sum() * b.square().sum()).sqrt()).item(),
    }


def groups_by_hand(model: nn.Module) -> list[dict[str, object]]:
    """From the head down, each at half the rate of the next."""
    parts = [[model.query, model.out], [model.layers[1]], [model.layers[0]], [model.enter]]
    return [
        {"params": [p for module in part for p in module.parameters()], "share": 0.5**depth}
        for depth, part in enumerate(parts)
    ]


BY_HAND = {
    "loss": loss_by_hand,
    "results": results_by_hand,
    "rule": "SGD",
    "peak": 3e-2,
    "stacks": False,
    "collate": filled,
    "groups": groups_by_hand,
    "clip": lambda params: nn.utils.clip_grad_norm_(params, 1.0),
}
