"""torch-lr-finder: a range test that puts the optimizer back, and a plain loop after it."""

import contextlib
import io

from torch import nn
from torch_lr_finder import LRFinder
from trainers import script
from trainers.run import Run

CASES = ("LinearLR", "OneCycleLR", "schedule under LinearLR")


def train(run: Run) -> nn.Module:
    return script.train(run, before=lambda model, optimizer: None if run.resuming else find(run, model, optimizer))


def find(run: Run, model: nn.Module, optimizer) -> None:
    run.finding = True
    finder = LRFinder(model, optimizer, nn.CrossEntropyLoss(), device="cpu")
    with contextlib.redirect_stdout(io.StringIO()):
        finder.range_test(run.loader(), start_lr=1e-5, end_lr=0.1, num_iter=20)
    finder.reset()
    run.begin()
