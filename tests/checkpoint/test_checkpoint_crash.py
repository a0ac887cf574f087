"""Saves that are killed or that fail at each of their calls to the system, and folders that two would write to."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from crash_save import begun, die_at, failing, parts, whole
from saving import forked, opened

from tapered.checkpoint import CheckpointError, release, resume, save


def saved(folder: Path, place: int) -> None:
    """A save that dies at its place-th call."""
    resume(folder, **parts())
    die_at(place)
    save(folder, 3, keep=1, **parts(3.0), value=3)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_killed_at_every_call(tmp_path: Path) -> None:
    steps, place = [], 0
    while True:
        place += 1
        folder = tmp_path / str(place)
        begun(folder)
        code = forked(lambda folder=folder, place=place: saved(folder, place))
        steps.append(whole(folder))
        again = parts()
        step = resume(folder, **again).step + 1
        save(folder, step, keep=1, **parts(float(step)), value=step)  # and the folder goes on working
        release(folder)
        assert whole(folder) == step
        assert not list(folder.glob(".tmp-*")) + list(folder.glob(".old-*"))
        assert len(list(folder.glob("*-step*"))) == 1
        if code == 0:
            break
        assert code == -signal.SIGKILL
        shutil.rmtree(folder)
    assert place > 30
    assert steps == sorted(steps)  # the old one up to some call, the new one from there on
    assert set(steps) == {2, 3}


@pytest.mark.filterwarnings("ignore:.*is saved, but an older checkpoint:tapered.checkpoint.CheckpointWarning")
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_refused_at_every_call(code: int, tmp_path: Path) -> None:
    save(tmp_path, 1, keep=1, **parts(1.0), value=1)
    messages, place, calls = [], 0, 1
    while place < calls:
        place, step = place + 1, whole(tmp_path) + 1
        resume(tmp_path, **parts())
        following = parts(float(step))
        with failing(place, OSError(code, os.strerror(code))) as count:
            try:
                save(tmp_path, step, keep=1, **following, value=step)
            except CheckpointError as error:
                messages.append(str(error))
        assert not list(tmp_path.glob(".tmp-*"))
        assert whole(tmp_path) in (step - 1, step)
        calls = count[0]
    assert len(messages) > 15
    for message in messages:
        assert message.startswith(str(tmp_path))
        assert os.strerror(code) in message
        assert ("bytes" in message) == (code in (errno.ENOSPC, errno.EDQUOT))


def test_a_full_disk(tmp_path: Path) -> None:
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("mounting a small disk is refused here")
    try:
        save(tmp_path, 1, weight=torch.ones(1000))
        with pytest.raises(
            CheckpointError,
            match=r"No space left on device; it takes about 4,0\d\d,\d{3} bytes, \d,\d{3},\d{3} bytes short",
        ):
            save(tmp_path, 2, weight=torch.ones(1_000_000))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["000001-step1", "lock", "owner"]
        weight = torch.zeros(1000)
        assert resume(tmp_path, weight=weight).step == 1
        assert save(tmp_path, 2, weight=weight).is_dir()
    finally:
        release(tmp_path)
        subprocess.run(["umount", tmp_path], check=True)


def test_two_writers(tmp_path: Path) -> None:
    save(tmp_path, 1, value=1)
    code = f"""
from tapered.checkpoint import *
for call in (lambda: save({str(tmp_path)!r}, 2, value=2), lambda: resume({str(tmp_path)!r})):
    try:
        call()
    except CheckpointError as error:
        print(error)
print(resume({str(tmp_path)!r}, partial=True).step)
"""
    lines = subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()
    assert lines[0] == lines[1]
    assert f"is in use by process {os.getpid()} on {os.uname().nodename}; one process writes to a folder" in lines[0]
    assert lines[2] == "1"


def test_places_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"file cannot be written \(File exists\)"):
        save(tmp_path / "file", 1, value=1)
    with pytest.raises(CheckpointError, match=r"file is no folder; expected one that"):
        resume(tmp_path / "file")
    with pytest.raises(CheckpointError, match=r"a{40} \(5,\d+ characters\) cannot be written \(File name too long\)"):
        save(tmp_path / ("a" * 5000), 1, value=1)
    with pytest.raises(CheckpointError, match="is no folder"):
        resume(tmp_path / ("a" * 5000))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="empty holds no checkpoint"):
        resume(tmp_path / "empty")


def test_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    save(tmp_path / "link", 1, value=1)
    save(tmp_path / "real", 2, value=2)  # one folder, one writer
    assert resume(tmp_path / "link").values == {"value": 2}
    assert len(list((tmp_path / "real").glob("*-step*"))) == 2


def test_a_folder_that_may_only_be_read(tmp_path: Path) -> None:
    warm = tmp_path.with_name(f"{tmp_path.name} before")
    save(tmp_path, 1, value=1)
    release(tmp_path)
    code = f"""
import os
from tapered.checkpoint import *
save({str(warm)!r}, 1, value=1)  # all that is imported late, while the sources may be read
resume({str(warm)!r})
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(resume({str(tmp_path)!r}).values)
try:
    save({str(tmp_path)!r}, 2, value=2)
except CheckpointError as error:
    print(error)
"""
    for path in [tmp_path, *tmp_path.rglob("*")]:
        path.chmod(0o555)
    opened(tmp_path.parent)
    try:
        lines = subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()
    finally:
        tmp_path.chmod(0o755)
    assert lines[0] == "{'value': 1}"
    assert lines[1] == f"{tmp_path} cannot be written (Permission denied); try another folder"


def test_a_disk_that_keeps_other_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written is read again before anything older goes."""
    save(tmp_path, 1, keep=1, **parts(1.0), value=1)
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, bytes([data[0] ^ 1]) + bytes(data[1:])))
    with pytest.raises(CheckpointError, match=r"did not keep what was written: .* what was saved before stands"):
        save(tmp_path, 2, keep=1, **parts(2.0), value=2)
    monkeypatch.undo()
    assert whole(tmp_path) == 1


def test_flushed_before_it_is_renamed_and_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill leaves the system's cache as it is, power that fails does not: every file and folder, in this order."""
    save(tmp_path, 1, keep=1, **parts(1.0), value=1)
    calls, fsync, rename = [], os.fsync, os.rename

    def flushed(handle: int) -> None:
        calls.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "rename", lambda old, new: (calls.append((str(old), str(new))), rename(old, new)))
    written = save(tmp_path, 2, keep=1, **parts(2.0), value=2)
    temporary = str(tmp_path / f".tmp-{written.name}")
    at = calls.index((temporary, str(written)))
    files = sorted(f"{temporary}/{path.name}" for path in written.iterdir())
    assert sorted(calls[at - len(files) - 1 : at - 1]) == files
    assert calls[at - 2] == f"{temporary}/manifest.json"
    assert calls[at - 1] == temporary
    assert calls[at + 1] == str(tmp_path)
    assert calls[at + 2][0] == str(tmp_path / "000001-step1")  # the older one goes last


def test_a_full_disk_does_not_keep_a_folder_from_being_read(tmp_path, monkeypatch):
    begun(tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    assert whole(tmp_path) == 2
    assert not list(tmp_path.glob(".tmp-*"))


def test_a_folder_that_is_gone_is_no_full_disk(tmp_path):
    folder = tmp_path / "run"
    save(folder, 1, value=1)
    shutil.rmtree(folder)
    with pytest.raises(CheckpointError, match="run is gone, deleted or moved while this run held it; put it back"):
        save(folder, 2, value=2)
    assert not folder.exists()
    release(folder)
