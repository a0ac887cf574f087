"""Schedule-Free AdamW: a constant rate whose iterates are averaged while training goes on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tapered.rules.base import Hyper, State, Term, Terms
from tapered.rules.ranges import Range


@dataclass(frozen=True)
class ScheduleFreeAdamW:
    r"""Schedule-Free AdamW (Defazio et al. 2024, Algorithm 1).

    The parameter is y, where gradients are taken; z takes the steps; x is the average to evaluate.

        y = (1 - beta1) z + beta1 x        u = g / (sqrt(v / c2) + eps) + weight_decay y
        z <- z - lr u        x <- (1 - c) x + c z        c = w_t / (w_1 + ... + w_t),  w_t = t^r * (largest lr so far)^p

    x is not stored: `readout` gives it as z + (y - z) / beta1, with the beta1 that y was made with. Put a warmup in
    `lr` as a schedule. There is no train or eval mode. Adding `z` to each line gives the change of y in three terms.

    Example:
        >>> import torch
        >>> from tapered import rules
        >>> rule, param = rules.ScheduleFreeAdamW(), torch.ones(2)
        >>> hyper = {name: torch.tensor(value) for name, value in {**rule.hypers, "lr": 0.1}.items()}
        >>> grad, t = torch.tensor([1.0, -2.0]), torch.tensor(1.0)
        >>> delta, state = rules.update(rule, param, grad, rule.init(param), hyper, t)
        >>> [round(value, 4) for value in delta.tolist()], sorted(state)
        ([-0.1, 0.1], ['beta1', 'exp_avg_sq', 'lr_max', 'weight_sum', 'z'])
    """

    ranges: ClassVar[Mapping[str, Range]] = {"beta1": Range(0, 1, "0.9", low_open=True)}

    @property
    def hypers(self) -> Mapping[str, float]:
        """beta1, beta2, eps, weight_decay, r, weight_lr_power (p)."""
        return {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0, "r": 0.0, "weight_lr_power": 2.0}

    def init(self, param: Tensor) -> State:
        """z at the parameter; exp_avg_sq at zero; the averaging weights' sum, largest lr, and beta1, shape=()."""
        zero = torch.zeros((), dtype=torch.float64, device=param.device)
        scalars = {"weight_sum": zero, "lr_max": zero.clone(), "beta1": zero + 1}
        return {"z": param.detach().clone(), "exp_avg_sq": torch.zeros_like(param)} | scalars

    def scalars(self, hyper: Hyper, t: Tensor) -> Hyper:
        """Also c2, new2 = 1 - beta2, the averaging weight's factor t^r, and 1."""
        fresh = {"c2": 1 - hyper["beta2"] ** t, "new2": 1 - hyper["beta2"]}
        return {**hyper, **fresh, "growth": t ** hyper["r"], "one": torch.ones_like(hyper["lr"] + t)}

    def terms(self, param: Tensor, grad: Tensor, state: State, of: Hyper) -> tuple[Terms, State]:
        """`step`, `weight_decay` and `averaging` (the pull of y towards z)."""
        lr, beta1, one, double = of["lr"], of["beta1"], of["one"], torch.float64
        v = of["beta2"] * state["exp_avg_sq"] + of["new2"] * grad * grad
        direction = grad / ((v / of["c2"]).sqrt() + of["eps"])
        lr_max = torch.maximum(state["lr_max"], lr.to(double))
        weight = of["growth"] * lr_max ** of["weight_lr_power"]
        total = state["weight_sum"] + weight
        # while every rate so far was 0 (a warmup's first step) nothing has been learnt and nothing is averaged
        c = torch.where(total > 0, weight / torch.where(total > 0, total, one), torch.zeros_like(total))
        towards = 1 - beta1 * (1 - c)
        z = state["z"]
        terms = {
            "step": Term(lr, towards, direction),
            "weight_decay": Term(lr * of["weight_decay"], towards, param),
            "averaging": Term(one, 1 - beta1 / state["beta1"] * (1 - c), param - z),
        }
        z = z - lr * (direction + of["weight_decay"] * param)
        new = {"z": z, "exp_avg_sq": v, "weight_sum": total, "lr_max": lr_max, "beta1": torch.zeros_like(total) + beta1}
        return terms, new

    def readout(self, param: Tensor, state: State) -> Tensor:
        """The average x."""
        return state["z"] + (param - state["z"]) / state["beta1"]
