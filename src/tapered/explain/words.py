"""An explanation in plain words: which of schedule, bias correction and gradients decays, and what bounds a step."""

import math

from tapered import rules
from tapered.explain.bounds import driven
from tapered.explain.points import Explanation, Point, Series
from tapered.rules import Rule
from tapered.theory import Shares
from tapered.words import counted, plain

FACTORS: dict[type, str] = {
    rules.Adam: "sqrt(1 - beta2^t) / (1 - beta1^t)",
    rules.RAdam: "sqrt(1 - beta2^t) / (1 - beta1^t), with RAdam's rectification",
    rules.Adamax: "1 / (1 - beta1^t)",
}
SMALL = 0.01  # a relative change below this is none in words
SHORTER = 0.5


def paragraph(found: Explanation) -> str:
    """One paragraph for each group, of sentences made from its points.

    Args:
        found: what `explain_run`, `explain_step` or a recorder gave.

    Example:
        >>> from tapered.explain import explain_run
        >>> from tapered.training.advance import tabulate
        >>> from tapered.training.workload import quadratic
        >>> path = tabulate(rules.SGD(), 50, lr=0.01)
        >>> print(paragraph(explain_run(quadratic(), path)).split(". ")[1])
        The schedule is constant at 0.01 and decays nothing
    """
    several = len(found.series) > 1
    parts = [(f"Group {series.name}: " if several else "") + _group(series) for series in found.series]
    if found.shares is not None:
        parts.append(_left(found.shares))
    if found.diverged is not None:
        parts.append(f"The loss was not finite at step {found.diverged:,}; nothing after it can be explained.")
    return "\n\n".join(parts)


def _left(found: Shares) -> str:
    half = "" if found.half is None else f", half of them after step {found.half:,} of these"
    return (
        f"After {counted(len(found.updates), 'step')} weight decay leaves {found.start:.3g} of the first weights, "
        f"of the updates as much as if {found.effective:,.0f} of them were averaged alike{half}. A rate that falls "
        f"weakens the decay with it: each step takes lr * weight_decay."
    )


def _group(series: Series) -> str:
    if not series.points:
        return "no parameter had a gradient, so nothing was updated."
    first, last = series.points[0], series.points[-1]
    said = [_bounded(series), _eps(series), _decayed(series)]
    if len(series.points) > 1:
        name = driven(series.terms)[0]
        changes = [_length(series, name), _schedule(series), _correction(series, name), _gradients(series, name)]
        said = [*changes, *said, _verdict(series, name)]
    else:
        said = [f"At step {first.step:,} the update's RMS is {plain(last.update, 3)}", *said]
    return " ".join(f"{sentence}." for sentence in said if sentence)


def _length(series: Series, name: str) -> str:
    changes = [change for _, change in series.splits(name) if change is not None]
    if not changes:
        return "No step was ever longer than 0"
    change = changes[-1]
    ends = [point for point in series.points if point.step in (change.since, change.step)]
    lengths = " to ".join(plain(point.term(name).length, 3) for point in (ends[0], ends[-1]))
    made = [("schedule", change.schedule), ("correction", change.correction), ("direction", change.direction)]
    parts = ", ".join(f"{part} {times(log)}" for part, log in made)
    return (
        f"From step {change.since:,} to {change.step:,} the RMS of the {_called(name)} went from {lengths} "
        f"({times(change.whole)}): {parts}"
    )


def times(log: float) -> str:
    """A change that is given as a logarithm, as a factor.

    >>> times(0.0), times(math.log(0.0251))
    ('x1', 'x0.0251')
    """
    return f"x{plain(math.exp(log), 3)}"


def _called(name: str) -> str:
    return name if name == "step" else f"{name} term"


def _schedule(series: Series) -> str:
    peak, last = _highest(series), series.points[-1]
    if all(point.lr == last.lr for point in series.points):
        return f"The schedule is constant at {last.lr:g} and decays nothing"
    if _falls(series):
        return (
            f"The schedule falls from {peak.lr:.3g} at step {peak.step:,} to {last.lr:.3g} at step {last.step:,}, "
            "whatever the gradients are"
        )
    return f"The schedule stands at {plain(last.lr, 3)}, the highest it has been"


def _highest(series: Series) -> Point:
    return max(series.points, key=lambda point: point.lr)


def _falls(series: Series) -> bool:
    return series.points[-1].lr < (1 - SMALL) * _highest(series).lr


