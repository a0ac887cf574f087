"""RMSprop, Adagrad and Adadelta, with torch's arguments in torch's order; any hyper may be a schedule."""

from collections.abc import Mapping
from typing import Any

from tapered import rules
from tapered.optim.base import Optimizer
from tapered.optim.hypers import Hyper, Params


class RMSprop(Optimizer):
    r"""RMSprop in torch's form; replaces `torch.optim.RMSprop`.

        s <- alpha s + (1 - alpha) g^2         d = g / (sqrt(s - mean^2 if centered else s) + eps)
        b <- momentum b + d                    param <- param - lr b

    For TensorFlow's (eps inside the root, s from 1, rate inside the buffer) see `tapered.tensorflow1.RMSPropOptimizer`.

    Args:
        params: parameters, (name, parameter) pairs, or groups as dicts with options of their own.
        lr: rate, a number or a schedule of completed updates.
        alpha: decay rate per step of s and the mean.
        eps: added to the root.
        weight_decay: added to the gradient as `weight_decay * param`; a number or a schedule.
        momentum: a number or a schedule; 0 keeps no buffer.
        centered: subtract the squared mean gradient.
        maximize: climb the objective.
        capturable, foreach, differentiable: torch's; refused, since one kernel or rule serves all.
        compile: run the rule under `torch.compile`.
        multiplier: the group key that multiplies a scheduled rate; None for none.

    Raises:
        TypeError, ValueError: naming value, key, group and fix; before anything is made.

    Example:
        >>> import torch, tapered
        >>> tapered.RMSprop([torch.nn.Parameter(torch.ones(2))], lr=0.045, alpha=0.9, eps=1.0).param_groups[0]["eps"]
        1.0

    Source: Tieleman and Hinton 2012; torch 2.13 `torch.optim.RMSprop`.
    """

    hyper_keys = ("lr", "alpha", "eps", "weight_decay", "momentum")

    def __init__(
        self,
        params: Params,
        lr: Hyper = 1e-2,
        alpha: Hyper = 0.99,
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 0,
        momentum: Hyper = 0,
        centered: bool = False,  # noqa: FBT001, FBT002 - torch's order
        capturable: bool = False,  # noqa: FBT001, FBT002 - torch's order
        foreach: bool | None = None,  # noqa: FBT001 - torch's order
        maximize: bool = False,  # noqa: FBT001, FBT002 - torch's order
        differentiable: bool = False,  # noqa: FBT001, FBT002 - torch's order
        *,
        compile: bool = False,  # noqa: A002 - torch's own word
        multiplier: str | None = "lr_scale",
    ) -> None:
        hypers = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        options = {"centered": centered, "maximize": maximize, "compile": compile, "multiplier": multiplier}
        hints = {"foreach": foreach, "capturable": capturable, "differentiable": differentiable}
        super().__init__(params, hypers, {**options, **hints})

    def rule(self, group: Mapping[str, Any]) -> rules.Rule:
        """RMSprop's, with a buffer while there is momentum."""
        return rules.RMSprop(centered=group["centered"], momentum=bool(group["momentum"]))


class Adagrad(Optimizer):
    r"""Adagrad; replaces `torch.optim.Adagrad`.

        s <- s + g^2        param <- param - lr / (1 + (t - 1) lr_decay) * g / (sqrt(s) + eps)

    Args:
        params: parameters, (name, parameter) pairs, or groups as dicts with options of their own.
        lr: rate, a number or a schedule of completed updates.
        lr_decay: torch's own 1/t decay, on top of a schedule.
        weight_decay: added to the gradient as `weight_decay * param`; a number or a schedule.
        initial_accumulator_value: what s begins with; a number, no schedule.
        eps: added to the root.
        maximize: climb the objective.
        foreach, differentiable: torch's; refused, since one kernel or rule serves all.
        fused: None takes torch's fused kernel where it exists, True insists, False runs the rule.
        compile: run the rule under `torch.compile`.
        multiplier: the group key that multiplies a scheduled rate; None for none.

    Raises:
        TypeError, ValueError: naming value, key, group and fix; before anything is made.

    Example:
        >>> import torch, tapered
        >>> tapered.Adagrad([torch.nn.Parameter(torch.ones(2))], lr=tapered.constant(0.01)).param_groups[0]["lr"]
        0.01

    Source: Duchi et al. 2011; torch 2.13 `torch.optim.Adagrad`.
    """

    eager = True
    hyper_keys = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def __init__(
        self,
        params: Params,
        lr: Hyper = 1e-2,
        lr_decay: Hyper = 0,
        weight_decay: Hyper = 0,
        initial_accumulator_value: float = 0,
        eps: Hyper = 1e-10,
        foreach: bool | None = None,  # noqa: FBT001 - torch's order
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        compile: bool = False,  # noqa: A002 - torch's own word
        multiplier: str | None = "lr_scale",
    ) -> None:
        decays = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay}
        hypers = {**decays, "initial_accumulator_value": initial_accumulator_value, "eps": eps}
        options = {"maximize": maximize, "compile": compile, "multiplier": multiplier}
        hints = {"foreach": foreach, "differentiable": differentiable, "fused": fused}
        super().__init__(params, hypers, {**options, **hints})

    def rule(self, group: Mapping[str, Any]) -> rules.Rule:
        """Adagrad's, with the group's first accumulator."""
        if "initial_accumulator_value" in group["schedules"]:
            raise TypeError("got a schedule for `initial_accumulator_value`, which is used once; try a number")
        return rules.Adagrad(start=float(group["initial_accumulator_value"]))


class Adadelta(Optimizer):
    r"""Adadelta; replaces `torch.optim.Adadelta`.

        s <- rho s + (1 - rho) g^2      d = sqrt(a + eps) / sqrt(s + eps) g      a <- rho a + (1 - rho) d^2
        param <- param - lr d

    Args:
        params: parameters, (name, parameter) pairs, or groups as dicts with options of their own.
        lr: rate, a number or a schedule of completed updates.
        rho: decay rate per step of s and a.
        eps: added inside both roots.
        weight_decay: added to the gradient as `weight_decay * param`; a number or a schedule.
        maximize: climb the objective.
        foreach, capturable, differentiable: torch's; refused, since one kernel or rule serves all.
        compile: run the rule under `torch.compile`.
        multiplier: the group key that multiplies a scheduled rate; None for none.

    Raises:
        TypeError, ValueError: naming value, key, group and fix; before anything is made.

    Example:
        >>> import torch, tapered
        >>> tapered.Adadelta([torch.nn.Parameter(torch.ones(2))]).param_groups[0]["rho"]
        0.9

    Source: Zeiler 2012; torch 2.13 `torch.optim.Adadelta`.
    """

    hyper_keys = ("lr", "rho", "eps", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: Hyper = 1.0,
        rho: Hyper = 0.9,
        eps: Hyper = 1e-6,
        weight_decay: Hyper = 0,
        foreach: bool | None = None,  # noqa: FBT001 - torch's order
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
        compile: bool = False,  # noqa: A002 - torch's own word
        multiplier: str | None = "lr_scale",
    ) -> None:
        hypers = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay}
        options = {"maximize": maximize, "compile": compile, "multiplier": multiplier}
        hints = {"foreach": foreach, "capturable": capturable, "differentiable": differentiable}
        super().__init__(params, hypers, {**options, **hints})

    def rule(self, group: Mapping[str, Any]) -> rules.Rule:  # noqa: ARG002 - no options
        """Adadelta's."""
        return rules.Adadelta()
