"""A command as a template: each placeholder one word, whatever stands in it; what no run could start is refused."""

import subprocess
import sys
from pathlib import Path

import pytest
from script_starts import Asking

from tapered.scripts.checkpoints import found, set_aside
from tapered.scripts.command import Command, Template, values
from tapered.scripts.errors import ScriptError

ODD = "a b'\"$HOME;{x}*\n&& é"
ECHO = [sys.executable, "-c", "import sys; print(ascii(sys.argv[1:]))"]


def words(text, given=None, **more):
    return Template.read(text, **more).filled(given or {})


def test_a_command_is_taken_apart_as_a_shell_would():
    assert words("python  'my train.py' --name \"a b\" c\\ d") == ["python", "my train.py", "--name", "a b", "c d"]


@pytest.mark.parametrize("text", ["run {out} --x={out}/y", ["run", "{out}", "--x={out}/y"]])
def test_whatever_stands_in_a_placeholder_is_one_word_or_a_part_of_one(text):
    assert words(text, {"out": ODD}) == ["run", ODD, f"--x={ODD}/y"]


def test_what_a_program_is_given_is_what_stands_in_the_placeholders():
    line = Template.read([*ECHO, "{out}", "lr={peak}", "{seed}"]).filled({"out": ODD, "peak": 0.1 + 0.2, "seed": 0})
    assert subprocess.check_output(line, text=True).strip() == ascii([ODD, "lr=0.30000000000000004", "0"])


def test_doubled_braces_are_braces():
    assert words(['{{"lr": {peak}}}', "{{peak}}", "}}{{"], {"peak": 1e-5}) == ['{"lr": 1e-05}', "{peak}", "}{"]


def test_a_word_stands_where_its_flag_is_on():
    text = "go {if:peak}--lr={peak} {if:cosine}--cosine {if:resume}{if:cosine}--both {if:seed}--seed={seed}"
    template = Template.read(text, flags=["cosine"])
    assert template.filled({"peak": None, "seed": 0}) == ["go", "--seed=0"]
    assert template.filled({"peak": 0.1, "cosine": True, "resume": True}) == ["go", "--lr=0.1", "--cosine", "--both"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("go {pek}", r'unknown placeholder \{pek\}; try "peak"'),
        ("go { peak }", r"single \{"),
        ("go {peak:.3f}", "unknown placeholder"),
        ("go {out!r}", "unknown placeholder"),
        ("go {}", "unknown placeholder"),
        ("go {if:cosin}--x", "unknown placeholder"),
        ("go {peak", r"single \{"),
        ("go peak}", r"single \}"),
        ("go x{if:peak}y", "begins it"),
        ("go {if:peak}", "alone"),
        ("go --from={resume}", "let it stand alone"),
        ("go 'x", "not closed"),
        ("go && stop", "only a shell"),
        ("go > log", "only a shell"),
        ("go $HOME/x", "only a shell"),
        ("go ${{X}}", "only a shell"),
        ("go $(date)", "only a shell"),
        ("go `date`", "only a shell"),
        ("go ~/x", "only a shell"),
        ("A=1 go", "env A=1"),
        (["go", 1], "list of words"),
        (["go\0"], "zero byte"),
    ],
)
def test_what_no_run_could_start_is_refused_before_anything_starts(text, said):
    with pytest.raises(ScriptError, match=said) as caught:
        Template.read(text, "args", flags=["cosine"])
    assert "args" in str(caught.value)


def test_a_list_takes_what_a_shell_would_understand_as_it_is():
    assert words(["go", "&&", "$HOME", "~/x", "A=1"]) == ["go", "&&", "$HOME", "~/x", "A=1"]


def command(text, resume="same-out", **more):
    given = values(Path("run"), Asking(), [0.05, 0.1, 0.0], "linear(0.1)", ["cosine"])
    return Command(Template.read(text, flags=["cosine"]), given, rate="off", resume=resume, **more)


