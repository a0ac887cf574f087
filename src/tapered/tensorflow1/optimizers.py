"""TensorFlow 1's optimizers, whose rates may be schedules."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from tapered import rules
from tapered.optim.base import Optimizer
from tapered.optim.hypers import Hyper, Params
from tapered.rules.ranges import RANGES, Range

HINTS: Mapping[str, Any] = {"maximize": False}


class AdamOptimizer(Optimizer):
    r"""Adam with TensorFlow's "epsilon hat", which stands beside the uncorrected root.

        lr_t = lr sqrt(1 - beta2^t) / (1 - beta1^t)        param <- param - lr_t m / (sqrt(v) + epsilon)

    Against torch the same epsilon damps the first steps 1 / sqrt(1 - beta2^t) times more: 31.6 times at t = 1.

    Args:
        params: parameters or groups.
        learning_rate: a number or a schedule.
        beta1, beta2: decay rates per step of m and v.
        epsilon: above 0.

    Example:
        >>> import torch
        >>> from tapered.tensorflow1 import exponential_decay
        >>> weight = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = AdamOptimizer([weight], exponential_decay(0.15, 1, 0.9999))
        >>> optimizer.minimize((weight**2).sum())
        tensor(1.)
    """

    hyper_keys = ("lr", "betas", "eps")

    def __init__(
        self,
        params: Params,
        learning_rate: Hyper = 0.001,
        beta1: Hyper = 0.9,
        beta2: Hyper = 0.999,
        epsilon: Hyper = 1e-8,
    ) -> None:
        super().__init__(params, {"lr": learning_rate, "betas": (beta1, beta2), "eps": epsilon}, HINTS)

    def rule(self, group: Mapping[str, Any]) -> rules.Rule:  # noqa: ARG002 - no options
        """Adam with epsilon hat."""
        return rules.Adam(epsilon="hat")


class RMSPropOptimizer(Optimizer):
    r"""RMSProp with epsilon inside the root, its square from 1, and the rate inside the momentum buffer.

        s <- s + (1 - decay)(g^2 - s)      b <- momentum b + lr g / sqrt(s - mean^2 + epsilon)      param <- param - b

    The buffer holds steps made at earlier rates, so a drop of the rate acts late.

    Args:
        params: parameters or groups.
        learning_rate: a number or a schedule.
        decay: decay rate per step of s and the mean.
        momentum: 0 for none.
        epsilon: above 0.
        centered: subtract the squared mean gradient.

    Example:
        >>> import torch
        >>> from tapered.tensorflow1 import exponential_decay
        >>> rate = exponential_decay(0.045, decay_steps=20_000, decay_rate=0.94, staircase=True)  # as Inception-v3
        >>> optimizer = RMSPropOptimizer([torch.nn.Parameter(torch.ones(2))], rate, momentum=0.9, epsilon=1.0)
        >>> optimizer.param_groups[0]["lr"]
        0.045
    """

    hyper_keys = ("lr", "alpha", "momentum", "eps")

    def __init__(
        self,
        params: Params,
        learning_rate: Hyper,
        decay: Hyper = 0.9,
        momentum: Hyper = 0.0,
        epsilon: Hyper = 1e-10,
        *,
        centered: bool = False,
    ) -> None:
        hypers = {"lr": learning_rate, "alpha": decay, "momentum": momentum, "eps": epsilon}
        super().__init__(params, hypers, {"centered": centered, **HINTS})

    def rule(self, group: Mapping[str, Any]) -> rules.Rule:
        """RMSprop in TensorFlow's form."""
        return rules.RMSprop(
            centered=group["centered"], momentum=True, epsilon="inside", start=1.0, rate_in_momentum=True
        )


