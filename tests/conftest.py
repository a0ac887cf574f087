"""One hypothesis profile for all: the same examples everywhere, no deadline on a shared machine; a core a worker."""

import os
import tempfile

# two workers with two threads each would wait for each other at every small tensor; programs that tests start too
os.environ["OMP_NUM_THREADS"] = "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"
# what tests name to `tapered run` is remembered here, and not in the home of who runs them
os.environ["XDG_STATE_HOME"] = tempfile.gettempdir() + "/tapered-tests"

import hypothesis
import torch

hypothesis.settings.register_profile("house", deadline=None, derandomize=True, max_examples=100)
hypothesis.settings.load_profile("house")
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
