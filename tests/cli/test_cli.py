import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from study_cases import MODES, arm_text, trained_as

from tapered.cli import main as cli
from tapered.cli.main import main
from tapered.study.plan import mode, workers
from tapered.study.store.text import bundle_from_text
from tapered.study.train import choose, verify

TOML = (
    """
name = "small"
workload = "quadratic"
steps = 40
seeds = 4
evaluations = 2
baseline = "constant"
peaks = { low = 0.05, high = 0.1, count = 2 }
"""
    + arm_text("constant")
    + arm_text("decay", "exponential_decay(decay_steps=steps, decay_rate=0.01)")
)
DECAY = "exponential_decay(decay_steps=steps, decay_rate=0.01)"
UPDATES = 2 * 2 * 4 * 40
WSD = "hold(0.5*steps).then(cooldown(0.5*steps))"


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "my.toml").write_text(TOML)
    return "my.toml"


@pytest.fixture(params=["loop", "rows"])
def kind(request, monkeypatch):
    """How rows are trained here, whatever is faster."""
    trained_as(monkeypatch, MODES[request.param])
    return request.param


def stored(folder):
    """Every run that was kept, by key."""
    paths = (folder / "runs").glob("*.json")
    bundles = [bundle_from_text(path.read_text(), path.stem).bundle for path in paths]
    found = {run.key: run for bundle in bundles for branch in bundle.branches for run in branch.results("loss")}
    return dict(sorted(found.items()))


