"""How far the order that theory has of schedules is the order that tuned runs of Adam have.

    python benchmarks/evidence/orders.py [--steps 1000] [--seeds 8]     # 5 minutes; the figures of docs/theory.md

Five usual shapes after a warmup of 5%, five peaks each, on three problems; each shape's mean validation loss at its
best peak beside its worst case over the least of all schedules, and beside Adam's expected loss on the noisy quadratic.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from tapered.schedules import parse
from tapered.study import conclude, open_store, plan_of, read, train_runs
from tapered.theory import quadratic, worst_case

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))
from common import options  # where it is

SHAPES = {
    "constant": "constant(1.0)",
    "linear": "linear(steps=steps)",
    "cosine": "cosine_decay(decay_steps=steps)",
    "hold 80%": "hold(0.8*steps).then(cooldown(0.2*steps))",
    "exponential": "exponential_decay(decay_steps=steps, decay_rate=0.01)",
}
PROBLEMS = {
    "bmi": ("", 1e-3, 1e-1),
    "noisy_quadratic": ("workload_options = { dimensions = 64, condition = 100.0 }", 3e-3, 0.3),
    "mnist1d": ('workload_options = { model = "perceptron", batch_size = 32 }', 3e-4, 3e-2),
}


def measured(name, texts, steps, seeds):
    """Mean validation loss of each shape at its best peak."""
    more, low, high = PROBLEMS[name]
    head = f'name = "orders"\nworkload = "{name}"\n{more}\nsteps = {steps}\nseeds = {seeds}\nbaseline = "constant"\n'
    grid = f"extend = 2\npeaks = {{ low = {low}, high = {high}, count = 5 }}\n"
    arms = "".join(f'[[arms]]\nname = "{arm}"\nrule = "Adam"\nlr = "{lr}"\n' for arm, lr in texts.items())
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "orders.toml").write_text(head + grid + arms)
        planned = plan_of(read(f"{folder}/orders.toml"))
        with open_store(planned, Path(folder) / "study") as store:
            found = conclude(planned, store, train_runs(planned, store))
    return np.array([arm.best.mean for arm in found.arms])


def ranked(x, y):
    return np.corrcoef(x.argsort().argsort(), y.argsort().argsort())[0, 1]


def main():
    given = options(__doc__, threads=1, steps=1000, seeds=8)
    steps = given.steps
    texts = {name: f"warmup(0.05*steps) * {text}" for name, text in SHAPES.items()}
    shapes = [parse(text, {"steps": steps}) for text in texts.values()]
    worst = np.array([worst_case(shape, steps).ratio for shape in shapes])
    size = {"dimensions": 64, "condition": 100.0}
    expected = np.array([quadratic(shape, steps, **size).best().loss for shape in shapes])
    print("worst case  ", dict(zip(SHAPES, worst.round(3).tolist(), strict=True)))
    print("quadratic   ", dict(zip(SHAPES, expected.round(3).tolist(), strict=True)))
    for name in PROBLEMS:
        found = measured(name, texts, steps, given.seeds)
        each = dict(zip(SHAPES, [float(f"{loss:.4g}") for loss in found], strict=True))
        order = f"with the worst case {ranked(found, worst):+.2f}, with the quadratic {ranked(found, expected):+.2f}"
        print(f"{name:16} {each}: {order}", flush=True)


if __name__ == "__main__":
    main()
