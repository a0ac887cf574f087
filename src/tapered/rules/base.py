r"""What a rule is: one optimizer's arithmetic on one tensor, pure.

    delta = - sum over terms of  rate * factor * direction
    param <- param + delta

`rate` is what a schedule gives, `factor` what the rule makes of the step count (bias correction, averaging weights),
`direction` has the parameter's shape. No input is written, nothing branches on a tensor's value, and every number that
may move is a 0-d tensor. So one text runs eagerly, compiles to one graph for all steps, and runs under
`torch.func.vmap`.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

State = dict[str, Tensor]
Hyper = Mapping[str, Tensor]
Decay = Literal["l2", "decoupled"]


class Term(NamedTuple):
    """One named part of an update: `-(rate * factor) * direction`.

    Args:
        rate: What the schedule gives, shape=().
        factor: What the rule makes of the step count, shape=().
        direction: Of the parameter's shape and dtype.

    Example:
        >>> Term(torch.tensor(0.1), torch.tensor(0.5), torch.tensor([1.0, -2.0])).value
        tensor([-0.0500,  0.1000])
    """

    rate: Tensor  # shape=(): lr, or lr times the weight decay; 1 where the rate already sits in the direction
    factor: Tensor  # shape=(): bias correction or averaging weight; 1 where the rule has none
    direction: Tensor  # the parameter's shape and dtype

    @property
    def value(self) -> Tensor:
        """What this term adds to the parameter."""
        return value(self)


Terms = dict[str, Term]


def value(term: Term) -> Tensor:
    """What a term adds to the parameter; a function, as torch 2.10 compiles no property of a tuple."""
    return -(term.rate * term.factor) * term.direction


class Rule(Protocol):
    """One optimizer's arithmetic; a frozen dataclass whose fields are its structural choices.

    Example:
        >>> import torch
        >>> from tapered import rules
        >>> rule: Rule = rules.SGD()
        >>> dict(rule.hypers), rule.init(torch.ones(2))
        ({'momentum': 0.0, 'dampening': 0.0, 'weight_decay': 0.0}, {})
    """

    def __hash__(self) -> int: ...

    @property
    def hypers(self) -> Mapping[str, float]:
        """Every scalar beside `lr`, with its default."""

    def init(self, param: Tensor) -> State:
        """State tensors before the first step, named as torch names them."""

    def scalars(self, hyper: Hyper, t: Tensor) -> Hyper:
        """The hypers, and what else update number `t` (from 1) needs that depends on no tensor: bias corrections.

        They can be made for many steps and rows at once, in float64, so that no power is taken per element.
        """

    def terms(self, param: Tensor, grad: Tensor, state: State, of: Hyper) -> tuple[Terms, State]:
        """The named parts of the update whose scalars these are, and the state after it."""

    def readout(self, param: Tensor, state: State) -> Tensor:
        """The weights to evaluate: an average where the rule keeps one, else the parameter."""


class Plain:
    """Mixed into the rules whose weights to evaluate are the parameter itself."""

    def readout(self, param: Tensor, state: State) -> Tensor:  # noqa: ARG002 - Schedule-Free's signature
        """The parameter itself."""
        return param


def update(rule: Rule, param: Tensor, grad: Tensor, state: State, hyper: Hyper, t: Tensor) -> tuple[Tensor, State]:
    """What to add to `param`, and the state after it.

    Args:
        rule: the arithmetic, for example `rules.Adam()`.
        param: any shape.
        grad: the parameter's shape.
        state: what `rule.init` or the previous call returned.
        hyper: 0-d tensors (float64 keeps bias corrections exact), `lr` and each name in `rule.hypers`.
        t: 0-d tensor, the number of this update, from 1: completed steps + 1.

    Returns:
        The sum of the terms' values, and the new state. No input is written.

    Example:
        >>> from tapered import rules
        >>> rule, param = rules.SGD(), torch.tensor([1.0, 2.0])
        >>> hyper = {name: torch.tensor(value) for name, value in {"lr": 0.5, **rule.hypers}.items()}
        >>> delta, state = update(rule, param, torch.tensor([1.0, -1.0]), rule.init(param), hyper, torch.tensor(1.0))
        >>> delta
        tensor([-0.5000,  0.5000])
    """
    return added(*rule.terms(param, grad, state, rule.scalars(hyper, t)))


def added(terms: Terms, state: State) -> tuple[Tensor, State]:
    """The sum of the terms' values, and the state as it is.

    Args:
        terms: The named parts of an update, at least one.
        state: What is handed through.

    Example:
        >>> one = Term(torch.tensor(0.1), torch.tensor(1.0), torch.tensor([1.0, -2.0]))
        >>> added({"step": one, "weight_decay": one}, {})
        (tensor([-0.2000,  0.4000]), {})
    """
    values = [value(term) for term in terms.values()]
    return sum(values[1:], start=values[0]), state


def scalar_dtype() -> torch.dtype:
    """torch's dtype for 0-d optimizer state: float32, or float64 where that is the default dtype.

    Example:
        >>> scalar_dtype()
        torch.float32
    """
    return torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32


def lerp(average: Tensor, value: Tensor, weight: Tensor) -> Tensor:
    """Exponential average: `average + weight * (value - average)`."""
    return average + weight * (value - average)


def l2(decay: Decay, param: Tensor, grad: Tensor, of: Hyper) -> Tensor:
    """The gradient, with L2 decay added where the rule's decay is of that kind."""
    return grad + of["weight_decay"] * param if decay == "l2" else grad


def decay_terms(decay: Decay, param: Tensor, of: Hyper) -> Terms:
    """The term that shrinks the weights directly, by `lr * weight_decay` of themselves; none for L2."""
    if decay == "l2":
        return {}
    rate = of["lr"] * of["weight_decay"]
    return {"weight_decay": Term(rate, torch.ones_like(rate), param)}
