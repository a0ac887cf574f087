"""One run from the command line: the question's 1e-3, then 1e-4, then 1e-5; stops, resumes, forks, checks."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tapered import checkpoint
from tapered.cli import terminal
from tapered.cli.main import main
from tapered.rules import Adam
from tapered.run import setting as settings
from tapered.run import single
from tapered.schedules import cosine_decay
from tapered.training.loop import advance as loop_advance
from tapered.training.rows import start, tabulate
from tapered.training.threads import threads
from tapered.training.workload import quadratic

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def run(capsys, *words: str) -> dict:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def weights(folder: str) -> torch.Tensor:
    found = single.Single(settings.setting_in(Path(folder))[0])
    checkpoint.resume(folder, partial=True, run=found)
    return found.rows.params["w"]


def test_lower_and_lower(capsys) -> None:
    """The question's last answer; a fork's first rate is the one that was asked for."""
    first = run(capsys, "run", "bmi", "--lr", "1e-3", "--steps", "60", "--store", "a")
    assert (first["step"], first["lr"]) == (60, 1e-3)
    second = run(capsys, "fork", "a", "--lr", "1e-4", "--into", "b", "--steps", "80")
    third = run(capsys, "fork", "b", "--lr", "1e-5", "--into", "c", "--steps", "90")
    assert (second["lr"], third["lr"]) == (1e-4, 1e-5)
    assert third["valid"]["loss"] < second["valid"]["loss"] < first["valid"]["loss"]
    found = run(capsys, "check", "c")
    assert found["whole"]
    lineage = found["checkpoints"][0]["lineage"]
    assert [(origin["step"], origin["change"]) for origin in lineage] == [
        (60, {"lr": "constant(0.0001)", "moments": "kept"}), (80, {"lr": "constant(1e-05)", "moments": "kept"}),
    ]  # fmt: skip


def test_a_run_is_its_rows(capsys) -> None:
    run(capsys, "run", "quadratic", "--lr", "cosine_decay(0.1, decay_steps=steps)", "--steps", "30", "--store", "a")
    problem, rule = quadratic(), Adam()
    path = tabulate(rule, 30, lr=cosine_decay(0.1, decay_steps=30))
    with threads(1):
        expected = loop_advance(problem, start(problem, rule, [0]), [path], 30, None)
    assert torch.equal(weights("a"), expected.params["w"])


def test_a_run_that_was_saved_when_its_class_stood_elsewhere_goes_on(capsys, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(single.Single, "__module__", "tapered.single")
        run(capsys, "run", "quadratic", "--lr", "0.1", "--steps", "20", "--store", "a")
    assert run(capsys, "resume", "a", "--steps", "30")["step"] == 30


def test_stopped_and_resumed_is_bit_equal(capsys, monkeypatch) -> None:
    words = ["quadratic", "--lr", "linear(0.1, 0.0, steps=steps)", "--rule", "Adam", "--steps", "40"]
    run(capsys, "run", *words, "--store", "whole")
    stops = iter([False] * 16 + [True] * 4)
    with monkeypatch.context() as patch:
        asked = property(lambda _: next(stops), lambda *_: None)
        patch.setattr(terminal.Interrupt, "asked", asked, raising=False)
        assert main(["run", *words, "--store", "parts"]) == 130
    said = capsys.readouterr().err
    assert "Stopped at step 17 of 40, saved in parts." in said
    assert "To go on: tapered resume parts --steps=40" in said
    assert main(["resume", "parts", "--steps", "40"]) == 0
    out, err = capsys.readouterr()
    assert "Resumed at step 17 of 40; rate 0.0575." in err
    assert "Saved: parts" in out
    assert torch.equal(weights("parts"), weights("whole"))
    assert main(["run", *words, "--store", "parts"]) == 0  # done already
    assert main(["run", *words[:-1], "50", "--store", "parts"]) == 3
    assert "parts holds another run: lr 'linear(0.1, steps=40)' there" in capsys.readouterr().err


def test_moments_reset_and_schedules_counted(capsys) -> None:
    run(capsys, "run", "quadratic", "--lr", "0.1", "--steps", "20", "--store", "a")
    run(capsys, "fork", "a", "--lr", "linear(0.1, 0.0, steps=10)", "--counted", "now", "--steps", "22", "--into", "now")
    setting, _ = settings.setting_in(Path("now"))
    assert [round(setting.schedule(k), 6) for k in (20, 21)] == [0.1, 0.09]
    run(capsys, "fork", "a", "--lr", "0.1", "--reset-moments", "--steps", "21", "--into", "reset")
    moved = (weights("reset") - weights("a")).abs()
    assert torch.allclose(moved, torch.full_like(moved, 0.1), rtol=1e-3)  # Adam's first step is the rate
    assert run(capsys, "check", "reset")["checkpoints"][0]["lineage"][0]["change"]["moments"] == "reset"
    for words, code, shown in [
        (
            ["fork", "a", "--lr", "linear(0.1, 0.0, steps=9)", "--steps", "30", "--into", "x"],
            2,
            "got counted=None with",
        ),
        (["fork", "a", "--lr", "0.01"], 2, "a is at its last step, 20; say where the fork ends: --steps 40"),
        (["fork", "a", "--lr", "0.01", "--steps", "30", "--into", "now"], 3, "now holds a run already"),
        (["fork", "a", "--lr", "nan", "--steps", "30", "--into", "x"], 2, "lr"),
        (["fork", "missing", "--lr", "0.01"], 3, "missing is no folder"),
        (["resume", "a", "--steps", "5"], 2, "the run is at step 20 already"),
        (["check", "missing"], 3, "missing is no folder"),
    ]:
        assert main(words) == code, words
        assert shown in capsys.readouterr().err
    assert not Path("x").exists()


def test_check_shows_damage(capsys) -> None:
    run(capsys, "run", "quadratic", "--lr", "0.1", "--steps", "20", "--store", "a")
    assert main(["check", "a"]) == 0
    path = max(Path("a").glob("*-step20")) / "state.json"
    path.write_bytes(path.read_bytes()[:-1])
    assert main(["check", "a"]) == 3
    out = capsys.readouterr().out
    assert f"- {path.parent.name}: state.json has " in out
    assert "damaged" in out
    assert max(map(len, out.splitlines())) <= 80
    assert main(["check", "a", "--json"]) == 3
    assert not json.loads(capsys.readouterr().out)["whole"]


def test_check_reads_a_scripts_run(capsys) -> None:
    import tapered

    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = tapered.Adam([weight], lr=tapered.exponential_decay(0.15, decay_steps=1, decay_rate=0.9999))
    checkpoint.save("script", 0, weight=weight, optimizer=optimizer)
    facts = run(capsys, "check", "script")["checkpoints"][0]
    assert facts["rates"] == [0.15]
    assert facts["schedules"] == {"optimizer group 0 lr": "exponential_decay(0.15, decay_steps=1, decay_rate=0.9999)"}
    assert main(["resume", "script"]) == 3
    assert "script holds the run of a script, which only the script can go on with" in capsys.readouterr().err


def test_a_diverging_run_says_so(capsys) -> None:
    assert main(["run", "quadratic", "--rule", "SGD", "--lr", "1e30", "--steps", "40", "--store", "a"]) == 1
    assert "diverged: the loss at step" in capsys.readouterr().err
    assert checkpoint.describe("a")[0].step == 0


def test_a_changed_workload_is_refused(capsys) -> None:
    text = "from tapered.training.workload import quadratic\ndef made(noise=1.0):\n    return quadratic(noise=noise)\n"
    Path("mine.py").write_text(text)
    words = ["run", "mine.py:made", "--lr", "0.1", "--steps", "8", "--option", "noise=0.5", "--store", "a"]
    run(capsys, *words)
    Path("mine.py").write_text(text + "# another\n")
    assert main(["resume", "a", "--steps", "9"]) == 3
    assert "mine.py:made has changed since the run began" in capsys.readouterr().err


def test_ctrl_c_saves(tmp_path) -> None:
    words = ["run", "bmi", "--lr", "1e-3", "--steps", "100000", "--save-every", "50", "--store", "long"]
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *words],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not list(tmp_path.glob("long/*-step50")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert "To go on: tapered resume long --steps=100000" in said
    assert checkpoint.describe("long")[0].step % 50


MAIN = "import sys; from tapered.cli.main import main; sys.exit(main(sys.argv[1:]))"


def test_places_without_a_run(capsys) -> None:
    Path("file").write_text("")
    Path("empty").mkdir()
    for words, said in [
        (["resume", "file"], "file is no folder; expected one that `tapered run` or save(folder, ...) filled"),
        (["fork", "file", "--lr", "0.1"], "file is no folder; expected one that `tapered run`"),
        (["check", "file"], "file is no folder; expected one that `tapered run`"),
        (["check", "empty"], "empty holds no checkpoint; expected one that `tapered run`"),
    ]:
        assert main(words) == 3, words
        assert said in capsys.readouterr().err


def test_a_run_past_its_schedules_end_says_so(capsys) -> None:
    run(capsys, "run", "quadratic", "--lr", "linear(0.1, 0.0, steps=8)", "--steps", "8", "--store", "a")
    assert main(["resume", "a", "--steps", "10"]) == 0
    assert "Its schedule ended at step 8 and holds 0; for another rate: tapered fork a" in capsys.readouterr().err
    run(capsys, "run", "quadratic", "--lr", "linear(0.1, 0.0, steps=99)", "--steps", "8", "--store", "b")
    assert main(["resume", "b", "--steps", "10"]) == 0
    assert "Its schedule ended" not in capsys.readouterr().err


def test_check_tells_another_format_from_damage(capsys) -> None:
    run(capsys, "run", "quadratic", "--lr", "0.1", "--steps", "10", "--store", "a")
    newest = max(Path("a").glob("*-step10")) / "manifest.json"
    fields = json.loads(newest.read_text())
    del fields["digest"]
    newest.write_bytes(checkpoint.files.manifest_text({**fields, "format": 2, "tapered": "9.0"}))
    assert main(["check", "a"]) == 3
    out = capsys.readouterr().out
    assert "another format" in out
    assert "damaged" not in out
    assert "was written by tapered 9.0 in format 2; this is tapered" in " ".join(out.split())
    checkpoints = json.loads(main(["check", "a", "--json"]) and capsys.readouterr().out)["checkpoints"]
    assert [one["foreign"] for one in checkpoints] == [True, *[False] * (len(checkpoints) - 1)]
    assert main(["resume", "a"]) == 3
    assert "install tapered 9.0 to go on from it" in capsys.readouterr().err


AVERAGED = ["quadratic", "--rule", "SGD", "--lr", "0.05"]


def averages(folder: str) -> dict:
    found = single.Single(settings.setting_in(Path(folder))[0])
    checkpoint.resume(folder, partial=True, run=found)
    return found.rows.state["w"]


@pytest.mark.parametrize("average", ["ema,decay=0.9,ramp=(1+t)/(10+t)", "swa,start=0.5", "lawa,latest=3,every=4"])
def test_an_average_resumes_bit_equal(capsys, monkeypatch, average: str) -> None:
    words = [*AVERAGED, "--steps", "40", "--average", average]
    whole = run(capsys, "run", *words, "--store", "whole")
    stops = iter([False] * 26 + [True] * 4)
    with monkeypatch.context() as patch:
        patch.setattr(terminal.Interrupt, "asked", property(lambda _: next(stops), lambda *_: None), raising=False)
        assert main(["run", *words, "--store", "parts", "--json"]) == terminal.INTERRUPTED
        capsys.readouterr()
    again = run(capsys, "run", *words, "--store", "parts")
    assert (again["valid"], again["average"]) == (whole["valid"], whole["average"])
    mine, theirs = averages("whole"), averages("parts")
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    assert run(capsys, "run", *AVERAGED, "--steps", "40", "--store", "plain")["valid"] != whole["valid"]


def test_a_share_stays_where_it_was_when_a_run_is_made_longer(capsys) -> None:
    words = [*AVERAGED, "--average", "swa,start=0.5"]
    assert run(capsys, "run", *words, "--steps", "40", "--store", "a")["average"] == {"kind": "swa", "start": 20}
    longer = run(capsys, "resume", "a", "--steps", "60")
    whole = run(capsys, "run", *AVERAGED, "--average", "swa,start=20", "--steps", "60", "--store", "b")
    assert longer["valid"] == whole["valid"]
    assert main(["run", *words, "--steps", "60", "--store", "a"]) == terminal.REFUSED
    assert "average" in capsys.readouterr().err


def test_a_fork_with_fresh_moments_keeps_weights_and_average(capsys) -> None:
    words = ["quadratic", "--rule", "Adam", "--lr", "0.05", "--average", "ema,decay=0.9", "--steps", "30"]
    run(capsys, "run", *words, "--store", "a")
    run(capsys, "fork", "a", "--lr", "0.01", "--into", "b", "--steps", "40", "--reset-moments")
    before = averages("a")
    found = single.Single(settings.setting_in(Path("a"))[0])
    checkpoint.resume("a", partial=True, run=found)
    found.reset_moments()
    after = found.rows.state["w"]
    assert torch.equal(after["average"], before["average"])
    assert not after["exp_avg"].any()
    assert before["exp_avg"].any()


def test_fresh_state_is_of_the_weights_where_they_are(capsys) -> None:
    """Schedule-Free's z is a point, which would else be the initial weights."""
    run(capsys, "run", "quadratic", "--rule", "ScheduleFreeAdamW", "--lr", "0.05", "--steps", "30", "--store", "a")
    found = single.Single(settings.setting_in(Path("a"))[0])
    checkpoint.resume("a", partial=True, run=found)
    found.reset_moments()
    assert torch.equal(found.rows.state["w"]["z"], found.rows.params["w"])


def test_a_wrong_average_is_refused_before_anything_is_made(capsys) -> None:
    for average, said in (
        ("ema", "ema needs decay"),
        ("ema,decay", "expected name=value; try --average"),
        ("emma,decay=0.9", "kind='emma' is no average"),
        ("swa,start=50", "after update 50, and the run makes 40"),
    ):
        assert main(["run", *AVERAGED, "--steps", "40", "--average", average, "--store", "a"]) != 0
        assert said in " ".join(capsys.readouterr().err.split())
    assert not Path("a").exists()


def test_a_run_with_an_average_is_explained_by_its_rule(capsys) -> None:
    words = ["quadratic", "--rule", "Adam", "--lr", "0.05", "--steps", "10", "--store", "a"]
    run(capsys, "run", *words, "--average", "ema,decay=0.9")
    found = run(capsys, "explain", "a", "--steps", "3")
    assert found["rule"] == str(Adam())
    assert "bias correction" in found["text"]
