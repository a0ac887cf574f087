"""A resumed run gives the numbers of the uninterrupted one, bit for bit."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_cases import MODELS, OPTIMIZERS, STEPS, WAYS, Run, same_bits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import tapered
from tapered import checkpoint
from tapered.checkpoint import Batches, CheckpointError, release, resume, save
from tapered.files import tree as trees

# the whole product, across processes, is benchmarks/faults/resume_bits.py
CASES = [
    *((model, "Adam", "float32") for model in MODELS),
    *(("perceptron", name, "float32") for name in OPTIMIZERS if name != "Adam"),
    *(("perceptron", name, way) for name in ("Adam", "fused Adam, attached") for way in WAYS[1:]),
]


@pytest.mark.parametrize(("model", "optimizer", "way"), CASES)
def test_saved_at_every_step_in_turn(model, optimizer, way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint.files.os, "fsync", lambda _: None)  # 30 saves; the disk is tested elsewhere
    whole, bits, drawn = Run(model, optimizer, way), {}, {}

    def each(step: int) -> None:
        save(tmp_path, step, keep=None, **whole.parts)
        bits[step], drawn[step] = whole.bits(), torch.get_rng_state()

    whole.train(0, STEPS + 3, each)
    for step in range(1, STEPS + 1):
        torch.manual_seed(99)
        again = Run(model, optimizer, way)
        found = resume(tmp_path, step=step, **again.parts)
        again.train(found.step, step + 3)  # from where all that a step reads has the same bits as in the whole run
        assert again.losses == whole.losses[step : step + 3]
        assert same_bits(again.bits(), bits[step + 3])
        assert torch.equal(torch.get_rng_state(), drawn[step + 3])


SCRIPT = """
import sys; sys.path[:0] = {paths!r}
import torch; torch.set_num_threads(1)
from checkpoint_cases import Run
from tapered.checkpoint import resume, save
run = Run("convolution", "fused Adam, attached")
start = resume({folder!r}, **run.parts).step if sys.argv[1] != "0" else 0
run.train(start, int(sys.argv[2]), lambda step: save({folder!r}, step, **run.parts) if step % 10 == 0 else None)
print(run.losses)
"""


def test_across_processes(tmp_path: Path) -> None:
    code = SCRIPT.format(paths=sys.path, folder=str(tmp_path))
    first, second = (
        json.loads(subprocess.check_output([sys.executable, "-c", code, *span], text=True))
        for span in (("0", "15"), ("15", "30"))
    )
    whole = Run("convolution", "fused Adam, attached")
    whole.train(0, 30)
    assert whole.losses == first[:10] + second  # from the save at step 10


def test_a_plain_script_that_shuffles_by_epoch(tmp_path: Path) -> None:
    """Saved between epochs: the shared generator's state is all that shuffling and dropout need."""

    def epochs(start: int, stop: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> list[float]:
        data = TensorDataset(torch.linspace(-1, 1, 40)[:, None], torch.linspace(0, 2, 40)[:, None])
        loader, losses = DataLoader(data, batch_size=8, shuffle=True), []
        for epoch in range(start, stop):
            for x, y in loader:
                optimizer.zero_grad()
                loss = (model(x) - y).square().mean()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            save(tmp_path, optimizer.steps, keep=None, model=model, optimizer=optimizer, epoch=epoch + 1)
        return losses

    def build() -> tuple[nn.Module, tapered.Adam]:
        torch.manual_seed(5)
        model = nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.5), nn.Linear(8, 1))
        return model, tapered.Adam(model.parameters(), lr=tapered.cosine_decay(0.1, decay_steps=40))

    whole = epochs(0, 6, *build())
    model, optimizer = build()
    found = resume(tmp_path, step=15, model=model, optimizer=optimizer)
    assert found.values == {"epoch": 3}
    assert epochs(found.values["epoch"], 6, model, optimizer) == whole[15:]


@pytest.mark.parametrize("make", [
    lambda o: torch.optim.lr_scheduler.LinearLR(o, 0.1, total_iters=20),
    lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda k: 0.9**k),
    lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [5, 15]),
    lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 7),
    lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.5, 30),
    lambda o: torch.optim.lr_scheduler.CyclicLR(o, 0.1, 0.5, 4),
    lambda o: torch.optim.lr_scheduler.SequentialLR(o, [torch.optim.lr_scheduler.LinearLR(o, 0.1, total_iters=5),
                                                        torch.optim.lr_scheduler.CosineAnnealingLR(o, 20)], [5]),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:The epoch parameter in")
