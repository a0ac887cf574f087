"""How well `tapered.theory.quadratic` foretells Adam: its recursion beside simulated runs, over a sweep of peaks.

    python benchmarks/evidence/quadratics.py        # 2 minutes; the figures of docs/theory.md

Four noisy quadratics, twelve schedules of 1,000 steps, seven peaks from 0.001 to 1, 256 runs each, in float64 by a
plain loop over Adam's formulas. All schedules at a peak see the same starts and the same noise.
"""

import sys

import numpy as np

from tapered.schedules import parse
from tapered.theory import quadratic

STEPS, RUNS, PEAKS = 1000, 256, np.geomspace(1e-3, 1.0, 7)
SHAPES = {
    "constant": "constant(1.0)",
    "linear": "linear(steps=steps)",
    "cosine": "cosine_decay(decay_steps=steps)",
    "cosine to 10%": "cosine_decay(decay_steps=steps, alpha=0.1)",
    "exponential to 1%": "exponential_decay(decay_steps=steps, decay_rate=0.01)",
    "exponential to 0.1%": "exponential_decay(decay_steps=steps, decay_rate=0.001)",
    "hold 80%, linear": "hold(0.8*steps).then(cooldown(0.2*steps))",
    "hold 80%, 1-sqrt": "hold(0.8*steps).then(cooldown(0.2*steps, shape='1-sqrt'))",
    "hold 50%, linear": "hold(0.5*steps).then(cooldown(0.5*steps))",
    "quadratic": "polynomial_decay(decay_steps=steps, end=0.0, power=2.0)",
    "x0.1 at 70%": "hold(0.7*steps).then(constant(0.1))",
    "alpha/sqrt(t)": "inverse_sqrt(1.0)",
}
PROBLEMS = (
    {"dimensions": 64, "condition": 100.0, "sigma": 1.0},
    {"dimensions": 16, "condition": 1000.0, "sigma": 1.0},
    {"dimensions": 64, "condition": 100.0, "sigma": 0.1},
    {"dimensions": 32, "condition": 10.0, "sigma": 3.0},
)


def simulated(rates, *, dimensions, condition, sigma):
    """Mean final loss and its standard error, for every row of rates."""
    rng, h = np.random.default_rng(0), np.geomspace(1, condition, dimensions)
    w = np.repeat(rng.standard_normal((RUNS, 1, dimensions)), len(rates), axis=1)
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t in range(1, STEPS + 1):
        g = h * (w - sigma * rng.standard_normal((RUNS, 1, dimensions)))
        m += 0.1 * (g - m)
        v += 0.001 * (g * g - v)
        w -= rates[:, t - 1, None] / (1 - 0.9**t) * m / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    losses = w * w @ h / 2
    return losses.mean(0), losses.std(0, ddof=1) / RUNS**0.5


def ranked(x, y):
    """Rank correlation."""
    return np.corrcoef(x.argsort().argsort(), y.argsort().argsort())[0, 1]


def report(problem):
    """A line of figures."""
    tables = np.array([parse(text, {"steps": STEPS}).table(STEPS) for text in SHAPES.values()])
    real, error = (
        part.reshape(len(PEAKS), -1)
        for part in simulated((PEAKS[:, None, None] * tables).reshape(-1, STEPS), **problem)
    )
    told = np.array([[quadratic(peak * table, STEPS, **problem).final for table in tables] for peak in PEAKS])
    off, best = np.abs(told / real - 1), np.abs(told.min(0) / real.min(0) - 1)
    each = [f"{ranked(a, b):.2f}" for a, b in zip(told, real, strict=True)]
    print(
        f"{problem}: error of a mean {np.median(error / real):.1%}; off by {np.median(off):.1%} in the median, "
        f"{np.quantile(off, 0.9):.1%} at 9 of 10, {off.max():.0%} at most; at best peaks {np.median(best):.1%}, "
        f"{best.max():.0%} at most, rank correlation {ranked(told.min(0), real.min(0)):.2f}; by peak {', '.join(each)}",
        flush=True,
    )
    return off


if __name__ == "__main__":
    every = np.concatenate([report(problem).ravel() for problem in PROBLEMS])
    print(f"all {every.size}: {np.median(every):.1%} in the median, {np.quantile(every, 0.9):.1%} at 9 of 10")
    sys.exit(0)
