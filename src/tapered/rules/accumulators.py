"""Rules that divide by the root of accumulated squared gradients: RMSprop, Adagrad, Adadelta."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tapered.rules.base import Hyper, Plain, State, Term, Terms, l2, lerp

Epsilon = Literal["outside", "inside"]


def root(square: Tensor, eps: Tensor, epsilon: Epsilon) -> Tensor:
    """`sqrt(square) + eps`, or `sqrt(square + eps)`."""
    return (square + eps).sqrt() if epsilon == "inside" else square.sqrt() + eps


@dataclass(frozen=True)
class RMSprop(Plain):
    r"""RMSprop (Tieleman and Hinton 2012), with everything in which frameworks differ as an argument.

        s <- alpha s + (1 - alpha) g^2        d = g / root(s - mean^2 if centered else s)
        delta = -lr d                                            without momentum
        b <- momentum b + d,     delta = -lr b                   rate outside the buffer (torch)
        b <- momentum b + lr d,  delta = -b                      rate inside (TensorFlow, Keras): a drop of lr acts late

    Args:
        centered: subtract the squared mean of the gradient from s.
        momentum: keep a momentum buffer.
        epsilon: "outside" the root (torch) or "inside" (TensorFlow).
        start: what s begins with: 0 (torch, Keras) or 1 (TensorFlow 1).
        rate_in_momentum: True for the third line.

    Example:
        >>> import torch
        >>> from tapered import rules
        >>> rule, param = rules.RMSprop(), torch.ones(2)
        >>> hyper = {name: torch.tensor(value) for name, value in {**rule.hypers, "lr": 0.1}.items()}
        >>> grad, t = torch.tensor([1.0, -2.0]), torch.tensor(1.0)
        >>> delta, state = rules.update(rule, param, grad, rule.init(param), hyper, t)
        >>> [round(value, 4) for value in delta.tolist()], sorted(state)
        ([-1.0, 1.0], ['square_avg'])
    """

    centered: bool = False
    momentum: bool = False
    epsilon: Epsilon = "outside"
    start: float = 0.0
    rate_in_momentum: bool = False

    @property
    def hypers(self) -> Mapping[str, float]:
        """alpha, eps, weight_decay, momentum."""
        return {"alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0}

    def init(self, param: Tensor) -> State:
        """square_avg at `start`; grad_avg and momentum_buffer, where there are any, at zero."""
        state = {"square_avg": torch.full_like(param, self.start)}
        names = [("grad_avg", self.centered), ("momentum_buffer", self.momentum)]
        return state | {name: torch.zeros_like(param) for name, there in names if there}

    def scalars(self, hyper: Hyper, t: Tensor) -> Hyper:
        """Also `new`, 1 - alpha, and 1."""
        return {**hyper, "new": 1 - hyper["alpha"], "one": torch.ones_like(hyper["alpha"] + t)}

    def terms(self, param: Tensor, grad: Tensor, state: State, of: Hyper) -> tuple[Terms, State]:
        """`step`; or `gradient` and `momentum` where the rate sits in the buffer."""
        g = l2("l2", param, grad, of)
        lr, one = of["lr"], of["one"]
        new = {"square_avg": of["alpha"] * state["square_avg"] + of["new"] * g * g}
        variance = new["square_avg"]
        if self.centered:
            new["grad_avg"] = lerp(state["grad_avg"], g, of["new"])
            variance = variance - new["grad_avg"] * new["grad_avg"]
        direction = g / root(variance, of["eps"], self.epsilon)
        if not self.momentum:
            return {"step": Term(lr, one, direction)}, new
        old = state["momentum_buffer"]
        if self.rate_in_momentum:
            new["momentum_buffer"] = of["momentum"] * old + lr * direction
            return {"gradient": Term(lr, one, direction), "momentum": Term(one, of["momentum"], old)}, new
        new["momentum_buffer"] = of["momentum"] * old + direction
        return {"step": Term(lr, one, new["momentum_buffer"])}, new


@dataclass(frozen=True)
class Adagrad(Plain):
    r"""Adagrad (Duchi et al. 2011); its own 1/t decay of the rate as torch has it.

        s <- s + g^2        delta = -lr / (1 + (t - 1) lr_decay) * g / (sqrt(s) + eps)

    Args:
        start: what s begins with: 0 (torch) or 0.1 (TensorFlow).
        eps: False leaves eps out (TensorFlow 1).

    Example:
        >>> import torch
        >>> from tapered import rules
        >>> rule, param = rules.Adagrad(), torch.ones(2)
        >>> hyper = {name: torch.tensor(value) for name, value in {**rule.hypers, "lr": 0.1}.items()}
        >>> grad, t = torch.tensor([1.0, -2.0]), torch.tensor(1.0)
        >>> delta, state = rules.update(rule, param, grad, rule.init(param), hyper, t)
        >>> [round(value, 4) for value in delta.tolist()], sorted(state)
        ([-0.1, 0.1], ['sum'])
    """

    start: float = 0.0
    eps: bool = True

    @property
    def hypers(self) -> Mapping[str, float]:
        """lr_decay, eps, weight_decay."""
        return {"lr_decay": 0.0, "eps": 1e-10 if self.eps else 0.0, "weight_decay": 0.0}

    def init(self, param: Tensor) -> State:
        """sum at `start`."""
        # torch starts both parts of a complex accumulator at the value
        start = complex(self.start, self.start) if param.is_complex() else self.start
        return {"sum": torch.full_like(param, start)}

    def scalars(self, hyper: Hyper, t: Tensor) -> Hyper:
        """Also `factor`, torch's own decay."""
        return {**hyper, "factor": 1 / (1 + (t - 1) * hyper["lr_decay"])}

    def terms(self, param: Tensor, grad: Tensor, state: State, of: Hyper) -> tuple[Terms, State]:
        """`step` alone."""
        g = l2("l2", param, grad, of)
        total = state["sum"] + g * g
        return {"step": Term(of["lr"], of["factor"], g / (total.sqrt() + of["eps"]))}, {"sum": total}


