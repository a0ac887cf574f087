"""A loop without torch, that begins in an instant and so is killed while it trains; it goes on exactly."""

import argparse
import json
import os
from pathlib import Path

import faulty

parser = argparse.ArgumentParser()
for name, kind in {"lr": float, "seed": int, "steps": int, "out": Path}.items():
    parser.add_argument(f"--{name}", type=kind)
a = parser.parse_args()
seed, steps = faulty.begin(a.seed, a.steps)
there = sorted(a.out.glob("checkpoint-*"), key=lambda path: int(path.name.removeprefix("checkpoint-")))
start, state, x = json.loads(there[-1].read_text()) if there else (0, seed + 1, 1.0)
history = (faulty.RUN / "history").open("a", buffering=1)
print("start", start, file=history)
for step in range(start, steps):
    faulty.before(step)
    state = state * 6364136223846793005 % 2**64
    x -= a.lr * (x + state / 2**64 - 0.5)
    if (step + 1) % 2 == 0:
        with (faulty.RUN / "reports.jsonl").open("ab", buffering=0) as file:
            file.write(json.dumps({"step": step + 1, "loss": x * x}).encode() + b"\n")
        (a.out / "new").write_text(json.dumps([step + 1, state, x]))
        os.replace(a.out / "new", a.out / f"checkpoint-{step + 1}")  # noqa: PTH105 - once
        print("saved", step + 1, file=history)
