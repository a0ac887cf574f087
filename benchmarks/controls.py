"""Controls of the verdicts: the same schedule twice, a decay that must help, and one that cannot.

    A/A       the same schedule at other seeds: the rate of false "helps" and "hurts", and how often intervals hold 0
    positive  a noisy quadratic, Adam: a constant rate leaves a floor in proportion to it, a decaying one goes below
    negative  the same without noise, gradient descent, few steps, peaks up to 1/L: decay loses progress

Adam's floor. Near the optimum of f = h w^2 / 2 the gradient is noise of deviation s = h sigma / sqrt(B), so that
sqrt(v) -> s and Adam is gradient descent with averaged gradients at the rate a = lr / s:

    m' = beta1 m + (1 - beta1)(h w + s e),   w' = w - a m'        E[(w, m)(w, m)^T] solves C = A C A^T + b b^T

For small a it is E[w^2] = a s^2 / (2 h) = lr sigma / (2 sqrt(B)), whatever beta1: the excess loss is lr s / 4 in each
coordinate, proportional to the rate and independent of the steps. `floor` solves the equation itself, with
v = s^2 + h^2 E[w^2].

Without noise, w_i' = (1 - lr h_i) w_i. Up to lr = 1/L, L = max h, every factor falls with every rate, so that at each
peak, in each coordinate, the constant rate ends lower than any that decays from it. Beyond 1/L that is not so: a rate
that starts high and falls damps slow and fast coordinates in turn, as Chebyshev's steps do, and tuned it beats a tuned
constant even here. The last control shows it.
"""

import sys
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import torch
from common import options, seconds, show
from scipy.linalg import solve_discrete_lyapunov

from tapered import Workload, modes, rules
from tapered.load import Loaded
from tapered.result import Cost, StudyResult, analyse
from tapered.rows import start
from tapered.runs import Run
from tapered.stats import gains, paired
from tapered.stats.intervals import share_interval
from tapered.study_file import Study
from tapered.train import advance, evaluate, tabulate
from tapered.workloads.quadratics import adam_floor, curvatures, noisy_quadratic

SEEDS = 8
RATES = (0.01, 0.03, 0.1)
SHAPE = {"dimensions": 32, "condition": 10.0}
AT_ONCE = 2048
OTHER = 10**6  # what lies between the seeds of the two arms of an A/A study
COST = Cost(0, 0, "rows of many studies are trained together", ())


@dataclass(frozen=True)
class Design:
    """Many studies of two arms: a schedule against a constant rate, or against itself at other seeds."""

    workload: Workload
    rule: str
    schedule: str
    low: float
    high: float
    count: int
    steps: int
    against_itself: bool = False

    def study(self) -> Study:
        baseline = self.schedule if self.against_itself else "constant(1.0)"
        arms = [
            {"name": name, "rule": self.rule, "lr": lr} for name, lr in (("baseline", baseline), ("arm", self.schedule))
        ]
        return Study.model_validate(
            {
                "name": "control",
                "workload": self.workload.name,
                "steps": self.steps,
                "seeds": SEEDS,
                "baseline": "baseline",
                "peaks": {"low": self.low, "high": self.high, "count": self.count},
                "arms": arms,
            }
        )


