"""`attach`: what is checked before a clock is made."""

from collections.abc import Mapping
from typing import Any

import torch

from tapered.attach.clock import Clock, Kept
from tapered.attach.following import Plan
from tapered.attach.layers import maker, takes_hooks
from tapered.attach.updates import alone
from tapered.optim import Optimizer


def attach(
    optimizer: torch.optim.Optimizer,
    *,
    lr: Any = None,
    weight_decay: Any = None,
    betas: Any = None,
    groups: Mapping[Any, Mapping[str, Any]] | None = None,
    step: int | None = None,
    multiplier: str | None = "lr_scale",
    **other_hypers: Any,
) -> Clock:
    """Let the hypers of any torch optimizer follow schedules of its applied updates.

        before update k, in every group:  group[hyper] = schedule(k),   k = 0, 1, ...

    Tensors are filled in place, so that a compiled step stays compiled. `group["lr"]` shows the rate that the next
    update will use and `group["initial_lr"]` the base; a group's `lr_scale` multiplies its rate. The optimizer's own
    state dict carries the clock.

    A group that joins late, at step k, follows the schedule of the others; one that comes with a rate r that is not
    theirs follows it in proportion, r * schedule(j) / schedule(k) at step j, so that nothing decays twice.

    Args:
        optimizer: any `torch.optim.Optimizer`, as it is; of a wrapper that takes no hooks the inner one
            (`wrapped.optimizer`). SAM and its relatives count the updates of their base optimizer.
        lr: a schedule, a number (always that), or `of_base(shape)`, for every group: each group then has this rate,
            also one that is added later. Groups that were made with rates of their own need `of_base` or `groups`.
        weight_decay: the same for weight decay.
        betas: one of them for each part, None for a part that stays as it is: `(linear(0.9, 0.5, steps=100), None)`.
        groups: schedules of single groups, by index or by the group's "name"; they go before the others.
        step: completed updates so far. None: what the optimizer's state carries, or 0.
        multiplier: the group key that multiplies a scheduled rate (timm's layer decay has `lr_scale`); None for none.
        other_hypers: any other number in the groups, by its key: `momentum=...`, or a part: `beta1=...`.

    Returns:
        The clock: `clock.step`, `clock.replace`, `clock.extend`, `clock.state_dict`, `clock.detach`.

    Raises:
        TypeError, ValueError: a hyper that is not there, a value out of range, another scheduler on this optimizer;
            nothing has changed then.

    Example:
        >>> import torch
        >>> from tapered.schedules import cosine_decay
        >>> weight = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = torch.optim.AdamW([weight], lr=1e-3)
        >>> clock = attach(optimizer, lr=cosine_decay(1e-3, decay_steps=4))
        >>> for _ in range(3):
        ...     weight.square().sum().backward()
        ...     optimizer.step()
        >>> clock.step, clock.last_lr[0] == cosine_decay(1e-3, decay_steps=4)(2)
        (3, True)
    """
    free(optimizer)
    asked = {"lr": lr, "weight_decay": weight_decay, "betas": betas, **other_hypers}
    plan = Plan({key: spec for key, spec in asked.items() if spec is not None}, groups or {})
    return copyable(Clock(optimizer, plan, step, multiplier))


def copyable(clock: Clock) -> Clock:
    """A deep copy or a pickle of the optimizer brings its clock along; torch's own leaves hooks behind, silently."""
    optimizer = clock.optimizer

    def reduced(protocol: int) -> tuple[Any, ...]:  # noqa: ARG001  # the call of copy and pickle
        return copied, (type(optimizer), clock.kept(), optimizer.__getstate__())

    optimizer.__reduce_ex__ = reduced  # type: ignore[method-assign,assignment]  # of this one, not of its class
    return clock


def copied(kind: type[torch.optim.Optimizer], kept: Kept, state: dict[str, Any]) -> torch.optim.Optimizer:
    """The way back from `reduced`."""
    optimizer = kind.__new__(kind)
    optimizer.__setstate__(state)
    copyable(Clock(optimizer, kept.plan, kept.step, kept.multiplier, kept))
    return optimizer


def clock_of(optimizer: torch.optim.Optimizer) -> Clock | None:
    """The clock that is attached to an optimizer, if there is one.

    Args:
        optimizer: any, attached or not.

    Example:
        >>> import torch, tapered
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
        >>> clock_of(optimizer) is None
        True
        >>> clock = attach(optimizer, lr=tapered.warmup(10))
        >>> clock_of(optimizer) is clock
        True
    """
    hooks = getattr(maker(optimizer), "_optimizer_step_pre_hooks", {}).values()
    owners = (getattr(hook, "__self__", None) for hook in hooks)
    return next((owner for owner in owners if isinstance(owner, Clock)), None)


def free(optimizer: torch.optim.Optimizer) -> None:
    """Nothing else steers the optimizer, and it takes hooks.

    Raises:
        TypeError, ValueError: with what to do instead.
    """
    takes_hooks(optimizer, "attach")
    if isinstance(optimizer, Optimizer) and any(optimizer.schedules):
        raise ValueError(
            f"this {type(optimizer).__name__} follows schedules of its own: {optimizer.schedules}; "
            "give it all schedules itself, or numbers to attach to"
        )
    if clock_of(optimizer) is not None:
        raise ValueError(
            f"this {type(optimizer).__name__} has a clock already; try clock.replace(...), or clock.detach() first"
        )
    alone(optimizer)
