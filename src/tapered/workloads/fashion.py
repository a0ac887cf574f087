"""W6: Fashion-MNIST (Xiao et al. 2017), 28x28 pictures of ten kinds of clothes, from Debian's package.

picture ─► conv 8 ─► pool ─► conv 16 ─► pool ─► 64 ─► 10
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from tapered.training.workload import Workload
from tapered.workloads import data

FOLDER = "/usr/share/datasets/fashion-mnist"
INSTALL = "apt-get install dataset-fashion-mnist"
SHA256 = {  # of the raw bytes, since the packages' compression differs
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
VALID = 5_000
MEAN, SPREAD = 0.286, 0.353  # of all training pixels in [0, 1]


def read(name: str, folder: str = FOLDER) -> Tensor:
    """One IDX file: uint8, shape (n, 28, 28) for pictures and (n,) for labels.

    Raises:
        MissingDataError: If it is not there, with the line that installs it.
        ChangedDataError: If its content is another.
    """
    install = f'{INSTALL}, or folder="..." with the four .gz files of Fashion-MNIST'
    content = data.file(Path(folder) / f"{name}.gz", SHA256[name], install)
    header = 4 + 4 * content[3]  # magic number, whose last byte counts the dimensions, then a size for each
    sizes = [int.from_bytes(content[at : at + 4], "big") for at in range(4, header, 4)]
    return torch.frombuffer(bytearray(content[header:]), dtype=torch.uint8).view(sizes)


def _set(images: Tensor, labels: Tensor) -> TensorDataset:
    return TensorDataset(((images.float() / 255 - MEAN) / SPREAD)[:, None], labels.long())


def _model() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def fashion_mnist(*, examples: int = 10_000, batch_size: int = 128, folder: str = FOLDER) -> Workload:
    """Fashion-MNIST: ``examples`` to train on, 5,000 to validate, the official 10,000 to test.

    The file's own order, which is random, is kept: the first 55,000 are there for training, the last 5,000 of the
    training file validate.

    Args:
        examples: Training examples, up to 55,000: 10,000 for a study, all to confirm.
        batch_size: Examples a step.
        folder: Where the four .gz files are.

    Raises:
        MissingDataError: If they are not there, with the line that installs them.
        ChangedDataError: If their content is another.
        ValueError: If ``examples`` is out of range.

    Example:
        >>> from tapered.workloads.data import MissingDataError
        >>> try:
        ...     problem = fashion_mnist(examples=1000, folder="nowhere")
        ... except MissingDataError as error:
        ...     print("apt-get install dataset-fashion-mnist" in str(error))
        True
    """
    if not 1 <= examples <= 60_000 - VALID:
        raise ValueError(f"got examples={examples}; expected 1 to {60_000 - VALID}; try examples=10_000")
    images, labels, test_images, test_labels = (read(name, folder) for name in SHA256)
    return Workload(
        name="fashion_mnist",
        model=_model,
        loss=functional.cross_entropy,
        train=_set(images[:examples], labels[:examples]),
        valid=_set(images[-VALID:], labels[-VALID:]),
        test=_set(test_images, test_labels),
        batch_size=batch_size,
        metrics={"accuracy": data.accuracy},
        facts={"data": "Fashion-MNIST", **{f"sha256 of {name}": value for name, value in SHA256.items()}},
    )
