"""One step of one parameter group, measured on the rule's own terms; nothing given is written."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tapered import rules
from tapered.explain.bounds import Bound, bound, driven, root
from tapered.explain.points import QUANTILES, Point, TermPoint
from tapered.rules import Hyper, Rule, State, Terms, bare
from tapered.rules.averaged import bare_state
from tapered.rules.kernels import real

SAMPLE = 2**20  # entries whose quantiles are taken


class Given(NamedTuple):
    """A parameter before an update, its gradient, its state and the number of this update, from 1."""

    param: Tensor
    grad: Tensor
    state: State
    t: int


@torch.no_grad()
def measure(
    rule: Rule, step: int, given: Sequence[Given], hyper: Mapping[str, float], moving: Collection[str] = ()
) -> Point:
    """What this update of the group is made of.

    Args:
        rule: Its arithmetic.
        step: Completed updates.
        given: Its parameters that have a gradient; at least one.
        hyper: Every hyper's value at this step, `lr` too.
        moving: Names of the hypers that are scheduled.
    """
    given = [part._replace(state=bare_state(rule, part.state)) for part in given]
    rule = bare(rule)
    entries = sum(real(part.param).numel() for part in given)
    sums = _Sums(stride=max(1, math.ceil(entries / SAMPLE)))
    values = {name: torch.tensor(value, dtype=torch.float64) for name, value in hyper.items()}
    scalars = {t: rule.scalars(values, torch.tensor(float(t), dtype=torch.float64)) for t in {p.t for p in given}}
    for part in given:
        of = scalars[part.t]
        param, grad = real(part.param), real(part.grad)
        state = {name: real(tensor) for name, tensor in part.state.items()}
        terms, new = rule.terms(param, grad, state, of)
        sums.add(param, grad, terms, of)
        sums.divided(root(rule, new, of))
        factors = {name: float(term.factor) for name, term in terms.items()}
        floats = {name: float(value) for name, value in of.items()} | {"t": float(part.t)}
        sums.bounds.append(bound(rule, floats, factors, moving))
    first = {name: float(value) for name, value in scalars[given[0].t].items()}
    return sums.point(step, hyper["lr"], [(name, first[name]) for name in ("c1", "c2") if name in first])


@dataclass
class _Part:
    """A term's sums over parameters."""

    rate: float = 0.0
    factors: list[float] = field(default_factory=list)
    direction: float = 0.0
    value: float = 0.0

    def point(self, name: str, entries: int) -> TermPoint:
        direction, length = _rms(self.direction, entries), _rms(self.value, entries)
        same = len(set(self.factors)) == 1
        factor = self.factors[0] if same else _quotient(length, self.rate * direction)
        return TermPoint(name, self.rate, factor, direction, length)


class _Sums:
    """Sums of squares in float64 over the parameters of a group."""

    def __init__(self, stride: int) -> None:
        self.stride, self.entries, self.seen = stride, 0, 0
        self.param = self.grad = self.update = 0.0
        self.parts: dict[str, _Part] = {}
        self.ratios: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
        self.largest: list[float] = []
        self.roots: list[float] = []
        self.ruled: list[int] = []
        self.bounds: list[Bound | None] = []

    def add(self, param: Tensor, grad: Tensor, terms: Terms, of: Hyper) -> None:
        """One parameter."""
        self.entries += param.numel()
        self.param += _squares(param)
        self.grad += _squares(grad)
        self.update += _squares(rules.added(terms, {})[0])
        for name, term in terms.items():
            part = self.parts.setdefault(name, _Part())
            part.rate = float(term.rate)
            part.factors.append(float(term.factor))
            part.direction += _squares(term.direction)
            part.value += _squares(term.value)
        if param.numel():
            self._ratio(terms, of)

    def _ratio(self, terms: Terms, of: Hyper) -> None:
        # where the rate is lr itself it is left out, so that there is a ratio at lr = 0 too
        scaled = [
            (term.factor if term.rate is of["lr"] else term.factor * term.rate / of["lr"]) * term.direction
            for term in (terms[name] for name in driven(terms))
        ]
        ratio = sum(scaled[1:], start=scaled[0]).abs().flatten()
        self.largest.append(float(ratio.max()))
        start = -self.seen % self.stride
        self.ratios.append(ratio[start :: self.stride].double().cpu().numpy())
        self.seen += ratio.numel()

    def divided(self, by: tuple[Tensor, Tensor] | None) -> None:
        """What divides, and how often eps is more than it."""
        if by is not None:
            self.roots.append(_squares(by[0]))
            self.ruled.append(int((by[0] <= by[1]).sum()))

    def point(self, step: int, lr: float, corrections: list[tuple[str, float]]) -> Point:
        """The group's numbers."""
        ratios = np.concatenate(self.ratios) if self.ratios else np.full(1, math.nan)
        bounds = [found for found in self.bounds if found is not None]
        whole = len(bounds) == len(self.bounds)
        return Point(
            step=step,
            lr=lr,
            terms=tuple(part.point(name, self.entries) for name, part in self.parts.items()),
            corrections=tuple(corrections),
            gradient=_rms(self.grad, self.entries),
            param=_rms(self.param, self.entries),
            update=_rms(self.update, self.entries),
            ratios=tuple(np.quantile(ratios, QUANTILES).tolist()),
            largest=max(self.largest, default=math.nan),
            bound=max(bounds, key=lambda found: found.strict) if whole else None,
            root=_rms(math.fsum(self.roots), self.entries) if self.roots else None,
            eps_share=sum(self.ruled) / self.entries if self.ruled and self.entries else None,
        )


def _squares(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor, dtype=torch.float64)) ** 2


def _rms(squares: float, entries: int) -> float:
    return math.sqrt(squares / entries) if entries else 0.0


def _quotient(above: float, below: float) -> float:
    return above / below if below else 0.0
