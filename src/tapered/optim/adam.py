"""Adam and its relatives, with torch's arguments in torch's order; any hyper may be a schedule."""

from collections.abc import Mapping
from typing import Any, ClassVar

from tapered import rules
from tapered.optim.base import Optimizer
from tapered.optim.hypers import Hyper, Params
from tapered.rules import Decay

ADAM_KEYS = ("lr", "betas", "eps", "weight_decay")


def decoupled(group: Mapping[str, Any]) -> Decay:
    """How a group's weight decay acts."""
    return "decoupled" if group["decoupled_weight_decay"] else "l2"


class Adam(Optimizer):
    r"""Adam and AMSGrad, in torch's arithmetic; replaces `torch.optim.Adam` by changing the import.

    With t = step + 1, c1 = 1 - beta1^t, c2 = 1 - beta2^t:

        m <- beta1 m + (1 - beta1) g        v <- beta2 v + (1 - beta2) g^2
        param <- param - lr(step) * (m / c1) / (sqrt(v / c2) + eps)

    The bias correction tends to 1 and decays nothing: only a schedule makes the rate fall.

    Args:
        params: parameters, (name, parameter) pairs, or groups as dicts with options of their own.
        lr: rate, a number or a schedule of completed updates.
        betas: decay rates per step of m and v, each a number or a schedule.
        eps: added to the corrected root (for TensorFlow's place see `tapered.tensorflow1.AdamOptimizer`).
        weight_decay: added to the gradient as `weight_decay * param`.
        amsgrad: divide by the largest v so far (Reddi et al. 2018).
        foreach, capturable, differentiable: torch's; refused, since one kernel or rule serves all.
        maximize: climb the objective.
        fused: None takes torch's fused kernel where it exists, True insists, False runs the rule.
        decoupled_weight_decay: shrink the weights by `lr * weight_decay` instead, as AdamW does.
        compile: run the rule under `torch.compile`.
        multiplier: the group key that multiplies a scheduled rate (timm's layer decay has `lr_scale`); None for none.

    Raises:
        TypeError, ValueError: naming value, key, group and fix; before anything is made.

    Example:
        >>> import torch, tapered
        >>> model = torch.nn.Linear(2, 1)
        >>> rate = tapered.exponential_decay(0.15, decay_steps=1, decay_rate=0.9999)
        >>> optimizer = tapered.Adam(model.parameters(), lr=rate)
        >>> for _ in range(3):
        ...     loss = optimizer.minimize(model(torch.ones(4, 2)).square().mean())
        >>> optimizer.last_lr[0] == rate(2) and optimizer.param_groups[0]["lr"] == rate(3)
        True

    Source: Kingma and Ba 2015; torch 2.13 `torch.optim.Adam`.
    """

    hyper_keys = ADAM_KEYS

    def __init__(
        self,
        params: Params,
        lr: Hyper = 1e-3,
        betas: tuple[Hyper, Hyper] = (0.9, 0.999),
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 0,
        amsgrad: bool = False,  # noqa: FBT001, FBT002 - torch's order
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
        compile: bool = False,  # noqa: A002 - torch's own word
        multiplier: str | None = "lr_scale",
    ) -> None:
        hypers = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        options = {"amsgrad": amsgrad, "maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay}
        hints = {"foreach": foreach, "capturable": capturable, "differentiable": differentiable}
        super().__init__(
            params, hypers, {**options, **hints, "fused": fused, "compile": compile, "multiplier": multiplier}
        )

    def rule(self, group: Mapping[str, Any]) -> rules.Rule:
        """Adam's, with the group's options."""
        return rules.Adam(amsgrad=group["amsgrad"], decay=decoupled(group))


class AdamW(Adam):
    r"""Adam whose weight decay shrinks the weights directly; replaces `torch.optim.AdamW`.

        param <- param - lr * weight_decay * param - lr * (m / c1) / (sqrt(v / c2) + eps)

    The decay is multiplied by the rate, so a decaying rate weakens it too, and a higher peak strengthens it. Other
    forms are values of `weight_decay`, with `lr = peak * shape`:

    * independent of the peak, `(lr / peak) * wd * param` (Loshchilov and Hutter's own): `weight_decay=wd / peak`
    * corrected, `wd * lr^2 / peak * param` (timm): `weight_decay=wd * shape`

    Args:
        params: parameters, (name, parameter) pairs, or groups as dicts with options of their own.
        lr: rate, a number or a schedule of completed updates.
        betas: decay rates per step of m and v, each a number or a schedule.
        eps: added to the corrected root.
        weight_decay: the share of the weights that is taken off at a rate of 1; a number or a schedule.
        amsgrad: divide by the largest v so far (Reddi et al. 2018).
        maximize: climb the objective.
        foreach, capturable, differentiable: torch's; refused, since one kernel or rule serves all.
        fused: None takes torch's fused kernel where it exists, True insists, False runs the rule.
        compile: run the rule under `torch.compile`.
        multiplier: the group key that multiplies a scheduled rate; None for none.

    Raises:
        TypeError, ValueError: naming value, key, group and fix; before anything is made.

    Example:
        >>> import torch, tapered
        >>> model = torch.nn.Linear(2, 1)
        >>> shape = tapered.warmup(200) * tapered.cosine_decay(decay_steps=2000)
        >>> optimizer = tapered.AdamW(model.parameters(), lr=3e-4 * shape, weight_decay=0.1 * shape)
        >>> str(optimizer.param_groups[0]["schedules"]["weight_decay"])
        '0.1 * warmup(200) * cosine_decay(decay_steps=2000)'

    Source: Loshchilov and Hutter 2019; torch 2.13 `torch.optim.AdamW`.
    """

    fixed: ClassVar[Mapping[str, bool]] = {"decoupled_weight_decay": True}  # also over a state of Adam

    def __init__(
        self,
        params: Params,
        lr: Hyper = 1e-3,
        betas: tuple[Hyper, Hyper] = (0.9, 0.999),
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 1e-2,
        amsgrad: bool = False,  # noqa: FBT001, FBT002 - torch's order
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        compile: bool = False,  # noqa: A002 - torch's own word
        multiplier: str | None = "lr_scale",
    ) -> None:
        hints = {"foreach": foreach, "capturable": capturable, "differentiable": differentiable, "fused": fused}
        options: dict[str, Any] = {"maximize": maximize, "compile": compile, "multiplier": multiplier, **hints}
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, decoupled_weight_decay=True, **options)


