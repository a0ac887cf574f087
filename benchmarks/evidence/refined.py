"""Refined schedules (Defazio et al. 2023, arXiv 2310.07831): the arms of the studies refined-*, from gradient norms.

    python benchmarks/evidence/refined.py           # a minute; prints the lines of each study's refined arms

docs/theory.md: for norms G_k the bound is least at h_k = d_k sum_{p>k} d_p, d ~ G^-2. Their algorithm takes G^-2 of l2
norms for SGD and 1 / G of l1 norms for Adam, of a run before, through a median filter a tenth of the run wide,
reflected at its end. The run before is Adam with a linear decay after a warmup of 5%, at the best of the
study's five peaks by the mean validation loss of three seeds of its own; norms are their geometric mean.
"""

import sys

import numpy as np
import torch

from tapered.schedules import parse
from tapered.study import plan_of, read
from tapered.training.threads import threads

STUDIES = ("refined-bmi", "refined-quadratic", "refined-mnist1d")
SEEDS = (1_000_001, 1_000_002, 1_000_003)  # that no study has
KNOTS, WIDTH = 50, 0.1
KINDS = {"l2": (2, -2.0), "l1": (1, -1.0)}  # norm, and the power of it that is the weight


def trained(workload, rates, seed):
    """The l2 and l1 norms of every gradient of a plain run, and its last validation loss."""
    model, found = workload.build(seed), []
    optimizer = torch.optim.Adam(model.parameters())
    for step, rate in enumerate(rates):
        optimizer.param_groups[0]["lr"] = float(rate)
        optimizer.zero_grad()
        inputs, targets = workload.fetch("train", workload.batch(seed, step))
        workload.loss(model(inputs), targets).backward()
        grads = torch.cat([p.grad.flatten() for p in model.parameters()]).double()
        found.append([float(torch.linalg.vector_norm(grads, norm)) for norm, _ in KINDS.values()])
        optimizer.step()
    inputs, targets = workload.fetch("valid", torch.arange(len(workload.valid)))
    with torch.no_grad():
        return np.array(found), float(workload.loss(model(inputs), targets))


def refined(norms, power):
    """The schedule whose highest rate is 1, at its knots."""
    half = int(WIDTH * len(norms) / 2)
    padded = np.concatenate([norms, norms[::-1][:half]])
    smooth = np.array([np.median(padded[max(k - half, 0) : k + half + 1]) for k in range(len(norms))])
    weights = smooth**power
    after = np.append(np.cumsum(weights[::-1])[::-1][1:], 0.0)
    rates = weights * after / (weights * after).max()
    return np.interp(np.linspace(0, len(norms), KNOTS + 1), np.arange(len(norms)), rates, right=0.0)


def report(name):
    planned = plan_of(read(name))
    arm = planned.study.arms[0]
    peaks = planned.study.peaks_of(arm)
    shape = parse(arm.lr, {"steps": planned.steps}).table(planned.steps)
    losses = {}
    for peak in peaks:
        losses[peak] = [trained(planned.workload, peak * shape, seed) for seed in SEEDS]
    best = min(peaks, key=lambda peak: np.mean([loss for _, loss in losses[peak]]))
    print(f"# {name}: linear's best peak {best:g}, validation loss {np.mean([loss for _, loss in losses[best]]):.4g}")
    for i, (kind, (_, power)) in enumerate(KINDS.items()):
        mean = np.exp(np.mean([np.log(norms[:, i]) for norms, _ in losses[best]], axis=0))
        values = ", ".join(f"{value:.3g}" for value in refined(mean, power))
        knots = ", ".join(str(k) for k in range(1, KNOTS + 1))
        print(
            f"# refined {kind}: norms x{mean[-50:].mean() / mean[:50].mean():.3g} from the first to the last 50 steps"
        )
        print(f'lr = "warmup(0.05*steps) * piecewise_interpolate(({knots}), ({values})).in_epochs(steps / {KNOTS})"')


if __name__ == "__main__":
    with threads(1):
        for study in sys.argv[1:] or STUDIES:
            report(study)
