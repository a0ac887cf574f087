"""What may be optimized: checked before a group is added, so that a bad one changes nothing."""

import difflib
from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from tapered.shards import anywhere

EXTRA_KEYS = ("params", "param_names", "name", "initial_lr")


def tensors(params: Any, group: int) -> list[Any]:
    """The group's parameters as a list of tensors, or of (name, tensor) pairs.

    Raises:
        TypeError: None, a module, a set (its order changes between runs), or something that is no tensor.
        ValueError: nothing in it.
    """
    if isinstance(params, Tensor):
        params = [params]
    if isinstance(params, nn.Module):
        raise TypeError(f"got a {type(params).__name__} for `params` in group {group}; try params=model.parameters()")
    if isinstance(params, (set, frozenset)):
        raise TypeError(
            f"got a set for `params` in group {group}: its order changes between runs, and state is kept by position; "
            "try params=list(model.parameters())"
        )
    if not isinstance(params, Iterable):
        raise TypeError(f"got {params!r} for `params` in group {group}; try params=model.parameters()")
    found = list(params)
    if not found:
        raise ValueError(
            f"got no parameters for `params` in group {group}: an empty list or a generator used up; "
            "try params=list(model.parameters())"
        )
    return found


def check_tensors(found: Iterable[Any], group: int, taken: Collection[int]) -> None:
    """Every parameter can be updated, and stands once in the optimizer.

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
        if not (param.is_floating_point() or param.is_complex()):
            raise TypeError(f"{said} holds integers, which cannot follow a gradient; leave it out or use .float()")
        if param.is_meta:
            raise ValueError(f"{said} is on the meta device and holds no numbers; try model.to_empty(device='cpu')")
        if param.layout != torch.strided:
            raise ValueError(f"{said} is sparse; try param.to_dense()")
        if not param.requires_grad:
            raise ValueError(
                f"{said} does not require a gradient and would never move; "
                "try params=[p for p in model.parameters() if p.requires_grad]"
            )
        if not (param.is_leaf or param.retains_grad):
            raise ValueError(f"{said} is computed from other tensors; optimize those, or param.detach()")
        if id(param) in seen or id(param) in taken:
            where = f"twice in group {group}" if id(param) in seen else f"in group {group} and in an earlier one"
            raise ValueError(f"{said} stands {where} and would be updated twice a step; leave one out")
        seen.add(id(param))


def check_keys(group: dict[str, Any], known: Collection[str], index: int) -> None:
    """No misspelt option.

    Raises:
        ValueError: a key that this optimizer does not have, with the nearest one that it has.
    """
    allowed = (*known, *EXTRA_KEYS)
    for key in group:
        if key not in allowed:
            near = difflib.get_close_matches(str(key).lower(), known, n=1)
            hint = f"did you mean `{near[0]}`" if near else f"its options are {', '.join(sorted(known))}"
            raise ValueError(f"got the key {key!r} in group {index}, which this optimizer does not have; {hint}")


def only_initialises(optimizer: torch.optim.Optimizer) -> bool:
    """`torch.distributed.checkpoint.state_dict` makes a state by one step with every rate and gradient 0: no update."""
    if optimizer.state:
        return False
    groups = optimizer.param_groups
    return all(float(group["lr"]) == 0 for group in groups if "lr" in group) and all(
        param.grad is None or not anywhere(param.grad) for group in groups for param in group["params"]
    )


def uncounted(optimizer: torch.optim.Optimizer) -> None:
    """After a step that only made the state: it counts no updates, or Adam would correct its bias for one too many."""
    for state in optimizer.state.values():
        count = state.get("step") if isinstance(state, dict) else None
        if isinstance(count, Tensor):
            count.zero_()
        elif isinstance(count, (int, float)):
            state["step"] = type(count)(0)
