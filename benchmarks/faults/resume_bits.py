"""Runs that are saved at every step and resumed from each in another process: is the end the same, bit for bit?

    python benchmarks/faults/resume_bits.py [--json] [--steps 30] [--models perceptron,...]
        [--ways float32,bfloat16,scaler]

A perceptron with dropout, a convolution with batch statistics and a transformer of two layers, shuffled, under every
optimizer of the library and torch's fused Adam with `attach`; in float32, under bfloat16 autocast, and with a
GradScaler that skips four steps. One process makes the whole run and saves it at each step; another, that knows nothing
of it, resumes from each and goes to the end. A case is equal where every loss, weight, moment, buffer and rate, the
scaler and the random generator are.
"""

import argparse
import itertools
import json
import multiprocessing
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "helpers"))
from checkpoint_cases import MODELS, OPTIMIZERS, WAYS, Run

from tapered.checkpoint import release, resume, save


def whole(folder: Path, model: str, way: str, steps: int) -> dict[str, tuple[list[float], str]]:
    """Each optimizer's run from start to end, saved at every step before the last: its losses, and where it ended."""
    torch.set_num_threads(1)
    ends = {}
    for place, optimizer in enumerate(OPTIMIZERS):
        run, into = Run(model, optimizer, way), folder / str(place)

        def each(step: int, run: Run = run, into: Path = into) -> None:
            if step < steps:
                save(into, step, keep=None, **run.parts)

        save(into, 0, keep=None, **run.parts)
        run.train(0, steps, each)
        release(into)
        ends[optimizer] = run.losses, run.digest()
    return ends


def resumed(folder: Path, model: str, way: str, steps: int, ends: dict[str, tuple[list[float], str]]) -> Counter[bool]:
    """From each step to the end: how often the same, and how often not."""
    torch.set_num_threads(1)
    same: Counter[bool] = Counter()
    for place, (optimizer, (losses, end)) in enumerate(ends.items()):
        for step in range(steps):
            torch.manual_seed(1000 + step)
            run = Run(model, optimizer, way)
            resume(folder / str(place), step=step, **run.parts)
            run.losses = losses[:step]
            run.train(step, steps)
            same[run.digest() == end] += 1
        release(folder / str(place))
    return same


def elsewhere(call, *given):
    """The call in a process of its own, which begins with nothing of this one's."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(call, *given).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--ways", default=",".join(WAYS))
    given = parser.parse_args()
    total: Counter[bool] = Counter()
    if not given.json:
        print(f"{'':30} {'cases':>8} {'equal':>8}")
    for model, way in itertools.product(given.models.split(","), given.ways.split(",")):
        with tempfile.TemporaryDirectory() as made:
            ends = elsewhere(whole, Path(made), model, way, given.steps)
            same = elsewhere(resumed, Path(made), model, way, given.steps, ends)
        total += same
        if not given.json:
            print(f"{model + ', ' + way:30} {same.total():8,} {same[True]:8,}", flush=True)
    if given.json:
        print(json.dumps({"cases": total.total(), "equal": total[True]}))
    else:
        print(f"{f'{len(OPTIMIZERS)} optimizers, {given.steps} steps':30} {total.total():8,} {total[True]:8,}")
    sys.exit(total[False] > 0)


if __name__ == "__main__":
    main()