def trained(design: Design, studies: int) -> list[list[Run]]:
    """The runs of each study: each arm, peak and seed, 8 seeds to choose by and 8 fresh ones. All are rows together."""
    study, rule = design.study(), getattr(rules, design.rule)()
    cells = [
        (i, arm, peak, seed)
        for i in range(studies)
        for arm in study.arms
        for peak in study.peaks_of(arm)
        for seed in range(2 * SEEDS)
    ]
    paths = {(arm.name, peak): arm.path(design.steps, peak) for arm in study.arms for peak in study.peaks_of(arm)}
    mode = modes.choose(design.workload, rule, min(AT_ONCE, len(cells)), design.steps)
    found: list[list[Run]] = [[] for _ in range(studies)]
    for begin in range(0, len(cells), AT_ONCE):
        part = cells[begin : begin + AT_ONCE]
        seeds = [
            2 * SEEDS * i + seed + OTHER * (design.against_itself and arm.name == "arm") for i, arm, _, seed in part
        ]
        rows = start(design.workload, rule, seeds)
        first = evaluate(design.workload, rows, "valid", mode=mode)
        rows = advance(
            design.workload, rows, [paths[arm.name, peak] for _, arm, peak, _ in part], design.steps, mode=mode
        )
        last = evaluate(design.workload, rows, "valid", mode=mode)
        for (i, arm, peak, seed), a, b, diverged in zip(part, first, last, rows.diverged, strict=True):
            run = Run(f"{i}/{arm.name}/{peak}/{seed}", arm.name, peak, seed, design.steps, design.steps)
            whole = replace(run, curve=((0, a), (design.steps, b)), value=b["loss"])
            found[i].append(whole if diverged is None else replace(run, step=diverged, diverged=diverged))
    return found


def concluded(design: Design, runs: list[Run], *, fresh: bool) -> StudyResult:
    loaded = Loaded(design.study(), design.workload, design.steps, "built in")
    again = [run for run in runs if run.seed >= SEEDS]
    return analyse(loaded, [run for run in runs if run.seed < SEEDS], {}, {}, COST, again if fresh else ())


def words(design: Design, found: list[list[Run]], *, fresh: bool) -> Counter:
    results = [concluded(design, runs, fresh=fresh) for runs in found]
    return Counter(result.comparisons[0].verdict.word for result in results)


