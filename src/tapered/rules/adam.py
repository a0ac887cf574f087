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


def moments(grad: Tensor, state: State, of: Hyper) -> tuple[Tensor, Tensor]:
    """m and v after this gradient."""
    m = lerp(state["exp_avg"], grad, of["new1"])
    v = of["beta2"] * state["exp_avg_sq"] + of["new2"] * grad * grad
    return m, v


def corrected(hyper: Hyper, t: Tensor) -> dict[str, Tensor]:
    """The hypers; new1, new2 = 1 - beta, the weights of a new gradient; c1, c2 = 1 - beta^t, the bias corrections."""
    fresh = {"new1": 1 - hyper["beta1"], "new2": 1 - hyper["beta2"]}
    return {**hyper, **fresh, "c1": 1 - hyper["beta1"] ** t, "c2": 1 - hyper["beta2"] ** t}


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

    Example:
        >>> import torch
        >>> from tapered import rules
        >>> rule, param = rules.Adam(decay="decoupled"), torch.ones(2)
        >>> hyper = {name: torch.tensor(value) for name, value in {**rule.hypers, "lr": 0.1}.items()}
        >>> grad, t = torch.tensor([1.0, -2.0]), torch.tensor(1.0)
        >>> delta, state = rules.update(rule, param, grad, rule.init(param), hyper, t)
        >>> [round(value, 4) for value in delta.tolist()], sorted(state)
        ([-0.1, 0.1], ['exp_avg', 'exp_avg_sq'])
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

    def scalars(self, hyper: Hyper, t: Tensor) -> Hyper:
        """Also `factor`, sqrt(c2) / c1, and eps'."""
        of = corrected(hyper, t)
        eps = of["eps"] * of["c2"].sqrt() if self.epsilon == "outside" else of["eps"]
        return {**of, "factor": of["c2"].sqrt() / of["c1"], "eps": eps}

    def terms(self, param: Tensor, grad: Tensor, state: State, of: Hyper) -> tuple[Terms, State]:
        """`step`, and `weight_decay` where it is not L2."""
        m, v = moments(l2(self.decay, param, grad, of), state, of)
        new = {"exp_avg": m, "exp_avg_sq": v}
        if self.amsgrad:
            new["max_exp_avg_sq"] = v = torch.maximum(state["max_exp_avg_sq"], v)
        step = Term(of["lr"], of["factor"], m / (v.sqrt() + of["eps"]))
        return {"step": step} | decay_terms(self.decay, param, of), new


