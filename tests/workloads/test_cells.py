"""A workload of a notebook's cells: what is written of it runs by itself; what no file can have is refused by name."""

import linecache
import runpy
import sys
import types
from itertools import count
from pathlib import Path

import pytest

import tapered
from tapered.files.errors import StoreError
from tapered.study import Arm, Peaks, Study
from tapered.workloads.cells import written
from tapered.workloads.find import workload_of

NUMBER = count()


class Kernel:
    """A kernel's memory: cells run in `__main__`, and their text is where IPython keeps it."""

    def __init__(self, monkeypatch):
        for name in [name for name in linecache.cache if name.startswith("/tmp/ipykernel_1/")]:
            del linecache.cache[name]
        self.main = types.ModuleType("__main__")
        monkeypatch.setitem(sys.modules, "__main__", self.main)

    def run(self, text):
        name = f"/tmp/ipykernel_1/{next(NUMBER)}.py"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        exec(compile(text, name, "exec"), vars(self.main))
        return self.main


@pytest.fixture
def kernel(monkeypatch, here):  # noqa: ARG001
    """One that stands in a folder of its own."""
    return Kernel(monkeypatch)


CELLS = (
    """
import math
from dataclasses import dataclass
import torch
from torch import nn
import torch.utils
import torch.nn.functional as F
from tapered import Workload
SCALE, NAMES = 0.5, {'a': (1, 2.5, None)}
unused = torch.ones(3)
""",
    """
@torch.no_grad()
def scaled(x: torch.Tensor):
    return x * SCALE * len(NAMES)

@dataclass
class Sizes:
    wide: int = 2

class Base(nn.Module):
    wide = Sizes().wide

class Net(Base):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(self.wide, 1)

    def forward(self, x):
        return self.linear(F.relu(x))
""",
    """
def data(n):
    unused = 3  # a name of its own, whatever the notebook has under it
    x = scaled(torch.arange(2.0 * n).reshape(n, 2)) + unused
    return torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True))

make = Net

if True:
    def problem(n=8):
        splits = {"train": data(n), "valid": data(4)}
        return Workload("cells", model=lambda: make(), loss=nn.functional.mse_loss, **splits, batch_size=2)
""",
)


def problem_of(kernel, cells=CELLS):
    for cell in cells:
        found = kernel.run(cell)
    return found.problem


def study(workload, **more):
    arms = [Arm(name="constant", rule="SGD", lr="constant(1.0)"), Arm(name="cosine", rule="SGD", lr="cosine")]
    given = {"name": "mine", "steps": 4, "seeds": 1, "evaluations": 1, "baseline": "constant", "mode": "loop"}
    peaks = Peaks(low=0.001, high=0.002, count=2)
    return Study(**given, workload=workload, peaks=peaks, arms=arms, **more)


def test_what_is_written_is_all_that_runs_and_makes_the_same_workload(kernel):
    found = problem_of(kernel)
    text = written(found)
    path, _, name = text.partition(":")
    assert name == "problem"
    assert Path(path).parent == Path("studies/cells")
    assert "unused = torch.ones" not in Path(path).read_text()
    assert "\nimport torch.utils.data\n" in Path(path).read_text()  # what is reached through torch
    assert "import math" not in Path(path).read_text()  # which nothing uses
    workload, _ = workload_of(text, {"n": 6})
    assert workload.fingerprint() == found(n=6).fingerprint()
    assert runpy.run_path(path)["problem"]().name == "cells"


