"""What a GPU does that the processor does not: seen through stand-ins that refuse, or are late, as a GPU is."""

import os
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from test_devices import LOOP, ROWS, Drawn, data, problem, same, standing_in, trained
from torch import nn
from torch.utils.data import TensorDataset

from tapered import draws
from tapered.rules.kernels import exact
from tapered.training import devices, stack
from tapered.training.advance import Mode, evaluate
from tapered.training.batches import Batches
from tapered.training.items import ItemError
from tapered.training.reasons import UndeterminedError, undetermined, unstackable
from tapered.training.recipe import Recipe
from tapered.training.sending import sent_ahead

__all__ = ["standing_in"]  # a fixture
THERE = torch.device("cpu:0")
NO_KERNEL = (
    "{} does not have a deterministic implementation, but you set 'torch.use_deterministic_algorithms(True)'. You can "
    "turn off determinism just for this operation, or you can use the 'warn_only=True' option"
)


class Generator:
    """A GPU's: a process that was forked from the one that began there can do nothing with it."""

    def __init__(self):
        self.owner, self.inner = os.getpid(), torch.Generator()

    def __getattr__(self, name):
        if os.getpid() != self.owner:
            raise RuntimeError("CUDA error: initialization error")
        return getattr(self.inner, name)


def test_workers_leave_the_device_alone(standing_in, monkeypatch):  # noqa: ARG001
    there = replace(problem("cuda", drawn=True), recipe=Recipe(device="cuda", workers=2))
    monkeypatch.setattr(draws, "FOLLOWING", [Generator()])
    assert same(trained(there), trained(replace(there, recipe=Recipe(device="cuda"))))


class Refusing(nn.Module):
    """As torch.distributions do, it raises where a weight is no number."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 1)

    def forward(self, x):
        if self.layer.weight.isnan().any():
            raise ValueError("expected parameter loc to satisfy the constraint Real()")
        return self.layer(x)


@pytest.mark.usefixtures("standing_in")
@pytest.mark.parametrize("lost", [True, False])
def test_a_model_that_raises_after_it_diverged_has_diverged(monkeypatch, lost):
    monkeypatch.setattr(devices, "AHEAD", 7)
    x, y = data().tensors
    here = replace(problem(), order="given", model=Refusing, metrics={})
    worst = here.batch(0, 2).tolist()[3] if lost else 0
    targets = torch.where(torch.arange(len(y))[:, None] == worst, float("inf") if lost else y, y)
    here = replace(here, train=TensorDataset(x, targets))
    mine, theirs = trained(here), trained(replace(here, recipe=Recipe(device="cuda")))
    assert mine.diverged == theirs.diverged == ((2, 2) if lost else (None, None))
    assert mine.losses == theirs.losses


@pytest.mark.usefixtures("standing_in")
def test_what_raises_otherwise_is_raised(monkeypatch):
    monkeypatch.setattr(devices, "AHEAD", 7)
    calls = iter([False] * 3 + [True])

    def loss(outputs, targets):
        if next(calls):
            raise LookupError("a mistake")
        return nn.functional.mse_loss(outputs, targets)

    with pytest.raises(LookupError, match="a mistake"):
        trained(replace(problem("cuda"), loss=loss))


def logged(events, device):
    """What happens when: items are made, and batches used, of a few that are sent to a device."""

    def made():
        for k in range(3):
            events.append(f"made {k}")
            yield k

    for k in sent_ahead(device, made()):
        events.append(f"used {k}")
    return events


def test_a_batch_is_sent_while_the_one_before_it_is_used():
    assert logged([], devices.CPU) == ["made 0", "used 0", "made 1", "used 1", "made 2", "used 2"]
    assert logged([], THERE) == ["made 0", "made 1", "used 0", "made 2", "used 1", "used 2"]
    assert list(sent_ahead(THERE, iter([]))) == []


class Broken(Drawn):
    """An item that cannot be made, and is wanted late."""

    def __getitem__(self, i):
        if i == 5 * 8:
            raise OSError("it is not there")
        return super().__getitem__(i)


@pytest.mark.usefixtures("standing_in")
def test_what_raises_ahead_of_its_step_waits_for_it():
    of, made = replace(problem("cuda"), train=Broken(data()), order="given"), []
    with pytest.raises(ItemError, match=r"item 40 of the train split, fetched for step 5 of seed 0, raised OSError"):
        trained(of, on_step=made.append)
    assert sum(made) == 5
    assert trained(of, steps=5).steps == (5, 5)


class Stub:
    """A tensor of the processor's whose moves are seen."""

    def __init__(self, *, pinned):
        self.device, self.pinned, self.seen = torch.device("cpu"), pinned, []

    def is_pinned(self):
        return self.pinned

    def pin_memory(self):  # since torch 2.8 it warns of a device
        self.seen.append("pinned")
        return self

    def to(self, device, *, non_blocking=False):
        self.seen.append((device.type, non_blocking))
        return self


