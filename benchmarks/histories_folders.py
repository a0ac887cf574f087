"""Random histories of studies' and runs' folders: is the end that of the undisturbed one, or named what differs?

    python benchmarks/histories_folders.py [N] [--seed S] [--steps 8]

The machine of `tests/test_machine_folders.py`, run as long as wanted; it ends at the first failure, made short.
"""

import argparse
import sys
import time
from pathlib import Path

import torch
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from machine_folders import Folders


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("histories", nargs="?", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=8, help="operations a history")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    begun = time.perf_counter()
    every = settings(
        max_examples=asked.histories, stateful_step_count=asked.steps, deadline=None, database=None,
        phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(seed(asked.seed)(Folders), settings=every)
    print(f"{asked.histories:,} histories in {time.perf_counter() - begun:.0f} s, 0 failures")


if __name__ == "__main__":
    main()
