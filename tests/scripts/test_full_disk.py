"""A disk that is really full, of the script's own output or of the run's folder: the word, and what stands after."""

import os
import shutil
import subprocess
import sys

import pytest
from script_starts import SCRIPT, STEPS, ended, reports

from tapered.scripts.limits import Limits

FILL = """
def fill(folder):
    with open(folder / "ballast", "ab", 0) as file:
        try:
            while True: file.write(bytes(4096))
        except OSError: pass
"""
FULL = "its disk is full: 0.0 KiB are free"
PATIENT = Limits(startup=600, silence=600, grace=0.3)


@pytest.fixture
def volume():
    """Gives a folder a small disk of its own."""
    mounted = []

    def at(folder):
        folder.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", folder], check=True, capture_output=True)
        mounted.append(folder)
        return folder

    if sys.platform != "linux" or os.geteuid() or not shutil.which("mount"):
        pytest.skip("only root on Linux can make a disk")
    try:
        yield at
    except subprocess.CalledProcessError:
        pytest.skip("no disk can be made here")
    finally:
        for folder in mounted:
            subprocess.run(["umount", folder], check=True)


def script(fault):
    return FILL + SCRIPT.replace("FAULT", fault)


def kept(folder):
    """What each start saved last of all, and the last step that was told."""
    return sorted(path.name for path in folder.glob("run/out/*checkpoint-*")), reports(folder / "run")[-1]["step"]


def test_the_scripts_own_disk(volume, tmp_path):
    volume(tmp_path / "run" / "out")
    text = script("if step == 3 and not (run.parent / 'room').exists(): fill(out); (out / 'a').write_text('x' * 9000)")
    found = ended(tmp_path, text, PATIENT)
    assert (found.word, found.step, found.starts) == ("crashed", 3, 3)
    assert found.lines[-1] == "OSError: [Errno 28] No space left on device"
    assert found.notes == (FULL,)
    assert kept(tmp_path) == (["checkpoint-1", "checkpoint-2", "checkpoint-3"], 3)  # none of which is to blame
    (tmp_path / "run" / "out" / "ballast").unlink()
    (tmp_path / "room").touch()
    found = ended(tmp_path, text, PATIENT)
    assert (found.word, found.starts) == ("finished", 4)
    assert [line["step"] for line in reports(tmp_path / "run")] == [*range(1, STEPS + 1)]


def test_the_disk_of_the_runs_folder(volume, tmp_path):
    run = volume(tmp_path / "run")
    text = script("pass") + "if not (run.parent / 'room').exists(): fill(out)\n"
    with pytest.raises(OSError, match="No space left on device"):
        ended(tmp_path, text, PATIENT)
    assert not (run / "result.json").exists()
    assert kept(tmp_path)[1] == STEPS
    (run / "out" / "ballast").unlink()
    (tmp_path / "room").touch()
    found = ended(tmp_path, text, PATIENT)
    assert (found.word, found.step) == ("finished", STEPS)
    assert [line["step"] for line in reports(run)] == [*range(1, STEPS + 1)]


def test_the_disk_of_the_runs_folder_is_full_before_it_begins(volume, tmp_path):
    run = volume(tmp_path / "run")
    (run / "ballast").write_bytes(bytes(shutil.disk_usage(run).free))
    text = script("pass")
    found = ended(tmp_path, text, PATIENT)
    assert (found.word, found.step, found.starts) == ("crashed", 0, 3)
    assert (found.lines, found.notes) == ((), (FULL,))  # what it said found no room either
    (run / "ballast").unlink()
    assert ended(tmp_path, text, PATIENT).word == "finished"
    assert [line["step"] for line in reports(run)][-1] == STEPS
