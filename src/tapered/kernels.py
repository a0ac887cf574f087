"""Rules applied in place to lists of tensors: by torch's fused kernels where their arithmetic is the same.

prepare(rule, params, states, steps) looks at everything that stays the same once; what it returns is called every step.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from tapered import rules, shards
from tapered.rules import Rule, State

Apply = Callable[[list[Tensor], Mapping[str, float]], None]
FUSED_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


@torch.no_grad()
def prepare(
    rule: Rule,
    params: Sequence[Tensor],
    states: Sequence[State],
    steps: Sequence[Tensor],
    *,
    maximize: bool = False,
    fused: bool | None = None,
    compile: bool = False,  # noqa: A002 - torch's own word
) -> Apply:
    """A function `apply(grads, hyper)` that makes one update in place.

    Args:
        rule: the arithmetic.
        params: tensors of any shape; complex ones are updated as pairs of real numbers, as torch does. Of a DTensor
            (FSDP2) each process updates its own part: a rule takes every element alone.
        states: what `rule.init` returned for each.
        steps: float32 0-d tensors, completed updates of each parameter; moved on by one at each call.
        maximize: climb instead of descend.
        fused: None uses torch's fused kernel where there is one, True insists on it, False never does.
        compile: run the rule under `torch.compile`, one graph for all steps.

    Returns:
        `apply(grads, hyper)`: gradients in the order of `params`; `hyper` maps `lr` and each name in `rule.hypers` to
        a float. Nothing is checked at this level.

    Raises:
        ValueError: `fused=True` where torch has no fused kernel for this rule and these tensors.

    Example:
        >>> param, step = torch.tensor([1.0, 2.0]), torch.zeros(())
        >>> rule = rules.SGD()
        >>> apply = prepare(rule, [param], [rule.init(param)], [step])
        >>> apply([torch.tensor([1.0, -1.0])], {"lr": 0.5, **rule.hypers})
        >>> param, int(step)
        (tensor([0.5000, 2.5000]), 1)
    """
    if any(map(shards.is_shared, params)):
        parts = [shards.local(param) for param in params]
        states = [{name: shards.local(tensor) for name, tensor in state.items()} for state in states]
        return over_parts(prepare(rule, parts, states, steps, maximize=maximize, fused=fused, compile=compile), params)
    params, states = list(params), list(states)
    count = counter(steps)
    same = len({(p.dtype, p.device) for p in params}) == 1
    if fused is not False and not compile and same and params[0].dtype in FUSED_DTYPES:
        kernel = fused_kernel(rule, params, states, steps, maximize=maximize)
        if kernel is not None:
            return counted(kernel, count)
    if fused:
        raise ValueError(
            f"fused=True: torch has no fused kernel for {rule} with compile={compile} on {params[0].dtype} tensors on "
            f"{params[0].device}; leave fused out and the rule itself runs, with the same numbers"
        )
    return counted(by_rule(rule, params, states, steps, maximize=maximize, compile=compile), count)


def over_parts(kernel: Apply, params: Sequence[Tensor]) -> Apply:
    """A kernel over this process's parts of DTensors, given whole gradients."""

    @torch.no_grad()
    def apply(grads: list[Tensor], hyper: Mapping[str, float]) -> None:
        kernel([shards.as_laid_out(grad, param) for grad, param in zip(grads, params, strict=True)], hyper)

    return apply


def real(tensor: Tensor) -> Tensor:
    """A complex tensor as pairs of real numbers, sharing memory; any other as it is."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def counter(steps: Sequence[Tensor]) -> Callable[[], None]:
    """A function that moves every count on by one: in one operation where they are the elements of one vector."""
    whole = steps[0]._base  # noqa: SLF001 - torch has no public name for what a view looks at
    if whole is not None and whole.numel() == len(steps) and all(s._base is whole for s in steps):  # noqa: SLF001
        return lambda: torch._foreach_add_([whole], 1)
    return lambda: torch._foreach_add_(list(steps), 1)


def counted(kernel: Apply, count: Callable[[], None]) -> Apply:
    """Count first, as torch does: its kernels read the number of this update, from 1."""

    @torch.no_grad()
    def apply(grads: list[Tensor], hyper: Mapping[str, float]) -> None:
        count()
        kernel(grads, hyper)

    return apply


def fused_kernel(
    rule: Rule, params: list[Tensor], states: list[State], steps: Sequence[Tensor], *, maximize: bool
) -> Apply | None:
    """Torch's fused kernel for this rule, or None where its arithmetic is another."""
    device = params[0].device.type
    if device not in ("cpu", "cuda") or any(s.device.type != device for s in steps):
        return None
    columns = {name: [state[name] for state in states] for name in states[0]}
    match rule:
        case rules.Adam(epsilon="outside"):
            return fused_adam(rule, params, columns, list(steps), maximize=maximize)
        case rules.Adam(epsilon="hat") if device == "cpu" and len({int(step) for step in steps}) == 1:
            outside = fused_adam(rule, params, columns, list(steps), maximize=maximize)
            # beside the corrected root the same epsilon is 1 / sqrt(1 - beta2^t) times as large
            return lambda grads, hyper: outside(
                grads, {**hyper, "eps": hyper["eps"] / math.sqrt(1 - hyper["beta2"] ** int(steps[0]))}
            )
        case rules.Adagrad():
            return fused_adagrad(params, columns, list(steps), maximize=maximize)
        case rules.SGD(rate_in_momentum=False):
            undamped = fused_sgd(rule, params, columns, maximize=maximize)
            damped = by_rule(rule, params, states, steps, maximize=maximize, compile=False)

            # torch's kernel cannot tell which parameters are at their first step, where dampening does not act, and
            # refuses a buffer where the momentum has come down to 0
            def apply(grads: list[Tensor], hyper: Mapping[str, float]) -> None:
                plain = not hyper["dampening"] and (hyper["momentum"] != 0) == rule.momentum
                (undamped if plain else damped)(grads, hyper)

            return apply
    return None


