"""Optimizers as parts: their state by parameter name, shape and dtype, never by position; a fork's new rate.

optimizer.state_dict()                    saved
state: {0: {...}, 1: {...}}        ─►     state: {"model.0.weight": {...}, ...}
groups: [{params: [0, 1], lr}]            groups: [{params: ["model.0.weight", ...], lr}]      shapes, defaults
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor

from tapered.checkpoint import forked
from tapered.checkpoint.errors import CheckpointError
from tapered.checkpoint.tree import same
from tapered.optim import Optimizer
from tapered.optim.loading import NEVER_NEGATIVE, choose, flat
from tapered.schedules import Schedule

Value = float | Tensor | Schedule
Tree = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """How a fork differs from its parent; nothing, for a resume.

    Args:
        hypers: Hyper -> a number or schedule, or one for each parameter group.
        keep_moments: False drops the rules' state.
        counted: Whether a new schedule's step 0 is "now" or was at the "start".
        step: Where the fork is.
        saved_hold: Where other hypers differ, the saved ones hold.
    """

    hypers: Mapping[str, Value | Sequence[Value]] = field(default_factory=dict)
    keep_moments: bool = True
    counted: Literal["now", "start"] | None = None
    step: int = 0
    saved_hold: bool = False


def state_of(name: str, part: torch.optim.Optimizer, names: Mapping[int, str], parts: Iterable[Any]) -> Tree:
    """An optimizer's state by parameter name.

    Raises:
        CheckpointError: a parameter, or a scheduler that writes its rate, is not among the parts.
    """
    if hasattr(part.step, "_wrapped_by_lr_sched") and not any(drives(other, part) for other in parts):
        raise CheckpointError(
            f"a torch scheduler was put on `{name}` and is not among the parts, so a rate would be wrong after a resume; "
            f"give it too (scheduler=scheduler), or build the optimizer without one"
        )
    listed = [[_name(name, names, g, i, p) for i, p in enumerate(group["params"])]
              for g, group in enumerate(part.param_groups)]  # fmt: skip
    state = part.state_dict()
    flat_names = list(chain.from_iterable(listed))
    places = dict(zip(chain.from_iterable(g["params"] for g in state["param_groups"]), flat_names, strict=True))
    params = chain.from_iterable(group["params"] for group in part.param_groups)
    return {
        "groups": [
            {**{k: v for k, v in group.items() if k != "param_names"}, "params": own}
            for group, own in zip(state["param_groups"], listed, strict=True)
        ],
        "state": {places[key]: entry for key, entry in state["state"].items() if key in places},
        "other": {key: entry for key, entry in state["state"].items() if key not in places},
        "beside": {key: value for key, value in state.items() if key not in ("state", "param_groups")},
        "shapes": {key: _shape(p) for key, p in zip(flat_names, params, strict=True)},
        "defaults": {k: v for k, v in part.defaults.items() if isinstance(v, (bool, int, float, str, type(None)))},
    }


def drives(part: Any, optimizer: torch.optim.Optimizer) -> bool:
    """Whether a part writes this optimizer's hypers: a scheduler or a clock."""
    return getattr(part, "optimizer", None) is optimizer


def _name(name: str, names: Mapping[int, str], group: int, place: int, param: Tensor) -> str:
    if id(param) not in names:
        raise CheckpointError(
            f"`params[{place}]` in group {group} of `{name}` (shape {tuple(param.shape)}) belongs to no module or "
            f"tensor among the parts, so its values and its place would not be known; give its module too: "
            f"model=model"
        )
    return names[id(param)]


def _shape(param: Tensor) -> list[Any]:
    return [list(param.shape), str(param.dtype)]


def prepare(
    name: str,
    part: torch.optim.Optimizer,
    saved: Tree,
    names: Mapping[int, str],
    parts: Iterable[Any],
    change: Change,
) -> Callable[[], None]:
    """Check a saved state against an optimizer; what is returned loads it.

    Raises:
        CheckpointError: with the parameter or hyper, what was saved and what is now.
    """
    drivers = [other for other in parts if drives(other, part)]
    own = state_of(name, part, names, drivers)
    _check_groups(name, own, saved)
    _check_numbers(name, saved)
    state = _positional(part, own, saved)
    ours = isinstance(part, Optimizer)
    for index, group in enumerate(state["param_groups"]):
        if ours:
            _same_hypers(name, part, index, group, change)  # type: ignore[arg-type]  # it is ours
        else:
            _same_group(name, own, saved, index, change, driven=bool(drivers))
    forked.apply(name, part, state, change, drivers)

    def apply() -> None:
        if isinstance(part, Optimizer):
            part.load_state_dict(state, keep="saved")
        else:
            part.load_state_dict(state)
        _uncast(part, state)

    return apply


