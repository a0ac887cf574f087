"""One hypothesis profile for all: the same examples everywhere, no deadline on a shared machine."""

import hypothesis
import torch

hypothesis.settings.register_profile("house", deadline=None, derandomize=True, max_examples=100)
hypothesis.settings.load_profile("house")
torch.set_num_threads(2)
