"""What runs, when: code that the user named, what of it, and what its prints and exits change."""

# ruff: noqa: E501, PT018, PTH110, ISC004, RUF043  # texts of forged files, in one line each
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from saving import let_go

from tapered import checkpoint
from tapered.cli.main import main
from tapered.cli.terminal import visible
from tapered.study.file.typed import arm_of
from tapered.workloads import own
from tapered.workloads.find import workload_of
from tapered.workloads.own import StudyFileError

MINE = "from tapered.training.workload import quadratic\ndef problem(noise=1.0):\n    return quadratic(noise=noise)\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield
    let_go()


def begun(*more: str, code: str = MINE) -> None:
    Path("mine.py").write_text(code)
    assert main(["run", "mine.py:problem", "--lr", "0.1", "--steps", "4", "--store", "runs/x", *more]) == 0
    checkpoint.release("runs/x")


def forgotten(monkeypatch, tmp_path) -> None:
    """As on another machine."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))


def test_what_was_run_here_goes_on_without_a_word() -> None:
    begun("--option", "noise=0.5")
    assert main(["resume", "runs/x", "--steps", "6"]) == 0
    assert main(["explain", "runs/x"]) == 0
    assert main(["fork", "runs/x", "--lr", "0.01", "--into", "child", "--steps", "8"]) == 0
    assert main(["resume", "child", "--steps", "9"]) == 0


def test_on_another_machine_it_is_asked_for_once(capsys, monkeypatch, tmp_path) -> None:
    begun()
    forgotten(monkeypatch, tmp_path)
    capsys.readouterr()
    assert main(["resume", "runs/x", "--steps", "6"]) == 3
    said = capsys.readouterr().err
    typed = "tapered resume runs/x --steps=6 --workload mine.py:problem"
    assert typed in said and str(Path("mine.py").resolve()) in said
    assert main([*typed.split()[1:]]) == 0
    assert main(["resume", "runs/x", "--steps", "7"]) == 0


def test_another_file_name_or_argument_is_not_what_was_run(capsys, monkeypatch, tmp_path) -> None:
    begun()
    forgotten(monkeypatch, tmp_path)
    Path("other.py").write_text(MINE + "# another\n")
    for given, words in (
        ("mine.py:quadratic", "the same name"),
        ("other.py:problem", "has changed"),
        ("bmi", "same name"),
    ):
        assert main(["resume", "runs/x", "--workload", given]) == 3
        assert words in capsys.readouterr().err


def test_the_same_command_goes_on_where_nothing_can_be_remembered(monkeypatch, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    begun()
    begun()
    assert main(["resume", "runs/x", "--steps", "7"]) == 3


def test_a_compiled_file_beside_it_does_not_run() -> None:
    """Python would take it, as its time and size are those of the source."""
    import importlib.util
    import marshal
    import os

    path = Path("mine.py")
    path.write_text(MINE)
    cached = Path(importlib.util.cache_from_source(str(path)))
    cached.parent.mkdir()
    facts = path.stat()
    evil = compile("open('pwned', 'w')\n" + MINE, "mine.py", "exec")
    head = importlib.util.MAGIC_NUMBER + b"\0" * 4 + int(facts.st_mtime).to_bytes(4, "little")
    cached.write_bytes(head + facts.st_size.to_bytes(4, "little") + marshal.dumps(evil))
    assert workload_of("mine.py:problem")[0].name == "quadratic"
    assert not os.path.exists("pwned")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("from os import system as problem", "only imported"),
        ("import os\nproblem = os.system", "only imported"),
        ("import functools, os\nproblem = functools.partial(os.system, 'touch pwned')", "only imported"),
        ("from tapered.training.workload import quadratic as problem", "only imported"),
        ("import sys\nsys.exit(0)", r"called sys.exit\(0\)"),
        ("import sys\ndef problem():\n    sys.exit(0)", r"called sys.exit\(0\)"),
        ("raise SystemExit", r"called sys.exit\(None\)"),
        ("problem = 3", "is int; expected a Workload"),
        ("def problem(: pass", "raised SyntaxError"),
        ("\0", "raised (SyntaxError|ValueError)"),
    ],
)
def test_what_a_file_may_not_be(code: str, words: str) -> None:
    Path("mine.py").write_text(code)
    with pytest.raises(StudyFileError, match=words):
        workload_of("mine.py:problem")
    assert not Path("pwned").exists()


@pytest.mark.parametrize(
    "code",
    [
        "from tapered.training.workload import quadratic\nproblem = quadratic()",
        "import functools\n" + MINE.replace("def", "@functools.lru_cache\ndef"),
        "from tapered import Workload\nfrom tapered.training.workload import quadratic\nq = quadratic()\nclass problem(Workload):\n"
        "    def __init__(self):\n        super().__init__(**{n: getattr(q, n) for n in q.__dataclass_fields__})",
    ],
)  # fmt: skip
def test_what_a_file_may_be(code: str) -> None:
    Path("mine.py").write_text(code)
    assert workload_of("mine.py:problem")[0].name == "quadratic"


def test_a_file_leaves_folder_and_threads_as_they_are() -> None:
    Path("mine.py").write_text("import os, torch\nos.chdir('/')\ntorch.set_num_threads(7)\n" + MINE)
    before = Path.cwd(), torch.get_num_threads()
    workload_of("mine.py:problem")
    assert (Path.cwd(), torch.get_num_threads()) == before


@pytest.mark.parametrize("name", ["mine.so", "mine.pyc", "mine", "fifo.py", "folder.py", "a" * 5000 + ".py", "\0.py"])
def test_only_a_python_file_is_opened(name: str) -> None:
    import os

    if name == "fifo.py":
        os.mkfifo(name)
    elif name == "folder.py":
        Path(name).mkdir()
    elif len(name) < 100 and "\0" not in name:
        Path(name).write_bytes(b"\x7fELF")
    with pytest.raises(StudyFileError, match="there is no file|is no Python file"):
        own.find(f"{name}:problem")


NOISY = """
import sys
from dataclasses import replace
from tapered.training.workload import quadratic
print("at import"); sys.stdout.write("written"); sys.stdout.close()
base = quadratic()
def model():
    print("at every model")
    return base.model()
