"""A rule whose state starts anew at chosen steps, as after a reload that keeps the weights only."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tapered.rules.base import Hyper, Rule, State, Terms
from tapered.rules.ranges import Range, ranges_of


@dataclass(frozen=True)
class Restarted:
    r"""A rule that forgets: moments and bias correction begin again.

        t' = t - begun        state <- init(param) where t' = 1        then the rule's own update number t'

    `begun` is the number of completed updates at which the state last started, a hyper and so a schedule: a step
    function that rises at each restart. At 0 this is the rule itself.

    Args:
        rule: What starts anew.

    Example:
        >>> import torch
        >>> from tapered import rules
        >>> rule, param = rules.Restarted(rules.Adam()), torch.ones(2)
        >>> hyper = {name: torch.tensor(value) for name, value in {**rule.hypers, "lr": 0.1}.items()}
        >>> grad, t = torch.tensor([1.0, -2.0]), torch.tensor(1.0)
        >>> delta, state = rules.update(rule, param, grad, rule.init(param), hyper, t)
        >>> [round(value, 4) for value in delta.tolist()], sorted(state)
        ([-0.1, 0.1], ['exp_avg', 'exp_avg_sq'])
    """

    rule: Rule

    @property
    def ranges(self) -> Mapping[str, Range]:
        """The rule's own."""
        return ranges_of(self.rule)

    @property
    def hypers(self) -> Mapping[str, float]:
        """The rule's own, and begun."""
        return {**self.rule.hypers, "begun": 0.0}

    def init(self, param: Tensor) -> State:
        """The rule's own."""
        return self.rule.init(param)

    def scalars(self, hyper: Hyper, t: Tensor) -> Hyper:
        """The rule's own at t', and `anew`, whether t' = 1."""
        since = t - hyper["begun"]
        return {**self.rule.scalars(hyper, since), "anew": since == 1}

    def terms(self, param: Tensor, grad: Tensor, state: State, of: Hyper) -> tuple[Terms, State]:
        """The rule's own."""
        fresh, anew = self.rule.init(param), of["anew"] != 0
        now = {name: torch.where(anew, fresh[name], tensor) for name, tensor in state.items()}
        return self.rule.terms(param, grad, now, of)

    def readout(self, param: Tensor, state: State) -> Tensor:
        """The rule's own."""
        return self.rule.readout(param, state)
