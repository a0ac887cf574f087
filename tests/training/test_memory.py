"""What a process does with memory that it has freed, told by the system's count of pages that were given anew."""

import os
import platform
import subprocess
import sys

import pytest

from tapered.training.memory import SAID

# 48 MB, as convolutions of many rows make and free in each step; of more than 32 glibc keeps nothing by itself
STEPS = """
import resource
import torch
from tapered import rules
from tapered.training.advance import advance, start, tabulate
from tapered.training.workload import quadratic

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(12 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

pages()
problem, rule = quadratic(), rules.SGD()
before = pages()
advance(problem, start(problem, rule, [0]), [tabulate(rule, 1, lr=0.1)], 1)
pages()
print(before, pages())
"""


def pages(**said: str) -> tuple[int, int]:
    """Pages that the system gives to such steps before anything is trained, and after."""
    clean = {name: value for name, value in os.environ.items() if name not in SAID}
    ran = subprocess.run([sys.executable, "-c", STEPS], env=clean | said, capture_output=True, text=True, check=True)
    before, after = map(int, ran.stdout.split())
    return before, after


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of another C library")
def test_training_keeps_what_it_frees_unless_the_user_says_what_is_to_be_kept() -> None:
    before, after = pages()
    assert after < before / 5
    before, after = pages(MALLOC_TRIM_THRESHOLD_="0")
    assert after > before / 5
