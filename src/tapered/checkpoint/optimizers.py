"""Optimizers as parts: their state by parameter name, shape and dtype, never by position; a fork's new rate.

optimizer.state_dict()                    saved
state: {0: {...}, 1: {...}}        ─►     state: {"model.0.weight": {...}, ...}
groups: [{params: [0, 1], lr}]            groups: [{params: ["model.0.weight", ...], lr}]      shapes, defaults
"""

import math
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from tapered.attach import clock_of
from tapered.checkpoint import forked
from tapered.checkpoint.change import Change
from tapered.checkpoint.hypers import same_clock, same_group, same_schedules, scheduled
from tapered.files.errors import CheckpointError
from tapered.optim import Optimizer
from tapered.optim.freezing import KEY as ACTS
from tapered.optim.loading import NEVER_NEGATIVE

Tree = dict[str, Any]


def state_of(name: str, part: torch.optim.Optimizer, names: Mapping[int, str], parts: Iterable[Any]) -> Tree:
    """An optimizer's state by parameter name.

    Raises:
        CheckpointError: a parameter, or a scheduler that writes its rate, is not among the parts.
    """
    if hasattr(part.step, "_wrapped_by_lr_sched") and not any(
        isinstance(other, LRScheduler) and other.optimizer is part for other in parts
    ):
        raise CheckpointError(
            f"a torch scheduler was made for `{name}` and is not among the parts, so the rate would be wrong after a "
            f"resume; give it too (scheduler=scheduler), or, where it is gone, `del {name}.step`"
        )
    listed = [[_name(name, names, g, i, p) for i, p in enumerate(group["params"])]
              for g, group in enumerate(part.param_groups)]  # fmt: skip
    try:
        state = part.state_dict()
    except RuntimeError as error:  # within readout the parts are not those that are trained
        raise CheckpointError(f"`{name}` cannot be saved: {error}") from None
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
    schedulers = [other for other in parts if isinstance(other, LRScheduler) and other.optimizer is part]
    own = state_of(name, part, names, schedulers)
    _check_groups(name, own, saved)
    _check_numbers(name, saved)
    clock = clock_of(part)
    same_clock(name, clock, saved, change)
    state = _positional(part, own, saved)
    for index, group in enumerate(state["param_groups"]):
        if isinstance(part, Optimizer):
            same_schedules(name, part, index, group, change, clock)
        but = scheduled(part, (group, part.param_groups[index]))
        same_group(name, own, saved, index, change, driven=bool(schedulers or clock), but=but)
    _freeze(name, part, state)
    after = forked.write(name, part, state, change, schedulers)
    blank = isinstance(part, Optimizer) and not state["state"]

    def apply() -> None:
        if isinstance(part, Optimizer):
            part.load_state_dict(_blank(part, state) if blank else state, policy="saved")
        else:
            part.load_state_dict(state)
        if blank or not change.keep_moments:
            part.state.clear()
        _uncast(part, state)
        after()

    return apply


def _freeze(name: str, part: torch.optim.Optimizer, state: Tree) -> None:
    """The acts of a state, and those of an optimizer of tapered's that are still to come.

    Raises:
        CheckpointError: something was to be frozen or unfrozen before, and was not.
    """
    if isinstance(part, Optimizer) and (found := state["param_groups"]):
        own = part._freezing.copied()  # noqa: SLF001  # the optimizer's other half
        try:
            own.take(own.merged(found[0].get(ACTS), found[0].get("step", 0)))
        except ValueError as error:
            raise CheckpointError(f"`{name}`: {error}") from None
        state["param_groups"] = [{**group, ACTS: own.saved} for group in found]


def _blank(part: Optimizer, state: Tree) -> Tree:
    """Fresh rule state: an empty one could be a lost one and is refused; a fork that drops the moments has it."""
    entries: dict[int, Any] = {}
    for group, own in zip(state["param_groups"], part.param_groups, strict=True):
        rule = part.rule(own)
        for number, param in zip(group["params"], own["params"], strict=True):
            entries[number] = {"step": torch.zeros(()), **rule.init(param.detach())}
    return {**state, "state": entries}


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


def _uncast(part: torch.optim.Optimizer, state: Tree) -> None:
    """torch casts state to its parameter's dtype; float32 moments of bfloat16 weights come back as they were."""
    numbers = chain.from_iterable(group["params"] for group in state["param_groups"])
    params = chain.from_iterable(group["params"] for group in part.param_groups)
    for number, param in zip(numbers, params, strict=True):
        for key, value in state["state"].get(number, {}).items():
            took = part.state.get(param, {}).get(key)
            if type(took) is Tensor and isinstance(value, Tensor) and took.dtype != value.dtype:
                part.state[param][key] = value.to(took.device)