def problem():
    print("when called")
    return replace(base, model=model)
"""


def test_prints_of_a_workload_do_not_reach_stdout(capsys) -> None:
    begun("--json", code=NOISY)
    out, err = capsys.readouterr()
    assert json.loads(out)["step"] == 4
    assert all(words in err for words in ("at import", "written", "when called", "at every model"))


def test_an_exit_while_it_trains_is_no_success(capsys) -> None:
    Path("mine.py").write_text(NOISY.replace('print("at every model")', "sys.exit(0)"))
    assert main(["run", "mine.py:problem", "--lr", "0.1", "--steps", "4", "--store", "runs/y", "--json"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "called sys.exit(0)" in err


def test_a_real_process_prints_json_alone() -> None:
    Path("mine.py").write_text(NOISY)
    words = [
        sys.executable,
        "-c",
        "import sys; from tapered.cli.main import main; sys.exit(main())",
        "run",
        "mine.py:problem",
    ]
    done = subprocess.run(
        [*words, "--lr", "0.1", "--steps", "2", "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["step"] == 2


STUDY = 'name = "s"\nworkload = "{}"\nsteps = 4\nseeds = 2\nbaseline = "a"\npeaks = {{ low = 0.1, high = 0.1, count = 1 }}\n[[arms]]\nname = "a"\nrule = "SGD"\nlr = "constant(1.0)"\n'


def test_a_study_runs_code_beside_it_and_elsewhere_by_name_only(capsys, tmp_path) -> None:
    Path("sub").mkdir()
    for folder in (Path(), Path("sub"), tmp_path):
        (folder / "mine.py").write_text(MINE)
    full = str((tmp_path / "mine.py").resolve())
    for text in ("mine.py:problem", "sub/mine.py:problem", "sub/../mine.py:problem"):
        Path("s.toml").write_text(STUDY.format(text))
        assert main(["study", "s.toml", "--plan"]) == 0
    for text in ("../mine.py:problem", f"{full}:problem"):
        Path("s.toml").write_text(STUDY.format(text))
        assert main(["study", "s.toml", "--plan"]) == 2
        assert f"add --workload {full}:problem" in capsys.readouterr().err
        assert main(["study", "s.toml", "--plan", "--workload", "mine.py:problem"]) == 2
        assert main(["study", "s.toml", "--plan", "--workload", f"{full}:problem"]) == 0


@pytest.mark.parametrize(
    "store", ["notes?v2", "a#b", "50%25", "{x}", "with space", "ünï", "file:x", "sqlite:", "-x", "&uri=true"]
)
def test_a_study_stays_in_the_folder_that_was_asked_for(store: str) -> None:
    Path("s.toml").write_text(STUDY.format("quadratic"))
    assert main(["study", "s.toml", f"--store={store}"]) == 0
    assert sorted(path.name for path in Path().iterdir()) == sorted([store, "s.toml"])
    assert (Path(store) / "ledger.db").stat().st_size > 0


def test_what_the_terminal_is_shown() -> None:
    assert visible("plain") == "plain"
    assert visible("\x1b[2J\x07\r\x9b\u202e\u2028\udcff\u200b") == "\\x1b[2J\\x07\\r\\x9b\\u202e\\u2028\\udcff\\u200b"
    assert visible("é 学习 \U0001f469\u200d\U0001f680") == "é 学习 \U0001f469\u200d\U0001f680"
    assert visible("a\n\tb", lines=True) == "a\n\tb"


def test_a_long_number_is_read_at_once() -> None:
    with pytest.raises(ValueError, match="cannot read|lr ="):
        arm_of("Adam", "1" * 200_000 + "x", {}, {}).path(10, None)
