"""SGD and Lion, and Schedule-Free AdamW; any hyper may be a schedule."""

from collections.abc import Mapping
from typing import Any, ClassVar

from tapered import rules
from tapered.optim.base import Optimizer
from tapered.optim.hypers import Hyper, Params
from tapered.rules.ranges import RANGES, Range


class SGD(Optimizer):
    r"""Gradient descent with heavy-ball or Nesterov momentum; replaces `torch.optim.SGD`.

        b <- momentum b + (1 - dampening) g   (b = g at the first step)
        param <- param - lr b                  Nesterov: param - lr (g + momentum b)

    Args:
        params: parameters, (name, parameter) pairs, or groups as dicts with options of their own.
        lr: rate, a number or a schedule of completed updates.
        momentum: a number or a schedule; 0 keeps no buffer.
        dampening: how much of each gradient after the first is left out.
        weight_decay: added to the gradient as `weight_decay * param`; a number or a schedule.
        nesterov: look ahead; wants a momentum and no dampening.
        maximize: climb the objective.
        foreach, differentiable: torch's; refused, since one kernel or rule serves all.
        fused: None takes torch's fused kernel where it exists, True insists, False runs the rule.
        compile: run the rule under `torch.compile`.
        multiplier: the group key that multiplies a scheduled rate; None for none.

    Raises:
        TypeError, ValueError: naming value, key, group and fix; also for `nesterov=True` without momentum or with
            dampening.

    Example:
        >>> import torch, tapered
        >>> rate = tapered.linear(0.1, 0.0, steps=100)
        >>> optimizer = tapered.SGD([torch.nn.Parameter(torch.ones(2))], lr=rate, momentum=0.9)
        >>> optimizer.param_groups[0]["lr"]
        0.1

    Source: Sutskever et al. 2013; torch 2.13 `torch.optim.SGD`.
    """

    hyper_keys = ("lr", "momentum", "dampening", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: Hyper = 1e-3,
        momentum: Hyper = 0,
        dampening: Hyper = 0,
        weight_decay: Hyper = 0,
        nesterov: bool = False,  # noqa: FBT001, FBT002 - torch's order
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
        compile: bool = False,  # noqa: A002 - torch's own word
        multiplier: str | None = "lr_scale",
    ) -> None:
        hypers = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        options = {"nesterov": nesterov, "maximize": maximize, "compile": compile, "multiplier": multiplier}
        hints = {"foreach": foreach, "differentiable": differentiable, "fused": fused}
        super().__init__(params, hypers, {**options, **hints})

    def rule(self, group: Mapping[str, Any]) -> rules.Rule:
        """SGD's, with a buffer while there is momentum."""
        momentum, schedules = bool(group["momentum"]), group.get("schedules", {})
        damped = group["dampening"] or "dampening" in schedules
        if group["nesterov"] and (not (momentum or "momentum" in schedules) or damped):
            raise ValueError(
                f"got nesterov=True with momentum={group['momentum']} and dampening={group['dampening']}; "
                "Nesterov looks ahead along a momentum buffer; try momentum=0.9, dampening=0"
            )
        return rules.SGD(momentum=momentum, nesterov=group["nesterov"] and momentum)


