"""`tapered study` of scripts: --check, --plan, --from-script, exit codes, and a study that was killed."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from study_cases import read
from study_scripts import COMMAND, CONSTANT, LATE, SCRIPT, TABLE, by_hand, stated

import tapered
from tapered.cli.main import main
from tapered.study import open_store
from tapered.study.script.first import first_study

SOURCE = Path(tapered.__file__).parents[1]
ARGPARSE = """
import argparse
p = argparse.ArgumentParser()
p.add_argument("-l", "--learning-rate", type=float)
for name in ("--seed", "--max_iters", "--out_dir"): p.add_argument(name)
p.parse_args()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "my.toml").write_text(stated())
    return tmp_path


def said(capsys):
    captured = capsys.readouterr()
    return " ".join(captured.out.split()), " ".join(captured.err.split())


def test_check_plan_and_the_study_itself(folder, capsys):
    assert main(["study", "my.toml", "--plan", "--store", "s"]) == 0
    out, _ = said(capsys)
    assert "runs 8" in out
    assert "steps asked 160" in out
    assert "time unknown" in out
    assert "Not checked yet: tapered study FILE --check" in out
    assert "train.py --rates" in out
    assert main(["study", "my.toml", "--check", "--store", "s"]) == 0
    out, err = said(capsys)
    for line in (
        "yes end: It ends at 20 updates, as it is asked.",
        "yes metrics: It told loss (4 points).",
        "? rate: The rate is not looked at",
        "yes same: The same seed gives the same numbers, to the last bit.",
        "yes seed: Another seed gives other numbers.",
        "yes share: From the checkpoint of step 5 it gives the same numbers: steps are shared.",
        "steps are shared. Next: tapered study my.toml",
    ):
        assert line in out
    assert "once: 20 updates, seed 0" in err
    assert main(["study", "my.toml", "--plan", "--store", "s", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["runs"], plan["steps_asked"], plan["steps_to_run"], plan["not_shared"]) == (8, 160, 116, None)
    assert plan["seconds"] > 0
    assert plan["checked"]
    assert main(["study", "my.toml", "--store", "s", "--verify", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["script"]["shared"] == 40
    assert found["verified"] == {"runs": 1, "of": 8, "taken_over": 10, "max_difference": 0.0}
    assert "What was witnessed" in (folder / "s" / "report.html").read_text()


def test_a_check_that_finds_something_wrong_ends_with_1_and_says_what_to_change(folder, capsys):
    (folder / "my.toml").write_text(stated(table=TABLE.replace(COMMAND, f"{COMMAND} --fault seedless")))
    assert main(["study", "my.toml", "--check", "--store", "s"]) == 1
    out, _ = said(capsys)
    assert "NO seed: Another seed gives the same numbers: it is ignored" in out
    assert "to change: draw initial weights and order from {seed}" in out
    assert "cannot be relied on yet" in out


def test_refused_and_failed_runs_end_with_1(folder, capsys):
    (folder / "my.toml").write_text(stated(table=TABLE.replace(COMMAND, f"{COMMAND} --fault crash:3,1")))
    assert main(["study", "my.toml", "--store", "s"]) == 1
    _, err = said(capsys)
    assert "4 runs of 8 failed; the same command tries again" in err
    assert "RuntimeError: somebody's own mistake" in err
    page = (folder / "s" / "report.html").read_text()
    assert "Not finished: 4 of 8 runs are done." in page
    assert "To go on: <code>tapered study my.toml --store=s</code>" in page
    assert main(["show", "s"]) == 0
    assert "Not finished: 4 of 8 runs are done." in said(capsys)[0]
    (folder / "my.toml").write_text(stated(table=TABLE.replace(COMMAND, f"{COMMAND} --fault early")))
    assert main(["study", "my.toml", "--store", "t"]) == 1
    assert "REFUSED: arm 'constant', peak 0.05" in said(capsys)[1]


def test_a_command_that_cannot_be_started_is_refused_before_anything_is(folder, capsys):
    (folder / "my.toml").write_text(stated(table=TABLE.replace("{python} train.py", "no-such-python train.py")))
    assert main(["study", "my.toml", "--store", "s"]) == 2
    assert "there is no program `no-such-python` here" in said(capsys)[1]
    assert not list((folder / "s" / "runs").iterdir())


@pytest.mark.usefixtures("folder")
def test_check_is_of_scripts_alone(capsys):
    assert main(["study", "bmi", "--check"]) == 2
    assert "--check starts a script a few times, and this is a study of a workload" in said(capsys)[1]
    assert main(["study"]) == 2
    assert "FILE is missing" in said(capsys)[1]


def test_a_killed_study_goes_on(folder):
    text = stated(arms=CONSTANT.replace("lr =", 'args = "--fault wait:12"\nlr =') + LATE, seeds=1)
    (folder / "my.toml").write_text(text)
    command = [sys.executable, "-c", "from tapered.cli.main import main; main()", "study", "my.toml", "--store", "s"]
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    running = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 600
    while not list(folder.glob("s/runs/*/out/once")) and time.monotonic() < until:
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    for out in folder.glob("s/runs/*/out"):
        (out / "once").touch()
    found = read(folder, text)
    assert main(["study", "my.toml", "--store", "s"]) == 0
    with open_store(found, folder / "s") as store:
        runs = store.runs()
    assert len(runs) == 4
    assert all(run.curve == by_hand(found, run) for run in runs)


def test_a_first_file_is_written_and_is_a_study(folder, capsys):
    assert main(["study", "first.toml", "--from-script", "train.py"]) == 0
    out, _ = said(capsys)
    assert "Written: first.toml" in out
    assert "No option for its learning rate was found" in out
    assert "#   tapered study first.toml --check" in (folder / "first.toml").read_text()
    assert "tapered study first.toml --check" in out
    fields = tomllib.loads((folder / "first.toml").read_text())
    assert fields["script"]["command"] == ("{python} train.py --seed {seed} --max-steps {steps} --output-dir {out}")
    read(folder, (folder / "first.toml").read_text())
    assert main(["study", "first.toml", "--from-script", "train.py"]) == 2
    assert "exists already" in said(capsys)[1]


@pytest.mark.parametrize(
    ("text", "command"),
    [
        (
            ARGPARSE,
            "{python} t.py --learning-rate {peak} --seed {seed} --max_iters {steps} --out_dir {out}",
        ),
        (
            "raise SystemExit(3)  # no help\nparser.add_argument('--lr')\nparser.add_argument('--steps')\n",
            "{python} t.py --lr {peak} --steps {steps}",
        ),
        (
            "learning_rate = 6e-4\nmax_iters = 100\nout_dir = 'out'\nexec(open('configurator.py').read())\n",
            "{python} t.py --learning_rate={peak} --max_iters={steps} --out_dir={out}",
        ),
        (
            "raise SystemExit(3)\nfrom transformers import HfArgumentParser, Trainer\nHfArgumentParser(())\nTrainer()",
            "{python} t.py --learning_rate {peak} --seed {seed} --max_steps {steps} --output_dir {out}",
        ),
    ],
    ids=["argparse", "no help", "names at the top", "HfArgumentParser"],
)
def test_options_are_found_by_the_names_that_scripts_have_for_them(tmp_path, text, command):
    (tmp_path / "t.py").write_text(text)
    found = first_study(tmp_path / "t.py", tmp_path / "t.toml")
    fields = tomllib.loads(found.text)
    assert fields["question"] == "Does a decaying rate beat a constant one in t.py?"
    assert fields["script"]["command"] == command
    if "Trainer" in text:
        assert fields["script"]["metrics"] == "trainer_state"
    read(tmp_path, found.text)