def test_torch_optimizers_with_torch_schedulers(make, tmp_path: Path) -> None:
    def build():
        torch.manual_seed(0)
        model = nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        return {"model": model, "optimizer": optimizer, "scheduler": make(optimizer)}

    def train(parts, start, stop):
        rates = []
        for step in range(start, stop):
            parts["optimizer"].zero_grad()
            parts["model"](torch.full((1, 3), step / 10)).sum().backward()
            rates.append(parts["optimizer"].param_groups[0]["lr"])
            parts["optimizer"].step()
            parts["scheduler"].step()
        return rates

    parts = build()
    train(parts, 0, 12)
    save(tmp_path, 12, **parts)
    rates = train(parts, 12, 30)
    again = build()
    resume(tmp_path, **again)
    assert train(again, 12, 30) == rates
    assert torch.equal(again["model"].weight, parts["model"].weight)
    bare = nn.Linear(3, 1)
    lone = {"model": bare, "optimizer": torch.optim.SGD(bare.parameters(), lr=0.1, momentum=0.9)}
    with pytest.raises(CheckpointError, match=r"give \['scheduler'\] too"):
        resume(tmp_path, **lone)
    with pytest.raises(CheckpointError, match="a torch scheduler was made for `optimizer` and is not among the parts"):
        save(tmp_path / "other", 0, model=again["model"], optimizer=again["optimizer"])


def test_a_scaler_that_skips(tmp_path: Path) -> None:
    def build():
        torch.manual_seed(0)
        model = nn.Linear(3, 1)
        optimizer = tapered.Adam(model.parameters(), lr=tapered.linear(0.1, 0.0, steps=20))
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)
        return {"model": model, "optimizer": optimizer, "scaler": scaler}

    def train(parts, start, stop):
        for step in range(start, stop):
            parts["optimizer"].zero_grad()
            loss = parts["model"](torch.full((1, 3), float("inf") if step in (4, 8) else step / 10)).sum()
            parts["scaler"].scale(loss).backward()
            parts["scaler"].step(parts["optimizer"])
            parts["scaler"].update()

    parts = build()
    train(parts, 0, 6)
    save(tmp_path, parts["optimizer"].steps, **parts)
    train(parts, 6, 12)
    again = build()
    assert resume(tmp_path, **again).step == 5
    train(again, 6, 12)
    assert torch.equal(again["model"].weight, parts["model"].weight)
    assert again["scaler"].state_dict() == parts["scaler"].state_dict()
    assert again["optimizer"].steps == parts["optimizer"].steps == 10


