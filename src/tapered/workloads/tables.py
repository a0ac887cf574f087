"""W3 and W4: small tables that scikit-learn carries in its wheel: digits, breast cancer, diabetes.

Rows are put in a fixed order and split; features are standardised by the training split, column by column.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from tapered.training.workload import Workload
from tapered.workloads import data

SHA256 = {
    "digits": "f19a7d92591ca0a1ffc65ec172e8149afdff995e0d2c4cb0afd151f38471ff90",
    "breast_cancer": "cdd5f37c36cbdfc2e5ee074cec7540fac54340874afb25917a673e446270d0d0",
    "diabetes": "e9c1f7559552854a24dc45b41c446ce5f79f96e5da081bcce24b57492720b3f7",
}


def table(name: str) -> tuple[Tensor, Tensor, dict[str, str]]:
    """Features (rows, columns) in float64 and targets (rows,) of scikit-learn's table, and facts of it.

    Raises:
        MissingDataError: If scikit-learn is not installed.
        ChangedDataError: If its table is another than the one of the published results.
    """
    source = data.module("sklearn.datasets")
    options: dict[str, Any] = {"scaled": False} if name == "diabetes" else {}
    x, y = getattr(source, f"load_{name}")(return_X_y=True, **options)
    if name == "diabetes":
        x = x.round(4)  # of 4.803999999999999, which older files have, to 4.804
    content = x.astype("<f8").tobytes() + y.astype("<f8").tobytes()
    data.check(f"scikit-learn's {name}", content, SHA256[name])
    facts = {"data": f"scikit-learn {data.module('sklearn').__version__}, {name}", "sha256": SHA256[name]}
    return torch.from_numpy(x), torch.from_numpy(y), facts


def _sets(name: str, sizes: tuple[int, int, int], x: Tensor, y: Tensor) -> tuple[TensorDataset, ...]:
    return data.standardised(data.parts(name, sizes, x, y))


class Affine(nn.Module):
    """x @ w + b, one number an example, initialised as ``nn.Linear(width, 1)``.

    That layer itself, stacked, would give a row bits that depend on its neighbours.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        layer = nn.Linear(width, 1)
        self.w = nn.Parameter(layer.weight.detach()[0].clone())
        self.b = nn.Parameter(layer.bias.detach()[0].clone())

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (n, width) -> (n,)."""
        return x @ self.w + self.b


def digits(*, batch_size: int = 32) -> Workload:
    """W3: 1,797 handwritten digits of 8x8, split 1,197 / 300 / 300; a perceptron 64-64-10 with ReLU.

    Args:
        batch_size: Examples a step.

    Raises:
        MissingDataError: If scikit-learn is not installed.

    >>> digits().steps_per_epoch
    37
    """
    x, y, facts = table("digits")
    train, valid, test = _sets("digits", (1197, 300, 300), x, y.long())
    return Workload(
        name="digits",
        model=lambda: nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)),
        loss=functional.cross_entropy,
        train=train,
        valid=valid,
        test=test,
        batch_size=batch_size,
        metrics={"accuracy": data.accuracy},
        facts=facts,
    )


def breast_cancer(*, batch_size: int = 32) -> Workload:
    """W3: 569 tumours of 30 measures, benign or not, split 369 / 100 / 100; a perceptron 30-32-2 with ReLU.

    Args:
        batch_size: Examples a step.

    Raises:
        MissingDataError: If scikit-learn is not installed.

    >>> breast_cancer().steps_per_epoch
    11
    """
    x, y, facts = table("breast_cancer")
    train, valid, test = _sets("breast_cancer", (369, 100, 100), x, y.long())
    return Workload(
        name="breast_cancer",
        model=lambda: nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 2)),
        loss=functional.cross_entropy,
        train=train,
        valid=valid,
        test=test,
        batch_size=batch_size,
        metrics={"accuracy": data.accuracy},
        facts=facts,
    )


def logistic() -> Workload:
    """W4: logistic regression on the breast cancer data, full batch: smooth, convex, without noise.

    The ten mean measures only, which do not separate the classes, so that the training loss has one finite minimum.
    The initial weights follow the seed; nothing else does.

    Raises:
        MissingDataError: If scikit-learn is not installed.

    >>> logistic().steps_per_epoch
    1
    """
    x, y, facts = table("breast_cancer")
    train, valid, test = _sets("breast_cancer", (369, 100, 100), x[:, :10], y.float())
    return Workload(
        name="logistic",
        model=lambda: Affine(10),
        loss=functional.binary_cross_entropy_with_logits,
        train=train,
        valid=valid,
        test=test,
        batch_size=369,
        metrics={"accuracy": lambda outputs, targets: (outputs > 0) == (targets > 0)},
        order="given",
        facts=facts,
    )


def diabetes(model: Literal["linear", "perceptron"] = "linear", *, batch_size: int | None = None) -> Workload:
    """W4: a year's progress of diabetes from ten measures of 442 patients, split 282 / 80 / 80; squared error.

    The target is standardised like the features, so that a loss of 1 is that of the mean.

    Args:
        model: "linear" (11 parameters; the optimum is least squares') or "perceptron" (10-32-1 with ReLU).
        batch_size: Examples a step; None takes all, so that there is no noise.

    Raises:
        MissingDataError: If scikit-learn is not installed.
        ValueError: If ``model`` is neither.

    >>> diabetes().steps_per_epoch, diabetes("perceptron", batch_size=32).steps_per_epoch
    (1, 8)
    """
    models: dict[str, Callable[[], nn.Module]] = {
        "linear": lambda: Affine(10),
        "perceptron": lambda: nn.Sequential(nn.Linear(10, 32), nn.ReLU(), Affine(32)),
    }
    if model not in models:
        raise ValueError(f'got model={model!r}; expected one of {", ".join(models)}; try model="linear"')
    x, y, facts = table("diabetes")
    sets = _sets("diabetes", (282, 80, 80), x, y)
    mean, spread = sets[0].tensors[1].mean(), sets[0].tensors[1].std(unbiased=False)
    train, valid, test = (TensorDataset(s.tensors[0], ((s.tensors[1] - mean) / spread).float()) for s in sets)
    return Workload(
        name="diabetes",
        model=models[model],
        loss=functional.mse_loss,
        train=train,
        valid=valid,
        test=test,
        batch_size=batch_size or 282,
        metrics={"absolute error": functional.l1_loss},
        order="shuffled" if batch_size else "given",
        facts=facts,
    )