def _check_groups(name: str, own: Tree, saved: Tree) -> None:
    sizes = [len(group["params"]) for group in saved["groups"]], [len(group["params"]) for group in own["groups"]]
    if len(sizes[0]) != len(sizes[1]):
        raise CheckpointError(f"`{name}` was saved with {len(sizes[0])} parameter groups; this one has {len(sizes[1])}")
    for index, (mine, theirs) in enumerate(zip(own["groups"], saved["groups"], strict=True)):
        missing = [n for n in theirs["params"] if n not in mine["params"]]
        extra = [n for n in mine["params"] if n not in theirs["params"]]
        if missing or extra:
            raise CheckpointError(
                f"group {index} of `{name}` holds other parameters: {(extra or ['none'])[:5]} new, "
                f"{(missing or ['none'])[:5]} gone; give it the same parameters, in any order"
            )
    for key, shape in saved["shapes"].items():
        if own["shapes"][key] != shape:
            raise CheckpointError(
                f"the state of `{key}` in `{name}` was saved for shape {tuple(shape[0])} {shape[1]}; the parameter is "
                f"{tuple(own['shapes'][key][0])} {own['shapes'][key][1]}"
            )


def _check_numbers(name: str, saved: Tree) -> None:
    """No rate and no state that a rule cannot have left."""
    for index, group in enumerate(saved["groups"]):
        rate = float(group.get("lr", 0.0))
        if not (math.isfinite(rate) and rate >= 0):
            raise CheckpointError(f"got {rate!r} for `lr` in group {index} of the saved `{name}`; load an earlier one")
        if not isinstance(group.get("step", 0), int) or group.get("step", 0) < 0:
            raise CheckpointError(f"got {group['step']!r} for `step` in group {index} of the saved `{name}`")
    for key, entry in saved["state"].items():
        for kind, value in entry.items():
            if not isinstance(value, Tensor) or value.is_complex() or not value.is_floating_point():
                continue
            bad = "values that are not finite" if not value.isfinite().all() else ""
            if not bad and kind in (*NEVER_NEGATIVE, "step") and (value < 0).any():
                bad = "negative values"
            if bad:
                raise CheckpointError(f"`{kind}` of `{key}` in the saved `{name}` holds {bad}; load an earlier one")


def _positional(part: torch.optim.Optimizer, own: Tree, saved: Tree) -> Tree:
    """The saved state in the order of this optimizer's parameters, as torch numbers them."""
    groups = part.state_dict()["param_groups"]
    numbers = {n: i for mine, group in zip(own["groups"], groups, strict=True)
               for n, i in zip(mine["params"], group["params"], strict=True)}  # fmt: skip
    return {
        **saved["beside"],
        "state": {**saved["other"], **{numbers[key]: dict(entry) for key, entry in saved["state"].items()}},
        "param_groups": [
            {**theirs, "params": group["params"]} for theirs, group in zip(saved["groups"], groups, strict=True)
        ],
    }


def _same_hypers(name: str, part: Optimizer, index: int, group: Tree, change: Change) -> None:
    """One of tapered's groups has the hypers and schedules that were saved."""
    if change.saved_hold:
        return
    values = dict(flat(part, group, index))
    for hyper, value in values.items():
        if hyper not in change.hypers:
            try:
                choose(part, index, hyper, group, value, None)
            except ValueError as error:
                raise CheckpointError(_differs(name, str(error).partition(";")[0])) from None


def _same_group(name: str, own: Tree, saved: Tree, index: int, change: Change, *, driven: bool) -> None:
    """A torch group has the options that were saved; a rate may have been moved by the run itself."""
    mine, theirs = own["groups"][index], saved["groups"][index]
    if change.saved_hold:
        return
    for key in sorted({*mine, *theirs} - {"params", "initial_lr", *_hypers_of(change)}):
        one, other = mine.get(key), theirs.get(key)
        numbers = not isinstance(one, bool) and isinstance(one, (int, float, Tensor, tuple, list))
        started = key == "lr" and "initial_lr" in theirs and same(theirs["initial_lr"], mine.get("initial_lr", one))
        default = own["defaults"].get(key)
        moved = default is not None and same(one, default) and same(saved["defaults"].get(key), default)
        if _equal(one, other) or started or (numbers and (driven or moved)):
            continue
        raise CheckpointError(
            _differs(name, f"`{key}` in group {index} differs: saved {other!r:.80}, this optimizer's {one!r:.80}")
        )


def _hypers_of(change: Change) -> set[str]:
    return set(change.hypers)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return same(one, other) if not isinstance(one, Tensor) else float(one) == float(other)


def _differs(name: str, what: str) -> str:
    return (
        f"`{name}`: {what}; to go on as before, build it as it was, or resume(..., hypers='saved') where the run had "
        f"moved it; for a new value, fork(..., lr=...)"
    )


def _uncast(part: torch.optim.Optimizer, state: Tree) -> None:
    """torch casts state to its parameter's dtype; float32 moments of bfloat16 weights come back as they were."""
    numbers = chain.from_iterable(group["params"] for group in state["param_groups"])
    params = chain.from_iterable(group["params"] for group in part.param_groups)
    for number, param in zip(numbers, params, strict=True):
        for key, value in state["state"].get(number, {}).items():
            took = part.state[param].get(key)
            if type(took) is Tensor and isinstance(value, Tensor) and took.dtype != value.dtype:
                part.state[param][key] = value.to(took.device)
