r"""The numbers of a step as values, and the change between two steps as a sum of three parts.

A term of a rule's update is `-(rate * factor) * direction`; its length is a root mean square over all entries:

    length = rate * factor * RMS(direction)

    ln(length_k / length_j) = ln(rate_k / rate_j) + ln(factor_k / factor_j) + ln(RMS(direction_k) / RMS(direction_j))
                              schedule              correction                direction
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

from tapered.explain.bounds import Bound
from tapered.pictures.fragment import fragment
from tapered.rules import Rule
from tapered.theory import Shares
from tapered.words import brief, counted, plain

QUANTILES = (0.5, 0.9, 0.99)


@dataclass(frozen=True)
class TermPoint:
    """One named term of the update of one group at one step.

    Args:
        name: As the rule calls it: "step", "weight_decay", "momentum", ...
        rate: What the schedule gave: lr, or lr times the weight decay; 1 where the rate sits in the direction already.
        factor: What the rule makes of the step count: bias correction, averaging weight; 1 where it has none. Where
            parameters of a group are at different counts, the mean that keeps `length` right.
        direction: RMS of the direction.
        length: RMS of the term's value, measured on it.

    Example:
        >>> point = TermPoint("step", rate=0.1, factor=0.5, direction=2.0, length=0.1)
        >>> point.length == point.rate * point.factor * point.direction
        True
    """

    name: str
    rate: float
    factor: float
    direction: float
    length: float


@brief
@dataclass(frozen=True)
class Point:
    """One parameter group at one step; RMS is over all its entries, a complex entry counting as two.

    Args:
        step: Completed updates.
        lr: schedule(step).
        terms: The rule's terms. `weight_decay` (decoupled) and `averaging` stand apart from the update below.
        corrections: c1 = 1 - beta1^t and c2 = 1 - beta2^t apart, where the rule has them.
        gradient: RMS of the gradient.
        param: RMS of the parameter before the step.
        update: RMS of what the step adds to it, all terms together.
        ratios: Quantiles 0.5, 0.9, 0.99 of abs(update) / lr over the entries, weight decay left out. Of groups above
            2^20 entries every n-th one is looked at.
        largest: The largest abs(update) / lr, over all entries. NaN where lr is 0 and sits inside a buffer.
        bound: What is known of `largest` from the rule; None if nothing is.
        root: RMS of what divides the gradient, bias-corrected and without eps; None for a rule that divides by nothing.
        eps_share: Share of the entries where eps rules (eps >= the root it stands beside); None without an eps.

    Example:
        >>> import torch, tapered
        >>> from tapered.explain import explain_step
        >>> weight = torch.nn.Parameter(torch.full((3,), 2.0))
        >>> weight.sum().backward()
        >>> point = explain_step(tapered.SGD([weight], lr=0.1)).series[0].points[0]
        >>> point.step, round(point.gradient, 6), round(point.update, 6), round(point.relative, 6), point.bound
        (0, 1.0, 0.1, 0.05, None)
    """

    step: int
    lr: float
    terms: tuple[TermPoint, ...]
    corrections: tuple[tuple[str, float], ...]
    gradient: float
    param: float
    update: float
    ratios: tuple[float, ...]
    largest: float
    bound: Bound | None
    root: float | None
    eps_share: float | None

    @property
    def relative(self) -> float:
        """RMS(update) / RMS(param); infinite for parameters at zero."""
        return self.update / self.param if self.param else math.inf

    def term(self, name: str) -> TermPoint:
        """The term of this name.

        Raises:
            ValueError: If there is none.
        """
        found = [term for term in self.terms if term.name == name]
        if not found:
            raise ValueError(f"got {name!r} for `term`; expected one of {[term.name for term in self.terms]}")
        return found[0]


@dataclass(frozen=True)
class Split:
    """The change of a term's length since a reference step, as natural logarithms that add up.

    Args:
        since: The reference step.
        step: The step looked at.
        schedule: ln of the rate's change.
        correction: ln of the factor's change.
        direction: ln of the change of RMS(direction): the gradient's scale, after what the rule makes of it.
        measured: ln of the change of the measured length, which the three were not made from.

    Example:
        >>> found = Split(since=0, step=9, schedule=-0.5, correction=0.7, direction=-0.2, measured=0.0)
        >>> abs(found.whole) < 1e-15
        True
    """

    since: int
    step: int
    schedule: float
    correction: float
    direction: float
    measured: float

    @property
    def whole(self) -> float:
        """The three parts' sum, rounded once: `math.fsum` of them in any order, to the last bit."""
        return math.fsum((self.schedule, self.correction, self.direction))


def split(now: Point, then: Point, term: str) -> Split | None:
    """The change of a term's length from one step to another in its three parts.

    With p(k) the logarithm of a part at step k, rounded to float64, a part's change is p(now) - p(then). The same
    numbers give a change of exactly 0. The whole is the parts' sum by definition, to the last bit; it equals the change
    of the measured length within the rounding of the parameters' dtype (about 1e-15 in float64, 1e-7 in float32).

    Args:
        now: the point looked at.
        then: the point that it is compared with.
        term: the name of a term of both.

    Returns:
        None where a part is 0 or not finite at either step: a rate of 0, a gradient that has always been 0.

    Example:
        >>> points = [
        ...     Point(k, r, (TermPoint("step", r, f, d, r * f * d),), (), d, 1, r * f * d, (), 1, None, None, None)
        ...     for k, r, f, d in [(0, 0.1, 0.25, 2.0), (9, 0.1, 0.5, 1.0)]
        ... ]
        >>> found = split(points[1], points[0], "step")
        >>> found.schedule, round(found.correction, 3), round(found.direction, 3), found.whole
        (0.0, 0.693, -0.693, 0.0)
    """
    a, b = now.term(term), then.term(term)
    if not all(_usable(part) for end in (a, b) for part in (end.rate, end.factor, end.direction, end.length)):
        return None
    return Split(
        since=then.step,
        step=now.step,
        schedule=math.log(a.rate) - math.log(b.rate),
        correction=math.log(a.factor) - math.log(b.factor),
        direction=math.log(a.direction) - math.log(b.direction),
        measured=math.log(a.length) - math.log(b.length),
    )