class Lion(Optimizer):
    r"""Lion: every entry moves by the rate, in the direction of an interpolated momentum's sign.

        param <- param - lr sign(beta1 m + (1 - beta1) g) - lr weight_decay param        m <- beta2 m + (1 - beta2) g

    Args:
        params: parameters, (name, parameter) pairs, or groups as dicts with options of their own.
        lr: rate, a number or a schedule of completed updates.
        betas: beta1 of the sign, beta2 of the momentum.
        weight_decay: the share of the weights that is taken off at a rate of 1; a number or a schedule.
        maximize: climb the objective.
        compile: run the rule under `torch.compile`.
        multiplier: the group key that multiplies a scheduled rate; None for none.

    Raises:
        TypeError, ValueError: naming value, key, group and fix; before anything is made.

    Example:
        >>> import torch, tapered
        >>> weight = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = tapered.Lion([weight], lr=0.125)
        >>> loss = optimizer.minimize((weight * torch.tensor([3.0, -0.1])).sum())
        >>> weight.tolist()
        [0.875, 1.125]

    Source: Chen et al. 2023, Algorithm 2.
    """

    hyper_keys = ("lr", "betas", "weight_decay")

    def __init__(
        self,
        params: Params,
        lr: Hyper = 1e-4,
        betas: tuple[Hyper, Hyper] = (0.9, 0.99),
        weight_decay: Hyper = 0,
        *,
        maximize: bool = False,
        compile: bool = False,  # noqa: A002 - torch's own word
        multiplier: str | None = "lr_scale",
    ) -> None:
        hypers = {"lr": lr, "betas": betas, "weight_decay": weight_decay}
        super().__init__(params, hypers, {"maximize": maximize, "compile": compile, "multiplier": multiplier})

    def rule(self, group: Mapping[str, Any]) -> rules.Rule:  # noqa: ARG002 - no options
        """Lion's."""
        return rules.Lion()


class ScheduleFreeAdamW(Optimizer):
    r"""Schedule-Free AdamW: the iterates are averaged instead of the rate lowered.

        y = (1 - beta1) z + beta1 x        u = g(y) / (sqrt(v / c2) + eps) + weight_decay y
        z <- z - lr u        x <- (1 - c) x + c z        c = w_t / (w_1 + ... + w_t),  w_t = t^r * (largest lr so far)^p

    The parameters hold y, for training. Evaluate and export inside `with optimizer.readout():`, where they hold x.
    There is no train or eval mode to forget. A warmup is part of `lr`.

    Args:
        params: parameters, (name, parameter) pairs, or groups as dicts with options of their own.
        lr: rate, a number or a schedule of completed updates. A warmup belongs here.
        betas: beta1 between z and x, not 0; beta2 of v.
        eps: added to the corrected root.
        weight_decay: of y, inside the step; a number or a schedule.
        r: power of t in the averaging weights.
        weight_lr_power: power p of the largest rate.
        maximize: climb the objective.
        compile: run the rule under `torch.compile`.
        multiplier: the group key that multiplies a scheduled rate; None for none.

    Raises:
        TypeError, ValueError: naming value, key, group and fix; before anything is made.

    Example:
        >>> import torch, tapered
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = tapered.ScheduleFreeAdamW(model.parameters(), lr=2.5e-3 * tapered.warmup(100))
        >>> loss = optimizer.minimize(model(torch.ones(4, 2)).square().mean())
        >>> with optimizer.readout():
        ...     validation = model(torch.ones(4, 2))

    Source: Defazio et al. 2024, Algorithm 1 and the authors' AdamW.
    """

    hyper_keys = ("lr", "betas", "eps", "weight_decay", "r", "weight_lr_power")
    ranges: ClassVar[Mapping[str, Range]] = {**RANGES, **rules.ScheduleFreeAdamW.ranges}

    def __init__(
        self,
        params: Params,
        lr: Hyper = 2.5e-3,
        betas: tuple[Hyper, Hyper] = (0.9, 0.999),
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 0,
        r: Hyper = 0,
        weight_lr_power: Hyper = 2,
        *,
        maximize: bool = False,
        compile: bool = False,  # noqa: A002 - torch's own word
        multiplier: str | None = "lr_scale",
    ) -> None:
        hypers = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        powers = {"r": r, "weight_lr_power": weight_lr_power}
        super().__init__(
            params, {**hypers, **powers}, {"maximize": maximize, "compile": compile, "multiplier": multiplier}
        )

    def rule(self, group: Mapping[str, Any]) -> rules.Rule:  # noqa: ARG002 - no options
        """Schedule-Free AdamW's."""
        return rules.ScheduleFreeAdamW()
