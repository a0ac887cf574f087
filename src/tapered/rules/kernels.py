"""Rules applied in place to lists of tensors: by torch's fused kernels where those are right, else by the rule itself.

prepare(rule, params, states, steps) looks at everything that stays the same once; what it returns is called every step.
"""

import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from tapered import rules
from tapered.rules import Rule, State, shards
from tapered.rules import fused as kernels_of_torch
from tapered.rules.fused import Apply

T = TypeVar("T")
LAZY = (rules.SGD, rules.Adagrad)  # where a gradient of 0 moves neither parameter nor state, but for momentum


@dataclass(frozen=True)
class Update:
    """One update of a list of tensors in two parts, so that one that fails can be uncounted."""

    count: Callable[[int], None]  # moves every count on, before the kernels, which read the number of this update
    kernel: Apply

    def __call__(self, grads: list[Tensor], hyper: Mapping[str, float]) -> None:
        """Count and update; an update that fails is not counted."""
        self.count(1)
        try:
            self.kernel(grads, hyper)
        except BaseException:
            self.count(-1)
            raise


@torch.inference_mode(mode=False)  # what is made there can be used nowhere else
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
    sparse: Collection[int] = (),
) -> Update:
    """A function `update(grads, hyper)` that makes one update in place.

    Args:
        rule: the arithmetic.
        params: tensors of any shape and layout; complex ones are updated as pairs of real numbers, as torch does. Of a
            DTensor (FSDP2) each process updates its own part: a rule takes every element alone.
        states: what `rule.init` returned for each.
        steps: float32 0-d tensors, completed updates of each parameter; moved on by one at each call.
        maximize: climb instead of descend.
        fused: None uses torch's fused kernel where there is one that is right, True insists on it, False never does.
        compile: run the rule under `torch.compile`, one graph for all steps.
        sparse: places of the parameters whose gradients are sparse.

    Returns:
        `update(grads, hyper)`: gradients in the order of `params`, of any layout; `hyper` maps `lr` and each name in
        `rule.hypers` to a float. Nothing is checked at this level.

    Raises:
        ValueError: `fused=True` where torch has no fused kernel for this rule and these tensors; a parameter whose
            elements share memory.

    Example:
        >>> param, step = torch.tensor([1.0, 2.0]), torch.zeros(())
        >>> rule = rules.SGD()
        >>> update = prepare(rule, [param], [rule.init(param)], [step])
        >>> update([torch.tensor([1.0, -1.0])], {"lr": 0.5, **rule.hypers})
        >>> param, int(step)
        (tensor([0.5000, 2.5000]), 1)
    """
    whole, params = params, [shards.local(param) for param in params]
    states = [{name: shards.local(tensor) for name, tensor in state.items()} for state in states]
    for place, param in enumerate(params):
        overlapping(param, place)
    buckets: dict[tuple[str, ...], list[int]] = {}
    for place, (param, state, step) in enumerate(zip(params, states, steps, strict=True)):
        fit = fused is not False and not compile and place not in sparse and kernels_of_torch.fits(param, state, step)
        kind = "sparse" if place in sparse else "fused" if fit else "rule"
        buckets.setdefault((kind, str(param.dtype), str(param.device)) if fit else (kind,), []).append(place)
    parts: list[tuple[list[int], Apply]] = []
    for (kind, *_), places in buckets.items():
        given = [params[i] for i in places], [states[i] for i in places], [steps[i] for i in places]
        kernel = kernels_of_torch.kernel(rule, *given, maximize=maximize) if kind == "fused" else None
        if kernel is None and fused:
            raise ValueError(
                f"fused=True: torch has no fused kernel for {rule} with compile={compile} on {given[0][0].dtype} "
                f"tensors of this layout on {given[0][0].device} that is right; leave fused out and the rule itself "
                "runs, with the same numbers"
            )
        parts.append((places, either(rule, kernel, given, kind, maximize=maximize, compile=compile)))
    kernel = parts[0][1] if len(parts) == 1 else together(parts)
    if any(map(shards.is_shared, whole)):
        kernel = over_parts(kernel, whole)
    return Update(counter(steps), torch.no_grad()(kernel))


def either(
    rule: Rule,
    kernel: Apply | None,
    given: tuple[list[Tensor], list[State], list[Tensor]],
    kind: str,
    *,
    maximize: bool,
    compile: bool,  # noqa: A002 - torch's own word
) -> Apply:
    """Torch's kernel, or the rule; for SGD both, since its kernel cannot do everything."""
    if kind == "sparse":
        return by_rows(rule, *given, maximize=maximize)
    slow = by_rule(rule, *given, maximize=maximize, compile=compile)
    if kernel is None or not isinstance(rule, rules.SGD):
        return kernel or slow
    momentum = rule.momentum

    # torch's kernel cannot tell which parameters are at their first step, where dampening does not act, and refuses a
    # buffer where the momentum has come down to 0
    def apply(grads: list[Tensor], hyper: Mapping[str, float]) -> None:
        plain = not hyper["dampening"] and (hyper["momentum"] != 0) == momentum
        (kernel if plain else slow)(grads, hyper)

    return apply