def test_tensors_of_every_kind(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    tree = {
        "scalar": torch.tensor(3), "bfloat16": torch.randn(3).bfloat16(), "empty": torch.empty(0, 3),
        "strided": base.t(), "part": base[1:, ::2], "expanded": torch.ones(1).expand(5), "again": base,
        "complex": torch.randn(2, dtype=torch.complex128), "conjugate": torch.randn(2, dtype=torch.complex64).conj(),
        "wide": torch.tensor([2**40], dtype=torch.uint64), "float8": torch.ones(3).to(torch.float8_e4m3fn),
        "bool": torch.tensor([True, False]), "shared": base.clone().share_memory_(),
        "nan": torch.tensor([float("nan")]),
        "image": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "numpy": np.arange(3, dtype=np.uint16), "number": np.float32(0.1), "numbers": (1, -2.5, float("inf"), None),
        "text": "~x \ud83d"[:3], "set": {1, 2}, "deep": {3: [True, {"~odd": 1j}]}, "zero": -0.0, "big": 2**200,
    }  # fmt: skip
    save(tmp_path, 0, tree=tree)
    found = resume(tmp_path).values["tree"]
    assert found.keys() == tree.keys()
    for key, value in tree.items():
        if isinstance(value, torch.Tensor):
            assert (found[key].dtype, found[key].shape) == (value.dtype, value.shape)
            assert trees.same(found[key], value), key
        else:
            assert type(found[key]) is type(value)
            assert np.array_equal(found[key], value) if isinstance(value, np.ndarray) else found[key] == value
    assert found["image"].stride() == tree["image"].stride()
    assert found["strided"].stride() == tree["strided"].stride()
    assert str(found["zero"]) == "-0.0"


def test_every_generator(tmp_path: Path) -> None:
    own = {"torch_own": torch.Generator(), "numpy_own": np.random.default_rng(1), "python_own": random.Random(1),
           "old": np.random.RandomState(1)}  # fmt: skip

    def draw():
        np.random.standard_normal()  # noqa: NPY002 - the shared one; leaves half a pair behind
        return [
            random.gauss(0, 1), np.random.rand(), torch.rand(()).item(), own["numpy_own"].normal(),  # noqa: NPY002 - as above
            torch.rand((), generator=own["torch_own"]).item(), own["python_own"].random(), own["old"].normal(),
        ]  # fmt: skip

    draw()
    save(tmp_path, 0, **own)
    first = draw()
    assert draw() != first
    resume(tmp_path, **own)
    assert draw() == first
    resume(tmp_path, generators=False, **own)
    assert draw()[0] != first[0]
    with pytest.raises(CheckpointError, match=r"`numpy_own` was saved from numpy\.random\._generator\.Generator; got"):
        resume(tmp_path, **{**own, "numpy_own": own["old"]})
    with pytest.raises(CheckpointError, match="was a generator of numpy PCG64; got one of numpy MT19937"):
        resume(tmp_path, **{**own, "numpy_own": np.random.Generator(np.random.MT19937())})


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    def build(*, tied: bool) -> nn.Module:
        model = nn.ModuleList([nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)])
        if tied:
            model[1].weight = model[0].weight
        return model

    model = build(tied=True)
    path = save(tmp_path, 0, model=model, optimizer=tapered.SGD(model.parameters(), lr=0.1))
    assert (path / "tensors-0.safetensors").stat().st_size < 12_000  # one copy, beside the generators' states
    again = build(tied=True)
    resume(tmp_path, model=again, optimizer=tapered.SGD(again.parameters(), lr=0.1))
    assert again[0].weight is again[1].weight
    assert torch.equal(again[0].weight, model[0].weight)
    loose = build(tied=False)
    with pytest.raises(CheckpointError, match=r"`model` ties other tensors .*\[\] now, \[\['0.weight', '1.weight'\]\]"):
        resume(tmp_path, partial=True, model=loose)


def test_averaged_models_and_moments_of_another_type(tmp_path: Path) -> None:
    class Wide(torch.optim.SGD):
        """Keeps float32 moments of bfloat16 weights; torch's loading would cast them down."""

        def step(self, closure=None):
            for p in self.param_groups[0]["params"]:
                self.state[p].setdefault("moment", torch.zeros(p.shape)).add_(p.grad.float() / 3)
            return super().step(closure)

    def build():
        torch.manual_seed(0)
        model = nn.Linear(2, 1).bfloat16()
        return {"model": model, "optimizer": Wide(model.parameters(), lr=0.1),
                "average": torch.optim.swa_utils.AveragedModel(model)}  # fmt: skip

    parts = build()
    for _ in range(3):
        parts["model"](torch.ones(1, 2).bfloat16()).sum().backward()
        parts["optimizer"].step()
        parts["average"].update_parameters(parts["model"])
    save(tmp_path, 3, **parts)
    again = build()
    resume(tmp_path, **again)
    assert again["average"].n_averaged == 3
    moments = [p["optimizer"].state[p["model"].weight]["moment"] for p in (again, parts)]
    assert moments[0].dtype == torch.float32
    assert torch.equal(*moments)


