"""What loggers are told of a study: each run once, with the numbers that it keeps, and in the end the verdict."""

import json
import math
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from study_cases import SMALL, arm_text

import tapered
from tapered.cli import finish
from tapered.cli.main import main
from tapered.files.sealed import sealed, unsealed
from tapered.loggers import kinds
from tapered.report.numbers import names, points
from tapered.study import plan_of, read

ARMS = arm_text("constant") + arm_text("../decay: 1", "linear(steps=steps)")
TEXT = f'name = "mine"\nquestion = "Does it help?"\n{SMALL}{ARMS}'
FOLDER = "s"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which the study is finished, and nobody was told."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "mine.toml").write_text(TEXT)
    tapered.study(folder / "mine.toml", store=folder / FOLDER)
    return folder


@pytest.fixture
def study(trained, tmp_path, monkeypatch):
    """A copy of it to stand in; its command's words."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return ["study", "mine.toml", "--store", FOLDER, "--log-to", "wandb:p"]


@pytest.fixture
def opened(monkeypatch):
    """What was opened in the place of W&B: (about, what it was told, whether it was closed)."""
    found = []

    def recording(place, about):
        assert place == "p"
        told = []
        found.append(SimpleNamespace(about=about, told=told, closed=0))
        return kinds.Opened(lambda *said: told.append(said), lambda: setattr(found[-1], "closed", 1))

    monkeypatch.setitem(kinds.KINDS, "wandb", recording)
    monkeypatch.setattr(kinds, "find_spec", lambda name: name)
    return found


def kept():
    return json.loads(Path(FOLDER, "result.json").read_text())["summary"]


def test_each_run_is_told_as_a_run_and_the_verdict_as_one_more(study, opened, capsys):
    assert main(study) == 0
    assert capsys.readouterr().err == ""
    folder = opened[0].about.name.partition("/")[0]
    runs = {run.about.config["key"]: run for run in opened[:-1]}
    assert all(run.closed for run in opened)
    every = kept()["every_run"]
    assert len(runs) == len(every) == 8
    for known in every:
        run = runs[known["key"]]
        arm = "constant" if known["arm"] == "constant" else "-decay- 1"
        assert run.about.name == f"{folder}/{arm}/{known['peak']:g}/seed {known['seed']}"
        config = {name: run.about.config[name] for name in ("arm", "peak", "seed", "fresh", "result", "loss")}
        asked = {name: known[name] for name in ("arm", "peak", "seed", "fresh")}
        assert config == asked | {"result": "finished", "loss": known["value"]}
        assert [(step, v["valid/loss"]) for step, v in run.told if "valid/loss" in v] == [
            (k, v) for k, v in known["curve"]
        ]
        rates = [known["peak"] * (1.0 if arm == "constant" else 1 - k / 8) for k in range(8)]
        assert [(step, v["lr/0"]) for step, v in run.told if "lr/0" in v] == [*enumerate(map(pytest.approx, rates), 1)]
        assert [step for step, v in run.told if "train/loss" in v] == [*range(1, 9)]
    verdict = opened[-1]
    assert verdict.about.name == f"{folder}/verdict"
    assert verdict.about.config["verdict"] == "\n".join(kept()["headline"])
    [(step, numbers)] = verdict.told
    means = {name: v for name, v in numbers.items() if name.endswith("mean")}
    best = {
        arm["name"]: next(p["mean"] for p in arm["peaks"] if p["peak"] == arm["best_peak"]) for arm in kept()["arms"]
    }
    assert (step, means) == (8, {"constant/mean": best["constant"], "-decay- 1/mean": best["../decay: 1"]})


def test_a_study_that_goes_on_tells_only_what_was_not_told(study, opened):
    assert main(study) == 0
    assert main(study) == 0
    assert len(opened) == 9
    path = Path(FOLDER, "logged.json")
    known = unsealed(path.read_text())
    lost = known["wandb:p"].pop(3)  # the process was killed while it told this one
    path.write_text(sealed(known))
    assert main(study) == 0
    assert [run.about.config["key"] for run in opened[9:]] == [lost]
    assert all(run.about.anew for run in opened)  # what a killed process told of it is not told twice


def test_runs_are_told_as_they_end_and_those_of_before_first(trained, tmp_path, monkeypatch, opened):
    shutil.copy(trained / "mine.toml", tmp_path)
    monkeypatch.chdir(tmp_path)
    told = []

    def tagged(step, values):
        told.extend((step, name, value) for name, value in values.items())

    result = tapered.study("mine.toml", store=FOLDER, log_to=["wandb:p", tagged])
    assert len(opened) == 9
    of = {
        (run.about.name.partition("/")[2], step, name): v
        for run in opened
        for step, vs in run.told
        for name, v in vs.items()
    }
    assert {
        (name.rpartition("/" + key)[0] if key else "", step, key): v for step, name, v in told for key in [_key(name)]
    } == of
    assert "--log-to=wandb:p" in result.page.read_text()
    tapered.study("mine.toml", store=FOLDER, log_to=tagged)
    assert len(told) == 2 * len(of)  # what somebody opened is told all of it


def _key(name):
    """The key behind a run's tag."""
    return name.split("/", 1)[1] if name.startswith("verdict/") else "/".join(name.split("/")[3:])


