"""A small study and a small run of a workload of one's own, for tests of what their folders take."""

import sys
from pathlib import Path

WORKLOAD = """
import pathlib
import torch
from helper import loss
from tapered import Workload

values = [i / 100 for i in range(40)]
values[33] = float((pathlib.Path(__file__).parent / "data.txt").read_text())


class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, i):
        return torch.tensor([values[i]]), torch.tensor([values[i] ** 2])


def model():
    import lazily
    return torch.nn.Sequential(torch.nn.Linear(1, lazily.WIDTH), torch.nn.Tanh(), torch.nn.Linear(lazily.WIDTH, 1))


def problem():
    return Workload(name="p", model=model, loss=loss, train=Data(), valid=Data(), batch_size=20)
"""
HELPER = "import torch\n\n\ndef loss(o, t):\n    return 1.0 * torch.nn.functional.mse_loss(o, t)\n"
STUDY = """
name = "s"
workload = "w.py:problem"
steps = 6
seeds = 2
evaluations = 2
baseline = "a"
peaks = { low = 0.01, high = 0.1, count = 2 }
[[arms]]
name = "a"
rule = "SGD"
lr = "constant(1.0)"
[[arms]]
name = "b"
rule = "SGD"
lr = "hold(0.5*steps).then(cooldown(0.5*steps))"
"""


def write(folder: Path) -> None:
    """The workload in three files, its data, and a study of it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "w.py").write_text(WORKLOAD)
    (folder / "helper.py").write_text(HELPER)
    (folder / "lazily.py").write_text("WIDTH = 8\n")
    (folder / "data.txt").write_text("0.33")
    (folder / "s.toml").write_text(STUDY)


def forget(folder: Path) -> None:
    """What a new process would not have: the workload's modules, and where they lie."""
    for name in ("w", "helper", "lazily", "dynamic"):
        sys.modules.pop(name, None)
    sys.path[:] = [place for place in sys.path if place != str(folder.resolve())]
