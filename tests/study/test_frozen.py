"""What the numbers of studies, runs and checkpoints depend on: written down, compared, refused by name."""

import hashlib
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from textwrap import dedent

import folder_cases
import numpy as np
import pytest
import torch
from study_cases import LOOP, planned, trained_as
from torch.utils.data import TensorDataset

import tapered
from tapered import checkpoint, kind
from tapered.checkpoint import CheckpointError, CheckpointWarning
from tapered.files.errors import StoreError
from tapered.files.sealed import UnsealedError, sealed, unsealed
from tapered.run import setting as settings
from tapered.run import single
from tapered.study import conclude, default_folder, open_store, train_runs
from tapered.training import fingerprint
from tapered.workloads import sources


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    trained_as(monkeypatch, LOOP)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder_cases.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    folder_cases.forget(tmp_path)
    yield tmp_path
    folder_cases.forget(tmp_path)


def study(folder, store="s"):
    """What `tapered study` does: every run's value, and the caveats."""
    folder_cases.forget(folder)
    loaded = planned("s.toml")
    with open_store(loaded, folder / store) as opened:
        runs = train_runs(loaded, opened)
        return {(run.arm, run.peak, run.seed): run.value for run in runs}, conclude(loaded, opened, runs).caveats


def run(folder, steps=6, *, begin=False, store="r", **options):
    folder_cases.forget(folder)
    if begin:
        trained = single.Single(settings.setting_of("w.py:problem", "SGD", "0.1", steps, 0))
    else:
        trained, _ = single.resume(folder / store, steps, **options)
    return single.train(trained, folder / store, 3)


CHANGES = {
    "helper.py": lambda text: text.replace("1.0", "100.0"),
    "lazily.py": lambda _: "WIDTH = 8 \n",  # the same model
    "data.txt": lambda _: "0.34",
    "w.py": lambda text: text + "\n",
}
SAID = {"helper.py": r"helper\.py", "lazily.py": r"lazily\.py", "data.txt": "train", "w.py": r"(?:file|w\.py)"}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_study_reads_may_not_change(folder, name):
    whole, _ = study(folder)
    assert study(folder)[0] == whole
    next(iter((folder / "s" / "runs").glob("*.json"))).unlink()  # as if it had been stopped before
    before = (folder / name).read_text()
    (folder / name).write_text(CHANGES[name](before))
    with pytest.raises(StoreError, match=rf"{SAID[name]}: .* there, .* now"):
        study(folder)
    (folder / name).write_text(before)
    assert study(folder)[0] == whole


