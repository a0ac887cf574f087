r"""Adam and its relatives: a first moment m over the root of a second moment v.

m <- beta1 m + (1 - beta1) g        v <- beta2 v + (1 - beta2) g^2        c1 = 1 - beta1^t,  c2 = 1 - beta2^t
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tapered.rules.base import (
    Decay,
    Hyper,
    Plain,
    State,
    Term,
    Terms,
    decay_terms,
    l2,
    lerp,
    scalar_dtype,
)

BETAS = {"beta1": 0.9, "beta2": 0.999}


def moments(grad: Tensor, state: State, hyper: Hyper) -> tuple[Tensor, Tensor]:
    """m and v after this gradient."""
    m = lerp(state["exp_avg"], grad, 1 - hyper["beta1"])
    v = hyper["beta2"] * state["exp_avg_sq"] + (1 - hyper["beta2"]) * grad * grad
    return m, v


@dataclass(frozen=True)
class Adam(Plain):
    r"""Adam (Kingma and Ba 2015); AMSGrad (Reddi et al. 2018); AdamW (Loshchilov and Hutter 2019) by `decay`.

        delta = -lr * (sqrt(c2) / c1) * m / (sqrt(v) + eps')

    Args:
        amsgrad: v is replaced by the largest v so far, before bias correction, as in torch and Keras.
        decay: "l2" adds `weight_decay * param` to the gradient; "decoupled" takes `lr * weight_decay * param` off
            (torch's AdamW). Decay relative to the peak rate is a value of `weight_decay`, see `optim.AdamW`.
        epsilon: "outside" stands beside the corrected root (paper, torch): eps' = eps sqrt(c2). "hat" stands beside the
            uncorrected root (TensorFlow, Keras): eps' = eps, which damps the first steps 1 / sqrt(c2) times more.
    """

    amsgrad: bool = False
    decay: Decay = "l2"
    epsilon: Literal["outside", "hat"] = "outside"

    @property
    def hypers(self) -> Mapping[str, float]:
        """beta1, beta2, eps, weight_decay."""
        return BETAS | {"eps": 1e-8, "weight_decay": 0.0}

    def init(self, param: Tensor) -> State:
        """exp_avg, exp_avg_sq (and max_exp_avg_sq): zeros of the parameter's shape."""
        names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if self.amsgrad else ("exp_avg", "exp_avg_sq")
        return {name: torch.zeros_like(param) for name in names}

    def terms(self, param: Tensor, grad: Tensor, state: State, hyper: Hyper, t: Tensor) -> tuple[Terms, State]:
        """`step`, and `weight_decay` where it is not L2."""
        m, v = moments(l2(self.decay, param, grad, hyper), state, hyper)
        new = {"exp_avg": m, "exp_avg_sq": v}
        if self.amsgrad:
            new["max_exp_avg_sq"] = v = torch.maximum(state["max_exp_avg_sq"], v)
        c1, c2 = 1 - hyper["beta1"] ** t, 1 - hyper["beta2"] ** t
        eps = hyper["eps"] * c2.sqrt() if self.epsilon == "outside" else hyper["eps"]
        step = Term(hyper["lr"], c2.sqrt() / c1, m / (v.sqrt() + eps))
        return {"step": step} | decay_terms(self.decay, param, hyper), new


@dataclass(frozen=True)
class NAdam(Plain):
    r"""Adam with Nesterov momentum (Dozat 2016), torch's form.

    mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2)        P_t = mu_1 ... mu_t
    delta = -lr [ (1 - mu_t) / (1 - P_t) g  +  mu_{t+1} / (1 - P_{t+1}) m ] / (sqrt(v / c2) + eps)
    """

    decay: Decay = "l2"

    @property
    def hypers(self) -> Mapping[str, float]:
        """beta1, beta2, eps, momentum_decay, weight_decay."""
        return BETAS | {"eps": 1e-8, "momentum_decay": 0.004, "weight_decay": 0.0}

    def init(self, param: Tensor) -> State:
        """exp_avg, exp_avg_sq: zeros; mu_product: 1, shape=()."""
        one = torch.ones((), dtype=scalar_dtype(), device=param.device)
        return {"exp_avg": torch.zeros_like(param), "exp_avg_sq": torch.zeros_like(param), "mu_product": one}

    def terms(self, param: Tensor, grad: Tensor, state: State, hyper: Hyper, t: Tensor) -> tuple[Terms, State]:
        """`gradient`, `momentum`, and `weight_decay` where it is not L2."""
        g = l2(self.decay, param, grad, hyper)
        m, v = moments(g, state, hyper)
        mu = hyper["beta1"] * (1 - 0.5 * 0.96 ** (t * hyper["momentum_decay"]))
        mu_next = hyper["beta1"] * (1 - 0.5 * 0.96 ** ((t + 1) * hyper["momentum_decay"]))
        product = (state["mu_product"] * mu).to(state["mu_product"].dtype)
        root = (v / (1 - hyper["beta2"] ** t)).sqrt() + hyper["eps"]
        terms = {
            "gradient": Term(hyper["lr"], (1 - mu) / (1 - product), g / root),
            "momentum": Term(hyper["lr"], mu_next / (1 - product * mu_next), m / root),
        }
        new = {"exp_avg": m, "exp_avg_sq": v, "mu_product": product}
        return terms | decay_terms(self.decay, param, hyper), new


@dataclass(frozen=True)
class RAdam(Plain):
    r"""Adam whose step is rectified while v is young (Liu et al. 2020).

    rho_inf = 2 / (1 - beta2) - 1        rho = rho_inf - 2 t beta2^t / c2
    r = sqrt( (rho - 4)(rho - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho) )
    delta = -lr / c1 * ( r sqrt(c2) m / (sqrt(v) + eps)  where rho > 5, else  m )
    """

    decay: Decay = "l2"

    @property
    def hypers(self) -> Mapping[str, float]:
        """beta1, beta2, eps, weight_decay."""
        return BETAS | {"eps": 1e-8, "weight_decay": 0.0}

    def init(self, param: Tensor) -> State:
        """exp_avg, exp_avg_sq: zeros of the parameter's shape."""
        return {"exp_avg": torch.zeros_like(param), "exp_avg_sq": torch.zeros_like(param)}

    def terms(self, param: Tensor, grad: Tensor, state: State, hyper: Hyper, t: Tensor) -> tuple[Terms, State]:
        """`step`, and `weight_decay` where it is not L2."""
        m, v = moments(l2(self.decay, param, grad, hyper), state, hyper)
        c1, c2 = 1 - hyper["beta1"] ** t, 1 - hyper["beta2"] ** t
        longest = 2 / (1 - hyper["beta2"]) - 1
        rho = longest - 2 * t * hyper["beta2"] ** t / c2
        ripe = rho > 5  # torch's threshold; the paper has 4
        rectified = ((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho)).sqrt()
        factor = torch.where(ripe, rectified * c2.sqrt(), torch.ones_like(c2)) / c1
        direction = torch.where(ripe, m / (v.sqrt() + hyper["eps"]), m)
        terms = {"step": Term(hyper["lr"], factor, direction)}
        return terms | decay_terms(self.decay, param, hyper), {"exp_avg": m, "exp_avg_sq": v}


@dataclass(frozen=True)
class Adamax(Plain):
    r"""Adam in the infinity norm (Kingma and Ba 2015, section 7.1), torch's form with eps inside the maximum.

    u <- max(beta2 u, |g| + eps)        delta = -lr / c1 * m / u
    """

    @property
    def hypers(self) -> Mapping[str, float]:
        """beta1, beta2, eps, weight_decay."""
        return BETAS | {"eps": 1e-8, "weight_decay": 0.0}

    def init(self, param: Tensor) -> State:
        """exp_avg, exp_inf: zeros of the parameter's shape."""
        return {"exp_avg": torch.zeros_like(param), "exp_inf": torch.zeros_like(param)}

    def terms(self, param: Tensor, grad: Tensor, state: State, hyper: Hyper, t: Tensor) -> tuple[Terms, State]:
        """`step` alone."""
        g = l2("l2", param, grad, hyper)
        m = lerp(state["exp_avg"], g, 1 - hyper["beta1"])
        u = torch.maximum(hyper["beta2"] * state["exp_inf"], g.abs() + hyper["eps"])
        return {"step": Term(hyper["lr"], 1 / (1 - hyper["beta1"] ** t), m / u)}, {"exp_avg": m, "exp_inf": u}
