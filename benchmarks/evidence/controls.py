"""Controls of the verdicts: the same schedule twice, a decay that must help, and one that cannot.

    A/A       the same schedule at other seeds, 1, 6 and 14 arms against one baseline: in how many studies at least one
              arm is called "helps" or "hurts", with as many seeds as that takes
    invented  the same on gains that are drawn, heavy-tailed and skewed ones too, and how often each interval that is
              printed holds the true value
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
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from drawn_gains import DRAWS, SYMMETRIC, coverage, false_rates, power
from drawn_gains import SEEDS as SEED_COUNTS
from scipy.linalg import solve_discrete_lyapunov

from tapered import Workload, rules
from tapered.stats import seeds_needed
from tapered.stats.intervals import share_interval
from tapered.study.file.study import Study
from tapered.study.result import Cost, StudyResult, analyse
from tapered.study.result.asked import Asked
from tapered.study.store.runs import Run
from tapered.training import modes
from tapered.training.advance import advance, evaluate
from tapered.training.rows import start, tabulate
from tapered.workloads.quadratics import adam_floor, curvatures, noisy_quadratic

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))
from common import options, seconds, show  # where it is

ARMS = (1, 6, 14)
RATES = (0.01, 0.03, 0.1)
SHAPE = {"dimensions": 32, "condition": 10.0}
AT_ONCE = 2048
OTHER = 10**6  # what lies between the seeds of the two arms of an A/A study
COST = Cost(0, 0, "rows of many studies are trained together", ())


@dataclass(frozen=True)
class Design:
    """Many studies: a schedule against a constant rate, or so many times against itself at other seeds."""

    workload: Workload
    rule: str
    schedule: str
    low: float
    high: float
    count: int
    steps: int
    against_itself: int = 0

    @property
    def seeds(self) -> int:
        return seeds_needed(comparisons=max(1, self.against_itself))

    def study(self) -> Study:
        baseline = self.schedule if self.against_itself else "constant(1.0)"
        lrs = [baseline, *[self.schedule] * max(1, self.against_itself)]
        names = ["baseline", *(f"arm {i}" for i in range(1, len(lrs)))]
        arms = [{"name": name, "rule": self.rule, "lr": lr} for name, lr in zip(names, lrs, strict=True)]
        return Study.model_validate(
            {
                "name": "control",
                "workload": self.workload.name,
                "steps": self.steps,
                "seeds": self.seeds,
                "baseline": "baseline",
                "peaks": {"low": self.low, "high": self.high, "count": self.count},
                "arms": arms,
            }
        )


def trained(design: Design, studies: range) -> list[list[Run]]:
    """The runs of each study: each arm, peak and seed, those to choose by and as many fresh. All are rows together.

    A study's seeds follow from its number.
    """
    study, rule = design.study(), getattr(rules, design.rule)()
    names = [arm.name for arm in study.arms]
    cells = [
        (i, arm, peak, seed)
        for i in studies
        for arm in study.arms
        for peak in study.peaks_of(arm)
        for seed in range(2 * design.seeds)
    ]
    paths = {(arm.name, peak): arm.path(design.steps, peak) for arm in study.arms for peak in study.peaks_of(arm)}
    mode = modes.choose(design.workload, rule, min(AT_ONCE, len(cells)), design.steps)
    found: dict[int, list[Run]] = {i: [] for i in studies}
    for begin in range(0, len(cells), AT_ONCE):
        part = cells[begin : begin + AT_ONCE]
        seeds = [
            2 * design.seeds * i + seed + OTHER * names.index(arm.name) * bool(design.against_itself)
            for i, arm, _, seed in part
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
    return list(found.values())


def concluded(design: Design, runs: list[Run], *, fresh: bool) -> StudyResult:
    asked = Asked(design.study(), design.steps, design.workload.name, tuple(design.workload.metrics))
    again = [run for run in runs if run.seed >= design.seeds]
    return analyse(asked, [run for run in runs if run.seed < design.seeds], {}, {}, COST, again if fresh else ())


def said(design: Design, found: list[list[Run]], *, fresh: bool) -> list[set[str]]:
    """The words of each study."""
    results = [concluded(design, runs, fresh=fresh) for runs in found]
    return [{comparison.verdict.word for comparison in result.comparisons} for result in results]


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


def same_twice(studies: range) -> dict[str, float]:
    facts: dict[str, float] = {"aa_studies": len(studies)}
    for arms in ARMS:
        design = Design(noisy_quadratic(**SHAPE), "Adam", "linear(steps=steps)", 0.01, 0.1, 3, 100, against_itself=arms)
        found = trained(design, studies)
        for name, fresh in (("aa_false_rate", False), ("aa_false_rate_fresh", True)):
            wrong = [bool(words & {"helps", "hurts"}) for words in said(design, found, fresh=fresh)]
            facts[f"{name}_{arms}"] = sum(wrong) / len(studies)
    return facts


def must_help(studies: range) -> dict[str, float]:
    # so many coordinates that one end of a run says where its floor is
    workload = noisy_quadratic(dimensions=256, condition=10.0)
    design = Design(workload, "Adam", "linear(steps=steps)", 0.003, 0.3, 5, 600)
    found = trained(design, studies)
    facts: dict[str, float] = {"positive_studies": len(studies)}
    for name, fresh in (("positive_found", False), ("positive_found_fresh", True)):
        facts[name] = said(design, found, fresh=fresh).count({"helps"})
    for rate in RATES:
        first_order = adam_floor(rate, **SHAPE)
        facts |= {f"floor_{rate}_first_order": first_order, f"floor_{rate}_exact": floor(rate, **SHAPE)}
        measured, error = measured_floor(rate, 256, **SHAPE)
        facts |= {f"floor_{rate}_measured": measured, f"floor_{rate}_error": error}
    return facts


def must_not_help(studies: range) -> dict[str, float]:
    workload = noisy_quadratic(**SHAPE, sigma=0.0)
    facts: dict[str, float] = {"negative_studies": len(studies)}
    for name, high in (("negative", 0.1), ("beyond", 0.8)):  # L = 10
        design = Design(workload, "SGD", "linear(steps=steps)", 0.00625, high, 5 if high == 0.1 else 8, 20)
        words = said(design, trained(design, studies), fresh=True)
        facts |= {f"{name}_{word}": words.count({word}) for word in ("helps", "hurts")}
    return facts


def drawn(studies: range) -> dict[str, float]:
    many = len(studies)
    return coverage(many) | false_rates(many // 4, ARMS) | power(many)


def failures(facts: dict[str, float], alpha: float = 0.05) -> list[str]:
    """What a binomial error, or four standard errors of a floor, do not explain."""

    def above(name: str, of: str) -> bool:
        n = int(facts[of])
        return share_interval(round(facts[name] * n), n, 0.01)[0] > alpha

    def below(name: str, of: str) -> bool:
        n = int(facts[of])
        return share_interval(round(facts[name] * n), n, 0.01)[1] < 1 - alpha

    kinds = {"all": (*SYMMETRIC, "skewed"), "t": SYMMETRIC, "flips": SYMMETRIC, "win_rate": DRAWS}
    nominal = [(kind, name, n) for kind, names in kinds.items() for name in names for n in SEED_COUNTS]
    nominal = [(kind, name, n) for kind, name, n in nominal if (kind, name) != ("all", "skewed") or n >= seeds_needed()]
    rates = [f"aa_false_rate{kind}_{arms}" for kind in ("", "_fresh") for arms in ARMS]
    invented = [f"drawn_false_{name}_{arms}" for name in ("normal", "heavy", "skewed") for arms in ARMS]
    apart = [abs(facts[f"floor_{r}_measured"] - facts[f"floor_{r}_exact"]) / facts[f"floor_{r}_error"] for r in RATES]
    checks = {
        **{f"{rate} is above alpha": above(rate, "aa_studies") for rate in rates},
        **{f"{rate} is above alpha": above(rate, "drawn_studies") for rate in invented},
        **{
            f"{kind} of {n} {name} gains holds the truth too rarely": below(
                f"{kind}_{name}_{n}", f"intervals_{name}_{n}"
            )
            for kind, name, n in nominal
            if f"{kind}_{name}_{n}" in facts
        },
        "the positive control was missed": facts["positive_found"] < facts["positive_studies"],
        "the positive control was missed on fresh seeds": facts["positive_found_fresh"] < facts["positive_studies"],
        "the negative control was called helps": facts["negative_helps"] > 0,
        "Adam's floor is not the one derived": max(apart) > 4,
    }
    return [name for name, wrong in checks.items() if wrong]


def main() -> int:
    # studies that a rule was chosen by are not the ones that it is measured on: --first moves all seeds
    given = options(__doc__, studies=200, controls=50, draws=4000, first=0, threads=1)
    facts: dict[str, float] = {}
    parts = ((same_twice, given.studies), (must_help, given.controls), (must_not_help, given.controls))
    for part, many in (*parts, (drawn, given.draws)):
        taken = seconds(lambda: facts.update(part(range(given.first, given.first + many))))  # noqa: B023 - called at once
        facts[f"{part.__name__}_seconds"] = taken
    wrong = failures(facts)
    lines = [f"{name:28} {value:.4g}" for name, value in facts.items()]
    show(facts, as_json=given.json, table="\n".join([*lines, *wrong]))
    return 1 if wrong else 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