def test_parameters_in_another_order(tmp_path: Path) -> None:
    """FAULTS 35: state follows its parameter's name; torch swaps the moments of like shapes in silence."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))

    def step(optimizer):
        optimizer.zero_grad()
        model(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()

    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    step(optimizer)
    save(tmp_path, 1, model=model, optimizer=optimizer)
    turned = torch.optim.Adam(reversed(list(model.parameters())), lr=0.1)
    resume(tmp_path, model=model, optimizer=turned)
    for p in model.parameters():
        assert torch.equal(turned.state[p]["exp_avg"], optimizer.state[p]["exp_avg"])


def test_compiled_and_plain_models_are_one(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    save(tmp_path, 0, model=torch.compile(model))
    resume(tmp_path, model=nn.Linear(2, 2))


def test_saving_where_tensors_were_mapped_from(tmp_path: Path) -> None:
    """FAULTS 49: files are never written in place."""
    from safetensors.torch import load_file

    save(tmp_path, 0, keep=1, weight=torch.arange(1e5))
    path = next(tmp_path.glob("*-step0")) / "tensors-0.safetensors"
    weight = load_file(path)["weight"]
    save(tmp_path, 1, keep=1, weight=weight)
    assert not path.exists()
    assert torch.equal(weight, torch.arange(1e5))
    again = torch.zeros(100_000)
    resume(tmp_path, weight=again)
    assert torch.equal(again, weight)


def test_what_is_kept(tmp_path: Path) -> None:
    """The newest three, the best by its metric, the last finite one."""
    model = nn.Linear(1, 1)
    for step in range(1, 12):
        with torch.no_grad():
            model.weight.fill_(float("nan") if step > 6 else step)
        save(tmp_path, step, keep=3, metric=float("nan") if step > 6 else abs(step - 4), model=model)
    steps = sorted(int(path.name.split("step")[1]) for path in tmp_path.glob("*-step*"))
    assert steps == [4, 6, 9, 10, 11]
    with pytest.raises(CheckpointError, match=r"not finite; try resume\(..., step=6\)"):
        resume(tmp_path, model=model)
    assert resume(tmp_path, step=6, model=model).metric == 2
    assert model.weight.item() == 6
    resume(tmp_path, step=11, model=model)
    assert model.weight.isnan()


def test_statistics_that_are_nan_are_not_finite(tmp_path: Path) -> None:
    """A guard that skips a step keeps its weights, but BatchNorm saw the batch; an infinite mask is as it should be."""
    model = nn.BatchNorm1d(2)
    model.register_buffer("mask", torch.full((2,), -torch.inf))
    save(tmp_path, 1, model=model)
    model(torch.full((3, 2), torch.nan))
    save(tmp_path, 2, model=model)
    with pytest.raises(CheckpointError, match=r"buffers that are not finite; try resume\(..., step=1\)"):
        resume(tmp_path, model=model)
    assert resume(tmp_path, step=1, model=model).step == 1
    assert model.running_mean.isfinite().all()


def test_newest_is_the_last_written(tmp_path: Path) -> None:
    """FAULTS 47: neither a clock nor the step decides; a run that went back goes on from where it went."""
    import os

    model = nn.Linear(1, 1)
    for step in (10, 20, 30):
        os.utime(save(tmp_path, step, model=model), (0, 4e9 - step * 1e6))
    assert resume(tmp_path, model=model).step == 30
    assert resume(tmp_path, step=10, model=model).step == 10
    save(tmp_path, 15, keep=9, model=model)
    save(tmp_path, 15, keep=9, model=model)  # a step may be saved again
    assert resume(tmp_path, model=model).folder.name == "000005-step15"
    with pytest.raises(CheckpointError, match="got step 12 after step 15"):
        save(tmp_path, 12, model=model)


def test_a_run_goes_on_in_its_own_folder_only(tmp_path: Path) -> None:
    model = nn.Linear(1, 1)
    save(tmp_path, 10, model=model)
    release(tmp_path)
    with pytest.raises(CheckpointError, match="holds a run at step 10 that this one does not go on from"):
        save(tmp_path, 1, model=model)
    run = resume(tmp_path, model=model).run
    save(tmp_path, 11, model=model)
    assert resume(tmp_path, model=model).run == run


def test_batches() -> None:
    with pytest.raises(ValueError, match="got batch_size=5 for 4 examples; try batch_size=4"):
        Batches(4, batch_size=5)
    with pytest.raises(TypeError, match=r"got 1\.5 for `start`"):
        Batches(4, batch_size=2, start=1.5)
    with pytest.raises(ValueError, match="got 0 for `batch_size`; expected at least 1"):
        Batches(4, batch_size=0)
    from itertools import islice

    epoch = list(islice(Batches(7, batch_size=2, seed=4), 3))
    assert len({i for batch in epoch for i in batch}) == 6
    assert epoch != list(islice(Batches(7, batch_size=2, seed=4, start=3), 3))
