"""Pictures that two workers shift, turn over and make noisy by numpy's global generator; BatchNorm, and an average."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import Dataset

from tapered import Recipe, Workload


class Bars(Dataset):
    """Bars that lie (0) or stand (1) in pictures of 8x8; `augmented`, as it is common, by numpy.random."""

    def __init__(self, count: int, seed: int, *, augmented: bool) -> None:
        generator, self.augmented = np.random.default_rng(seed), augmented
        self.labels = generator.integers(0, 2, count)
        pictures = np.zeros((count, 8, 8), "f4")
        pictures[np.arange(count), generator.integers(0, 8, count)] = 1
        pictures[self.labels == 1] = pictures[self.labels == 1].transpose(0, 2, 1)
        self.pictures = pictures + generator.normal(0, 0.7, pictures.shape).astype("f4")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.int64]:
        picture = self.pictures[index]
        if self.augmented:
            picture = np.roll(picture, np.random.randint(-2, 3, size=2), axis=(0, 1))  # noqa: NPY002
            if np.random.rand() < 0.5:  # noqa: NPY002
                picture = picture[:, ::-1]
            picture = picture + np.random.normal(0, 0.2, picture.shape)  # noqa: NPY002
        return picture[None].astype("f4"), self.labels[index]


def network() -> nn.Module:
    # smooth: at the corner of a ReLU or between two maxima a rounding decides on a gradient
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.SiLU(), nn.AvgPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.SiLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(64, 2),
    )  # fmt: skip


def accuracy(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """One value for each picture."""
    return (outputs.argmax(1) == labels).float()


def f1(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Over the split."""
    found = outputs.argmax(1)
    return 2 * (found * labels).sum() / (found.sum() + labels.sum()).clamp(min=1)


problem = Workload(
    name="augmentation",
    model=network,
    loss=functional.cross_entropy,
    train=Bars(128, 0, augmented=True),
    valid=Bars(50, 1, augmented=False),
    test=Bars(37, 2, augmented=False),
    batch_size=16,
    metrics={"accuracy": accuracy, "f1": f1},
    eval_batch_size=16,
    recipe=Recipe(workers=2),
)
AVERAGE = {"kind": "ema", "decay": 0.8, "batch_norm": "recomputed"}

# the same by hand


def results_by_hand(model: nn.Module, split: str) -> dict[str, float]:
    data = getattr(problem, split)
    scores, labels = model(torch.from_numpy(data.pictures[:, None])).double().numpy(), data.labels
    best = scores.max(1, keepdims=True)
    logs = scores - best - np.log(np.exp(scores - best).sum(1, keepdims=True))
    found = scores.argmax(1)
    hits = ((found == 1) & (labels == 1)).sum()
    return {
        "loss": float(-logs[np.arange(len(labels)), labels].mean()),
        "accuracy": float((found == labels).mean()),
        "f1": float(2 * hits / ((found == 1).sum() + (labels == 1).sum())),
    }


BY_HAND = {
    "loss": lambda model, batch: -model(batch[0]).log_softmax(1).gather(1, batch[1][:, None]).mean(),
    "results": results_by_hand,
    "rule": "SGD",
    "peak": 1e-1,
    "stacks": True,
    "average": lambda model: AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.8)),
    "recomputed": True,
}