class AdagradOptimizer(Optimizer):
    r"""Adagrad without an epsilon; its accumulator starts above 0 instead.

        s <- s + g^2        param <- param - lr g / sqrt(s)

    Args:
        params: parameters or groups.
        learning_rate: a number or a schedule.
        initial_accumulator_value: above 0.

    Example:
        >>> import torch
        >>> AdagradOptimizer([torch.nn.Parameter(torch.ones(2))], 0.01).param_groups[0]["initial_accumulator_value"]
        0.1
    """

    hyper_keys = ("lr", "initial_accumulator_value")
    ranges: ClassVar[Mapping[str, Range]] = {
        **RANGES,
        "initial_accumulator_value": Range(0, math.inf, "0.1", low_open=True),
    }

    def __init__(self, params: Params, learning_rate: Hyper, initial_accumulator_value: float = 0.1) -> None:
        super().__init__(params, {"lr": learning_rate, "initial_accumulator_value": initial_accumulator_value}, HINTS)

    def rule(self, group: Mapping[str, Any]) -> rules.Rule:
        """Adagrad from the first accumulator, without epsilon."""
        return rules.Adagrad(start=float(group["initial_accumulator_value"]), eps=False)


class AdadeltaOptimizer(Optimizer):
    r"""Adadelta; torch's formula with TensorFlow's defaults.

        s <- rho s + (1 - rho) g^2    d = sqrt(a + epsilon) / sqrt(s + epsilon) g    a <- rho a + (1 - rho) d^2
        param <- param - lr d

    Args:
        params: parameters or groups.
        learning_rate: a number or a schedule.
        rho: decay rate per step of s and a.
        epsilon: above 0.

    Example:
        >>> import torch
        >>> AdadeltaOptimizer([torch.nn.Parameter(torch.ones(2))]).param_groups[0]["lr"]
        0.001
    """

    hyper_keys = ("lr", "rho", "eps")

    def __init__(self, params: Params, learning_rate: Hyper = 0.001, rho: Hyper = 0.95, epsilon: Hyper = 1e-8) -> None:
        super().__init__(params, {"lr": learning_rate, "rho": rho, "eps": epsilon}, HINTS)

    def rule(self, group: Mapping[str, Any]) -> rules.Rule:  # noqa: ARG002 - no options
        """Adadelta's."""
        return rules.Adadelta()


class MomentumOptimizer(Optimizer):
    r"""Heavy-ball or Nesterov momentum, the rate outside the buffer.

        b <- momentum b + g        param <- param - lr b        Nesterov: param - lr (g + momentum b)

    Args:
        params: parameters or groups.
        learning_rate: a number or a schedule.
        momentum: a number or a schedule.
        use_nesterov: look ahead along the buffer.

    Example:
        >>> import torch
        >>> MomentumOptimizer([torch.nn.Parameter(torch.ones(2))], 0.1, 0.9, use_nesterov=True).steps
        0
    """

    hyper_keys = ("lr", "momentum")

    def __init__(self, params: Params, learning_rate: Hyper, momentum: Hyper, *, use_nesterov: bool = False) -> None:
        super().__init__(params, {"lr": learning_rate, "momentum": momentum}, {"use_nesterov": use_nesterov, **HINTS})

    def rule(self, group: Mapping[str, Any]) -> rules.Rule:
        """SGD with a buffer."""
        return rules.SGD(momentum=True, nesterov=group["use_nesterov"])


class GradientDescentOptimizer(Optimizer):
    """Plain gradient descent: `param <- param - lr g`.

    Args:
        params: parameters or groups.
        learning_rate: a number or a schedule.

    Example:
        >>> import torch
        >>> GradientDescentOptimizer([torch.nn.Parameter(torch.ones(2))], 0.1).param_groups[0]["lr"]
        0.1
    """

    hyper_keys = ("lr",)

    def __init__(self, params: Params, learning_rate: Hyper) -> None:
        super().__init__(params, {"lr": learning_rate}, HINTS)

    def rule(self, group: Mapping[str, Any]) -> rules.Rule:  # noqa: ARG002 - no options
        """SGD without a buffer."""
        return rules.SGD()
