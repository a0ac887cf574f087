"""What may be optimized: checked before a group is added, so that a bad one changes nothing."""

import difflib
import sys
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from tapered.optim.multipliers import TaperedWarning
from tapered.rules import Rule
from tapered.rules.kernels import LAZY
from tapered.rules.shards import anywhere

EXTRA_KEYS = ("params", "param_names", "name", "initial_lr")


def tensors(params: Any, group: int | None) -> list[Any]:
    """Parameters as a list of tensors, or of (name, tensor) pairs.

    Args:
        params: what was given.
        group: the group's number; None for all parameters, which may be groups and may not be none at all.

    Raises:
        TypeError: None, a module, a set (its order changes between runs), or something that is no tensor.
        ValueError: nothing in it.
    """
    where = "" if group is None else f" in group {group}"
    if isinstance(params, Tensor):
        params = [params]
    if isinstance(params, nn.Module):
        raise TypeError(f"got a {type(params).__name__} for `params`{where}; try params=model.parameters()")
    if isinstance(params, (set, frozenset)):
        raise TypeError(
            f"got a set for `params`{where}: its order changes between runs, and state is kept by position; "
            "try params=list(model.parameters())"
        )
    if not isinstance(params, Iterable):
        raise TypeError(f"got {params!r} for `params`{where}; try params=model.parameters()")
    found = list(params)
    if not found and group is None:
        raise ValueError(
            "got no parameters for `params`: an empty list or a generator used up; try params=list(model.parameters())"
        )
    return found


def check_tensors(found: Iterable[Any], group: int, taken: Collection[int]) -> None:
    """Every parameter that follows a gradient can be updated, and stands once in the optimizer.

    Args:
        found: what `tensors` returned.
        group: the group's number, for the message.
        taken: ids of the parameters that other groups hold.

    Raises:
        TypeError, ValueError: with the parameter's place and shape, and the fix.
    """
    seen: set[int] = set()
    for place, entry in enumerate(found):
        param = entry[1] if isinstance(entry, tuple) else entry
        if not isinstance(param, Tensor):
            raise TypeError(
                f"got {type(param).__name__} for `params[{place}]` in group {group}; expected a tensor; "
                "try params=model.parameters()"
            )
        said = f"`params[{place}]` in group {group} (shape {tuple(param.shape)}, {param.dtype})"
        if param.requires_grad:
            check_trained(param, said)
        if id(param) in seen or id(param) in taken:
            where = f"twice in group {group}" if id(param) in seen else f"in group {group} and in an earlier one"
            raise ValueError(f"{said} stands {where} and would be updated twice a step; leave one out")
        seen.add(id(param))


def check_trained(param: Tensor, said: str) -> None:
    """A parameter that will get gradients holds numbers of its own; a frozen one may be anything.

    Raises:
        ValueError: with the fix.
    """
    if param.is_meta:
        raise ValueError(f"{said} is on the meta device and holds no numbers; try model.to_empty(device='cpu')")
    if param.layout != torch.strided:
        raise ValueError(f"{said} is sparse; try param.to_dense()")
    if not (param.is_leaf or param.retains_grad):
        raise ValueError(f"{said} is computed from other tensors; optimize those, or param.detach()")


def check_keys(group: dict[str, Any], known: Collection[str], index: int) -> None:
    """No misspelt option, where all are this optimizer's.

    Raises:
        ValueError: a key that this optimizer does not have, with the nearest one that it has.
    """
    allowed = (*known, *EXTRA_KEYS)
    for key in group:
        if key not in allowed:
            near = difflib.get_close_matches(str(key).lower(), known, n=1)
            hint = f"did you mean `{near[0]}`" if near else f"its options are {', '.join(sorted(known))}"
            raise ValueError(f"got the key {key!r} in group {index}, which this optimizer does not have; {hint}")


def warn_misspelt(group: dict[str, Any], known: Collection[str], index: int) -> None:
    """A group keeps others' keys, as torch's do; one that reads like an option of this optimizer is said."""
    for key in group.keys() - {*known, *EXTRA_KEYS}:
        near = difflib.get_close_matches(str(key).lower(), known, n=1, cutoff=0.8)
        if near:
            warnings.warn(
                f"got the key {key!r} in group {index}, which this optimizer keeps and does not read; did you mean "
                f"`{near[0]}`",
                TaperedWarning,
                stacklevel=4,
            )


def only_initialises(optimizer: torch.optim.Optimizer) -> bool:
    """`torch.distributed.checkpoint` makes a state by one step with every rate and gradient 0: no update.

    A first update of somebody's own may look the same (a warmup from 0, a batch without a signal), so it is the
    caller that tells.
    """
    if optimizer.state or not _called_by("torch.distributed.checkpoint."):
        return False
    groups = optimizer.param_groups
    return all(float(group["lr"]) == 0 for group in groups if "lr" in group) and all(
        param.grad is None or not anywhere(param.grad) for group in groups for param in group["params"]
    )


def _called_by(package: str) -> bool:
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - inspect.stack() would read every source file
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(package):
            return True
        frame = frame.f_back
    return False


def uncounted(optimizer: torch.optim.Optimizer) -> None:
    """After a step that only made the state: it counts no updates, or Adam would correct its bias for one too many."""
    for state in optimizer.state.values():
        count = state.get("step") if isinstance(state, dict) else None
        if isinstance(count, Tensor):
            count.zero_()
        elif isinstance(count, (int, float)):
            state["step"] = type(count)(0)


def check_grads(
    kind: str, rule: Rule, hyper: Mapping[str, float], grads: Sequence[Tensor], index: int
) -> tuple[int, ...]:
    """The places of sparse gradients.

    Raises:
        ValueError: this rule takes none, with what does.
    """
    if [grad.layout for grad in grads].count(torch.strided) == len(grads):  # every step comes through here
        return ()
    sparse = tuple(place for place, grad in enumerate(grads) if grad.layout is not torch.strided)
    said = f"parameter {sparse[0]} of those with a gradient in group {index} has a sparse gradient"
    if not isinstance(rule, LAZY) or any(grads[place].layout is not torch.sparse_coo for place in sparse):
        adam = " or attach(torch.optim.SparseAdam([embedding.weight]), lr=schedule) for that parameter"
        raise ValueError(
            f"{said}, which {kind} does not take; try nn.Embedding(..., sparse=False)"
            + (adam if "Adam" in kind else ", or tapered.SGD or tapered.Adagrad for that parameter")
        )
    if hyper["weight_decay"]:
        raise ValueError(
            f"{said} and weight_decay={hyper['weight_decay']!r}, which would move every row; give it a group of its "
            "own with weight_decay=0, or nn.Embedding(..., sparse=False)"
        )
    return sparse