def test_what_placeholders_stand_for():
    run = Path("run").absolute()
    names = "peak lr rates schedule seed steps until out run arm python"
    line = command(["env", *(f"{{{name}}}" for name in names.split())]).words()
    expected = [0.1, 0.1, run / "rates.f64", "linear(0.1)", 0, 6, 6, run / "out", run, "cosine", sys.executable]
    assert line == ["env", *map(str, expected)]


def test_an_arm_without_a_peak_says_so():
    given = values(Path("run"), Asking(peak=None), [0.1], "constant(0.1)")
    with pytest.raises(ScriptError, match=r"stands as written.*\{if:peak\}"):
        Command(Template.read("env {peak}"), given, rate="off").words()


def test_how_it_goes_on():
    at = Path("ck 2")
    assert command("env x").words(at, again=True) == ["env", "x"]
    assert command("env {if:resume}-r x").words() == ["env", "x"]
    assert command("env {if:resume}-r x").words(again=True) == ["env", "-r", "x"]
    own = command("env {resume} x", Template.read("--resume {checkpoint}"))
    assert own.words() == ["env", "x"]
    assert own.words(again=True) == ["env", "x"]  # nothing to go on from
    assert own.words(at, again=True) == ["env", "--resume", "ck 2", "x"]
    assert own.words(at) == ["env", "--resume", "ck 2", "x"]  # a fork's
    assert command("env x", Template.read("--on")).words(again=True) == ["env", "x", "--on"]
    assert command("env {if:resume}-r x", "none").words(at, again=True) == ["env", "x"]
    with pytest.raises(ScriptError, match=r"a first start has none.*\{if:checkpoint\}"):
        command("env {checkpoint}").words()


def test_words_of_an_arm_come_behind():
    both = Template.read("go {peak}") + Template.read("--type cosine", "args")
    assert both.filled({"peak": 1.0}) == ["go", "1.0", "--type", "cosine"]


def test_a_program_that_is_not_there_is_said(tmp_path, monkeypatch):
    (tmp_path / "own.sh").write_text("")
    for text, said in {
        "no-such-program x": "no program `no-such-program`", "./own.sh": "chmod", "./none.sh": "no program"
    }.items():  # fmt: skip
        with pytest.raises(ScriptError, match=said):
            command(text, folder=tmp_path).words()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ScriptError, match=r"try \{python\}"):
        command("python3.11 x").words()
    with pytest.raises(ScriptError, match="no words"):
        command("").words()


def test_checkpoints_by_their_names(tmp_path):
    for name in ("checkpoint-20", "checkpoint-100", "checkpoint-3", "checkpoint-x", "bad-checkpoint-200", "a-7/b"):
        (tmp_path / name).mkdir(parents=True)
    there = found("{out}/checkpoint-{step}", tmp_path)
    assert [(one.step, one.path.name) for one in there] == [(s, f"checkpoint-{s}") for s in (3, 20, 100)]
    (tmp_path / "epoch=1-step=40.ckpt").touch()
    (tmp_path / "epoch=0-step=8.ckpt").touch()
    assert [one.step for one in found("{out}/epoch=*-step={step}.ckpt", tmp_path)] == [8, 40]
    assert [one.step for one in found("{out}/a-{step}/b", tmp_path)] == [7]
    assert [one.step for one in found("{out}/checkpoint-3", tmp_path)] == [None]
    assert found("{out}/[ab]-{step}", tmp_path) == []
    assert set_aside(there[-1].path).name == "bad-checkpoint-100"
    there[-1].path.mkdir()
    assert set_aside(there[-1].path).name == "bad-checkpoint-100-1"
    assert [one.step for one in found("{out}/checkpoint-{step}", tmp_path)] == [3, 20]


@pytest.mark.parametrize("text", ["checkpoint-{step}", "{out}/../x", "{out}/{seed}", "{out}/{step}/{step}", "{out}//x"])
def test_checkpoints_stand_in_the_runs_own_folder(text, tmp_path):
    with pytest.raises(ScriptError, match="expected a path in"):
        found(text, tmp_path)
