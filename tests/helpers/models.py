"""Small workloads of three kinds that tests and benchmarks share: a perceptron, a convolution, a transformer."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import TensorDataset

from tapered import Workload


def split(inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, TensorDataset]:
    return {"train": TensorDataset(inputs[:96], labels[:96]), "valid": TensorDataset(inputs[96:], labels[96:])}


def perceptron() -> Workload:
    x = torch.randn(128, 2, generator=torch.Generator().manual_seed(0))

    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))

    return Workload(
        name="perceptron", model=model, loss=cross_entropy, batch_size=16, **split(x, (x.sum(1) > 0).long())
    )


def convolution() -> Workload:
    x = torch.randn(128, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def model() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Flatten(),
            nn.Linear(32, 2),
        )  # fmt: skip

    labels = (x[:, 0, :4].sum((1, 2)) > 0).long()
    return Workload(name="convolution", model=model, loss=cross_entropy, batch_size=16, **split(x, labels))


class Transformer(nn.Module):
    """Two layers over 8 tokens; each token's next is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.place = nn.Embedding(11, 16), nn.Parameter(torch.randn(8, 16))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True, norm_first=True) for _ in range(2)
        )
        self.out = nn.Linear(16, 11)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens) + self.place
        for layer in self.layers:
            x = layer(x)
        return self.out(x).flatten(0, -2)


def transformer() -> Workload:
    tokens = torch.randint(0, 11, (128, 8), generator=torch.Generator().manual_seed(0))
    data = split(tokens, tokens.roll(-1, 1))

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return cross_entropy(outputs, targets.flatten())

    return Workload(name="transformer", model=Transformer, loss=loss, batch_size=16, **data)


ALL = {"perceptron": perceptron, "convolution": convolution, "transformer": transformer}
