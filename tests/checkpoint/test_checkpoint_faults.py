"""Damage, hostile files and states that do not fit: refused by name or survived, and nothing has changed."""

import hashlib
import json
import math
import os
import pickle
import random
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

import tapered
from tapered import checkpoint
from tapered.attach import attach
from tapered.checkpoint import CheckpointError, CheckpointWarning, load_torch, release, resume, save


def build(seed: int = 0, lr=0.1) -> dict:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    return {"model": model, "optimizer": tapered.Adam(model.parameters(), lr=lr)}


def trained(folder: Path, steps: int = 3) -> dict:
    parts = build()
    for step in range(1, steps + 1):
        parts["optimizer"].minimize(parts["model"](torch.ones(2, 3)).square().sum())
        save(folder, step, **parts, epoch=step)
    return parts


def numbers(parts: dict) -> list[torch.Tensor]:
    state = parts["optimizer"].state_dict()
    moments = [value for entry in state["state"].values() for value in entry.values()]
    return [value.clone() for value in [*parts["model"].parameters(), *moments]]


def rewritten(path: Path, change) -> None:
    """Change a checkpoint's state as one who knows the format could, digests and all."""
    state = json.loads((path / "state.json").read_text())
    change(state)
    data = json.dumps(state).encode()
    (path / "state.json").write_bytes(data)
    resealed(path, lambda fields: fields["files"]["state.json"].update(
        bytes=len(data), sha256=hashlib.sha256(data).hexdigest()
    ))  # fmt: skip


def resealed(path: Path, change) -> None:
    fields = json.loads((path / "manifest.json").read_text())
    del fields["digest"]
    change(fields)
    (path / "manifest.json").write_bytes(checkpoint.files.manifest_text(fields))


def flipped(data: bytes) -> bytes:
    place = random.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << random.randrange(8))]) + data[place + 1 :]


