"""W7: MNIST-1D (Greydanus and Kobak 2020): ten templates of 12 points, deformed into series of 40. Generated.

template ─► padded ─► stretched to 72 ─► scaled ─► moved round ─► noise ─► sheared ─► 40 points

The recipe and its order of draws are the published ones, so that the numbers are those of the published data, rounded
to six decimals: rounding makes their hash the same where the last bits of a machine's arithmetic differ.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from tapered.training.workload import Workload
from tapered.workloads import data

Series = NDArray[np.float64]
SEED, SAMPLES, TRAIN, VALID = 42, 5_000, 3_500, 500
LENGTH, WIDE, PADDING, MOVES = 40, 72, (36, 60), 48
SHA256 = "d2a0683df6244627b8959cb4380549692286997e7aec37dc334b1c2dec737861"
DIGITS = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)


def templates() -> Series:
    """The ten digits, each of mean 0 and deviation 1 over its points, moved to start at 0, over 6; shape (10, 12)."""
    x = np.array(DIGITS)
    x = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    moved: Series = (x - x[:, :1]) / 6
    return moved


def _stretched(x: Series, points: int) -> Series:
    return np.interp(np.linspace(0, 1, points), np.linspace(0, 1, len(x)), x)


def _deformed(x: Series, random: np.random.RandomState) -> Series:
    """One example of a template; the draws are in the published order."""
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - takes long to import

    low, high = PADDING
    x = np.concatenate([x + 1e-8, np.zeros(low + int(random.rand() * (high - low + 1)))])
    x = _stretched(x, WIDE) * (1 + 0.4 * (random.rand() - 0.5))
    x = np.roll(x, int(random.choice(MOVES)))
    smooth = gaussian_filter(0.25 * random.randn(WIDE), 2)
    x = np.where(x != 0, x, smooth) + 0.02 * random.randn(WIDE)
    x = x - 0.75 * (random.rand() - 0.5) * np.linspace(-0.5, 0.5, WIDE)
    return _stretched(x, LENGTH)


@lru_cache(maxsize=1)
def series() -> tuple[Series, NDArray[np.int64]]:
    """All 5,000 examples, shape (5000, 40), of mean 0 and deviation 1 over all, and their digits.

    Raises:
        ChangedDataError: If this machine's numbers are not the published ones.
    """
    random = np.random.RandomState(SEED)  # the published generator
    drawn = [(_deformed(x, random), digit) for digit, x in enumerate(templates()) for _ in range(SAMPLES // 10)]
    order = random.permutation(SAMPLES)
    x, y = np.stack([x for x, _ in drawn])[order], np.array([y for _, y in drawn])[order]
    x = np.round((x - x.mean()) / x.std(), 6) + 0.0  # so that there is one zero
    data.check("MNIST-1D as generated here", x.astype("<f8").tobytes() + y.astype("<i8").tobytes(), SHA256)
    return x, y


def _convolutions() -> nn.Module:
    # 24 channels where the paper has 25: at a multiple of 8 a stacked row's bits do not depend on its neighbours
    return nn.Sequential(
        nn.Unflatten(-1, (1, LENGTH)),
        nn.Conv1d(1, 24, 5, stride=2, padding=1), nn.ReLU(),
        nn.Conv1d(24, 24, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv1d(24, 24, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(-2), nn.Linear(120, 10),
    )  # fmt: skip


def _perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(LENGTH, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


class _Recurrent(nn.Module):
    """A gated recurrent unit over the series, and a layer on its last state.

    r, z = sigmoid(W [x, h])        n = tanh(A x + r * (B h))        h <- n + z (h - n)

    As torch's GRU, written in products, which go under vmap where torch's own does not.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.given, self.kept = nn.Linear(1, 3 * hidden), nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(*x.shape[:-1], self.hidden)
        for given in self.given(x.unsqueeze(-1)).unbind(-2):
            r, z, n = given.chunk(3, -1)
            kept_r, kept_z, kept_n = self.kept(h).chunk(3, -1)
            n = torch.tanh(n + torch.sigmoid(r + kept_r) * kept_n)
            h = n + torch.sigmoid(z + kept_z) * (h - n)
        scores: Tensor = self.out(h)
        return scores


def mnist1d(
    model: Literal["convolutions", "recurrent", "perceptron"] = "convolutions", *, batch_size: int = 100
) -> Workload:
    """MNIST-1D: 3,500 to train on, 500 to validate, the published 1,000 to test.

    Args:
        model: "convolutions", three layers of 24 channels, "recurrent", a gated recurrent unit of 32, or "perceptron",
            40-64-64-10 with ReLU, which knows nothing of places and is the fastest by far.
        batch_size: Examples a step.

    Raises:
        ValueError: If ``model`` is none of them.
        ChangedDataError: If this machine's numbers are not the published ones.

    >>> mnist1d().steps_per_epoch
    35
    """
    models: dict[str, Callable[[], nn.Module]] = {
        "convolutions": _convolutions,
        "recurrent": lambda: _Recurrent(32),
        "perceptron": _perceptron,
    }
    if model not in models:
        raise ValueError(f'got model={model!r}; expected one of {", ".join(models)}; try model="convolutions"')
    x, y = (torch.from_numpy(values) for values in series())
    cuts = [slice(0, TRAIN), slice(TRAIN, TRAIN + VALID), slice(TRAIN + VALID, SAMPLES)]
    train, valid, test = (TensorDataset(x[cut].float(), y[cut]) for cut in cuts)
    return Workload(
        name="mnist1d",
        model=models[model],
        loss=functional.cross_entropy,
        train=train,
        valid=valid,
        test=test,
        batch_size=batch_size,
        metrics={"accuracy": data.accuracy},
        facts={"data": "MNIST-1D, generated", "sha256": SHA256},
    )
