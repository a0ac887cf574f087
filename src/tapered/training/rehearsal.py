"""What torch's compiler does before its first graph, done by a copy of this process while rows are still timed.

begin(likely) ─► a copy, where another core is idle ─► rehearsed(needed): goes on with the block, ends with it

It tries which vectors the compiler knows, and precompiles its own headers: 6 of the 12 seconds that the first graph of
a small perceptron takes where no earlier one has left them in torch's cache. There this process finds them.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from multiprocessing.process import BaseProcess

import torch

from tapered.machines import cores
from tapered.training import program
from tapered.training.forked import can_fork, forked

COMPILER = "torch._inductor.compile_fx"  # what has been imported where this process has compiled


_running: list[BaseProcess] = []  # one at most


def begin(when: bool) -> None:  # noqa: FBT001 - a condition
    """Begin what will most likely be needed, where another core is idle; the next `rehearsed` ends it."""
    if when and _helps():
        import_module(COMPILER)  # once instead of in both, which slows each of them down
        _running.append(forked(_rehearse))


def _helps() -> bool:
    return can_fork() and cores() > 1 and COMPILER not in sys.modules


@contextmanager
def rehearsed(when: bool) -> Iterator[None]:  # noqa: FBT001 - a condition
    """Run a block in which a graph may be compiled, and is sooner where another core is idle and it is the first."""
    if when and _helps():
        _running.append(forked(_rehearse))
    if not when:
        _end()
    try:
        yield
    finally:
        _end()


def _end() -> None:
    while _running:
        process = _running.pop()
        process.kill()  # it has nothing to lose: its locks go with it
        process.join()
        process.close()


def _rehearse() -> None:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)  # what fails here fails there again, and is told
    with suppress(Exception):
        program.compiled_alone(torch.neg)  # this kernel is for nothing, so the sooner it is compiled the better
