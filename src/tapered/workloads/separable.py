"""Wilson et al. 2017, section 3.3: data on which adaptive methods find a solution that is wrong on new examples.

    example i, label y_i = +1 or -1 (+1 with probability p > 1/2)

    feature   1    2   3    a block of five of its own
              y    1   1    1 0 0 0 0  where y = +1,   1 1 1 1 1  where y = -1

Feature 1 is the label. From zero weights and the squared loss, gradient descent goes to the solution of least norm,
which is right on every new example. A method whose first step is the same in all coordinates (AdaGrad, RMSProp, Adam)
goes to weights proportional to sign(X^T y), which on a new example gives y + 2 > 0: always +1.
"""

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from tapered.draws import generator_seed
from tapered.training.workload import Workload

HEAD, BLOCK = 3, 5


def features(labels: Tensor, first: int, width: int) -> Tensor:
    """Wilson's features of labels +1 and -1: float32, shape (len(labels), width).

    Args:
        labels: +1 and -1, shape (n,).
        first: The place of the first example among all, which says where its block is.
        width: Features in all.

    >>> features(torch.tensor([1, -1]), 0, 13)[:, :8].tolist()
    [[1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0], [-1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    x = torch.zeros(len(labels), width)
    x[:, 0], x[:, 1:HEAD] = labels, 1.0
    for i, label in enumerate(labels.tolist()):
        at = HEAD + BLOCK * (first + i)
        x[i, at : at + (1 if label > 0 else BLOCK)] = 1.0
    return x


class _Linear(nn.Module):
    """x @ w, from zero or small weights."""

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.w = nn.Parameter(scale * torch.randn(width))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.w


def _half_square(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().mean() / 2


def _accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.sign() == targets


def separable(*, examples: int = 100, batch_size: int | None = None, p: float = 0.6, scale: float = 0.0) -> Workload:
    """Wilson's example: ``examples`` to train on, 200 to validate and 200 to test, which the weights never saw.

    Args:
        examples: Training examples n; there are 3 + 5 (n + 400) features.
        batch_size: Examples a step; None takes all, as in the paper. With zero weights and all examples every seed
            is the same run: take less, or a ``scale``, where seeds are to differ.
        p: Share of +1 among the labels, above 1/2; the training labels have it to the nearest example.
        scale: Standard deviation of the initial weights; the paper's is 0.

    Raises:
        ValueError: If ``p`` is not between 1/2 and 1.

    >>> len(separable().test)
    200
    """
    if not 0.5 < p < 1 or examples < 2 or not scale >= 0:
        raise ValueError(
            f"got examples={examples}, p={p}, scale={scale}; expected at least 2 examples, more +1 than -1 "
            f"(0.5 < p < 1) and a scale of at least 0; try separable()"
        )
    generator = torch.Generator().manual_seed(generator_seed(0, "separable"))
    width, first, sets = HEAD + BLOCK * (examples + 400), 0, []
    for size in (examples, 200, 200):
        labels = torch.where(torch.arange(size) < round(p * size), 1.0, -1.0)[torch.randperm(size, generator=generator)]
        sets.append(TensorDataset(features(labels, first, width), labels))
        first += size
    return Workload(
        name="separable",
        model=lambda: _Linear(width, scale),
        loss=_half_square,
        train=sets[0],
        valid=sets[1],
        test=sets[2],
        batch_size=batch_size or examples,
        metrics={"accuracy": _accuracy},
        order="shuffled" if batch_size else "given",
        facts={"data": "generated; Wilson et al. 2017, section 3.3"},
    )
