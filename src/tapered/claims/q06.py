"""Q6 and Q7: whether Adam decays by itself, and what the rate bounds; both read off `explain` on BMI runs."""

import math
from collections.abc import Mapping

from tapered import rules
from tapered.claims.base import Answer, Claim, Summary, Word
from tapered.explain import Explanation, Point, explain_run, paragraph
from tapered.explain.run import looks
from tapered.schedules import Schedule, constant, exponential_decay
from tapered.training.rows import tabulate
from tapered.workloads import bmi

STEPS = 8000  # 32 epochs, so that 0.999^t is gone
LOOKS = 48


def decays(_: Mapping[str, Summary]) -> Answer:
    """Whether Adam's own factor sqrt(1 - beta2^t) / (1 - beta1^t) is a decay, at a constant rate.

    Refuted if, from the step where it is smallest on, the factor only rises, ends within 1% of 1, and the schedule's
    part of the change of the step's length is 0; confirmed if it ends below where it began; else depends. What the
    step's length did all the same is told with its cause.
    """
    found = _explained(constant(1e-3))
    points = found.series[0].points
    factors = [point.term("step").factor for point in points]
    low = factors.index(min(factors))
    rises = all(a <= b for a, b in zip(factors[low:], factors[low + 1 :], strict=False))
    change = found.series[0].splits("step")[-1][1]
    if change is None:
        raise ValueError("a BMI run has steps of length 0; expected an update at the first and the last step")
    refuted = rises and abs(factors[-1] - 1) < 0.01 and change.schedule == 0
    parts = {name: math.exp(getattr(change, name)) for name in ("schedule", "correction", "direction", "whole")}
    return Answer(
        "refuted" if refuted else "confirmed" if factors[-1] < factors[0] else "depends",
        f"the factor goes from {factors[0]:.3f} over {factors[low]:.3f} at step {points[low].step} up to "
        f"{factors[-1]:.4f}: it corrects the start and decays nothing; steps became x{parts['whole']:.2g} long by x"
        f"{parts['schedule']:g} of schedule, x{parts['correction']:.3g} of correction and x{parts['direction']:.2g} of "
        f"direction, which follows the gradients",
        {
            **{f"factor_at_{point.step}": factor for point, factor in zip(points, factors, strict=True)},
            **{f"change_by_{name}": value for name, value in parts.items()},
            "in_words": paragraph(found),
        },
    )


def bounded(_: Mapping[str, Summary]) -> Answer:
    """Whether the rate bounds an update, so that a falling rate makes the last steps small.

    For each parameter by itself, at the steps looked at. Confirmed if no abs(update) / lr exceeds the paper's bound, at
    a constant and at a falling rate, and where the rate falls to 1% the largest abs(update) falls to 10% or less of
    what it was at the first step; depends if only the bound that follows from the Cauchy-Schwarz inequality is kept, or
    steps do not become so small; refuted if that bound is exceeded.
    """
    found = {
        name: _explained(rate, by_parameter=True)
        for name, rate in (("constant", constant(1e-3)), ("falling", exponential_decay(1e-3, STEPS, 0.01)))
    }
    every = [point for part in found.values() for series in part.series for point in series.points]
    largest = max(point.largest for point in every)
    strict = max(_over(point, "strict") for point in every)
    paper = max(_over(point, "paper") for point in every)
    first, last = (max(s.points[i].largest * s.points[i].lr for s in found["falling"].series) for i in (0, -1))
    steady = max(s.points[-1].largest * s.points[-1].lr for s in found["constant"].series)
    kept: Word = "confirmed" if paper <= 1 and last <= 0.1 * first else "depends"
    return Answer(
        "refuted" if strict > 1 else kept,
        f"the largest abs(update) / lr of any parameter was {largest:.3g}, {paper:.2f} of the paper's bound and "
        f"{strict:.2f} of the strict one; with the rate down to 1% the largest update fell from {first:.2g} to "
        f"{last:.2g}, where a constant rate still made {steady:.2g}",
        {
            "largest_ratio": largest,
            "of_papers_bound": paper,
            "of_strict_bound": strict,
            "first_update": first,
            "last_update_falling": last,
            "last_update_constant": steady,
            "groups": len(found["constant"].series),
        },
    )


def _explained(rate: Schedule, *, by_parameter: bool = False) -> Explanation:
    path = tabulate(rules.Adam(), STEPS, lr=rate)
    return explain_run(bmi(), path, at=looks(STEPS, LOOKS), by_parameter=by_parameter)


def _over(point: Point, kind: str) -> float:
    """The largest abs(update) / lr as a share of a bound."""
    bound = point.bound and getattr(point.bound, kind)
    if not bound:
        raise ValueError(f"Adam has no {kind} bound at step {point.step}; expected one for its default betas")
    return float(point.largest / bound)


CLAIM_DECAYS = Claim(
    "Q6",
    "Adam decays by itself, as lr_t = lr sqrt(1 - beta2^t) / (1 - beta1^t) (and, in reply: that tends to 1).",
    (),
    decays,
)
CLAIM_BOUNDED = Claim(
    "Q7", "The step size bounds the size of an update, so it is good to shrink it towards the end.", (), bounded
)