@dataclass(frozen=True)
class NAdam(Plain):
    r"""Adam with Nesterov momentum (Dozat 2016), torch's form.

        mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2)        P_t = mu_1 ... mu_t
        delta = -lr [ (1 - mu_t) / (1 - P_t) g  +  mu_{t+1} / (1 - P_{t+1}) m ] / (sqrt(v / c2) + eps)

    Args:
        decay: "l2" or "decoupled", as of `Adam`.

    Example:
        >>> import torch
        >>> from tapered import rules
        >>> rule, param = rules.NAdam(), torch.ones(2)
        >>> hyper = {name: torch.tensor(value) for name, value in {**rule.hypers, "lr": 0.1}.items()}
        >>> grad, t = torch.tensor([1.0, -2.0]), torch.tensor(1.0)
        >>> delta, state = rules.update(rule, param, grad, rule.init(param), hyper, t)
        >>> [round(value, 4) for value in delta.tolist()], sorted(state)
        ([-0.1056, 0.1056], ['exp_avg', 'exp_avg_sq', 'mu_product'])
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

    def scalars(self, hyper: Hyper, t: Tensor) -> Hyper:
        """Also mu and mu_next, the momentum of this step and the next."""
        of = corrected(hyper, t)
        mu, mu_next = (of["beta1"] * (1 - 0.5 * 0.96 ** (k * of["momentum_decay"])) for k in (t, t + 1))
        return {**of, "mu": mu, "mu_next": mu_next}

    def terms(self, param: Tensor, grad: Tensor, state: State, of: Hyper) -> tuple[Terms, State]:
        """`gradient`, `momentum`, and `weight_decay` where it is not L2."""
        g = l2(self.decay, param, grad, of)
        m, v = moments(g, state, of)
        product = (state["mu_product"] * of["mu"]).to(state["mu_product"].dtype)
        root = (v / of["c2"]).sqrt() + of["eps"]
        terms = {
            "gradient": Term(of["lr"], (1 - of["mu"]) / (1 - product), g / root),
            "momentum": Term(of["lr"], of["mu_next"] / (1 - product * of["mu_next"]), m / root),
        }
        new = {"exp_avg": m, "exp_avg_sq": v, "mu_product": product}
        return terms | decay_terms(self.decay, param, of), new


@dataclass(frozen=True)
class RAdam(Plain):
    r"""Adam whose step is rectified while v is young (Liu et al. 2020).

        rho_inf = 2 / (1 - beta2) - 1        rho = rho_inf - 2 t beta2^t / c2
        r = sqrt( (rho - 4)(rho - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho) )
        delta = -lr / c1 * ( r sqrt(c2) m / (sqrt(v) + eps)  where rho > 5, else  m )

    Args:
        decay: "l2" or "decoupled", as of `Adam`.

    Example:
        >>> import torch
        >>> from tapered import rules
        >>> rule, param = rules.RAdam(), torch.ones(2)
        >>> hyper = {name: torch.tensor(value) for name, value in {**rule.hypers, "lr": 0.1}.items()}
        >>> grad, t = torch.tensor([1.0, -2.0]), torch.tensor(1.0)
        >>> delta, state = rules.update(rule, param, grad, rule.init(param), hyper, t)
        >>> [round(value, 4) for value in delta.tolist()], sorted(state)
        ([-0.1, 0.2], ['exp_avg', 'exp_avg_sq'])
    """

    decay: Decay = "l2"

    @property
    def hypers(self) -> Mapping[str, float]:
        """beta1, beta2, eps, weight_decay."""
        return BETAS | {"eps": 1e-8, "weight_decay": 0.0}

    def init(self, param: Tensor) -> State:
        """exp_avg, exp_avg_sq: zeros of the parameter's shape."""
        return {"exp_avg": torch.zeros_like(param), "exp_avg_sq": torch.zeros_like(param)}

    def scalars(self, hyper: Hyper, t: Tensor) -> Hyper:
        """Also `ripe`, whether rho > 5, and `factor`, r sqrt(c2) / c1 or 1 / c1."""
        of = corrected(hyper, t)
        longest = 2 / of["new2"] - 1
        rho = longest - 2 * t * of["beta2"] ** t / of["c2"]
        ripe = rho > 5  # torch's threshold; the paper has 4
        rectified = ((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho)).sqrt()
        factor = torch.where(ripe, rectified * of["c2"].sqrt(), torch.ones_like(rho)) / of["c1"]
        return {**of, "ripe": ripe, "factor": factor}

    def terms(self, param: Tensor, grad: Tensor, state: State, of: Hyper) -> tuple[Terms, State]:
        """`step`, and `weight_decay` where it is not L2."""
        m, v = moments(l2(self.decay, param, grad, of), state, of)
        direction = torch.where(of["ripe"] != 0, m / (v.sqrt() + of["eps"]), m)
        terms = {"step": Term(of["lr"], of["factor"], direction)}
        return terms | decay_terms(self.decay, param, of), {"exp_avg": m, "exp_avg_sq": v}


@dataclass(frozen=True)
class Adamax(Plain):
    r"""Adam in the infinity norm (Kingma and Ba 2015, section 7.1), torch's form with eps inside the maximum.

        u <- max(beta2 u, |g| + eps)        delta = -lr / c1 * m / u

    Example:
        >>> import torch
        >>> from tapered import rules
        >>> rule, param = rules.Adamax(), torch.ones(2)
        >>> hyper = {name: torch.tensor(value) for name, value in {**rule.hypers, "lr": 0.1}.items()}
        >>> grad, t = torch.tensor([1.0, -2.0]), torch.tensor(1.0)
        >>> delta, state = rules.update(rule, param, grad, rule.init(param), hyper, t)
        >>> [round(value, 4) for value in delta.tolist()], sorted(state)
        ([-0.1, 0.1], ['exp_avg', 'exp_inf'])
    """

    @property
    def hypers(self) -> Mapping[str, float]:
        """beta1, beta2, eps, weight_decay."""
        return BETAS | {"eps": 1e-8, "weight_decay": 0.0}

    def init(self, param: Tensor) -> State:
        """exp_avg, exp_inf: zeros of the parameter's shape."""
        return {"exp_avg": torch.zeros_like(param), "exp_inf": torch.zeros_like(param)}

    def scalars(self, hyper: Hyper, t: Tensor) -> Hyper:
        """Also `factor`, 1 / c1."""
        of = corrected(hyper, t)
        return {**of, "factor": 1 / of["c1"]}

    def terms(self, param: Tensor, grad: Tensor, state: State, of: Hyper) -> tuple[Terms, State]:
        """`step` alone."""
        g = l2("l2", param, grad, of)
        m = lerp(state["exp_avg"], g, of["new1"])
        u = torch.maximum(of["beta2"] * state["exp_inf"], g.abs() + of["eps"])
        return {"step": Term(of["lr"], of["factor"], m / u)}, {"exp_avg": m, "exp_inf": u}
