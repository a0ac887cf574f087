"""What the compiler does before its first graph, done beside."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tapered.training import rehearsal
from tapered.training.forked import can_fork, forked
from tapered.training.rehearsal import begin, rehearsed

ALIVE = """
import time
from pathlib import Path
from tapered.training import rehearsal
rehearsal.cores, rehearsal._rehearse = lambda: 2, lambda: time.sleep(60)
with rehearsal.rehearsed(True):
    print(*[path.read_text() for path in Path("/proc/self/task").glob("*/children")], flush=True)
    time.sleep(60)
"""


def children() -> set[int]:
    found = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(pid) for path in found for pid in path.read_text().split()}


def wait_for(found, seconds=60.0):
    end = time.monotonic() + seconds
    while not found() and time.monotonic() < end:
        time.sleep(0.05)
    return found()


READY = """
import sys, time
from pathlib import Path
from tapered.training import rehearsal
rehearsal.cores = lambda: 2
with rehearsal.rehearsed(True):
    while not list(Path(sys.argv[1]).rglob("*.so")):
        time.sleep(0.05)
print(rehearsal.COMPILER in sys.modules)
"""


def test_the_next_graph_finds_what_was_made_ready(tmp_path):
    settings = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", READY, str(tmp_path)]
    done = subprocess.run(command, check=True, env=settings, capture_output=True, text=True, timeout=300)
    assert done.stdout == "False\n"  # and this process has not been kept from anything meanwhile


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at Linux's list of processes")
@pytest.mark.parametrize(("when", "cores", "begun"), [(True, 2, 1), (True, 1, 0), (False, 2, 0)])
def test_it_takes_another_core_and_ends_with_the_block(monkeypatch, when, cores, begun):
    monkeypatch.setattr(rehearsal, "cores", lambda: cores)
    monkeypatch.setattr(rehearsal, "_rehearse", lambda: time.sleep(60))
    monkeypatch.setattr(rehearsal, "COMPILER", "what was never imported")
    before = children()
    with rehearsed(when):
        assert len(children() - before) == begun
    assert children() == before
    monkeypatch.setattr(rehearsal, "COMPILER", "torch")
    with rehearsed(when):
        assert children() == before  # all that a first graph brings with it is there


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at Linux's list of processes")
@pytest.mark.parametrize("needed", [True, False])
def test_what_was_begun_goes_on_in_the_block_that_needs_it_and_ends_there(monkeypatch, needed):
    monkeypatch.setattr(rehearsal, "cores", lambda: 2)
    monkeypatch.setattr(rehearsal, "_rehearse", lambda: time.sleep(60))
    monkeypatch.setattr(rehearsal, "COMPILER", "colorsys")  # a module that nothing else brings
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    before = children()
    begin(False)
    assert children() == before
    begin(True)
    begin(True)
    begun = children() - before
    assert len(begun) == 1
    assert "colorsys" in sys.modules  # once, before the fork
    with rehearsed(needed):
        assert children() - before == (begun if needed else set())
    assert children() == before


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at Linux's list of processes")
def test_it_ends_with_a_process_that_is_killed():
    with subprocess.Popen([sys.executable, "-c", ALIVE], stdout=subprocess.PIPE, text=True) as process:
        pid = int(process.stdout.readline().split()[0])
        assert Path(f"/proc/{pid}").exists()
        process.send_signal(signal.SIGKILL)
        assert wait_for(lambda: not Path(f"/proc/{pid}").exists(), 10)


@pytest.mark.skipif(not can_fork(), reason="this process cannot be forked")
def test_a_copy_has_no_copies():
    """Python refuses them to a process that ends with another, as a worker of multiprocessing.Pool does."""
    process = forked(lambda: os._exit(can_fork()))
    process.join()
    assert process.exitcode == 0
