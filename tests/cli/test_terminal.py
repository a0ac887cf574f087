"""What a person sees: widths, lines, progress without a terminal, `doctor`, `schedule --json`, completion."""

import io
import json
import re
import subprocess
import sys
import time

import pytest
from rich.console import Console

from tapered.cli import doctor, progress, terminal
from tapered.cli.main import main

WIDE = [("arm", "what it says"), ("a", "word " * 60)]


def shown(monkeypatch, stream, columns=None):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(terminal.sys, "stdout", stream)
    terminal.console(stderr=False).print(terminal.table(WIDE, words=True))
    return stream.getvalue().splitlines()


class Tty(io.StringIO):
    def isatty(self):
        return True


def test_in_a_pipe_a_line_is_whole_and_ends_where_its_text_does(monkeypatch):
    head, row = shown(monkeypatch, io.StringIO())
    assert head == "arm  what it says"
    assert row.split() == ["a", *["word"] * 60]
    assert row.endswith("word")


@pytest.mark.parametrize("columns", ["60", "80", "140"])
def test_a_terminal_is_filled_and_not_left(monkeypatch, columns):
    monkeypatch.setenv("TERM", "xterm")
    for stream in (Tty(), io.StringIO()):  # COLUMNS says it for a pipe, too
        lines = shown(monkeypatch, stream, columns)
        assert max(len(line.rstrip()) for line in lines if "\x1b" not in line) <= int(columns)
        assert len(lines) > 2


def test_without_a_terminal_a_line_says_now_and_then_that_it_goes_on(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    stream = io.StringIO()
    monkeypatch.setattr(terminal.sys, "stderr", stream)
    with progress.Log(terminal.console(stderr=True), every=0.0) as log:
        task = log.add_task("the grid", total=4000)
        for _ in range(2):
            time.sleep(0.01)
            log.advance(task, 1000)
    first, last = stream.getvalue().splitlines()
    assert first.startswith("the grid: 1,000 of 4,000 steps")
    assert last.startswith("the grid: 2,000 of 4,000 steps, ")
    assert re.search(r"\d/s, 0:00:0\d so far, 0:00:0\d to go$", last)


def test_a_short_job_without_a_terminal_says_nothing(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(terminal.sys, "stderr", stream)
    with progress.progress(terminal.console(stderr=True)) as log:
        log.advance(log.add_task("the grid", total=4000), 10)
    assert stream.getvalue() == ""


def test_doctor_says_what_is_there(capsys, tmp_path):
    assert main(["doctor", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["torch"]["state"] == "ok"
    assert "compiles" in found["compiler"]["value"] or found["compiler"]["state"] == "lacking"


def test_doctor_says_what_lacks_and_what_is_wrong(capsys, monkeypatch, tmp_path):
    def none(name):
        raise doctor.metadata.PackageNotFoundError(name)

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(doctor, "_compiler", lambda: doctor.Found("compiler", "none"))
    known = doctor.metadata.version
    monkeypatch.setattr(doctor.metadata, "version", lambda name: none(name) if name == "ray" else known(name))
    assert main(["doctor", str(tmp_path / "gone")]) == 1
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "- ray: studies on a cluster: pip install 'tapered[ray]'" in out
    assert "No such file or directory" in " ".join(out.split())


def test_a_schedule_as_json(capsys):
    assert main(["schedule", "hold(2000).then(cooldown(1000))", "--steps", "4000", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schedule"] == "hold(2000).then(cooldown(1000))"
    assert len(found["steps"]) == len(found["values"]) == 1000
    assert found["values"][found["steps"].index(2500 - 2500 % 4)] == 0.5
    assert {"step": 3000, "value": 0.0, "note": "cooldown ends"} in found["boundaries"]


def test_words_are_completed(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    script = tmp_path / "completion"
    assert main(["--install-completion", "--shell", "bash", "--output", str(script)]) == 0
    assert "range-test" in script.read_text()


def test_it_is_a_module_too():
    done = subprocess.run([sys.executable, "-m", "tapered", "--version"], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("0.")


@pytest.mark.parametrize("coloured", [True, False])
def test_a_verdict_has_its_colour_on_a_terminal_that_wants_one(monkeypatch, coloured):
    stream = Tty()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not coloured:
        monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(terminal.sys, "stdout", stream)
    rows = [("verdict", "arm"), ("better", "a"), ("worse", "b"), ("not shown", "better")]
    terminal.console(stderr=False).print(terminal.table(rows))
    _, good, bad, none = stream.getvalue().splitlines()
    assert ("\x1b[32mbetter" in good, "\x1b[31mworse" in bad) == (coloured, coloured)
    assert "\x1b[3" not in none


@pytest.mark.parametrize("width", [16, 30, 60, 80, 140])
def test_a_wide_table_is_parted_and_no_cell_is_broken(width):
    rows = [
        ("step", *(f"column {i}" for i in range(12))),
        *((str(k), *(f"{k}.{i:04}" for i in range(12))) for k in range(3)),
    ]
    screen = Console(file=io.StringIO(), width=width)
    parts = [*terminal.parted(rows, width)]
    for part in parts:
        screen.print(part)
    lines = [line.rstrip() for line in screen.file.getvalue().splitlines()]
    assert max(map(len, lines)) <= width
    assert len(lines) == 4 * len(parts)
    said = [re.split(r"  +", line.strip()) for line in lines]
    assert [cell for line in said[::4] for cell in line[1:]] == [*rows[0][1:]]
    assert [cell for line in said[2::4] for cell in line[1:]] == [*rows[2][1:]]
    assert (len(parts) == 1) is (width == 140)


def test_a_stream_in_between_ends_after_the_one_behind_it():
    """Python closes it as it goes, and from 3.13 on writes to stderr what that raises."""
    behind = io.TextIOWrapper(io.BytesIO())
    between = terminal._Lines(behind)
    behind.close()
    between.close()