class NAdam(Optimizer):
    r"""Adam with Nesterov momentum; replaces `torch.optim.NAdam`.

        mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2)        P_t = mu_1 ... mu_t
        param <- param - lr [ (1 - mu_t) / (1 - P_t) g + mu_{t+1} / (1 - P_{t+1}) m ] / (sqrt(v / c2) + eps)

    Args:
        params: parameters, (name, parameter) pairs, or groups as dicts with options of their own.
        lr: rate, a number or a schedule of completed updates.
        betas: decay rates per step of m and v, each a number or a schedule.
        eps: added to the root.
        weight_decay: added to the gradient as `weight_decay * param`; a number or a schedule.
        momentum_decay: how fast mu rises towards beta1, per step.
        decoupled_weight_decay: shrink the weights by `lr * weight_decay` instead, as AdamW does.
        maximize: climb the objective.
        foreach, capturable, differentiable: torch's; refused, since one kernel or rule serves all.
        compile: run the rule under `torch.compile`.
        multiplier: the group key that multiplies a scheduled rate; None for none.

    Raises:
        TypeError, ValueError: naming value, key, group and fix; before anything is made.

    Example:
        >>> import torch, tapered
        >>> tapered.NAdam([torch.nn.Parameter(torch.ones(2))], lr=tapered.inverse_sqrt(2e-3)).steps
        0

    Source: Dozat 2016; torch 2.13 `torch.optim.NAdam`.
    """

    hyper_keys = (*ADAM_KEYS, "momentum_decay")

    def __init__(
        self,
        params: Params,
        lr: Hyper = 2e-3,
        betas: tuple[Hyper, Hyper] = (0.9, 0.999),
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 0,
        momentum_decay: Hyper = 4e-3,
        decoupled_weight_decay: bool = False,  # noqa: FBT001, FBT002 - torch's order
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        compile: bool = False,  # noqa: A002 - torch's own word
        multiplier: str | None = "lr_scale",
    ) -> None:
        hypers = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay}
        options = {"maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay}
        hints = {"foreach": foreach, "capturable": capturable, "differentiable": differentiable}
        super().__init__(params, hypers, {**options, **hints, "compile": compile, "multiplier": multiplier})

    def rule(self, group: Mapping[str, Any]) -> rules.Rule:
        """NAdam's, with the group's options."""
        return rules.NAdam(decay=decoupled(group))


class RAdam(Optimizer):
    r"""Adam whose step is rectified while v is young; replaces `torch.optim.RAdam`.

        rho_inf = 2 / (1 - beta2) - 1        rho = rho_inf - 2 t beta2^t / c2
        r = sqrt( (rho - 4)(rho - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho) )
        param <- param - lr / c1 * ( r sqrt(c2) m / (sqrt(v) + eps)  where rho > 5, else  m )

    Args:
        params: parameters, (name, parameter) pairs, or groups as dicts with options of their own.
        lr: rate, a number or a schedule of completed updates.
        betas: decay rates per step of m and v, each a number or a schedule.
        eps: added to the root.
        weight_decay: added to the gradient as `weight_decay * param`; a number or a schedule.
        decoupled_weight_decay: shrink the weights by `lr * weight_decay` instead, as AdamW does.
        maximize: climb the objective.
        foreach, capturable, differentiable: torch's; refused, since one kernel or rule serves all.
        compile: run the rule under `torch.compile`.
        multiplier: the group key that multiplies a scheduled rate; None for none.

    Raises:
        TypeError, ValueError: naming value, key, group and fix; before anything is made.

    Example:
        >>> import torch, tapered
        >>> tapered.RAdam([torch.nn.Parameter(torch.ones(2))], lr=1e-3).param_groups[0]["lr"]
        0.001

    Source: Liu et al. 2020; torch 2.13 `torch.optim.RAdam`.
    """

    hyper_keys = ADAM_KEYS

    def __init__(
        self,
        params: Params,
        lr: Hyper = 1e-3,
        betas: tuple[Hyper, Hyper] = (0.9, 0.999),
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 0,
        decoupled_weight_decay: bool = False,  # noqa: FBT001, FBT002 - torch's order
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        compile: bool = False,  # noqa: A002 - torch's own word
        multiplier: str | None = "lr_scale",
    ) -> None:
        hypers = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        options = {"maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay}
        hints = {"foreach": foreach, "capturable": capturable, "differentiable": differentiable}
        super().__init__(params, hypers, {**options, **hints, "compile": compile, "multiplier": multiplier})

    def rule(self, group: Mapping[str, Any]) -> rules.Rule:
        """RAdam's, with the group's options."""
        return rules.RAdam(decay=decoupled(group))


class Adamax(Optimizer):
    r"""Adam in the infinity norm; replaces `torch.optim.Adamax`.

        u <- max(beta2 u, |g| + eps)        param <- param - lr / c1 * m / u

    Args:
        params: parameters, (name, parameter) pairs, or groups as dicts with options of their own.
        lr: rate, a number or a schedule of completed updates.
        betas: decay rates per step of m and u, each a number or a schedule.
        eps: added to the size of each gradient.
        weight_decay: added to the gradient as `weight_decay * param`; a number or a schedule.
        maximize: climb the objective.
        foreach, capturable, differentiable: torch's; refused, since one kernel or rule serves all.
        compile: run the rule under `torch.compile`.
        multiplier: the group key that multiplies a scheduled rate; None for none.

    Raises:
        TypeError, ValueError: naming value, key, group and fix; before anything is made.

    Example:
        >>> import torch, tapered
        >>> tapered.Adamax([torch.nn.Parameter(torch.ones(2))]).param_groups[0]["lr"]
        0.002

    Source: Kingma and Ba 2015, section 7.1; torch 2.13 `torch.optim.Adamax`.
    """

    hyper_keys = ADAM_KEYS

    def __init__(
        self,
        params: Params,
        lr: Hyper = 2e-3,
        betas: tuple[Hyper, Hyper] = (0.9, 0.999),
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 0,
        foreach: bool | None = None,  # noqa: FBT001 - torch's order
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
        compile: bool = False,  # noqa: A002 - torch's own word
        multiplier: str | None = "lr_scale",
    ) -> None:
        hypers = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        options = {"maximize": maximize, "compile": compile, "multiplier": multiplier}
        hints = {"foreach": foreach, "capturable": capturable, "differentiable": differentiable}
        super().__init__(params, hypers, {**options, **hints})

    def rule(self, group: Mapping[str, Any]) -> rules.Rule:  # noqa: ARG002 - no options
        """Adamax's."""
        return rules.Adamax()
