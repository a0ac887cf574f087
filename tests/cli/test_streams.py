"""The command line whatever stands behind stdout: one sentence or the result, JSON or nothing, the documented code."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from saving import opened
from study_cases import arm_text

from tapered import report
from tapered.cli.main import main
from tapered.cli.streams import steady

MAIN = "import sys; from tapered.cli.main import main; sys.exit(main(sys.argv[1:]))"
STUDY = """
name = "small"
workload = "quadratic"
steps = 5
seeds = 2
baseline = "a ± b"
peaks = { low = 0.01, high = 0.1, count = 2 }
""" + arm_text("a ± b")


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("s.toml").write_text(STUDY)


@pytest.mark.usefixtures("file")
def test_every_stream():
    """One process, forked after its imports, for each: shell words -> what comes of them."""
    code = """
import os, sys
from tapered import report
from tapered.cli.main import main
report.write = lambda *_: None
words = ["study", "s.toml", "--store", "s"]
main(words)
def told(fd, arguments):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        if fd is None:
            sys.stdout = None
        else:
            os.dup2(fd, 1)
            sys.stdout = open(1, "w", encoding="ascii", closefd=False)
        os._exit(main(arguments))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
read, write = os.pipe()
os.close(read)
full = os.open("/dev/full", os.O_WRONLY)
found = [told(fd, [*words, *json]) for fd, json in ((None, []), (write, []), (full, []), (full, ["--json"]))]
kept = os.open("kept", os.O_WRONLY | os.O_CREAT)
print(found, told(kept, words), told(os.open("json", os.O_WRONLY | os.O_CREAT), [*words, "--json"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.splitlines()[-1] == b"[0, 0, 1, 1] 0 0"
    assert done.stderr.decode() == "tapered: stdout did not take the result (No space left on device); make room\n" * 2
    assert b"a \\xb1 b" in Path("kept").read_bytes()
    assert json.loads(Path("json").read_text())["study"] == "small"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_pipe_that_closes_changes_no_exit_code(stream, monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as pipe:  # noqa: PTH123 - a file descriptor
        monkeypatch.setattr(sys, stream, pipe)
        assert steady(lambda _: (getattr(sys, stream).write("x" * 100_000), 3)[1])([]) == 3
        pipe.flush()  # what Python does at its end raises nothing
    assert getattr(sys, stream) is pipe


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("as_json", [False, True])
def test_a_verdict_is_printed_without_its_page(capsys, monkeypatch, as_json):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "write", full)
    assert main(["study", "s.toml", "--store", "s", *(["--json"] if as_json else [])]) == 0
    out, err = capsys.readouterr()
    assert (
        err
        == "s/report.html could not be written (No space left on device); make room, and the same command writes it\n"
    )
    if as_json:
        assert json.loads(out)["page"] is None
    else:
        assert "Page:" not in out
        assert out


READ_ONLY = """
import os
from tapered.cli.main import main
main(["study", "s.toml", "--store", "other"])  # all that is imported late, while the sources may be read
print("----")
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for folder in ("whole", "half"):
    print(main(["study", "s.toml", "--store", folder]))
"""


@pytest.mark.usefixtures("file")
def test_a_finished_study_in_a_folder_that_may_only_be_read(capsys):
    """It prints its verdict; one that lacks runs is refused, and neither is written to."""
    assert main(["study", "s.toml", "--store", "whole"]) == 0
    said = capsys.readouterr().out.replace("Page: whole/report.html\n", "")
    shutil.copytree("whole", "half")
    next(Path("half/runs").glob("*.json")).unlink()
    Path("half/runs/" + "0" * 20 + ".json.tmp").write_text("what a kill left")
    kept = {path: path.read_bytes() for folder in ("whole", "half") for path in Path(folder).rglob("*.*")}
    for path in (Path("whole"), Path("half"), *kept, Path("whole/runs"), Path("half/runs")):
        path.chmod(0o555)
    opened(Path.cwd())
    try:
        done = subprocess.run([sys.executable, "-c", READ_ONLY], capture_output=True, text=True, check=True)
    finally:
        for folder in ("whole", "half"):
            Path(folder).chmod(0o755)
            Path(folder, "runs").chmod(0o755)
    assert done.stdout.partition("----\n")[2] == f"{said}0\n3\n"
    page = "let it be written, or copy its folder, and the same command writes it"
    assert done.stderr.splitlines()[-2:] == [
        f"whole/report.html could not be written (Permission denied); {page}",
        "tapered: half cannot be written (Permission denied); try another --store DIR, or a copy of it",
    ]
    assert kept == {path: path.read_bytes() for folder in ("whole", "half") for path in Path(folder).rglob("*.*")}


@pytest.mark.usefixtures("file")
def test_a_metric_that_is_no_number_is_null_in_json(capsys):
    Path("mine.py").write_text(
        "from dataclasses import replace\n"
        "from tapered.training.workload import quadratic\n"
        "problem = replace(quadratic(), name='mine', metrics={'odd': lambda o, t: float('nan')})\n"
    )
    assert main(["run", "mine.py:problem", "--lr", "0.01", "--steps", "3", "--store", "r", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["valid"]["odd"] is None


LOUD = """
import ctypes, os, subprocess
os.system("echo by a shell"); os.write(1, b"by its number\\n")
subprocess.run(["echo", "by a program"])
ctypes.CDLL(None).puts(b"by a library")
from tapered.training.workload import quadratic
problem = quadratic()
"""


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("closed", ["", "os.close(2); "])
def test_what_is_printed_past_python_is_no_result(closed):
    Path("mine.py").write_text(LOUD)
    code = MAIN.replace("import sys;", f"import os, sys; {closed}")
    words = ["run", "mine.py:problem", "--lr", "0.01", "--steps", "3", "--store", "r", "--json"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["step"] == 3
    for words in (b"by a shell", b"by its number", b"by a program", b"by a library"):
        assert (words in done.stderr) == (not closed)


def test_stdout_is_the_process_s_again():
    code = "steady(lambda _: (os.system('echo a'), print('b'), 0)[2])([]); os.system('echo c')"
    imports = "import os; from tapered.cli.streams import steady; "
    done = subprocess.run([sys.executable, "-c", imports + code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("b\nc\n", "a\n")
