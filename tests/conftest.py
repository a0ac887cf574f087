"""One hypothesis profile for all: the same examples everywhere, no deadline on a shared machine; a core a worker."""

import gc
import os
import tempfile

# two threads would wait for each other at every small tensor; in programs that tests start, too
os.environ["OMP_NUM_THREADS"] = "1"

import hypothesis
import pytest
import saving
import torch
from alembic.script import ScriptDirectory

os.environ["COLUMNS"] = "80"  # as of a person's terminal; in a pipe lines are as long as they are

hypothesis.settings.register_profile("house", deadline=None, derandomize=True, max_examples=100)
hypothesis.settings.load_profile("house")
torch.set_num_threads(1)
if saving.MEMORY:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", saving.MEMORY)
# what tests name to `tapered run` is remembered here, and not in the home of who runs them
os.environ["XDG_STATE_HOME"] = tempfile.gettempdir() + "/tapered-tests"
# torch.manual_seed writes down the whole stack for each kind of device, in case one comes: 0.4 ms that deep in a test
if not torch.accelerator.is_available():
    torch.manual_seed = torch.default_generator.manual_seed

# Optuna reads its migrations anew, three times for every ledger that is opened; they stay the same: 14 ms instead of 72
scripts_of, READ = ScriptDirectory.from_config, {}


def read_once(config):
    """The migrations that lie in a folder, as they were read there first."""
    place = config.get_main_option("script_location")
    if place not in READ:
        READ[place] = scripts_of(config)
    return READ[place]


ScriptDirectory.from_config = read_once


def pytest_collection_finish():
    """What was imported stays: the collector need not look through all of torch again in every test."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to stand in, of the test's own; what was locked is let go afterwards."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    saving.let_go()