@dataclass(frozen=True)
class Adadelta(Plain):
    r"""Adadelta (Zeiler 2012). The same formula in every framework; only the defaults differ.

        s <- rho s + (1 - rho) g^2      d = sqrt(a + eps) / sqrt(s + eps) g      a <- rho a + (1 - rho) d^2
        delta = -lr d

    Example:
        >>> import torch
        >>> from tapered import rules
        >>> rule, param = rules.Adadelta(), torch.ones(2)
        >>> hyper = {name: torch.tensor(value) for name, value in {**rule.hypers, "lr": 0.1}.items()}
        >>> grad, t = torch.tensor([1.0, -2.0]), torch.tensor(1.0)
        >>> delta, state = rules.update(rule, param, grad, rule.init(param), hyper, t)
        >>> [round(value, 4) for value in delta.tolist()], sorted(state)
        ([-0.0003, 0.0003], ['acc_delta', 'square_avg'])
    """

    @property
    def hypers(self) -> Mapping[str, float]:
        """rho, eps, weight_decay."""
        return {"rho": 0.9, "eps": 1e-6, "weight_decay": 0.0}

    def init(self, param: Tensor) -> State:
        """square_avg, acc_delta: zeros of the parameter's shape."""
        return {"square_avg": torch.zeros_like(param), "acc_delta": torch.zeros_like(param)}

    def scalars(self, hyper: Hyper, t: Tensor) -> Hyper:
        """Also `new`, 1 - rho, and 1."""
        return {**hyper, "new": 1 - hyper["rho"], "one": torch.ones_like(hyper["rho"] + t)}

    def terms(self, param: Tensor, grad: Tensor, state: State, of: Hyper) -> tuple[Terms, State]:
        """`step` alone."""
        g = l2("l2", param, grad, of)
        s = of["rho"] * state["square_avg"] + of["new"] * g * g
        d = (state["acc_delta"] + of["eps"]).sqrt() / (s + of["eps"]).sqrt() * g
        new = {"square_avg": s, "acc_delta": of["rho"] * state["acc_delta"] + of["new"] * d * d}
        return {"step": Term(of["lr"], of["one"], d)}, new