def test_a_study_prints_its_verdict_and_writes_its_page(file, tmp_path, capsys, kind):
    assert kind
    assert main(["study", file, "--store", "s"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "1 comparison at alpha = 0.05 takes 8 seeds; try seeds = 8." in " ".join(out.split())
    assert out.startswith("Too few seeds to tell decay from constant (it takes 8 for 1 comparison): ")
    assert "0 of 8" in out
    assert out.rstrip().endswith("Page: s/report.html")
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "\x1b" not in out
    page = (tmp_path / "s" / "report.html").read_text()
    assert "tapered study my.toml --store=s" in page
    assert main(["study", file, "--store", "s"]) == 0
    assert capsys.readouterr().out == out
    assert (tmp_path / "s" / "report.html").read_text() == page


def test_json_is_one_object(file, capsys):
    assert main(["study", file, "--seeds", "2", "--steps", "5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["study"], found["runs"], found["updates"]) == ("small", 8, 40)
    assert found["comparisons"][0]["verdict"] == "not enough seeds"
    assert re.fullmatch(r"studies/small-[0-9a-f]{8}", found["folder"])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["study", "bmo"], 2, "tapered: 'bmo' is no built-in study; try \"bmi\""),
        (["study", "none.toml"], 2, "none.toml cannot be read"),
        (["study", "my.toml", "--seeds", "0"], 2, "seeds: "),
        (["study", "my.toml", "--seeds", "x"], 2, "--seeds"),
        (["study", "my.toml", "--sede", "1"], 2, "--sede"),
        (["study"], 2, "FILE"),
        (["studdy", "bmi"], 2, "study"),
        (["study", "my.toml", "--store", "my.toml"], 3, "my.toml is a file"),
        (["schedule", "exponential_decay(0.15, 1"], 2, "exponential_decay(0.15, 1"),
        (["schedule", "cosine"], 2, "cosine"),
    ],
)
def test_wrong_usage_is_a_sentence(file, capsys, arguments, code, message):
    assert file
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in re.sub(r"\s*│?\n│?\s*", " ", err)
    assert "Traceback" not in err


def test_debug_shows_the_traceback(file, capsys):
    assert main(["study", file.replace("my", "none"), "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_raising_model_is_a_failed_run(file, tmp_path, capsys):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import replace\nfrom tapered.training.workload import quadratic\n"
        "def loss(outputs, targets): raise RuntimeError('boom')\nproblem = replace(quadratic(), loss=loss)\n"
    )
    (tmp_path / file).write_text(TOML.replace('"quadratic"', '"mine.py:problem"'))
    assert main(["study", file]) == 1
    err = capsys.readouterr().err
    said = "tapered: arm 'constant', peak 0.05, seed 0, trained together with 1 other run, raised RuntimeError"
    assert err.startswith(said)
    assert "Traceback" not in err


def test_an_error_nobody_foresaw_is_said_and_fails(capsys, monkeypatch):
    def broken(*_, **__):
        raise KeyError("x")

    monkeypatch.setattr(cli, "app", broken)
    assert main(["study", "bmi"]) == 1
    assert "tapered: KeyError: 'x'; --debug shows where" in capsys.readouterr().err


def test_another_study_in_the_folder_is_refused(file, capsys):
    assert main(["study", file, "--store", "s", "--steps", "3", "--seeds", "1"]) == 0
    assert main(["study", file, "--store", "s", "--steps", "4", "--seeds", "1"]) == 3
    assert "study.steps: 3 there, 4 now" in capsys.readouterr().err


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", capsys.readouterr().out)
    assert main(["--help"]) == 0
    assert "study" in capsys.readouterr().out


def test_a_schedule_is_shown_and_drawn(tmp_path, capsys):
    assert main(["schedule", "hold(100).then(cooldown(50))", "--out", str(tmp_path / "a.svg")]) == 0
    out = capsys.readouterr().out
    rows = [line.strip().split(maxsplit=2) for line in out.splitlines()]
    assert ["100", "1", "hold ends, cooldown begins"] in rows
    assert ["101", "0.98"] in rows
    assert ["150", "0", "cooldown ends"] in rows
    assert max(len(line) for line in out.splitlines() if not line.startswith("Drawn")) <= 80
    assert (tmp_path / "a.svg").read_text().lstrip().startswith("<")


def test_a_schedule_is_shown_as_far_as_asked(capsys):
    assert main(["schedule", "exponential_decay(0.5, 10, 0.5)", "--steps", "11"]) == 0
    assert "10     0.25  last step" in capsys.readouterr().out
    assert main(["schedule", "exponential_decay(0.5, 10, 0.5)", "--steps", "0"]) == 2
    assert main(["schedule", "linear(steps=9)", "--out", "a.gif"]) == 2


def run(arguments, kind="loop", **options):
    code = (
        "import sys; from tapered.cli.main import main; from tapered.training import modes\n"
        "from tapered.training.advance import Mode\n"
        f"mode = Mode({kind!r}, {1 if kind == 'loop' else 8}, 'a test says so')\n"
        "modes.forecast = lambda *_: modes.Timed(mode, 1e-5)\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def wait_until(condition, process):
    for _ in range(3000):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError


def test_interrupted_and_started_again_is_as_if_undisturbed(file, tmp_path, kind):
    folder = tmp_path / "s"
    (tmp_path / file).write_text(TOML.replace("steps = 40", "steps = 400"))
    process = run(["study", file, "--store", "s"], kind, cwd=tmp_path)
    wait_until((folder / "modes.json").exists, process)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert "Stopping after this step" in err
    assert "To go on: tapered study my.toml --store=s" in err
    before = {run.key: run.step for run in stored(folder).values()}
    assert sum(before.values()) < 10 * UPDATES
    assert main(["study", file, "--store", "s"]) == 0
    assert main(["study", file, "--store", "undisturbed"]) == 0
    assert stored(folder) == stored(tmp_path / "undisturbed")
    assert sum(run.step for run in stored(folder).values()) == 10 * UPDATES


def test_a_second_interrupt_stops_at_once(file, tmp_path):
    (tmp_path / "slow.py").write_text(
        "import os\nimport time\nfrom dataclasses import replace\nfrom tapered.training.workload import quadratic\n"
        "def loss(outputs, targets):\n"
        "    if os.path.exists('s'):\n"  # not before a folder is there, where there is nothing to stop
        "        open('begun', 'w').close()\n"
        "        time.sleep(60)\n"
        "    return outputs.sum()\n"
        "problem = replace(quadratic(), loss=loss)\n"
    )
    (tmp_path / file).write_text(TOML.replace('"quadratic"', '"slow.py:problem"'))
    process = run(["study", file, "--store", "s"], cwd=tmp_path)
    wait_until((tmp_path / "begun").exists, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert (out, "Traceback" in err) == ("", False)
    assert "Stopped at once" in err
    assert not (tmp_path / "s" / "owner").exists()


def test_killed_and_started_again_is_as_if_undisturbed(file, tmp_path, kind):
    folder = tmp_path / "s"
    (tmp_path / file).write_text(TOML.replace("steps = 40", "steps = 300").replace(DECAY, WSD))
    for kill in (0, 1, 3) if kind == "rows" else (2, 4):
        process = run(["study", file, "--store", "s"], kind, cwd=tmp_path)
        wait_until(lambda p=process: p.poll() is not None or (folder / "owner").exists(), process)
        time.sleep(0.13 * kill)
        process.kill()
        process.communicate()
        (folder / "owner").unlink(missing_ok=True)
    assert main(["study", file, "--store", "s"]) == 0
    assert main(["study", file, "--store", "undisturbed"]) == 0
    assert stored(folder) == stored(tmp_path / "undisturbed")
    assert (folder / "report.html").read_text().replace("--store=s<", "--store=undisturbed<") == (
        tmp_path / "undisturbed" / "report.html"
    ).read_text()


def test_a_plan_is_printed_and_nothing_is_run(file, tmp_path, capsys, kind):
    (tmp_path / file).write_text(TOML.replace(DECAY, WSD))
    assert main(["study", file, "--plan"]) == 0
    out = capsys.readouterr().out
    rows = dict(line.rsplit("  ", 1) for line in out.splitlines()[:8])
    found = {name.strip(): value.strip() for name, value in rows.items()}
    # each of 8 pairs shares 21 updates: a cooldown begins at the rate that it comes from
    assert (found["runs"], found["steps asked"], found["steps to run"], found["ratio"]) == ("16", "640", "472", "1.36")
    assert re.fullmatch(r"about \d+ s", found["time"])
    assert f"trained as {kind}" in out
    assert max(len(line) for line in out.splitlines()) <= 80
    assert not (tmp_path / "studies").exists()


@pytest.mark.parametrize(
    ("starting", "said", "used"),
    [(0.0, "Workers: 2 of 2; one would take about ", 2), (99.0, "Workers: 1 of 2, as", 1)],
)
def test_a_plan_says_how_many_workers_train_and_why(file, capsys, monkeypatch, kind, starting, said, used):
    assert kind
    for name in ("STARTING", "FORKING"):
        monkeypatch.setattr(workers, name, starting)
    monkeypatch.setattr(choose, "cores", lambda: 8)
    monkeypatch.setattr(mode, "most_rows", lambda *_: 4)  # more bundles than one
    assert main(["study", file, "--plan", "--workers", "2"]) == 0
    assert said in " ".join(capsys.readouterr().out.split())
    assert main(["study", file, "--plan", "--workers", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["workers"] == used
    assert main(["study", file, "--plan"]) == 0
    assert "Workers" not in capsys.readouterr().out


def test_a_plan_says_how_many_seeds_its_comparisons_take(file, tmp_path, capsys, kind):
    assert kind
    more = "".join(f'[[arms]]\nname = "{i}"\nrule = "SGD"\nlr = "cosine_decay(decay_steps=steps)"\n' for i in range(6))
    why = "7 comparisons at alpha = 0.05 take 9 seeds; try fresh = 9."
    note = f'With fresh = 8 no verdict can be "better" or "worse": {why}'
    for fresh, said in ((8, True), (9, False)):
        (tmp_path / file).write_text(TOML.replace("seeds = 4", f"seeds = 8\nfresh = {fresh}") + more)
        assert main(["study", file, "--plan"]) == 0
        assert (note in " ".join(capsys.readouterr().out.split())) == said
        assert main(["study", file, "--plan", "--json"]) == 0
        fields = json.loads(capsys.readouterr().out)
        assert (fields["comparisons"], fields["seeds_needed"], fields["fresh"]) == (7, 9, fresh)
        assert fields["lacks"] == (note if said else None)
    (tmp_path / file).write_text(
        TOML.replace("seeds = 4", "seeds = 1\nfresh = 8").replace("steps = 40", "steps = 2") + more
    )
    assert main(["study", file, "--json"]) == 0
    out, err = capsys.readouterr()
    assert note in " ".join(err.split())  # at the start
    assert note in json.loads(out)["caveats"]


def test_a_plan_says_why_nothing_is_shared(file, tmp_path, capsys, kind):
    (tmp_path / file).write_text(TOML.replace('lr = "constant(1.0)"', 'lr = "constant(0.9)"'))
    assert main(["study", file, "--plan"]) == 0
    assert "640 to run, none shared: all runs of one seed differ in lr" in " ".join(capsys.readouterr().out.split())
    assert main(["study", file, "--plan", "--json"]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert (fields["steps_asked"], fields["ratio"]) == (640, 1.0)
    assert fields["not_shared"].startswith("all runs of one seed differ in lr")
    assert [mode["kind"] for mode in fields["modes"]] == [kind]


def test_verification_is_printed_and_decides_the_exit_code(file, capsys, monkeypatch, kind):
    assert kind
    assert main(["study", file, "--store", "s", "--verify"]) == 0
    said = "Verified: 8 of 16 runs trained again from scratch, max |difference| = 0 over"
    assert said in " ".join(capsys.readouterr().out.split())
    advance = verify.advance
    monkeypatch.setattr(verify, "advance", lambda w, r, p, n, **k: advance(w, r, p, n - 1, **k))
    assert main(["study", file, "--store", "s", "--verify", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["verified"]["max_difference"] > 0


def test_help_brings_in_nothing_heavy():
    code = "import sys; from tapered import cli; print([m for m in ('optuna', 'scipy', 'jinja2') if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert found.stdout == "[]\n"


def test_what_lives_as_long_as_a_study_is_kept_from_the_collector(monkeypatch) -> None:
    """Python's collector is asked once, when training has begun; and every update is told of, some together."""
    import gc

    from tapered.cli import finish

    before, seen, clock = gc.get_freeze_count(), [], iter([0.0, 0.2, 0.21, 0.25, 0.4])
    monkeypatch.setattr(finish.time, "monotonic", lambda: next(clock))
    try:
        made = finish._settled(seen.append)
        frozen = gc.get_freeze_count()
        kept = [[] for _ in range(1000)]
        for updates in (1, 2, 3, 4):
            made(updates)
        assert seen == [1, 9]
        assert before < frozen < gc.get_freeze_count()
        assert not any(found is kept for found in gc.get_objects())
    finally:
        gc.unfreeze()
