r"""How large abs(update) / lr can be, and where eps rules: what is known of each rule's direction.

For Adam with constant betas, Kingma and Ba (2015, section 2.1) give as approximate bounds

    (1 - beta1) / sqrt(1 - beta2)  if 1 - beta1 > sqrt(1 - beta2),  else 1

where the first is met by a gradient that was 0 at all steps but this one, and about 1 is usual. No gradients at all can
exceed the bound that the Cauchy-Schwarz inequality gives for m and v, with q = beta1^2 / beta2:

    |m| / sqrt(v)  <=  (1 - beta1) / sqrt(1 - beta2) * sqrt(1 + q + ... + q^(t-1))
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from tapered import rules
from tapered.rules import Rule, State

REMEMBERED = ("beta1", "beta2", "alpha", "momentum")  # a bound that looks back needs them to have been constant


@dataclass(frozen=True)
class Bound:
    """What is known of the largest abs(update) / lr of a rule at a step.

    Args:
        strict: No gradients make it larger (but for rounding).
        paper: What the rule's paper states as an approximate bound; None if it states none.
        source: Where `paper` stands, else how `strict` comes about.

    Example:
        >>> import torch, tapered
        >>> from tapered.explain import explain_step
        >>> weight = torch.nn.Parameter(torch.ones(3))
        >>> weight.sum().backward()
        >>> found = explain_step(tapered.Adam([weight], lr=0.1)).series[0].points[0].bound
        >>> round(found.strict, 6), round(found.paper, 3)
        (1.0, 3.162)
    """

    strict: float
    paper: float | None
    source: str


def bound(rule: Rule, of: Mapping[str, float], terms: Mapping[str, float], moving: Collection[str]) -> Bound | None:
    """The bound at one update.

    Args:
        rule: The arithmetic.
        of: The rule's scalars at this update, and its number `t`.
        terms: Term name -> its factor.
        moving: Names of the hypers that are scheduled.

    Returns:
        None where no bound is known, as for gradient descent, or where a hyper that it looks back on has moved.
    """
    directions = _directions(rule, of)
    if directions is None or (_looks_back(rule) and not set(moving).isdisjoint(REMEMBERED)):
        return None
    strict = math.fsum(terms[name] * value for name, value in directions.items())
    if not math.isfinite(strict):
        return None
    paper, source = _paper(rule, of)
    return Bound(strict, paper, source)


def _looks_back(rule: Rule) -> bool:
    return not isinstance(rule, rules.Adagrad | rules.Lion)


def _directions(rule: Rule, of: Mapping[str, float]) -> dict[str, float] | None:
    """The largest absolute entry of each term's direction."""
    found = None
    match rule:
        case rules.Adam():
            found = {"step": _moments(of)}
        case rules.RAdam() if of["ripe"]:
            found = {"step": _moments(of)}
        case rules.NAdam():
            found = {"gradient": _last(of), "momentum": _moments(of) * math.sqrt(of["c2"])}
        case rules.Adamax():
            found = {"step": of["new1"] * _sum(_quotient(of["beta1"], of["beta2"]), of["t"])}
        case rules.ScheduleFreeAdamW():
            found = {"step": _last(of)}
        case rules.RMSprop(centered=False, rate_in_momentum=False):
            found = {"step": (_sum(of["momentum"], of["t"]) if rule.momentum else 1) / math.sqrt(of["new"])}
        case rules.Adagrad() | rules.Lion():
            found = {"step": 1.0}
    return found


def _last(of: Mapping[str, float]) -> float:
    """The largest |g| / sqrt(v / c2)."""
    return math.sqrt(of["c2"] / of["new2"]) if of["new2"] else math.inf


def _moments(of: Mapping[str, float]) -> float:
    """The largest |m| / sqrt(v) at t, by Cauchy-Schwarz."""
    if not of["new2"]:
        return math.inf
    return of["new1"] / math.sqrt(of["new2"]) * math.sqrt(_sum(_quotient(of["beta1"] ** 2, of["beta2"]), of["t"]))


def _quotient(above: float, below: float) -> float:
    return above / below if below else (math.inf if above else 0.0)


def _sum(q: float, t: float) -> float:
    """`1 + q + ... + q^(t-1)`; infinite where it is beyond float64."""
    if q == 1 or t == 1:
        return t
    try:
        return (1 - q**t) / (1 - q) if q < math.inf else math.inf
    except OverflowError:
        return math.inf


def _paper(rule: Rule, of: Mapping[str, float]) -> tuple[float | None, str]:
    match rule:
        case rules.Adam():
            sparse = of["new1"] / math.sqrt(of["new2"])
            return max(1.0, sparse), "Kingma and Ba 2015, section 2.1, the sparse case; about 1 is usual"
        case rules.Adamax():
            return 1.0, "Kingma and Ba 2015, section 7.1"
        case rules.Lion():
            return 1.0, "Chen et al. 2023: every entry moves by lr"
        case rules.Adagrad():
            return None, "the root holds this gradient's own square"
    return None, "Cauchy-Schwarz on the rule's averages"


def root(rule: Rule, new: State, of: Mapping[str, Tensor]) -> tuple[Tensor, Tensor] | None:
    """What divides the gradient, without its eps; and eps as large as it stands beside that. None without a root.

    Args:
        rule: The arithmetic.
        new: The state after the update, whose root divides.
        of: The rule's scalars.
    """
    found = None
    match rule:
        case rules.Adam():
            v = new.get("max_exp_avg_sq", new["exp_avg_sq"])
            found = (v / of["c2"]).sqrt(), of["eps"] / of["c2"].sqrt()
        case rules.RAdam() if of["ripe"]:
            found = (new["exp_avg_sq"] / of["c2"]).sqrt(), of["eps"] / of["c2"].sqrt()
        case rules.NAdam() | rules.ScheduleFreeAdamW():
            found = (new["exp_avg_sq"] / of["c2"]).sqrt(), of["eps"]
        case rules.Adamax():  # eps stands inside the maximum
            found = new["exp_inf"] - of["eps"], of["eps"]
        case rules.RMSprop():
            square = new["square_avg"] - new["grad_avg"] ** 2 if rule.centered else new["square_avg"]
            found = square.clamp(min=0).sqrt(), of["eps"].sqrt() if rule.epsilon == "inside" else of["eps"]
        case rules.Adagrad():
            found = new["sum"].sqrt(), of["eps"]
        case rules.Adadelta():
            found = new["square_avg"].sqrt(), of["eps"].sqrt()
    return found


def driven(terms: Iterable[str]) -> list[str]:
    """The terms that gradients drive: all but what shrinks or averages the weights."""
    return [name for name in terms if name not in ("weight_decay", "averaging")]