DAMAGE = {
    "zero bytes": lambda _: b"",
    "half": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "garbage head": lambda data: b"garbage!" + data[8:],
    "zeroed tail": lambda data: data[: len(data) // 3] + bytes(len(data) - len(data) // 3),
    "appended": lambda data: data + b"junk",
    "flipped": flipped,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("file", ["manifest.json", "state.json", "tensors-0.safetensors"])
def test_damage_falls_back_and_says_so(file: str, damage: str, tmp_path: Path) -> None:
    trained(tmp_path)
    path, random_state = tmp_path / "000003-step3" / file, random.getstate()
    whole = path.read_bytes()
    for seed in range(20 if damage == "flipped" else 1):
        random.seed(seed)
        path.write_bytes(DAMAGE[damage](whole))
        parts = build(1)
        with pytest.warns(CheckpointWarning, match="went on from 000002-step2, since newer ones are damaged: 000003"):
            found = resume(tmp_path, **parts)
        assert (found.step, found.values["epoch"], parts["optimizer"].steps) == (2, 2, 2)
        assert file in found.skipped[0] or "its state" in found.skipped[0]
    random.setstate(random_state)
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* is whole: 000003-step3: "):
        resume(tmp_path, step=3, **parts)
    for old in tmp_path.glob("*-step[12]"):
        (old / file).unlink()
    before = numbers(parts)
    with pytest.raises(CheckpointError, match=rf"is whole: .*000001-step1: {file} is missing"):
        resume(tmp_path, **parts)
    assert all(map(torch.equal, before, numbers(parts)))


def test_a_folder_under_another_name(tmp_path: Path) -> None:
    trained(tmp_path)
    shutil.move(tmp_path / "000002-step2", tmp_path / "000009-step9")
    with pytest.warns(CheckpointWarning, match=r"manifest.json belongs to 000002-step2"):
        assert resume(tmp_path, **build()).step == 3


@pytest.mark.parametrize("number", [0, 2])
def test_another_format(number: int, tmp_path: Path) -> None:
    trained(tmp_path)
    resealed(tmp_path / "000003-step3", lambda fields: fields.update(format=number, tapered="7.1"))
    with pytest.raises(
        CheckpointError, match=rf"written by tapered 7.1 in format {number}; this is tapered .*, which reads format 1"
    ):
        resume(tmp_path, **build())


def test_hostile_manifests(tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    outside.write_text("{}")
    for name in ("../outside.json", str(outside), "x/../../outside.json", "lock", "..", "state.json/"):
        folder = tmp_path / hashlib.sha256(name.encode()).hexdigest()[:8]
        save(folder, 1, value=1)
        resealed(folder / "000001-step1", lambda fields, name=name: fields["files"].update(
            {name: {"bytes": 2, "sha256": hashlib.sha256(b"{}").hexdigest()}}
        ))  # fmt: skip
        with pytest.raises(CheckpointError, match=r"lists .* which is no file of a checkpoint"):
            resume(folder)
        release(folder)
    folder = tmp_path / "links"
    save(folder, 1, value=1)
    state = folder / "000001-step1" / "state.json"
    shutil.move(state, outside)
    state.symlink_to(outside)
    with pytest.raises(CheckpointError, match=r"state.json is no plain file"):
        resume(folder)
    state.unlink()
    os.mkfifo(state)
    with pytest.raises(CheckpointError, match=r"state.json is no plain file"):
        resume(folder)


def test_hostile_tensors(tmp_path: Path) -> None:
    header = json.dumps({"model.weight": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    bombs = {
        "huge header": struct.pack("<Q", 2**60) + b"{}",
        "huge tensor": struct.pack("<Q", len(header)) + header,
        "a pickle": pickle.dumps(os.getcwd),
    }
    for name, data in bombs.items():
        save(tmp_path / name, 1, model=nn.Linear(2, 2))
        path = tmp_path / name / "000001-step1"
        (path / "tensors-0.safetensors").write_bytes(data)
        resealed(path, lambda fields, data=data: fields["files"]["tensors-0.safetensors"].update(
            bytes=len(data), sha256=hashlib.sha256(data).hexdigest()
        ))  # fmt: skip
        with pytest.raises(CheckpointError, match=r"it is not what tapered writes \(SafetensorError"):
            resume(tmp_path / name, model=nn.Linear(2, 2))


@pytest.mark.parametrize("state", [
    "[" * 100_000,
    '{"parts": {"value": {"kind": "value"}}, "generators": null}', "[]", '{"parts": [], "generators": 1}',
    '{"parts": {"v": {"kind": "value", "class": "", "state": {"~array": 1}}}, "generators": null}',
    '{"parts": {"v": {"kind": "value", "class": "", "state": {"~object": "os.system"}}}, "generators": null}',
    '{"parts": {"v": {"kind": "value", "class": "", "state": {"~tensor": "no"}}}, "generators": null}',
])  # fmt: skip
def test_states_that_nobody_writes(state: str, tmp_path: Path) -> None:
    save(tmp_path, 1, value=1)
    path = tmp_path / "000001-step1"
    (path / "state.json").write_text(state)
    resealed(path, lambda fields: fields["files"]["state.json"].update(
        bytes=len(state), sha256=hashlib.sha256(state.encode()).hexdigest()
    ))  # fmt: skip
    with pytest.raises(CheckpointError, match="is whole: 000001-step1: it"):
        resume(tmp_path)


def group(key: str, value):
    return lambda state: state["parts"]["optimizer"]["state"]["groups"][0].update({key: value})


@pytest.mark.parametrize(("change", "shown"), [
    (group("lr", {"~float": "nan"}), "got nan for `lr` in group 0 of the saved `optimizer`"),
    (group("lr", -1.0), "got -1.0 for `lr` in group 0"),
    (group("step", -5), "got -5 for `step` in group 0"),
    (group("betas", {"~tuple": [0.5, 0.999]}), "`betas` in group 0 differs: saved (0.5, 0.999), this optimizer"),
    (group("schedules", {"lr": "linear(0.1, 0.0, steps=9)"}), "`lr` in group 0 differs: saved linear"),
    (group("params", ["model.0.weight"]), "group 0 of `optimizer` holds other parameters: "),
    (lambda s: s["parts"]["optimizer"].update({"class": "torch.optim.sgd.SGD"}), "was saved from torch.optim.sgd.SGD"),
    (lambda s: s["parts"]["optimizer"]["state"]["shapes"].update({"model.0.weight": [[9, 3], "torch.float32"]}),
     "the state of `model.0.weight` in `optimizer` was saved for shape (9, 3) torch.float32; the parameter is (3, 3)"),
    (lambda s: s["parts"]["model"]["state"].pop("1.bias"), "`model` is not what was saved; not saved: ['1.bias']"),
    (lambda s: s["parts"]["optimizer"]["state"]["state"]["model.0.bias"].pop("exp_avg"), "has the saved state"),
    (lambda s: s["parts"].pop("optimizer"), "leave out ['optimizer']"),
])  # fmt: skip
def test_states_that_do_not_fit(change, shown: str, tmp_path: Path) -> None:
    trained(tmp_path, 2)
    rewritten(tmp_path / "000002-step2", change)
    parts = build(1)
    before, rng = numbers(parts), torch.get_rng_state()
    with pytest.raises(CheckpointError) as caught:
        resume(tmp_path, **parts)
    assert shown in str(caught.value)
    assert all(map(torch.equal, before, numbers(parts)))
    assert torch.equal(rng, torch.get_rng_state())


@pytest.mark.parametrize(("name", "value", "shown"), [
    ("exp_avg", math.nan, "`exp_avg` of `model.0.weight` in the saved `optimizer` holds values that are not finite"),
    ("exp_avg_sq", -1.0, "`exp_avg_sq` of `model.0.weight` in the saved `optimizer` holds negative values"),
    ("step", -5.0, "`step` of `model.0.weight` in the saved `optimizer` holds negative values"),
])  # fmt: skip
def test_moments_that_cannot_be(name: str, value: float, shown: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    optimizer.state[model[0].weight][name].fill_(value)
    save(tmp_path, 1, model=model, optimizer=optimizer)
    with pytest.raises(CheckpointError) as caught:
        resume(tmp_path, step=1, model=model, optimizer=optimizer)
    assert shown in str(caught.value)


def test_models_that_differ(tmp_path: Path) -> None:
    trained(tmp_path, 1)
    for model, shown in [
        (
            nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2)),
            r"`model.1.weight` was saved as \(1, 3\) torch.float32; this",
        ),
        (nn.Sequential(nn.Linear(3, 3)), r"saved but not there: \['1.bias', '1.weight'\]"),
        (nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1)).double(), "this one is .* torch.float64; build the same"),
    ]:
        before = [p.clone() for p in model.parameters()]
        with pytest.raises(CheckpointError, match=shown):
            resume(tmp_path, partial=True, model=model)
        assert all(map(torch.equal, before, model.parameters()))
    other = nn.Sequential(nn.Conv1d(1, 3, 3), nn.Linear(3, 1))  # its attributes differ as well, which says less
    with pytest.raises(CheckpointError, match=r"`model.0.weight` was saved as .* build the same model"):
        resume(tmp_path, model=other, optimizer=tapered.Adam(other.parameters()))


def test_parts_that_differ(tmp_path: Path) -> None:
    parts = trained(tmp_path, 1)
    with pytest.raises(CheckpointError, match=r"give \['optimizer'\] too, or partial=True"):
        resume(tmp_path, model=parts["model"])
    with pytest.raises(CheckpointError, match=r"leave out \['extra'\]"):
        resume(tmp_path, **parts, extra=nn.Linear(1, 1))
    with pytest.raises(CheckpointError, match=r"got 3 for `epoch`, which cannot take a state.*read .values\['epoch'\]"):
        resume(tmp_path, **parts, epoch=3)
    sgd = tapered.SGD(parts["model"].parameters(), lr=0.1)
    with pytest.raises(CheckpointError, match=r"`optimizer` was saved from tapered.optim.adam.Adam; got .*SGD"):
        resume(tmp_path, model=parts["model"], optimizer=sgd)
    with pytest.raises(CheckpointError, match=r"`params\[0\]` in group 0 of `optimizer` .* belongs to no module or"):
        save(tmp_path, 2, optimizer=parts["optimizer"])
    with pytest.raises(CheckpointError, match=r"`thing/a/0` holds a object, <object object"):
        save(tmp_path, 2, thing={"a": [object()]})
    with pytest.raises(CheckpointError, match=r"`sparse` is a Tensor.*sparse_coo"):
        save(tmp_path, 2, sparse=torch.eye(2).to_sparse())
    assert [path.name for path in tmp_path.glob("*-step*")] == ["000001-step1"]


def test_torch_settings_that_differ(tmp_path: Path) -> None:
    """torch takes the saved ones in silence, a new rate too (#156846)."""
    model = nn.Linear(2, 1)
    save(tmp_path, 1, model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    for options, shown in [({"lr": 0.2}, "`lr` in group 0 differs: saved 0.1, this optimizer's 0.2"),
                           ({"lr": 0.1, "nesterov": True}, "`nesterov` in group 0 differs")]:  # fmt: skip
        other = torch.optim.SGD(model.parameters(), **{"momentum": 0.9, **options})
        with pytest.raises(CheckpointError, match=shown):
            resume(tmp_path, model=model, optimizer=other)
        resume(tmp_path, model=model, optimizer=other, hypers="saved")
        assert other.param_groups[0]["lr"] == 0.1
    moved = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    moved.param_groups[0]["lr"] = 0.05
    save(tmp_path, 2, model=model, optimizer=moved)
    again = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    resume(tmp_path, model=model, optimizer=again)  # made with the same rate: the run itself had moved it
    assert again.param_groups[0]["lr"] == 0.05


@pytest.mark.parametrize(("key", "value", "shown"), [
    ("base_lrs", [0.1, 0.1], "was saved for 2 parameter groups; here are 1"),
    ("T_max", 99, "`scheduler.T_max` differs: saved 99, this scheduler's 20"),
    ("get_lr", 666, "saved but not there: ['get_lr']"),
    ("optimizer", 1, "saved but not there: ['optimizer']"),
])  # fmt: skip
def test_torch_scheduler_states_that_do_not_fit(key, value, shown, tmp_path: Path) -> None:
    """FAULTS 33 and 34: torch puts whatever it finds in place of settings and methods."""
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    parts = {"model": model, "optimizer": optimizer,
             "scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)}  # fmt: skip
    save(tmp_path, 0, **parts)
    rewritten(tmp_path / "000001-step0", lambda s: s["parts"]["scheduler"]["state"].update({key: value}))
    with pytest.raises(CheckpointError) as caught:
        resume(tmp_path, **parts)
    assert shown in str(caught.value)


class Stubborn:
    """A part that fails while it loads, or that forgets what it was given."""

    def __init__(self, *, fails: bool) -> None:
        self.fails, self.count = fails, 0

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        if self.fails and state["count"] == 3:
            raise RuntimeError("no")


@pytest.mark.parametrize("fails", [True, False])
def test_all_or_nothing(fails, tmp_path: Path) -> None:
    saved = build()
    saved["optimizer"].minimize(saved["model"](torch.ones(2, 3)).sum())
    stubborn = Stubborn(fails=fails)
    stubborn.count = 3
    save(tmp_path, 1, **saved, stubborn=stubborn)
    parts = build(1)
    parts["optimizer"].minimize(parts["model"](torch.ones(2, 3)).sum())
    before, rng = numbers(parts), random.getstate()
    match = r"`stubborn` did not take its state" + (r" \(RuntimeError: no\)" if fails else "")
    with pytest.raises(CheckpointError, match=match):
        resume(tmp_path, **parts, stubborn=Stubborn(fails=fails))
    assert all(map(torch.equal, before, numbers(parts)))
    assert random.getstate() == rng


def test_clocks_that_differ(tmp_path: Path) -> None:
    def make(lr):
        model = nn.Linear(2, 1)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        return {"model": model, "optimizer": optimizer, "clock": lr and attach(optimizer, lr=lr)}

    def used(parts):
        return {name: part for name, part in parts.items() if part is not None}

    rate = tapered.linear(0.1, 0.0, steps=10)
    parts = make(rate)
    parts["model"](torch.ones(1, 2)).sum().backward()
    parts["optimizer"].step()
    save(tmp_path, 1, **used(parts))
    with pytest.raises(CheckpointError, match=r"followed the attached schedule linear\(.* and here cosine_decay"):
        resume(tmp_path, **used(make(tapered.cosine_decay(0.1, decay_steps=10))))
    with pytest.raises(CheckpointError, match=r"give \['clock'\] too"):
        resume(tmp_path, **used(make(None)))
    again = make(rate)
    resume(tmp_path, **again)
    assert again["clock"].step == 1
    assert again["optimizer"].param_groups[0]["lr"] == pytest.approx(0.09)


@pytest.mark.parametrize(("arguments", "error", "shown"), [
    ({"step": -1}, ValueError, "got -1 for `step`"), ({"step": 1.5}, TypeError, "got 1.5 for `step`"),
    ({"step": True}, TypeError, "got True for `step`"), ({"step": 1, "keep": 0}, ValueError, "got 0 for `keep`"),
    ({"step": 1, "metric": "x"}, TypeError, "got 'x' for `metric`"),
    ({"step": 1, "best": "up"}, ValueError, "got 'up'"),
])  # fmt: skip
def test_arguments(arguments, error, shown, tmp_path: Path) -> None:
    with pytest.raises(error, match=shown):
        save(tmp_path / "x", **arguments, value=1)
    assert not (tmp_path / "x").exists()


def adam(**options) -> tuple[nn.Parameter, torch.optim.Optimizer]:
    weight = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight], lr=0.1, **options)
    weight.square().sum().backward()
    optimizer.step()
    return weight, optimizer


@pytest.mark.parametrize("make", [tapered.Adam, torch.optim.Adam])
def test_torch_files(make, tmp_path: Path) -> None:
    weight, optimizer = adam()
    for name, content in (
        ("bare", optimizer.state_dict()),
        ("dict", {"model": 1, "optimizer": optimizer.state_dict()}),
    ):
        torch.save(content, tmp_path / name)
        again = make([weight], lr=0.1)
        load_torch(tmp_path / name, again)
        assert torch.equal(again.state[weight]["exp_avg"], optimizer.state[weight]["exp_avg"])
    other = make([nn.Parameter(torch.ones(4))], lr=0.1)
    with pytest.raises((CheckpointError, ValueError), match=r"`exp_avg` of parameter 0 .*shape"):
        load_torch(tmp_path / "bare", other)
    with pytest.raises(CheckpointError, match="no optimizer's state; try key="):
        load_torch(tmp_path / "dict", other, key="model")


class Bomb:
    def __reduce__(self):
        return os.system, ("touch exploded",)


HOSTILE = """
import sys
import torch
from tapered.checkpoint import CheckpointError, load_torch, resume
optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(3))], lr=0.1)
for name in sys.argv[1:]:
    try:
        load_torch(name, optimizer)
    except CheckpointError as error:
        print(error)
try:
    resume("folder")
except CheckpointError as error:
    print(error)
"""


def test_hostile_files_run_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where torch's environment variable turns weights_only off."""
    monkeypatch.chdir(tmp_path)
    _, optimizer = adam()
    torch.save({"optimizer": optimizer.state_dict(), "x": Bomb()}, "bomb.pt")
    torch.save(Bomb(), "legacy.pt", _use_new_zipfile_serialization=False)
    Path("bare.pt").write_bytes(pickle.dumps(Bomb()))
    torch.save(optimizer.state_dict(), "good.pt")
    with zipfile.ZipFile("good.pt") as good, zipfile.ZipFile("packed.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for record in good.infolist():
            packed.writestr(record.filename, bytes(10_000_000) if "data/" in record.filename else good.read(record))
    memory = pickle.dumps(bytearray, 2)[:-1] + b"(J\x00\x00\x00\x7ftR."  # bytearray(2 GB) for 40 bytes
    with zipfile.ZipFile("memory.pt", "w") as archive:
        archive.writestr("memory/data.pkl", memory)
    Path("short.pt").write_bytes(Path("good.pt").read_bytes()[:-100])
    save("folder", 1, value=1)
    (tmp_path / "folder" / "000001-step1" / "state.json").write_bytes(pickle.dumps(Bomb()))
    release("folder")
    files = ["bomb.pt", "legacy.pt", "bare.pt", "packed.pt", "memory.pt", "short.pt", "missing.pt"]
    lines = subprocess.check_output(
        [sys.executable, "-c", HOSTILE, *files], text=True, env=os.environ | {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    ).splitlines()
    assert len(lines) == 8
    assert lines[0] == "bomb.pt calls ['posix system']; an optimizer's state holds tensors and plain values only"
    assert "legacy.pt is no whole file of torch.save" in lines[1]
    assert "records packed, 1 pickles; torch.save writes no such file" in lines[3]
    assert "bytearray" in lines[4]
    assert not Path("exploded").exists()
    torch.load("bomb.pt", weights_only=False)
    assert Path("exploded").exists()  # it would have


class Average(nn.Module):
    """An average of weights whose ramp counts in a plain number, as many do."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 1)
        self.updates, self.inner.temperature, self.name = 0, 1.0, "any"


def test_a_count_that_no_state_dict_holds(tmp_path: Path) -> None:
    average = Average()
    average.updates, average.inner.temperature = 25, 0.5
    save(tmp_path, 25, average=average)
    again = Average()
    before = again.inner.weight.detach().clone()
    with pytest.raises(
        CheckpointError, match=re.escape("`average.inner.temperature` was 0.5 when it was saved, and is")
    ):
        resume(tmp_path, average=again)
    again.inner.temperature = 0.5
    with pytest.raises(
        CheckpointError, match=re.escape("`average.updates` was 25 when it was saved, and is 0 here; it")
    ):
        resume(tmp_path, average=again)
    assert torch.equal(again.inner.weight, before)
    resume(tmp_path, average=again, partial=True)  # to evaluate
    assert again.updates == 0
    resume(tmp_path, average=again, attributes="saved")
    assert (again.updates, again.inner.temperature) == (25, 0.5)
    resume(tmp_path, average=again)
    with pytest.raises(ValueError, match="got 'any' for `attributes`; expected 'same' or 'saved'"):
        resume(tmp_path, average=again, attributes="any")
