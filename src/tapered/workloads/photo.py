"""W5: a picture learnt by heart: 64x64 pixels as a function of their place. Full batch, no gradient noise.

place (x, y) ─► sin and cos of 64 random frequencies ─► 64 ─► 64 ─► 64 ─► red, green, blue      (Tancik et al. 2020)

What a decaying rate gains here it does not gain by averaging noise out.
"""

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from tapered.draws import generator_seed
from tapered.training.workload import Workload
from tapered.workloads import data

SHA256 = "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29"  # of china.jpg
SIZE, TOP, LEFT = 64, 64, 200  # the crop: a corner of the highest roof before the sky
FREQUENCIES, SPREAD = 64, 4.0


def pixels() -> tuple[Tensor, dict[str, str]]:
    """The crop of scikit-learn's china.jpg, float32 in [0, 1], shape (64, 64, 3), and facts of it.

    The file's hash is checked. The decoded pixels' hash is a fact only: decoders may differ in a last bit.

    Raises:
        MissingDataError: If scikit-learn or Pillow is not installed.
        ChangedDataError: If the file is another.
    """
    folder = Path(data.module("sklearn.datasets").__file__).parent
    content = data.file(folder / "images" / "china.jpg", SHA256, data.EXTRA)
    picture = np.asarray(data.module("PIL.Image").open(io.BytesIO(content)).convert("RGB"))
    crop = np.ascontiguousarray(picture[TOP : TOP + SIZE, LEFT : LEFT + SIZE])
    facts = {"data": "scikit-learn china.jpg", "sha256": SHA256, "sha256 of pixels": data.digest(crop.tobytes())}
    return torch.from_numpy(crop).float() / 255, facts


def encoded() -> Tensor:
    """sin and cos of 2 pi B p for each pixel's place p in [0, 1)^2, float32, shape (4096, 128).

    B is normal with standard deviation 4 cycles a picture, the same for every seed.
    """
    line = torch.arange(SIZE, dtype=torch.float64) / SIZE
    places = torch.cartesian_prod(line, line)
    generator = torch.Generator().manual_seed(generator_seed(0, "photo"))
    angles = 2 * torch.pi * places @ (SPREAD * torch.randn(2, FREQUENCIES, generator=generator, dtype=torch.float64))
    return torch.cat([angles.sin(), angles.cos()], 1).float()


def _model() -> nn.Module:
    return nn.Sequential(
        nn.Linear(2 * FREQUENCIES, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
        nn.Linear(64, 3), nn.Sigmoid(),
    )  # fmt: skip


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().mean()


def _psnr(outputs: Tensor, targets: Tensor) -> Tensor:
    return (-10 * (outputs - targets).double().square().mean((-2, -1)).log10()).mean()


def photo() -> Workload:
    """The picture as one example of 4,096 pixels: one step is an epoch, and validation is the same picture.

    Metric: "psnr" in dB, -10 log10 of the mean squared error. There is no test split: learning by heart is the task.

    Raises:
        MissingDataError: If scikit-learn or Pillow is not installed.

    >>> photo().train.tensors[0].shape
    torch.Size([1, 4096, 128])
    """
    crop, facts = pixels()
    picture = TensorDataset(encoded()[None], crop.reshape(1, -1, 3))
    return Workload(
        name="photo",
        model=_model,
        loss=_squared_error,
        train=picture,
        valid=picture,
        batch_size=1,
        metrics={"psnr": _psnr},
        order="given",
        facts=facts,
    )
