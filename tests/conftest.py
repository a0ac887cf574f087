"""One hypothesis profile for all: the same examples everywhere, no deadline on a shared machine; a core a worker."""

import os
import shutil
import tempfile
from pathlib import Path

# two threads would wait for each other at every small tensor; in programs that tests start, too
os.environ["OMP_NUM_THREADS"] = "1"

import hypothesis
import pytest
import saving
import torch

MEMORY = Path("/dev/shm")

hypothesis.settings.register_profile("house", deadline=None, derandomize=True, max_examples=100)
hypothesis.settings.load_profile("house")
torch.set_num_threads(1)
# what tests write need not outlive a power cut: where memory has a folder, no save waits for a disk
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 4 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
# what tests name to `tapered run` is remembered here, and not in the home of who runs them
os.environ["XDG_STATE_HOME"] = tempfile.gettempdir() + "/tapered-tests"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to stand in, of the test's own; what was locked is let go afterwards."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    saving.let_go()
