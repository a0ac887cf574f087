"""Every built-in study by every executor, in every mode that takes it: are runs and end states those of one process?

    python benchmarks/faults/executors.py [--json] [--only NAME ...] [--steps 60] [--seeds 2] [--resumed 20]

Each study is trained as its file states it, shortened, in each mode: by this process, by processes of 1, 2 and 3
workers, by Ray with 2. Then some are stopped at a random step, and gone on with by another executor, again and again.
Printed: {"studies", "identical", "resumed", "resumed_identical"}.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import tomlkit
from kills import ends

from tapered.study import open_store, plan_of, read, train_runs
from tapered.study.file.read import BUILT_IN, STUDIES
from tapered.study.train.executor import Here
from tapered.study.train.on_ray import OnRay
from tapered.study.train.processes import Processes
from tapered.training.modes import ModeError

EXECUTORS = {
    "here": Here,
    **{f"processes {n}": (lambda n=n: Processes(n, always=True)) for n in (1, 2, 3)},
    "ray 2": lambda: OnRay("local", 2),
}
MODES = ("loop", "rows", "rows compiled")


def shortened(name: str, mode: str, steps: int, seeds: int, folder: Path) -> Path:
    """A built-in study as a file of its own, with few steps and seeds."""
    fields = tomlkit.parse((STUDIES / f"{name}.toml").read_text())
    for field in ("epochs", "quick", "prune", "fresh", "extend", "evaluations"):
        fields.pop(field, None)
    less = {"steps": steps, "seeds": seeds, "evaluations": 4, "fresh": 1, "extend": 1, "mode": mode}
    first = tomlkit.document()
    for field, value in {**less, **{key: fields[key] for key in list(fields) if key not in less}}.items():
        first[field] = value
    path = folder / f"{name} {mode}.toml"
    path.write_text(tomlkit.dumps(first))
    return path


def ended(path: Path, folder: Path, executor, stop_after: float | None = None):
    """What a study's runs have come to, with the bits of their rows; None where it was stopped before its end."""
    planned, end = plan_of(read(str(path))), time.monotonic() + (stop_after or 1e9)
    with open_store(planned, folder) as store:
        train_runs(planned, store, executor=executor, stop=lambda: time.monotonic() > end)
        if time.monotonic() > end:
            return None
    return ends(folder)


def resumed(path: Path, folder: Path, draw: random.Random):
    """A study that is stopped at random, and goes on by another executor each time, until it ends."""
    while True:
        found = ended(path, folder, EXECUTORS[draw.choice(list(EXECUTORS))](), draw.uniform(0.3, 6))
        if found is not None:
            return found


def main() -> None:
    """Run, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", nargs="*", default=BUILT_IN)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--resumed", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw, told = random.Random(options.seed), {"studies": 0, "identical": 0, "resumed": 0, "resumed_identical": 0}
    expected: dict[Path, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            for mode in MODES:
                path = shortened(name, mode, options.steps, options.seeds, Path(folder))
                try:
                    expected[path] = ended(path, Path(folder, f"{name} {mode} here"), Here())
                except ModeError as error:
                    print(f"{name}, {mode}: {error}", file=sys.stderr)
                    continue
                for executor in list(EXECUTORS)[1:]:
                    found = ended(path, Path(folder, f"{name} {mode} {executor}"), EXECUTORS[executor]())
                    same = found == expected[path]
                    told["studies"] += 1
                    told["identical"] += same
                    print(
                        f"{name}, {mode}, {executor}: {len(found)} runs, {'same' if same else 'OTHER'}", file=sys.stderr
                    )
        for trial in range(options.resumed if expected else 0):
            path = draw.choice(list(expected))
            same = resumed(path, Path(folder, f"resumed {trial}"), draw) == expected[path]
            told["resumed"] += 1
            told["resumed_identical"] += same
            print(f"{path.stem}, stopped and gone on with: {'same' if same else 'OTHER'}", file=sys.stderr)
    print(json.dumps(told) if options.json else told)


if __name__ == "__main__":
    main()
