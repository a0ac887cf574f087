"""Random histories of every optimizer: is the rate, the count and every weight right, or was the operation refused?

    python benchmarks/faults/histories.py [N] [--seed S] [--steps 25] [--only own|attached] [--json]

The machine of `tests/test_machine.py`, run as long as wanted. A failure is made as short as possible and printed; the
rest of N goes on with other seeds. Operations and refusals are counted up to a failure, not while it is made shorter.
"""

import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import torch
from searched import failure

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "helpers"))
from machine import Attached, Own
from machine_checks import TALLY

MACHINES = {"own": Own, "attached": Attached}
CHUNK = 250


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("histories", nargs="?", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=25, help="operations a history")
    parser.add_argument("--only", choices=MACHINES)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    asked = options()
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    TALLY.open = True
    names = [asked.only] if asked.only else list(MACHINES)
    begun, failures, chunk = time.perf_counter(), [], 0
    while TALLY.histories < asked.histories:
        name = names[chunk % len(names)]
        count = min(CHUNK, asked.histories - TALLY.histories)
        if found := failure(MACHINES[name], count, asked.steps, 1000 * asked.seed + chunk, short=True):
            failures.append(found)
            print(found, file=sys.stderr)
            TALLY.histories += 1
        chunk += 1
        print(f"{TALLY.histories:,} histories, {len(failures)} failures", file=sys.stderr)
    show(asked, failures, time.perf_counter() - begun)


def show(asked: argparse.Namespace, failures: list[str], seconds: float) -> None:
    kinds = {"operations": TALLY.done, "refusals": TALLY.refused}
    if asked.json:
        counts = {name: dict(sorted(found.items())) for name, found in kinds.items()}
        print(json.dumps({"histories": TALLY.histories, **counts, "failures": failures, "seconds": round(seconds)}))
        return
    print(f"{TALLY.histories:,} histories in {seconds:.0f} s")
    for name, found in kinds.items():
        print(f"{found.total():,} {name}: " + ", ".join(f"{what} {count:,}" for what, count in found.most_common()))
    print(f"{len(failures)} failures")
    for found in failures:
        print(f"\n{found}")


if __name__ == "__main__":
    main()
