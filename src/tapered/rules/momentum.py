"""Rules without a second moment: SGD with momentum, Lion."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tapered.rules.base import Hyper, Plain, State, Term, Terms, decay_terms, l2, lerp


@dataclass(frozen=True)
class SGD(Plain):
    r"""Gradient descent, with heavy-ball or Nesterov momentum (Sutskever et al. 2013).

        delta = -lr g                                                        without momentum
        b <- momentum b + (1 - dampening) g  (b = g at the first step)       delta = -lr b
        Nesterov: delta = -lr (g + momentum b)                               (torch, TensorFlow 1, optax)

    With `rate_in_momentum` (Keras) the buffer holds steps, b <- momentum b + lr g, so a drop of lr acts late.

    Args:
        momentum: keep a momentum buffer.
        nesterov: look ahead along the buffer.
        rate_in_momentum: where lr sits.

    Example:
        >>> import torch
        >>> from tapered import rules
        >>> rule, param = rules.SGD(momentum=True), torch.ones(2)
        >>> hyper = {name: torch.tensor(value) for name, value in {**rule.hypers, "lr": 0.1}.items()}
        >>> grad, t = torch.tensor([1.0, -2.0]), torch.tensor(1.0)
        >>> delta, state = rules.update(rule, param, grad, rule.init(param), hyper, t)
        >>> [round(value, 4) for value in delta.tolist()], sorted(state)
        ([-0.1, 0.2], ['momentum_buffer'])
    """

    momentum: bool = False
    nesterov: bool = False
    rate_in_momentum: bool = False

    @property
    def hypers(self) -> Mapping[str, float]:
        """momentum, dampening, weight_decay."""
        return {"momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0}

    def init(self, param: Tensor) -> State:
        """momentum_buffer at zero, where there is one."""
        return {"momentum_buffer": torch.zeros_like(param)} if self.momentum else {}

    def scalars(self, hyper: Hyper, t: Tensor) -> Hyper:
        """Also `fresh`, the weight of this gradient, since torch does not damp the first; and 1."""
        one = torch.ones_like(hyper["dampening"] + t)
        return {**hyper, "fresh": torch.where(t == 1, one, 1 - hyper["dampening"]), "one": one}

    def terms(self, param: Tensor, grad: Tensor, state: State, of: Hyper) -> tuple[Terms, State]:
        """`step`; or `gradient` and `momentum` where the rate sits in the buffer."""
        g = l2("l2", param, grad, of)
        lr, mu, one, fresh = of["lr"], of["momentum"], of["one"], of["fresh"]
        if not self.momentum:
            return {"step": Term(lr, one, g)}, {}
        old = state["momentum_buffer"]
        if self.rate_in_momentum:
            ahead = (1 + mu, mu * mu) if self.nesterov else (one, mu)
            terms = {"gradient": Term(lr, fresh * ahead[0], g), "momentum": Term(one, ahead[1], old)}
            return terms, {"momentum_buffer": mu * old + lr * fresh * g}
        buffer = mu * old + fresh * g
        return {"step": Term(lr, one, g + mu * buffer if self.nesterov else buffer)}, {"momentum_buffer": buffer}


@dataclass(frozen=True)
class Lion(Plain):
    r"""Lion (Chen et al. 2023, Algorithm 2): the sign of an interpolated momentum.

        delta = -lr sign(beta1 m + (1 - beta1) g) - lr weight_decay param        m <- beta2 m + (1 - beta2) g

    Example:
        >>> import torch
        >>> from tapered import rules
        >>> rule, param = rules.Lion(), torch.ones(2)
        >>> hyper = {name: torch.tensor(value) for name, value in {**rule.hypers, "lr": 0.1}.items()}
        >>> grad, t = torch.tensor([1.0, -2.0]), torch.tensor(1.0)
        >>> delta, state = rules.update(rule, param, grad, rule.init(param), hyper, t)
        >>> [round(value, 4) for value in delta.tolist()], sorted(state)
        ([-0.1, 0.1], ['exp_avg'])
    """

    @property
    def hypers(self) -> Mapping[str, float]:
        """beta1, beta2, weight_decay (decoupled)."""
        return {"beta1": 0.9, "beta2": 0.99, "weight_decay": 0.0}

    def init(self, param: Tensor) -> State:
        """exp_avg: zeros of the parameter's shape."""
        return {"exp_avg": torch.zeros_like(param)}

    def scalars(self, hyper: Hyper, t: Tensor) -> Hyper:
        """Also new1, new2 = 1 - beta, and 1."""
        fresh = {"new1": 1 - hyper["beta1"], "new2": 1 - hyper["beta2"]}
        return {**hyper, **fresh, "one": torch.ones_like(hyper["lr"] + t)}

    def terms(self, param: Tensor, grad: Tensor, state: State, of: Hyper) -> tuple[Terms, State]:
        """`step` and `weight_decay`."""
        m = state["exp_avg"]
        step = Term(of["lr"], of["one"], lerp(m, grad, of["new1"]).sign())
        return {"step": step} | decay_terms("decoupled", param, of), {"exp_avg": lerp(m, grad, of["new2"])}