def fused_adam(
    rule: rules.Adam, params: list[Tensor], columns: dict[str, list[Tensor]], steps: list[Tensor], *, maximize: bool
) -> Apply:
    """Adam, AMSGrad and AdamW in one pass over the memory."""
    function = torch._fused_adam_ if rule.decay == "l2" else torch._fused_adamw_
    m, v, largest = columns["exp_avg"], columns["exp_avg_sq"], columns.get("max_exp_avg_sq", [])

    def apply(grads: list[Tensor], hyper: Mapping[str, float]) -> None:
        function(
            params,
            grads,
            m,
            v,
            largest,
            steps,
            lr=hyper["lr"],
            beta1=hyper["beta1"],
            beta2=hyper["beta2"],
            weight_decay=hyper["weight_decay"],
            eps=hyper["eps"],
            amsgrad=rule.amsgrad,
            maximize=maximize,
        )

    return apply


def fused_adagrad(
    params: list[Tensor], columns: dict[str, list[Tensor]], steps: list[Tensor], *, maximize: bool
) -> Apply:
    """Adagrad in one pass over the memory."""

    def apply(grads: list[Tensor], hyper: Mapping[str, float]) -> None:
        torch._fused_adagrad_(
            params,
            grads,
            columns["sum"],
            steps,
            lr=hyper["lr"],
            lr_decay=hyper["lr_decay"],
            weight_decay=hyper["weight_decay"],
            eps=hyper["eps"],
            maximize=maximize,
        )

    return apply


def fused_sgd(rule: rules.SGD, params: list[Tensor], columns: dict[str, list[Tensor]], *, maximize: bool) -> Apply:
    """SGD in one pass over the memory, for a dampening of 0: a buffer of zeros then makes the right first step."""
    buffers = columns.get("momentum_buffer", [])

    def apply(grads: list[Tensor], hyper: Mapping[str, float]) -> None:
        torch._fused_sgd_(
            params,
            grads,
            buffers,
            weight_decay=hyper["weight_decay"],
            momentum=hyper["momentum"] if rule.momentum else 0.0,
            lr=hyper["lr"],
            dampening=0.0,
            nesterov=rule.nesterov,
            maximize=maximize,
            is_first_step=False,
        )

    return apply


def by_rule(
    rule: Rule,
    params: list[Tensor],
    states: list[State],
    steps: Sequence[Tensor],
    *,
    maximize: bool,
    compile: bool,  # noqa: A002 - torch's own word
) -> Apply:
    """The rule's own arithmetic, tensor by tensor; every hyper is a tensor filled in place, so nothing recompiles."""
    scalars = {name: torch.zeros((), dtype=torch.float64) for name in ("lr", *rule.hypers)}
    run = torch.compile(update_all, fullgraph=True, dynamic=False) if compile else update_all

    def apply(grads: list[Tensor], hyper: Mapping[str, float]) -> None:
        for name, tensor in scalars.items():
            tensor.fill_(hyper[name])
        late = run(rule, params, grads, states, scalars, list(steps), maximize)
        targets = [
            t for p, state in zip(params, states, strict=True) for t in (p, *state.values()) if not real(t).dim()
        ]
        for target, value in zip(targets, late, strict=True):
            target.copy_(value)

    return apply


def update_all(
    rule: Rule,
    params: list[Tensor],
    grads: list[Tensor],
    states: list[State],
    hyper: Mapping[str, Tensor],
    steps: list[Tensor],
    maximize: bool,  # noqa: FBT001 - torch.compile keeps positional calls simple
) -> list[Tensor]:
    """One update of every tensor in place, a complex one as pairs of real numbers.

    Returns:
        The new values of the tensors without dimensions, for the caller to store: what a compiled graph writes into a
        0-d float64 input is lost in torch 2.13, without a word.
    """
    late = []
    for param, grad, old, step in zip(params, grads, states, steps, strict=True):
        param, grad, old = real(param), real(grad), {name: real(tensor) for name, tensor in old.items()}  # noqa: PLW2901
        delta, new = rules.update(rule, param, -grad if maximize else grad, old, hyper, step.double())
        for target, value in [(param, param + delta), *((old[name], new[name]) for name in old)]:
            if target.dim():
                target.copy_(value)
            else:
                late.append(value)
    return late
