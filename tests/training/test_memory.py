"""What a process does with memory that it has freed, told by the system's count of pages that were given anew."""

import os
import platform
import subprocess
import sys

import pytest

from tapered.training.memory import SAID

# tensors of 16 MB, as convolutions of some rows make and free in each step
STEPS = """
import resource, sys
import torch
from tapered import rules
from tapered.training.advance import advance, start, tabulate
from tapered.training.workload import quadratic

problem, rule = quadratic(), rules.SGD()
if sys.argv[1] == "after training":
    advance(problem, start(problem, rule, [0]), [tabulate(rule, 1, lr=0.1)], 1)

def step():
    made = [torch.ones(2**22) for _ in range(4)]

step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages(when: str, **said: str) -> int:
    """Pages that the system gives to ten such steps."""
    clean = {name: value for name, value in os.environ.items() if name not in SAID}
    ran = subprocess.run(
        [sys.executable, "-c", STEPS, when], env=clean | said, capture_output=True, text=True, check=True
    )
    return int(ran.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of another C library")
def test_training_keeps_what_it_frees_unless_the_user_says_what_is_to_be_kept() -> None:
    kept = pages("after training")  # pages may be of 4 kB or of 2 MB
    assert kept < pages("before") / 5
    assert kept < pages("after training", MALLOC_TRIM_THRESHOLD_="0") / 5