def _usable(part: float) -> bool:
    return 0 < part < math.inf


@brief
@dataclass(frozen=True)
class Series:
    """A parameter group over steps.

    Args:
        name: Its name, or its number.
        rule: Its arithmetic.
        points: In order of steps; none for steps at which no parameter of the group had a gradient.

    Example:
        >>> import torch, tapered
        >>> from tapered.explain import recording
        >>> weight = torch.nn.Parameter(torch.ones(3))
        >>> optimizer = tapered.SGD([weight], lr=tapered.linear(0.1, 0.0, steps=4))
        >>> with recording(optimizer) as recorder:
        ...     for _ in range(3):
        ...         loss = optimizer.minimize(weight.sum())
        >>> series = recorder.explanation.series[0]
        >>> series.terms, [round(change.schedule, 3) for _, change in series.splits("step")]
        (('step',), [0.0, -0.288, -0.693])
    """

    name: str
    rule: Rule
    points: tuple[Point, ...]

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the rule's terms."""
        return tuple(term.name for term in self.points[0].terms) if self.points else ()

    def splits(self, term: str, since: int | None = None) -> tuple[tuple[int, Split | None], ...]:
        """(step, change of the term's length since a reference step) for every point.

        Args:
            term: One of `terms`.
            since: A recorded step; None takes the first at which the term is not 0.

        Raises:
            ValueError: If there is no such term or no such step.
        """
        then = self._reference(term, since)
        return tuple((point.step, None if then is None else split(point, then, term)) for point in self.points)

    def _reference(self, term: str, since: int | None) -> Point | None:
        if since is None:
            return next((point for point in self.points if split(point, point, term) is not None), None)
        found = [point for point in self.points if point.step == since]
        if not found:
            steps = [point.step for point in self.points]
            near = min(steps, key=lambda step: abs(step - since), default=None)
            raise ValueError(f"got since={since}, which was not recorded in group {self.name}; the nearest is {near}")
        return found[0]


@dataclass(frozen=True)
class Explanation:
    """The steps of a run, group by group.

    Args:
        series: One for each parameter group.
        diverged: The step whose loss was not finite; None if there was none or it is not known.
        shares: What decoupled weight decay leaves of the first weights and of each update; None where there is none.

    Example:
        >>> import torch, tapered
        >>> from tapered.explain import explain_step
        >>> layer = torch.nn.Linear(2, 1)
        >>> layer(torch.ones(1, 2)).sum().backward()
        >>> groups = [{"params": [layer.weight]}, {"params": [layer.bias], "lr": 0.01}]
        >>> found = explain_step(tapered.SGD(groups, lr=0.1))
        >>> [(series.name, series.points[0].lr) for series in found.series]
        [('0', 0.1), ('1', 0.01)]
    """

    series: tuple[Series, ...]
    diverged: int | None = None
    shares: Shares | None = None

    def __repr__(self) -> str:
        steps = [point.step for part in self.series for point in part.points]
        span = f", {counted(len(set(steps)), 'step')} from {min(steps):,} to {max(steps):,}" if steps else ""
        lost = "" if self.diverged is None else f", diverged at step {self.diverged:,}"
        return f"Explanation({counted(len(self.series), 'group')}{span}{lost})"

    def _repr_html_(self) -> str:
        rows = [
            (part.name, f"{point.step:,}", plain(point.lr), *map(plain, (point.gradient, point.update, point.relative)))
            for part in self.series
            for point in part.points[-1:]
        ]
        header = ("group", "step", "rate", "gradient", "update", "update / parameter")
        caption = "The last step that was looked at; gradient and update as root mean squares:"
        return fragment([str(self)[12:-1]], tables=[(caption, [header, *rows])])


def fields(found: Explanation, since: int | None = None) -> dict[str, Any]:
    """An explanation as plain values for JSON: what is not finite becomes None.

    Args:
        found: The explanation.
        since: The reference step of the splits; see `Series.splits`.

    Example:
        >>> import json, torch, tapered
        >>> from tapered.explain import explain_step
        >>> weight = torch.nn.Parameter(torch.ones(3))
        >>> weight.sum().backward()
        >>> found = json.loads(json.dumps(fields(explain_step(tapered.SGD([weight], lr=0.1)))))
        >>> found["groups"][0]["points"][0]["lr"], found["diverged"]
        (0.1, None)
    """
    series = [
        {
            "group": part.name,
            "rule": str(part.rule),
            "points": [asdict(point) | {"relative": point.relative} for point in part.points],
            "splits": {term: [_split_fields(change) for _, change in part.splits(term, since)] for term in part.terms},
        }
        for part in found.series
    ]
    plain: dict[str, Any] = _plain(
        {"diverged": found.diverged, "groups": series, "shares": _share_fields(found.shares)}
    )
    return plain


def _share_fields(found: Shares | None) -> dict[str, float | None] | None:
    return None if found is None else {"start": found.start, "effective": found.effective, "half": found.half}


def _split_fields(change: Split | None) -> dict[str, float] | None:
    return None if change is None else asdict(change) | {"whole": change.whole}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