def test_the_same_cells_in_a_new_kernel_find_the_folder_and_others_are_refused(kernel, monkeypatch):
    first = tapered.study(study(problem_of(kernel)))
    text = Path(first.folder, "study.toml").read_text()
    again = Kernel(monkeypatch)
    again.run("import os\n")  # another order, and other numbers of cells
    asked = study(problem_of(again))
    assert asked.workload in text
    kept = [path.stat().st_mtime_ns for path in Path(first.folder, "runs").iterdir()]
    assert tapered.study(asked).folder == first.folder
    assert kept == [path.stat().st_mtime_ns for path in Path(first.folder, "runs").iterdir()]

    other = Kernel(monkeypatch)
    asked = study(problem_of(other, [*CELLS[:1], CELLS[1].replace("int = 2", "int = 1 + 1"), CELLS[2]]))
    with pytest.raises(StoreError, match=r"(?s)study\.workload: .*workload\.file: ") as caught:
        tapered.study(asked, store=first.folder)
    assert "workload.train" not in str(caught.value)  # the code alone is another


def fails(kernel, cell, name="problem"):
    kernel.run(CELLS[0])
    kernel.run(cell)
    with pytest.raises(TypeError) as caught:
        study(getattr(kernel.main, name))
    assert "%%writefile mine.py" in str(caught.value)
    assert not Path("studies").exists()
    return str(caught.value)


def test_data_that_is_in_memory_alone_is_refused_by_name(kernel):
    said = fails(kernel, "def problem():\n    return unused\n")
    assert said.startswith(
        "workload=problem uses unused, a Tensor that is in this notebook's memory alone; make it inside"
    )
    said = fails(kernel, "rate = float('nan')\ndef inner():\n    return rate\ndef problem():\n    return inner()\n")
    assert "uses rate, a float that" in said
    assert "uses later, a list that" in fails(kernel, "later = [unused]\ndef problem(n=len(later)):\n    return n\n")


def test_what_no_cell_has_the_text_of_is_refused(kernel):
    outer = "def outer(n):\n    def problem():\n        return n\n    return problem\nproblem = outer(3)\n"
    assert "uses problem, which holds n of the function that made it; pass it as a default" in fails(kernel, outer)
    assert "uses f, a lambda, whose text is no statement of its own; make it a def" in fails(
        kernel, "f = lambda: 3\ndef problem():\n    return f()\n"
    )
    exec("def problem():\n    return 3\n", vars(kernel.main))
    assert "uses problem, whose text is in no cell" in fails(kernel, "pass\n")
    kernel.run("class Net(nn.Module):\n    def forward(self, x):\n        return x\n")
    kernel.run("def forward(self, x):\n    return -x\nNet.forward = forward\n")  # what runs is not what the cell says
    assert "uses Net, whose text is in no cell" in fails(kernel, "def problem():\n    return Net()\n")
    kernel.run("class Two:\n    size = 1\n")
    kernel.run("class Two:\n    size = 2\n")
    assert "uses Two, which cells define in 2 ways; restart the kernel" in fails(
        kernel, "def problem():\n    return Two()\n"
    )
    kernel.run("def f():\n    return 1\n")
    kernel.run("old = f\ndef f():\n    return 2\n")
    assert "uses old, which was defined as f, a name of something else" in fails(
        kernel, "def problem():\n    return old()\n"
    )


def test_an_object_is_refused_with_what_to_write(kernel):
    problem = problem_of(kernel)
    with pytest.raises(TypeError, match=r"got the Workload 'cells' itself, .*; try a function of it, def problem\(\)"):
        study(problem())
    with pytest.raises(TypeError, match=r"try Study\(workload=problem, ...\)"):
        tapered.study(problem())
    with pytest.raises(TypeError, match=r"try Study\(workload=problem, ...\)"):
        tapered.study("bmi", workload=problem)
    with pytest.raises(ValueError, match="workload"):
        study(3)


@pytest.mark.usefixtures("here")
def test_a_function_of_a_file_is_named_by_that(monkeypatch):
    Path("mine.py").write_text(CELLS[0] + CELLS[1] + CELLS[2])
    monkeypatch.syspath_prepend(str(Path.cwd()))
    import mine  # type: ignore[import-not-found]

    assert written(mine.problem) == "mine.py:problem"
    assert written("bmi") == "bmi"
    del sys.modules["mine"]
