r"""Q9: over how many decades of rates an optimizer is about as good as at its best.

accuracy        ___
        best ..|...\.. 2 points
              /     \
    _________/       \______   ──► log10 of the peak        the width is between the crossings, per seed
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import log10
from statistics import fmean

from tapered.claims.base import Answer, Claim, Summary
from tapered.claims.reading import told
from tapered.stats import Paired, paired, verdict

ADAPTIVE, RAW = ("Adam", "RMSProp", "AdaGrad"), ("SGD", "momentum")
TOLERANCES = (0.02, 0.05)  # the first decides
DECAY = " + decay"


def judge(found: Mapping[str, Summary]) -> Answer:
    """Whether adaptive methods are about as good as at their best over more decades of peaks than SGD and momentum.

    The width of an arm at a seed is how many decades of peaks, contiguous around its best, keep the validation accuracy
    within 2 points of that best; a diverged run has accuracy 0. At each seed the mean width of Adam, RMSProp and
    AdaGrad is compared with SGD's and with momentum's, at constant rates. Confirmed where it is larger than both
    ("helps"), refuted where it is smaller than both ("hurts"), else it depends. With decay, and at 5 points, it is told
    beside.
    """
    study = found["sensitivity"]
    wide = {tolerance: widths(study, tolerance) for tolerance in TOLERANCES}
    by = {(tolerance, raw, end): _wider(wide[tolerance], raw, end) for tolerance in TOLERANCES for raw in RAW
          for end in ("", DECAY)}  # fmt: skip
    words = [verdict(by[TOLERANCES[0], raw, ""]).word for raw in RAW]
    mean = {name: fmean(at.values()) for name, at in wide[TOLERANCES[0]].items()}
    each = ", ".join(f"{name} {mean[name]:.2f}" for name in (*RAW, *ADAPTIVE))
    apart = " and ".join(f"{told(by[TOLERANCES[0], raw, ''])} more than {raw}" for raw in RAW)
    with_decay = ", ".join(f"{name} {mean[name + DECAY]:.2f}" for name in (*RAW, *ADAPTIVE))
    return Answer(
        "confirmed" if words == ["helps"] * 2 else "refuted" if words == ["hurts"] * 2 else "depends",
        f"decades within 2 points of the best: {each}; adaptive ones have {apart}; with decay {with_decay}",
        {
            **{f"{100 * t:g} points, {name}": fmean(at.values()) for t in TOLERANCES for name, at in wide[t].items()},
            **{
                f"{100 * t:g} points, adaptive over {raw}{end}": "-" if result.mean is None else result.mean
                for (t, raw, end), result in by.items()
            },
            **{f"{100 * t:g} points, {raw}{end}, word": verdict(result).word for (t, raw, end), result in by.items()},
        },
    )


def widths(found: Summary, tolerance: float) -> dict[str, dict[int, float]]:
    """Arm -> seed -> its width in decades, of the seeds that all peaks were trained with."""
    curves: dict[str, dict[int, list[tuple[float, float]]]] = {}
    for run in found["every_run"]:
        if not run["fresh"] and run["peak"] is not None:
            lost = run["value"] is None or run["outcome"].startswith("diverged")
            at = curves.setdefault(run["arm"], {}).setdefault(run["seed"], [])
            at.append((log10(run["peak"]), 0.0 if lost else float(run["value"])))
    return {name: {seed: width(sorted(at), tolerance) for seed, at in of.items()} for name, of in curves.items()}


def width(curve: Sequence[tuple[float, float]], tolerance: float) -> float:
    """How far the values around the highest stay within a tolerance of it, straight lines between them.

    Args:
        curve: (place, value), places ascending. Where it ends before a value falls, the width ends there too.
        tolerance: Above 0.

    >>> width([(0.0, 0.0), (1.0, 1.0), (2.0, 1.0), (3.0, 0.5)], 0.25)
    1.75
    """
    top = max(range(len(curve)), key=lambda i: curve[i][1])
    least = curve[top][1] - tolerance
    return abs(_crossing(curve[top:], least) - _crossing(curve[top::-1], least))


def _crossing(curve: Sequence[tuple[float, float]], least: float) -> float:
    """The place at which a curve first falls below a value, or its last place."""
    for (x, y), (next_x, next_y) in pairwise(curve):
        if next_y < least:
            return x + (next_x - x) * (y - least) / (y - next_y)
    return curve[-1][0]


def _wider(wide: Mapping[str, Mapping[int, float]], raw: str, end: str) -> Paired:
    """By how much the adaptive arms' mean width exceeds another arm's, seed by seed."""
    seeds = sorted(wide[raw + end])
    return paired([fmean(wide[name + end][seed] for name in ADAPTIVE) - wide[raw + end][seed] for seed in seeds])


CLAIM = Claim(
    "Q9",
    "Adaptive methods are well behaved over a broader range of hyperparameters than the raw learning rate (CS231n).",
    ("sensitivity",),
    judge,
)
