"""Body-mass index: is weight / height^2 above 27? The toy of the question's last answer.

height (cm), weight (kg) ─► standardise ─► 16 ─► 16 ─► 2        label = [BMI > 27]
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from tapered.training.workload import Loss, Workload

SAMPLES, TRAIN, VALID = 10_000, 8_000, 1_000
THRESHOLD = 27.0


def population(samples: int = SAMPLES, seed: int = 2016) -> tuple[Tensor, Tensor]:
    """Heights in cm and weights in kg of ``samples`` adults, float64, shape (samples,) each.

    A bivariate normal: height of mean 170 and standard deviation 10, weight of mean 78 and standard deviation 14,
    correlation 0.45. These are round figures that look like a mixed adult population, chosen and not measured. One
    thing hangs on them: an adult of mean height and weight has BMI 78 / 1.70^2 = 26.99, so the threshold 27 runs
    through the middle and about half of the labels are positive.

    >>> height, weight = population()
    >>> round((weight / (height / 100) ** 2 > 27).double().mean().item(), 3)
    0.494
    """
    a, b = torch.randn(2, samples, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    correlation = 0.45
    return 170 + 10 * a, 78 + 14 * (correlation * a + (1 - correlation**2) ** 0.5 * b)


def _model() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    # one_hot looks at its values, which rows that are trained together cannot
    wanted = (targets[..., None] == torch.arange(2, device=targets.device)).to(outputs.dtype)
    return functional.mse_loss(outputs.softmax(-1), wanted)


def _accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.argmax(-1) == targets


LOSSES: dict[str, Loss] = {"cross-entropy": functional.cross_entropy, "mse": _squared_error}


def bmi(
    loss: Literal["cross-entropy", "mse"] = "cross-entropy", *, batch_size: int = 32, raw: bool = False
) -> Workload:
    """The BMI workload: 10,000 people, split 8,000 / 1,000 / 1,000, a perceptron 2-16-16-2 with ReLU.

    Features are standardised by the training split's mean and standard deviation. The data and the split are the same
    for every seed; weights and minibatch order follow the seed.

    Args:
        loss: "cross-entropy" of the two outputs, or "mse" between their softmax and the one-hot label.
        batch_size: Examples a step; 32 makes an epoch of 250 steps.
        raw: Leave the features in cm and kg.

    Raises:
        ValueError: If ``loss`` is neither.

    >>> bmi().steps_per_epoch
    250
    """
    if loss not in LOSSES:
        raise ValueError(f'got loss={loss!r}; expected one of {", ".join(LOSSES)}; try loss="cross-entropy"')
    height, weight = population()
    labels = (weight / (height / 100) ** 2 > THRESHOLD).long()
    features = torch.stack([height, weight], 1)
    features = (features if raw else (features - features[:TRAIN].mean(0)) / features[:TRAIN].std(0)).float()
    parts = [slice(0, TRAIN), slice(TRAIN, TRAIN + VALID), slice(TRAIN + VALID, SAMPLES)]
    train, valid, test = (TensorDataset(features[part], labels[part]) for part in parts)
    return Workload(
        name="bmi",
        model=_model,
        loss=LOSSES[loss],
        train=train,
        valid=valid,
        test=test,
        batch_size=batch_size,
        metrics={"accuracy": _accuracy},
    )
