"""Random histories of the folders of studies, runs and scripts: is the end the undisturbed one, or named what differs?

    python benchmarks/faults/histories_folders.py [N] [--seed S] [--steps 8] [--short] [--json]

The machine of `tests/test_machine_folders.py`, run as long as wanted. A failure is printed at once, with --short
when it has been made as short as possible, which takes minutes; the rest of N goes on with other seeds.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from searched import failure

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "helpers"))
from machine_folders import TALLY, Folders

CHUNK = 50


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("histories", nargs="?", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=8, help="operations a history")
    parser.add_argument("--short", action="store_true", help="make a failure as short as possible")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    asked = options()
    torch.set_num_threads(1)
    begun, failures = time.perf_counter(), []
    for chunk in range(-(-asked.histories // CHUNK)):
        count = min(CHUNK, asked.histories - chunk * CHUNK)
        if found := failure(Folders, count, asked.steps, 1000 * asked.seed + chunk, short=asked.short):
            failures.append(found)
            print(found, file=sys.stderr, flush=True)
        done = min((chunk + 1) * CHUNK, asked.histories)
        seconds = round(time.perf_counter() - begun)
        print(f"{done:,} histories in {seconds} s, {len(failures)} failures", file=sys.stderr)
    if asked.json:
        said = {"histories": asked.histories, "ends": dict(sorted(TALLY.items())), "failures": failures}
        print(json.dumps({**said, "seconds": seconds}))
        return
    print(f"{asked.histories:,} histories in {seconds} s: " + ", ".join(f"{n:,} {w}" for w, n in TALLY.most_common()))
    print(f"{len(failures)} failures")


if __name__ == "__main__":
    main()