MISTAKES = {
    "a loss for each example": ("cross_entropy(outputs, targets, reduction='none')", "cross_entropy(outputs, targets)"),
    "a loss with its name": ("('ce', cross_entropy(outputs, targets))", "cross_entropy(outputs, targets)"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_the_first_step_refuses_goes_on_in_the_same_folder_once_corrected(folder, name):
    wrong, right = MISTAKES[name]
    code = dedent("""
        import torch
        from torch.nn.functional import cross_entropy
        from torch.utils.data import TensorDataset
        from tapered.training.workload import Workload

        def loss(outputs, targets):
            return LOSS

        def problem():
            x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
            data = TensorDataset(x, (x[:, 0] > 0).long())
            return Workload("own", lambda: torch.nn.Linear(4, 2), loss, data, data, batch_size=8)
    """)
    (folder / "w.py").write_text(code.replace("LOSS", wrong))
    with pytest.raises(Exception, match="loss"):
        study(folder)
    (folder / "w.py").write_text(code.replace("LOSS", right))
    assert study(folder) == study(folder, "another")


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_run_reads_may_not_change(folder, name):
    whole = run(folder, 9, begin=True, store="whole")
    run(folder, 6, begin=True)
    before = (folder / name).read_text()
    (folder / name).write_text(CHANGES[name](before))
    with pytest.raises(CheckpointError, match=f"{SAID[name]}.* changed since the run began"):
        run(folder, 9)
    folder_cases.forget(folder)
    with pytest.raises(CheckpointError, match=f"{SAID[name]}.* changed since the run began"):
        settings.check_same(folder / "r", settings.setting_of("w.py:problem", "SGD", "0.1", 9, 0))
    folder_cases.forget(folder)
    with pytest.raises(CheckpointError, match=f"{SAID[name]}.* changed since the run began"):
        single.fork(folder / "r", folder / "child", "0.01", steps=9)
    (folder / name).write_text(before)
    assert run(folder, 9) == whole


def test_code_that_no_import_names_is_found_when_it_comes_in(folder):
    (folder / "dynamic.py").write_text("SCALE = 1.0\n")
    (folder / "helper.py").write_text(
        "import importlib, torch\ndef loss(o, t):\n    scale = importlib.import_module('dyn' + 'amic').SCALE\n"
        "    return scale * torch.nn.functional.mse_loss(o, t)\n"
    )
    study(folder)
    frozen = unsealed((folder / "s" / "frozen.json").read_text())
    assert {name for name in frozen if name.startswith("code.")} == {
        "code.dynamic.py", "code.helper.py", "code.lazily.py",
    }  # fmt: skip
    (folder / "dynamic.py").write_text("SCALE = 2.0\n")
    with pytest.raises(StoreError, match=r"code\.dynamic\.py"):
        study(folder)


def test_packages_relative_imports_and_folders_of_modules(tmp_path):
    files = {
        "w.py": "import numpy, pkg.sub\nfrom pkg import thing\ndef f():\n    from deep.er import x\n",
        "pkg/__init__.py": "", "pkg/sub.py": "from . import other\nfrom .inner.last import y\n", "pkg/thing.py": "",
        "pkg/other.py": "", "pkg/unused.py": "", "pkg/inner/__init__.py": "from .. import top\n",
        "pkg/inner/last.py": "", "pkg/top.py": "", "deep/er.py": "import broken", "broken.py": "def (:",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = sources.beside(tmp_path / "w.py")
    assert found.keys() == files.keys() - {"w.py", "pkg/unused.py"}
    assert found["pkg/sub.py"] == hashlib.sha256(files["pkg/sub.py"].encode()).hexdigest()[:20]
    assert not any(name.split(".")[0] == "pkg" for name in sys.modules)  # nothing ran


def test_the_code_may_move_with_its_folder(folder):
    whole, _ = study(folder)
    moved = folder / "elsewhere"
    moved.mkdir()
    for name in (*CHANGES, "s.toml", "s"):
        (folder / name).rename(moved / name)
    os.chdir(moved)
    assert study(moved)[0] == whole


class Items(torch.utils.data.Dataset):
    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, i):
        return self.values[i], 0.0


@pytest.mark.parametrize("size", [1, 64, 1000, fingerprint.WHOLE])
def test_every_item_counts_where_there_are_few(size):
    values = np.arange(size * 3, dtype=np.float32).reshape(size, 3)
    before = fingerprint.of_dataset(Items(values))
    for place in {0, size // 2, size - 1, size // 3}:
        changed = values.copy()
        changed[place, 1] += 1e-3
        assert fingerprint.of_dataset(Items(changed)) != before
    assert fingerprint.of_dataset(Items(values.copy())) == before


def test_a_sample_is_called_one():
    values = np.zeros((fingerprint.WHOLE + 1, 1))
    found = fingerprint.of_dataset(Items(values))
    assert found.endswith("of a sample, 512 of 4,097 items")
    for place in (0, fingerprint.WHOLE):
        changed = values.copy()
        changed[place] = 1
        assert fingerprint.of_dataset(Items(changed)) != found


@pytest.mark.parametrize("make", [lambda x: x, torch.from_numpy, lambda x: {"a": [x]}, lambda x: (x.tolist(),)])
def test_every_element_of_a_large_value_counts(make):
    before = np.zeros(5000)
    after = before.copy()
    after[2500] = 1  # numpy's own text of it leaves it out
    assert fingerprint.of_value(make(before)) != fingerprint.of_value(make(after))
    assert fingerprint.of_value(make(before)) == fingerprint.of_value(make(before.copy()))
    assert fingerprint.of_value([[1], [2]]) != fingerprint.of_value([[1, 2]])


def test_a_tensor_dataset_whose_items_are_made_is_looked_at_item_by_item():
    class Shifted(TensorDataset):
        shift = 0.0

        def __getitem__(self, i):
            return tuple(t + self.shift for t in super().__getitem__(i))

    data = Shifted(torch.zeros(5), torch.zeros(5))
    before = fingerprint.of_dataset(data)
    data.shift = 1.0
    assert fingerprint.of_dataset(data) != before


@pytest.mark.parametrize("indent", [None, 1])
def test_no_bit_of_a_sealed_text_may_change_what_it_says(indent):
    text = sealed({"loss": 1.25, "step": 8, "name": "a"}, indent)
    assert unsealed(text) == {"loss": 1.25, "step": 8, "name": "a"}
    for place in range(len(text)):
        for bit in range(8):
            data = bytearray(text.encode())
            data[place] ^= 1 << bit
            try:
                said = unsealed(data.decode(errors="replace"))
            except UnsealedError:
                continue
            assert said == unsealed(text)
    for wrong in ("{}", "[]", "", '{"step": 8}', "[" * 10_000):
        with pytest.raises(UnsealedError):
            unsealed(wrong)


def test_what_an_earlier_version_sealed_is_read_and_order_is_kept():
    fields = {"step": 8, "arms": {"b": 1.5, "a": [0.1, 2]}}
    by_value = hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    assert unsealed(json.dumps({"digest": by_value, **fields}, indent=1)) == fields
    assert list(unsealed(sealed(fields))) == ["step", "arms"]
    assert list(unsealed(sealed(fields))["arms"]) == ["b", "a"]
    assert unsealed(sealed({})) == {}
    with pytest.raises(UnsealedError, match="differs"):
        unsealed(json.dumps({"digest": by_value, **fields, "step": 9}))


@pytest.mark.parametrize("name", ["modes.json", "frozen.json", "runs"])
def test_a_flipped_bit_of_a_folder_is_refused_with_file_and_fix(folder, name):
    whole, _ = study(folder)
    path = next((folder / "s" / "runs").glob("*.json")) if name == "runs" else folder / "s" / name
    data = bytearray(path.read_bytes())
    data[data.rindex(b":") + 1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(StoreError, match=rf"{path.name} is damaged .*(delete|put it back)"):
        study(folder)
    if name == "runs":
        path.unlink()
        assert study(folder)[0] == whole


@pytest.mark.parametrize("name", ["modes.json", "frozen.json"])
def test_a_file_that_is_gone_is_missed(folder, name):
    study(folder)
    (folder / "s" / name).unlink()
    with pytest.raises(StoreError, match=rf"{name} is missing, which says .* put it back, or delete .*runs"):
        study(folder)


def test_the_kind_is_written_down_and_shows_what_differs(folder, monkeypatch):
    whole, caveats = study(folder)
    assert not any("kind" in text for text in caveats)
    place = default_folder(planned("s.toml"))
    there = kind.here()
    other = there | {"vectors": "another", "bits": "0"}
    gone = next(iter((folder / "s" / "runs").glob("*.json")))
    gone.unlink()
    monkeypatch.setattr(kind, "here", lambda **_: dict(other))
    with pytest.raises(StoreError, match=rf"vectors {there['vectors']} then, another now; .*kinds = \"any\""):
        study(folder)
    (folder / "s.toml").write_text('kinds = "any"\n' + folder_cases.STUDY)
    found, caveats = study(folder)
    assert found == whole
    assert any(text.startswith("2 kinds of processor trained these runs (bits") for text in caveats)
    assert default_folder(planned("s.toml")) == place
    (folder / "s.toml").write_text(folder_cases.STUDY)  # and back
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    with pytest.raises(StoreError, match="holds runs that another kind of processor trained"):
        study(folder)


SETTINGS = {
    "matmul precision": lambda: torch.set_float32_matmul_precision("medium"),
    "deterministic": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "mkldnn": lambda: torch.backends.mkldnn.set_flags(False),
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "bits": lambda: torch.set_flush_denormal(True),
}
ENVIRONMENT = {
    "vectors": {"ATEN_CPU_CAPABILITY": "default"},
    "MKL": {"MKL_CBWR": "COMPATIBLE"},
    "oneDNN": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
}


def asked(code, **environment):
    given = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    return subprocess.run(
        [sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_settings_that_change_bits_are_part_of_the_kind():
    code = (
        "import sys, torch\nfrom tapered import kind\nimport test_frozen\nbefore = kind.here()\n"
        "for name, change in test_frozen.SETTINGS.items():\n"
        "    change(); after = kind.here(); print(name, name in {n for n in before if before[n] != after[n]})\n"
        "    before = after\n"
    )
    assert asked(code).splitlines() == [f"{name} True" for name in SETTINGS]


@pytest.mark.parametrize("name", ["", *ENVIRONMENT])
def test_another_processor_is_another_kind_and_the_same_one_the_same(name):
    code = "import json\nfrom tapered import kind\nprint(json.dumps(kind.here()))"
    here, there = kind.here(), json.loads(asked(code, **ENVIRONMENT.get(name, {})))
    if not name:
        assert here == there
        return
    assert name in {key for key in here if here[key] != there[key]}
    assert here["bits"] != there["bits"]  # the settings that were chosen do change bits on a processor of these days
    assert any(said.startswith(f"{name} ") for said in kind.differing(here, there))
    assert kind.read(kind.text(there)) == there


def parts():
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    return {"model": model, "optimizer": tapered.AdamW(model.parameters(), lr=tapered.cosine_decay(decay_steps=9))}


@pytest.mark.parametrize("what", ["kind", "threads"])
def test_a_checkpoint_of_another_kind_is_refused_or_allowed_by_a_word(tmp_path, monkeypatch, request, what):
    checkpoint.save(tmp_path / "c", 3, **parts())
    checkpoint.release(tmp_path / "c")
    there = kind.here(gpus=True)
    if what == "kind":
        monkeypatch.setattr(kind, "here", lambda **_: there | {"vectors": "another"})
    else:
        request.addfinalizer(lambda: torch.set_num_threads(1))
        torch.set_num_threads(2)
    said = f"vectors {there['vectors']} then, another now" if what == "kind" else "threads 1 then, 2 now"
    given = parts()
    before = given["model"].weight.clone()
    with pytest.raises(CheckpointError, match=rf"{said}: .*kinds='any'"):
        checkpoint.resume(tmp_path / "c", **given)
    assert torch.equal(given["model"].weight, before)
    checkpoint.resume(tmp_path / "c", partial=True, **given)  # to evaluate
    with pytest.warns(CheckpointWarning, match=said):
        assert checkpoint.resume(tmp_path / "c", kinds="any", **given).step == 3
    checkpoint.save(tmp_path / "c", 4, **given)
    found = checkpoint.describe(tmp_path / "c")[0]
    assert len(found.kinds) == (2 if what == "kind" else 1)
    with pytest.raises(ValueError, match="got 'all' for `kinds`; expected 'same' or 'any'"):
        checkpoint.resume(tmp_path / "c", kinds="all", **given)


def test_a_run_says_that_it_is_of_two_kinds(folder, monkeypatch):
    run(folder, 3, begin=True)
    there = kind.here(gpus=True)
    monkeypatch.setattr(kind, "here", lambda **_: there | {"vectors": "another"})
    with pytest.raises(CheckpointError, match="another now"):
        run(folder, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run(folder, 6, kinds="any")
    assert len(checkpoint.describe(Path("r"))[0].kinds) == 2
    assert planned("s.toml").facts["kind"].endswith("another")