def held(design: Design, found: list[list[Run]]) -> dict[str, float]:
    """The share of intervals of 8 gains at one peak, chosen beforehand, that hold the true difference, 0."""
    peak = design.study().peaks.values[design.count // 2]
    inside = {"t": [], "bca": []}
    for runs in found:
        for first in (0, SEEDS):
            at = {(r.arm, r.seed): r.value for r in runs if r.peak == peak and first <= r.seed < first + SEEDS}
            arm, baseline = ([at[name, s] for s in range(first, first + SEEDS)] for name in ("arm", "baseline"))
            result = paired(gains(arm, baseline))
            inside["t"].append(result.low <= 0 <= result.high)
            inside["bca"].append(result.bca[0] <= 0 <= result.bca[1])
    return {name: float(np.mean(values)) for name, values in inside.items()} | {"of": len(inside["t"])}


def floor(rate: float, *, sigma: float = 1.0, beta1: float = 0.9, **shape: float) -> float:
    """Adam's stationary excess loss at a constant rate: the equation above, solved for each coordinate."""
    total = 0.0
    for h in curvatures(**shape):
        s, variance = h * sigma, 0.0
        for _ in range(100):  # to the v that the variance itself gives
            a = rate / np.sqrt(s**2 + h**2 * variance)
            go = np.array([[1 - a * (1 - beta1) * h, -a * beta1], [(1 - beta1) * h, beta1]])
            kick = (1 - beta1) * s * np.array([[-a], [1.0]])
            variance = solve_discrete_lyapunov(go, kick @ kick.T)[0, 0]
        total += h * variance / 2
    return float(total)


def measured_floor(rate: float, rows: int, **shape: float) -> tuple[float, float]:
    """Validation loss of many rows at many steps, when nothing of the start is left: its mean and standard error."""
    workload, rule = noisy_quadratic(**shape), rules.Adam()
    burn, every, points = 3000, 500, 8
    path = tabulate(rule, burn + every * points, lr=rate)
    mode = modes.choose(workload, rule, rows, path.steps)
    state, losses = start(workload, rule, range(rows)), np.zeros(rows)
    for step in range(burn, path.steps + 1, every):
        state = advance(workload, state, [path] * rows, step, mode=mode)
        losses += [point["loss"] / (points + 1) for point in evaluate(workload, state, "valid", mode=mode)]
    return float(losses.mean()), float(losses.std(ddof=1) / np.sqrt(rows))


def same_twice(studies: int) -> dict[str, float]:
    workload = noisy_quadratic(**SHAPE)
    design = Design(workload, "Adam", "linear(steps=steps)", 0.01, 0.1, 3, 100, against_itself=True)
    found = trained(design, studies)
    facts: dict[str, float] = {"aa_studies": studies}
    for name, fresh in (("aa_false_rate", False), ("aa_false_rate_fresh", True)):
        said = words(design, found, fresh=fresh)
        facts[name] = (said["helps"] + said["hurts"]) / studies
    cover = held(design, found)
    return facts | {"aa_t_coverage": cover["t"], "aa_bca_coverage": cover["bca"], "aa_intervals": cover["of"]}


def must_help(studies: int) -> dict[str, float]:
    # so many coordinates that one end of a run says where its floor is
    workload = noisy_quadratic(dimensions=256, condition=10.0)
    design = Design(workload, "Adam", "linear(steps=steps)", 0.003, 0.3, 5, 600)
    found = trained(design, studies)
    facts: dict[str, float] = {"positive_studies": studies}
    for name, fresh in (("positive_found", False), ("positive_found_fresh", True)):
        facts[name] = words(design, found, fresh=fresh)["helps"]
    for rate in RATES:
        first_order = adam_floor(rate, **SHAPE)
        facts |= {f"floor_{rate}_first_order": first_order, f"floor_{rate}_exact": floor(rate, **SHAPE)}
        measured, error = measured_floor(rate, 256, **SHAPE)
        facts |= {f"floor_{rate}_measured": measured, f"floor_{rate}_error": error}
    return facts


def must_not_help(studies: int) -> dict[str, float]:
    workload = noisy_quadratic(**SHAPE, sigma=0.0)
    facts: dict[str, float] = {"negative_studies": studies}
    for name, high in (("negative", 0.1), ("beyond", 0.8)):  # L = 10
        design = Design(workload, "SGD", "linear(steps=steps)", 0.00625, high, 5 if high == 0.1 else 8, 20)
        said = words(design, trained(design, studies), fresh=True)
        facts |= {f"{name}_helps": said["helps"], f"{name}_hurts": said["hurts"]}
    return facts


def failures(facts: dict[str, float], alpha: float = 0.05) -> list[str]:
    """What a binomial error, or four standard errors of a floor, do not explain."""
    n, intervals = int(facts["aa_studies"]), int(facts["aa_intervals"])

    def lowest(rate: str) -> float:
        return share_interval(round(facts[rate] * n), n, 0.01)[0]

    most = share_interval(round(facts["aa_t_coverage"] * intervals), intervals, 0.01)[1]
    apart = [abs(facts[f"floor_{r}_measured"] - facts[f"floor_{r}_exact"]) / facts[f"floor_{r}_error"] for r in RATES]
    checks = {
        "false claims are above alpha": lowest("aa_false_rate") > alpha,
        "false claims on fresh seeds are above alpha": lowest("aa_false_rate_fresh") > alpha,
        "t intervals hold the truth too rarely": most < 1 - alpha,
        "the positive control was missed": facts["positive_found"] < facts["positive_studies"],
        "the positive control was missed on fresh seeds": facts["positive_found_fresh"] < facts["positive_studies"],
        "the negative control was called helps": facts["negative_helps"] > 0,
        "Adam's floor is not the one derived": max(apart) > 4,
    }
    return [name for name, wrong in checks.items() if wrong]


def main() -> int:
    given = options(__doc__, studies=200, controls=50, threads=1)
    facts: dict[str, float] = {}
    for part, many in ((same_twice, given.studies), (must_help, given.controls), (must_not_help, given.controls)):
        taken = seconds(lambda: facts.update(part(many)))  # noqa: B023 - called at once
        facts[f"{part.__name__}_seconds"] = taken
    wrong = failures(facts)
    lines = [f"{name:28} {value:.4g}" for name, value in facts.items()]
    show(facts, as_json=given.json, table="\n".join([*lines, *wrong]))
    return 1 if wrong else 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