def _correction(series: Series, name: str) -> str:
    factors = [(point.step, point.term(name).factor) for point in series.points]
    (first, a), (last, z), (low, least) = factors[0], factors[-1], min(factors, key=lambda at: at[1])
    seen = f"{plain(a, 3)} at step {first:,}"
    if low not in (first, last):
        seen += f", {plain(least, 3)} at step {low:,}"
    seen += f", {plain(z, 3)} at step {last:,}"
    match series.rule:
        case rules.Adam() | rules.RAdam() | rules.Adamax():
            formula = FACTORS[type(series.rule)]
            return (
                f"The bias correction's factor {formula} is {seen}; it tends to 1. It makes up for averages that start "
                "at zero, corrects the start, and does not decay the rate"
            )
        case rules.NAdam():
            return (
                f"The factor of the {name} term is {seen}; with the momentum's it tends to 1 in sum and decays nothing"
            )
        case rules.ScheduleFreeAdamW():
            return (
                f"The factor 1 - beta1 (1 - c) is {seen}: averaging, not bias correction, which sits in the direction"
            )
        case rules.Adagrad() if a != z:
            return f"Adagrad's own factor 1 / (1 + (t - 1) lr_decay) is {seen}: a second decay beside the schedule"
    return "This rule has no bias correction"


def _gradients(series: Series, name: str) -> str:
    ends = [point for point in series.points if point.gradient and point.term(name).direction]
    if len(ends) < 2:
        return ""
    first, last = ends[0], ends[-1]
    per_rate = _per_rate(last, name) / _per_rate(first, name)
    gradient = last.gradient / first.gradient
    went = f"The gradient's RMS went x{plain(gradient, 3)}, the {_called(name)} at a rate of 1 x{plain(per_rate, 3)}"
    if isinstance(series.rule, rules.Lion):
        return f"{went}: only signs count"
    if not first.root or not last.root:
        return f"{went}: nothing is divided by past gradients" if last.root is None else went
    went += (
        f", and the root of past squares that divides it x{plain(last.root / first.root, 3)}: damping by past "
        "gradients, which follows the gradients and not the time"
    )
    if isinstance(series.rule, rules.Adam | rules.NAdam | rules.RAdam | rules.Adamax) and per_rate < SHORTER:
        went += "; apart from the rate, steps are shorter because gradients cancel in their mean or have become smaller"
    return went


def _per_rate(point: Point, name: str) -> float:
    return point.term(name).factor * point.term(name).direction


def _bounded(series: Series) -> str:
    finite = [point for point in series.points if math.isfinite(point.largest)]
    if not finite:
        return ""
    top = max(finite, key=lambda point: point.largest)
    typical = f"the median was {plain(top.ratios[0], 3)}"
    said = f"The largest abs(update) / lr was {plain(top.largest, 3)}, at step {top.step:,}, where {typical}"
    if top.bound is None:
        return f"{said}; no bound is known for this rule and these hypers"
    if top.bound.paper is not None:
        said += f"; the paper's bound is {plain(top.bound.paper, 3)} ({top.bound.source})"
    return (
        f"{said}; no gradients could exceed {plain(top.bound.strict, 3)} there, so a lower rate lowers the largest step"
    )


def _eps(series: Series) -> str:
    last = series.points[-1]
    if not last.eps_share:
        return ""
    return f"At step {last.step:,} eps rules {last.eps_share:.1%} of the entries: their root is no larger than eps"


def _decayed(series: Series) -> str:
    last = series.points[-1]
    found = [term for term in last.terms if term.name == "weight_decay" and term.length]
    if not found:
        return ""
    length, whole = plain(found[0].length, 3), plain(last.update, 3)
    return f"Weight decay is a term of its own, RMS {length} of {whole} at step {last.step:,}"


def _verdict(series: Series, name: str) -> str:
    fallen = ["the schedule"] if _falls(series) else []
    rule: Rule = series.rule
    if isinstance(rule, rules.Adagrad):
        fallen.append("1 / (the root of all past squares)")
        if series.points[-1].term(name).factor < 1 - SMALL:
            fallen.append("lr_decay")
    if not fallen:
        return "So nothing here falls with time by design; what else changed followed the gradients"
    only = "only " if len(fallen) == 1 else ""
    late = ""
    if getattr(rule, "rate_in_momentum", False):
        late = " (late: the buffer holds steps made at earlier rates)"
    falls = "falls" if len(fallen) == 1 else "fall"
    what = f"{only}{' and '.join(fallen)} {falls} with time{late}"
    return f"So by design {what}; what else changed followed the gradients"