@pytest.mark.parametrize(
    ("device", "pinned", "seen"),
    [
        ("cuda:0", False, ["pinned", ("cuda", True)]),
        ("cuda:0", True, [("cuda", False)]),  # by somebody who may write there again
        ("mps", False, [("mps", False)]),
    ],
)
def test_only_memory_that_nobody_else_writes_is_not_waited_for(device, pinned, seen):
    assert devices._copied(Stub(pinned=pinned), torch.device(device)).seen == seen


@pytest.mark.usefixtures("standing_in")
@pytest.mark.parametrize(("device", "width"), [("cpu", 8), ("cuda", 16)])
def test_rows_on_a_device_go_through_at_one_width(monkeypatch, device, width):
    seen = set()
    monkeypatch.setattr(stack, "Batches", lambda of, seeds, *rest: seen.add(len(seeds)) or Batches(of, seeds, *rest))
    real = stack.measured
    monkeypatch.setattr(stack, "measured", lambda *given: seen.add(len(given[3])) or real(*given))
    of, mode = problem(device), Mode("rows", 16, "tried")
    rows = trained(of, mode)
    assert len(rows) == 3
    assert evaluate(of, rows, "valid", mode=mode)[0].keys() == {"loss", "error"}
    assert seen == {width}


@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=lambda mode: mode.kind)
def test_what_torch_cannot_repeat_is_refused_in_a_sentence(monkeypatch, mode):
    def loss(*_):
        raise RuntimeError(NO_KERNEL.format("nll_loss2d_forward_out_cuda_template"))

    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    with pytest.raises(UndeterminedError) as raised:
        trained(replace(problem(), loss=loss), mode)
    assert str(raised.value).startswith("torch has no nll_loss2d on this device that gives the same bits each time")
    assert "cross_entropy(outputs.movedim(1, -1).flatten(0, -2), targets.flatten())" in str(raised.value)
    assert "torch has no nll_loss2d on this device" in unstackable(raised.value)
    assert torch.backends.cudnn.benchmark
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("said", "begins"),
    [
        (NO_KERNEL.format("cumsum_cuda_kernel"), "torch has no cumsum on"),
        (NO_KERNEL.format("kthvalue CUDA"), "torch has no kthvalue on"),
        (NO_KERNEL.format("upsample_bilinear2d_backward_out_cuda"), "torch has no upsample_bilinear2d on"),
        ("it uses CuBLAS; you must set CUBLAS_WORKSPACE_CONFIG=:4096:8", "torch made a product on the GPU before"),
    ],
)
def test_refusals_of_torch_in_words(said, begins):
    assert undetermined(RuntimeError(said)).startswith(begins)
    assert undetermined(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None


def test_an_operation_that_is_not_there_is_no_write_in_place():
    said = "Could not run 'aten::_conv_depthwise2d' with arguments from the 'CPU' backend. [ADInplaceOrView, sparse]"
    assert unstackable(NotImplementedError(said)) == "torch has no _conv_depthwise2d for this device, or not stacked"


def test_apples_gpus_have_no_double_precision():
    count = torch.tensor(3.0)
    mps = SimpleNamespace(device=SimpleNamespace(type="mps"), cpu=lambda: count, double=lambda: 1 / 0)
    assert exact(mps).dtype == exact(count).dtype == torch.float64


@pytest.mark.usefixtures("standing_in")
def test_a_run_that_is_stopped_goes_on_where_batches_were_sent_ahead():
    of = problem("cuda", drawn=True)
    cut = trained(of, on_step=lambda _: True)
    assert cut.steps == (1, 0)
    assert same(trained(of, rows=cut), trained(of))
