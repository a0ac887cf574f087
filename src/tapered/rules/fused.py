"""torch's fused kernels: where one has a rule's arithmetic, may read these tensors, and is right in this torch.

The kernels read raw memory: element i of the parameter's with element i of the gradient's and of each state tensor's.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from tapered import rules
from tapered.rules import Rule, State

Apply = Callable[[list[Tensor], Mapping[str, float]], None]
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
PLAIN = (Tensor, nn.Parameter)
SIZES = [5, 67, 1031]  # shorter than a vector register; a tail after whole ones; many


def fits(param: Tensor, state: State, step: Tensor) -> bool:
    """A kernel may read these: dense memory, and the same layout, dtype and device in all of them."""
    return (
        type(param) in PLAIN
        and param.dtype in DTYPES
        and param.device.type in ("cpu", "cuda")
        and step.device.type == param.device.type
        and (not step.is_cuda or step.dtype == torch.float32)  # there its bits are read as that
        and dense(param)
        and all(
            (t.stride(), t.dtype, t.device) == (param.stride(), param.dtype, param.device) and t.layout is torch.strided
            for t in state.values()
        )
    )


def dense(tensor: Tensor) -> bool:
    """Every element of the memory that the tensor spans is one of its own, and just one."""
    if tensor.layout is not torch.strided:
        return False
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size == 1:
            continue
        if stride != expected:
            return False
        expected *= size
    return True


def laid_out(grads: Sequence[Tensor], params: Sequence[Tensor]) -> list[Tensor]:
    """The gradients in their parameters' layout and dtype, copied where they are of another."""
    return [
        grad
        if grad.stride() == param.stride() and grad.dtype is param.dtype and grad.device == param.device
        else torch.empty_like(param).copy_(grad)
        for grad, param in zip(grads, params, strict=True)
    ]


def kernel(
    rule: Rule, params: list[Tensor], states: Sequence[State], steps: Sequence[Tensor], *, maximize: bool
) -> Apply | None:
    """`apply(grads, hyper)` by torch's kernel for this rule; None where there is none, or it is not right here.

    Args:
        rule: the arithmetic.
        params: of one dtype and device; `fits` holds for each.
        states: what `rule.init` returned for each.
        steps: the counts, moved on before each call.
        maximize: climb instead of descend.
    """
    if not right(rule, params[0].dtype, params[0].device.type):
        return None
    return _wrapped(rule, params, states, steps, maximize=maximize)


@functools.cache
def right(rule: Rule, dtype: torch.dtype, device: str) -> bool:
    """Torch's kernel gives the rule's numbers for this dtype here: tried once, since torch's have had faults.

    Two updates of tensors of several sizes, against the rule in float64. (torch 2.13's SGD on the CPU mixes up the
    halves of a vector of 16-bit numbers.)
    """
    hyper = {**rule.hypers, "lr": 1.0, "weight_decay": 0.01}
    hyper |= {"momentum": 0.875 if getattr(rule, "momentum", False) else 0.0}
    with torch.inference_mode(mode=False), torch.no_grad(), torch.device(device):
        place = torch.arange(sum(SIZES), dtype=torch.float64)
        start = torch.cos(0.7 * place).to(dtype)
        # no gradient so small that its square is lost in 16 bits
        grad = (torch.cos(1.3 * place) + 1.5 * (1 - 2 * (place % 2))).to(dtype)
        params = [part.clone() for part in torch.split(start, SIZES)]
        steps = [torch.zeros((), dtype=torch.float32) for _ in params]
        apply = _wrapped(rule, params, [rule.init(param) for param in params], steps, maximize=False)
        if apply is None:
            return False
        numbers = {name: torch.tensor(value, dtype=torch.float64) for name, value in hyper.items()}
        exact = start.to(torch.float64, copy=True)
        state = rule.init(exact)
        for t in (1.0, 2.0):
            torch._foreach_add_(steps, 1)
            apply(list(torch.split(grad, SIZES)), hyper)
            delta, state = rules.update(rule, exact, grad.double(), state, numbers, torch.tensor(t).double())
            exact = exact + delta
        return torch.allclose(torch.cat(params).double(), exact, rtol=0.0, atol=slack(dtype))


def slack(dtype: torch.dtype) -> float:
    """How far a right kernel may be off, weights being about 1; one that is wrong is off by a tenth and more."""
    return (16 if dtype.itemsize == 2 else 256) * torch.finfo(dtype).eps


def _wrapped(
    rule: Rule, params: list[Tensor], states: Sequence[State], steps: Sequence[Tensor], *, maximize: bool
) -> Apply | None:
    """The kernel with gradients in the parameters' layout, whose updates autograd sees."""
    found = _kernel(rule, params, states, steps, maximize=maximize)
    if found is None:
        return None
    strides, dtypes = [param.stride() for param in params], [param.dtype for param in params]

    def apply(grads: list[Tensor], hyper: Mapping[str, float]) -> None:
        if [g.stride() for g in grads] != strides or [g.dtype for g in grads] != dtypes:
            grads = laid_out(grads, params)
        found(grads, hyper)
        torch.autograd.graph.increment_version(params)  # a backward through the old weights is refused, as torch's is

    return apply


def _kernel(
    rule: Rule, params: list[Tensor], states: Sequence[State], steps: Sequence[Tensor], *, maximize: bool
) -> Apply | None:
    """The kernel, where its arithmetic is the rule's."""
    columns = {name: [state[name] for state in states] for name in states[0]}
    match rule:
        case rules.Adam(epsilon="outside"):
            return _adam(rule, params, columns, list(steps), maximize=maximize)
        case rules.Adam(epsilon="hat") if len({int(step) for step in steps}) == 1 and not steps[0].is_cuda:
            outside = _adam(rule, params, columns, list(steps), maximize=maximize)
            # beside the corrected root the same epsilon is 1 / sqrt(1 - beta2^t) times as large
            return lambda grads, hyper: outside(
                grads, {**hyper, "eps": hyper["eps"] / math.sqrt(1 - hyper["beta2"] ** int(steps[0]))}
            )
        case rules.Adagrad():
            return _adagrad(params, columns, list(steps), maximize=maximize)
        case rules.SGD(rate_in_momentum=False):
            return _sgd(rule, params, columns, maximize=maximize)
    return None


def _adam(
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


def _adagrad(params: list[Tensor], columns: dict[str, list[Tensor]], steps: list[Tensor], *, maximize: bool) -> Apply:
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


def _sgd(rule: rules.SGD, params: list[Tensor], columns: dict[str, list[Tensor]], *, maximize: bool) -> Apply:
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