def together(parts: Sequence[tuple[list[int], Apply]]) -> Apply:
    """Several kernels, each over the tensors at its places."""

    def apply(grads: list[Tensor], hyper: Mapping[str, float]) -> None:
        for places, kernel in parts:
            kernel([grads[place] for place in places], hyper)

    return apply


def overlapping(param: Tensor, place: int) -> None:
    """Refuse what nobody can write to: one number in memory for several elements.

    Raises:
        ValueError: naming the parameter.
    """
    if any(stride == 0 and size > 1 for stride, size in zip(param.stride(), param.shape, strict=True)):
        raise ValueError(
            f"parameter {place} (shape {tuple(param.shape)}, strides {param.stride()}) is expanded: several elements "
            "share one number in memory, and cannot be updated apart; try nn.Parameter(tensor.clone())"
        )


def over_parts(kernel: Apply, params: Sequence[Tensor]) -> Apply:
    """A kernel over this process's parts of DTensors, given whole gradients."""

    def apply(grads: list[Tensor], hyper: Mapping[str, float]) -> None:
        kernel([shards.as_laid_out(grad, param) for grad, param in zip(grads, params, strict=True)], hyper)
        torch.autograd.graph.increment_version(params)  # the whole has a count of its own

    return apply


def real(tensor: Tensor) -> Tensor:
    """A complex tensor as pairs of real numbers, sharing memory; any other as it is."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def counter(steps: Sequence[Tensor]) -> Callable[[int], None]:
    """A function that moves every count on: in one operation where they are the elements of one vector."""
    whole = steps[0]._base  # noqa: SLF001 - torch has no public name for what a view looks at
    same = whole is not None and whole.numel() == len(steps) and all(s._base is whole for s in steps)  # noqa: SLF001
    counts = [whole] if same else list(steps)
    return lambda by: torch._foreach_add_(counts, by)  # type: ignore[arg-type]  # whole is none of None there


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
    run = torch.compile(own(update_all), fullgraph=True, dynamic=False) if compile else update_all

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


def own(function: Callable[..., T]) -> Callable[..., T]:
    """The same function with code of its own: torch.compile counts how often one code was compiled, and stops at 8."""
    return types.FunctionType(function.__code__.replace(), function.__globals__, function.__name__)


def wide(tensor: Tensor) -> Tensor:
    """16 bits as float32, so that an update is rounded once, when it is stored; as torch's kernels do."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def exact(tensor: Tensor) -> Tensor:
    """A number in double precision, where it lies; from Apple's GPUs, which have none, brought to the processor."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


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
        targets = {name: real(tensor) for name, tensor in old.items()}
        at, given = wide(real(param)), wide(real(grad))
        before = {name: wide(tensor) for name, tensor in targets.items()}
        delta, new = rules.update(rule, at, -given if maximize else given, before, hyper, exact(step))
        for target, value in [(real(param), at + delta), *((targets[name], new[name]) for name in targets)]:
            if target.dim():
                target.copy_(value)
            else:
                late.append(value)
    return late


def by_rows(rule: Rule, params: list[Tensor], states: list[State], steps: Sequence[Tensor], *, maximize: bool) -> Apply:
    """Sparse gradients: only the rows that they name are read and written; with momentum, which moves all, dense."""
    if getattr(rule, "momentum", False):
        dense = by_rule(rule, params, states, steps, maximize=maximize, compile=False)
        return lambda grads, hyper: dense([grad.to_dense() for grad in grads], hyper)

    def apply(grads: list[Tensor], hyper: Mapping[str, float]) -> None:
        scalars = {name: torch.tensor(hyper[name], dtype=torch.float64) for name in ("lr", *rule.hypers)}
        for param, grad, state, step in zip(params, grads, states, steps, strict=True):
            found = grad.coalesce()
            rows = tuple(found.indices())
            given = wide(real(-found.values() if maximize else found.values()))
            old = {name: wide(real(tensor[rows])) for name, tensor in state.items()}
            at = wide(real(param[rows]))
            delta, new = rules.update(rule, at, given, old, scalars, exact(step))
            for target, value in [(param, at + delta), *((state[name], new[name]) for name in state)]:
                target[rows] = torch.view_as_complex(value) if target.is_complex() else value.to(target.dtype)

    return apply
