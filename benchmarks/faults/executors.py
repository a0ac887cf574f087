"""Every built-in study by every executor, in every mode that takes it: are runs and end states those of one process?

    python benchmarks/faults/executors.py [--json] [--only NAME ...] [--modes loop rows] [--turns 0 1 2 3] [--width 8]
        [--resumed 20]

Each study is trained as its file states it, shortened, in each mode: by this process, by processes of 1, 2 and 3
workers, by Ray with 2. All come once by another executor in each mode before any comes by a second: these are turns, so
that what ends early has tried all studies. Then some are stopped at a random step, and gone on with by another
executor, again and again. With --width nothing is timed, and graphs of that width are compiled once for all. Printed:
{"studies", "identical", "resumed", "resumed_identical"}.
"""

import argparse
import json
import math
import random
import sys
import tempfile
import time
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import tomlkit
from kills import ends

from tapered import machines
from tapered.study import open_store, plan_of, read, train_runs
from tapered.study.file.read import BUILT_IN, STUDIES
from tapered.study.train.executor import Here
from tapered.study.train.on_ray import OnRay
from tapered.study.train.processes import Processes
from tapered.training import modes
from tapered.training.advance import Mode

EXECUTORS = {
    "here": Here,
    **{f"processes {n}": (lambda n=n: Processes(n, always=True)) for n in (1, 2, 3)},
    "ray 2": lambda: OnRay("local", 2),
}
MODES = ("loop", "rows", "rows compiled")
MOST = 1500  # updates before a stop, about half of what a study takes


def shortened(name: str, mode: str, steps: int, seeds: int, folder: Path) -> Path:
    """A built-in study as a file of its own, with few steps and seeds."""
    fields = tomlkit.parse((STUDIES / f"{name}.toml").read_text())
    for field in ("epochs", "quick", "prune", "fresh", "extend", "evaluations"):
        fields.pop(field, None)
    extend = int("peaks" in fields and fields["peaks"].get("count", 2) > 1)
    less = {"steps": steps, "seeds": seeds, "evaluations": 4, "fresh": 1, "extend": extend, "mode": mode}
    first = tomlkit.document()
    for field, value in {**less, **{key: fields[key] for key in list(fields) if key not in less}}.items():
        first[field] = value
    path = folder / f"{name} {mode}.toml"
    path.write_text(tomlkit.dumps(first))
    return path


def given(width: int):
    """What finds how rows are trained, where their width is given: whether they can be, and no times."""

    def fixed(workload, rule, kind, _rows, steps, *_):
        if kind != "loop" and (fault := modes._Probe(workload, rule, steps, modes.unheard).fault()):
            raise modes.ModeError(fault)
        return modes.Timed(Mode(kind, 1 if kind == "loop" else width, "the benchmark says so"), math.nan)

    return fixed


def ended(path: Path, folder: Path, executor, updates: float = math.inf):
    """A study's runs with the bits of their rows, in few letters each; None where so many updates have stopped it."""
    planned, made = plan_of(read(str(path))), []
    with open_store(planned, folder) as store:
        train_runs(planned, store, executor=executor, progress=made.append, stop=lambda: sum(made) >= updates)
        if sum(made) >= updates:
            return None
    return {key: sha256(repr(found).encode()).hexdigest() for key, found in ends(folder).items()}


def resumed(path: Path, folder: Path, draw: random.Random):
    """What a study came to that was stopped at random and gone on with by others, and the executors it had."""
    had = []
    while True:
        had.append(draw.choice(list(EXECUTORS)))
        found = ended(path, folder, EXECUTORS[had[-1]](), draw.randrange(1, MOST))
        if found is not None:
            return found, had


def combinations(names, modes, turns):
    """Study, mode and executor: all studies in all modes by one executor each, then by the next."""
    others = list(EXECUTORS)[1:]
    for turn in turns:
        for i, name in enumerate(names):
            for j, mode in enumerate(modes):
                yield name, mode, others[(turn + i + j) % len(others)]


def main() -> None:
    """Run, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", nargs="*", default=BUILT_IN)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--modes", nargs="*", choices=MODES, default=MODES)
    parser.add_argument("--turns", type=int, nargs="*", default=range(4))
    parser.add_argument("--width", type=int, help="of stacked rows; without it as it is found best")
    parser.add_argument("--resumed", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw, told = random.Random(options.seed), {"studies": 0, "identical": 0, "resumed": 0, "resumed_identical": 0}
    expected: dict[Path, dict | None] = {}
    if options.width:
        modes.fixed = given(options.width)
    if find_spec("ray"):
        machines.join("local")  # one for all, which is left at the end
    else:
        del EXECUTORS["ray 2"]

    def say(words, began):
        print(f"{words} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)

    def undisturbed(name, mode, root):
        path, began = shortened(name, mode, options.steps, options.seeds, root), time.monotonic()
        if path not in expected:
            try:
                expected[path] = ended(path, root / f"{path.stem} here", Here())
                say(f"{name}, {mode}, here: {len(expected[path])} runs", began)
            except modes.ModeError as error:
                expected[path] = None
                say(f"{name}, {mode}: {error}", began)
        return path

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, mode, executor in combinations(options.only, options.modes, options.turns):
            path = undisturbed(name, mode, root)
            if (runs := expected[path]) is None:
                continue
            began = time.monotonic()
            found = ended(path, root / f"{path.stem} {executor}", EXECUTORS[executor]())
            told["studies"] += 1
            told["identical"] += found == runs
            say(f"{name}, {mode}, {executor}: {len(found)} runs, {'same' if found == runs else 'OTHER'}", began)
        able = [path for path, runs in expected.items() if runs is not None]
        for trial in range(options.resumed if able else 0):
            path, began = draw.choice(able), time.monotonic()
            found, had = resumed(path, root / f"resumed {trial}", draw)
            told["resumed"] += 1
            told["resumed_identical"] += found == expected[path]
            say(f"{path.stem} by {', '.join(had)}: {'same' if found == expected[path] else 'OTHER'}", began)
    print(json.dumps(told) if options.json else told)


if __name__ == "__main__":
    main()