def test_a_logger_that_raises_is_dropped_once_and_the_study_is_the_same(study, monkeypatch, capsys):
    def broken(*_):
        raise OSError("no network")

    monkeypatch.setitem(kinds.KINDS, "wandb", broken)
    monkeypatch.setattr(kinds, "find_spec", lambda name: name)
    before = kept()
    assert main(study) == 0
    said = capsys.readouterr().err.splitlines()
    assert said == ["the logger wandb:p was dropped, and the run goes on without it: OSError: no network"]
    assert kept() == before
    assert not Path(FOLDER, "logged.json").exists()


def test_one_that_is_not_installed_is_dropped_with_the_line_that_installs_it(study, monkeypatch, capsys):
    monkeypatch.setattr(kinds, "find_spec", lambda _: None)
    assert main(study) == 0
    assert capsys.readouterr().err.rstrip().endswith("wandb is not installed; try: pip install wandb")


def test_one_that_hangs_holds_up_the_verdict_for_a_while_and_the_rest_is_told_the_next_time(study, monkeypatch, capsys):
    freed = threading.Event()
    monkeypatch.setitem(kinds.KINDS, "wandb", lambda *_: freed.wait())
    monkeypatch.setattr(kinds, "find_spec", lambda name: name)
    monkeypatch.setattr(finish, "SHORTLY", 0.0)
    monkeypatch.setattr(finish, "SETTLE", 0.02)
    try:
        assert main(study) == 0
    finally:
        freed.set()
    waits, lacks = capsys.readouterr().err.splitlines()
    assert waits == "Waiting up to 0.02 seconds for the loggers; Ctrl-C ends that."
    assert lacks == "9 runs not told to wandb:p; the same command goes on with it"


def test_a_damaged_memory_is_said_and_doubles_nothing(study, opened, capsys):
    Path(FOLDER, "logged.json").write_text('{"wandb:p": []}')
    assert main(study) == 0
    assert opened == []
    assert "logged.json was damaged (it carries no SHA-256" in capsys.readouterr().err


def test_what_is_no_target_is_refused_before_anything_is_read(here, capsys):
    assert main(["study", "none.toml", "--log-to", "wandb-p"]) == 2
    assert "got 'wandb-p' to log to; try \"wandb:my-project\"" in capsys.readouterr().err
    run = type("Run", (), {"__module__": "wandb.sdk.wandb_run"})()
    with pytest.raises(TypeError, match='got a Run that is open to log a study to, .*; try a text like "wandb:my-proj'):  # noqa: RUF043
        tapered.study("control-null", steps=2, seeds=1, store=here / "s", log_to=run)
    assert not (here / "s").exists()


def test_tensorboards_files_are_read_back(study, capsys):
    pytest.importorskip("tensorboard", reason="pip install tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    words = [*study[:-1], "tensorboard:tb"]
    assert main(words) == 0
    Path(FOLDER, "logged.json").unlink()  # all of it is told again, and nothing stands there twice
    assert main(words) == 0
    assert capsys.readouterr().err == ""
    [folder] = Path("tb").iterdir()
    for known in kept()["every_run"]:
        arm = "constant" if known["arm"] == "constant" else "-decay- 1"
        found = EventAccumulator(str(folder / arm / f"{known['peak']:g}" / f"seed {known['seed']}"))
        found.Reload()
        read_back = [(event.step, event.value) for event in found.Scalars("valid/loss")]
        assert read_back == [(step, pytest.approx(value, rel=1e-6)) for step, value in known["curve"]]


def test_names_are_apart_and_lead_out_of_no_folder():
    asked = ["a/b", "a-b", "..", "/etc/passwd", "C:\\x", "1-sqrt, 40%"]
    found = names(asked)
    assert len(set(found.values())) == len(asked)
    assert [name for name in found.values() if Path("in", name).parent != Path("in") or name in (".", "..")] == []


def test_a_scripts_numbers_stand_where_it_said(tmp_path):
    (tmp_path / "mine.toml").write_text(TEXT)
    planned = plan_of(read(str(tmp_path / "mine.toml")))
    run = SimpleNamespace(
        losses=((0, 2.0), (4, math.inf)), curve=((0, {"loss": 3.0}), (8, {"loss": math.nan})), steps=8
    )
    arm = planned.study.arms[0]
    run.peak = 0.1
    assert points(planned, arm, run) == {
        0: {"valid/loss": 3.0},
        1: {"lr/0": 0.1, "train/loss": 2.0},
        5: {"lr/0": 0.1},
        8: {},
    }
    from tapered.study.file.script import Scripted

    script = SimpleNamespace(subject=Scripted.__new__(Scripted))
    assert points(script, arm, run) == {0: {"train/loss": 2.0, "valid/loss": 3.0}, 4: {}, 8: {}}
