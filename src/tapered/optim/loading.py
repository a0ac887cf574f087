"""State dicts of tapered's optimizers: written so that torch loads them, read only after everything was checked."""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tapered.optim.hints import HINTS
from tapered.optim.hypers import items, names, number
from tapered.optim.policies import ADVICE, Reload
from tapered.rules import State
from tapered.schedules import Schedule, parse
from tapered.shards import anywhere

if TYPE_CHECKING:
    from tapered.optim.resumable import Resumable

NEVER_NEGATIVE = ("exp_avg_sq", "max_exp_avg_sq", "exp_inf", "square_avg", "acc_delta", "sum")


def as_text(state_dict: dict[str, Any]) -> dict[str, Any]:
    """Schedules as text; parameters that were never updated left out, as torch does.

    Before the first update every state that was made stays: `torch.distributed.checkpoint` loads into it.
    """
    for group in state_dict["param_groups"]:
        group["schedules"] = {name: str(schedule) for name, schedule in group["schedules"].items()}
    if any(group["step"] for group in state_dict["param_groups"]):
        state_dict["state"] = {key: state for key, state in state_dict["state"].items() if state and int(state["step"])}
    return state_dict


def resumed(
    optimizer: "Resumable", saved: Mapping[str, Any], reload: Reload
) -> tuple[list[dict[str, Any]], dict[Tensor, dict[str, Any]]]:
    """The groups and states that `optimizer` would have after loading `saved`; the optimizer is not touched.

    Raises:
        ValueError: what does not fit, with group, parameter and both values.
    """
    if not {"state", "param_groups"} <= saved.keys():
        raise ValueError(
            f"got a state with the keys {sorted(saved)}; expected state and param_groups; "
            "try optimizer.load_state_dict(checkpoint['optimizer'])"
        )
    own, groups = optimizer.param_groups, saved["param_groups"]
    sizes = [len(g["params"]) for g in own], [len(g["params"]) for g in groups]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"got a state of groups with {sizes[1]} parameters; this optimizer's have {sizes[0]}; build it with "
            "the saved groups, then load"
        )
    steps = counted(saved)
    merged = [merge(optimizer, index, group, reload, steps) for index, group in enumerate(groups)]
    if steps and not saved["state"] and any(optimizer.rule(g).init(g["params"][0].detach().to("meta")) for g in merged):
        raise ValueError(
            f"got a state of {steps} completed updates with an empty `state`: the moments are lost, and the rate would "
            "go on without them; try the whole optimizer.state_dict()"
        )
    state = {}
    for index, group in enumerate(merged):
        rule = optimizer.rule(group)
        for key, param in zip(groups[index]["params"], own[index]["params"], strict=True):
            given = {k: v for k, v in saved["state"].get(key, {}).items() if v is not None}
            if given:
                shapes = rule.init(param.detach().to("meta"))
                state[param] = tensors_of(given, shapes, param, f"parameter {key} in group {index}", steps)
    return merged, state


def counted(saved: Mapping[str, Any]) -> int | None:
    """Completed updates: tapered's counter, or the most that torch counted for a parameter; None where neither is."""
    ours = [group["step"] for group in saved["param_groups"] if "step" in group]
    theirs = [state["step"] for state in saved["state"].values() if state.get("step") is not None]
    without = [key for key, state in saved["state"].items() if state and state.get("step") is None]
    if theirs and without:
        raise ValueError(
            f"parameters {without} have no `step` in the saved state, the others have; it is damaged, load "
            "an earlier one"
        )
    for step in ours + theirs:
        single = isinstance(step, (int, float)) or (isinstance(step, Tensor) and step.numel() == 1)
        if not single or not float(step).is_integer() or step < 0:
            raise ValueError(f"got {step!r:.80} for `step` in the saved state; expected a whole number >= 0")
    return int(max(ours or theirs)) if ours or theirs else None


def merge(
    optimizer: "Resumable", index: int, saved: Mapping[str, Any], reload: Reload, steps: int | None
) -> dict[str, Any]:
    """One group after loading: hypers and options by the policy; what says how to run stays as it is."""
    own = optimizer.param_groups[index]
    group = {**own, "schedules": {}, "step": steps or 0}
    missing = [key for key in optimizer.hyper_keys if key not in saved]
    if missing:
        raise ValueError(
            f"got a saved group {index} without {missing}: the state of another optimizer than "
            f"{type(optimizer).__name__}; its keys are {sorted(saved)}; load it into "
            "the optimizer that saved it"
        )
    check_fit(optimizer, index, saved)
    for key in optimizer.hyper_keys:
        given = items(key, saved[key], index)
        chosen = [
            choose(optimizer, index, name, saved, value, reload, steps or 0)
            for name, value in zip(names(key), given, strict=True)
        ]
        group[key] = tuple(chosen) if len(chosen) > 1 else chosen[0]
        optimizer.split(group, key, index)
    if group["schedules"] and steps is None:
        raise ValueError(
            f"got a state without a step count, and group {index} has schedules ({group['schedules']}); "
            f"try state_dict['param_groups'][{index}]['step'] = completed updates"
        )
    for key in optimizer.defaults.keys() - {*optimizer.hyper_keys, *HINTS}:
        group[key] = bool(saved.get(key, own[key]))
    return group | {key: saved[key] for key in ("initial_lr", "clock") if key in saved}


def check_fit(optimizer: "Resumable", index: int, saved: Mapping[str, Any]) -> None:
    """A saved group's schedules are of this optimizer's hypers, and its parameters' names stand in the same order."""
    known = [name for key in optimizer.hyper_keys for name in names(key)]
    unknown = [name for name in saved.get("schedules", {}) if name not in known]
    if unknown:
        raise ValueError(
            f"got `schedules` of {unknown} in the saved group {index}; {type(optimizer).__name__} has {known}; "
            "leave them out"
        )
    theirs, mine = (group.get("param_names") or () for group in (saved, optimizer.param_groups[index]))
    if theirs and mine and (differ := [(a, b) for a, b in zip_longest(theirs, mine) if a != b]):
        raise ValueError(
            f"`params` in group {index} has {differ[0][1]!r} where the saved state has {differ[0][0]!r}; state is kept "
            "by position; give the parameters in the saved order"
        )


def choose(
    optimizer: "Resumable", index: int, name: str, saved: Mapping[str, Any], value: Any, reload: Reload, step: int
) -> Any:
    """The number or schedule that holds for one hyper after loading."""
    own, where = optimizer.param_groups[index], f"`{name}` in group {index}"
    mine = own["schedules"].get(name, dict(flat(optimizer, own, index))[name])
    text = saved.get("schedules", {}).get(name)
    theirs = number(name, value, index, optimizer.ranges[name]) if text is None else text
    scheduled, torchs = isinstance(mine, Schedule), "schedules" not in saved  # torch's states know of no schedules
    if scheduled and text is not None:
        return reload.chosen(where, mine, text, step)
    if reload.policy == "replace":
        return reload.placed(where, mine, step) if scheduled else mine
    if reload.policy == "saved" or (reload.policy == "extend" and not scheduled):
        return theirs if text is None else parse(text)
    if scheduled and torchs and reload.policy == "resume":
        return mine
    if not scheduled and text is None and mine in (theirs, saved.get("initial_lr") if name == "lr" else theirs):
        return theirs
    raise ValueError(f"{where} differs: saved {theirs}, this optimizer's {mine}; {ADVICE}")


def flat(optimizer: "Resumable", group: Mapping[str, Any], index: int) -> Iterator[tuple[str, float]]:
    """Every hyper of a group by its own name, as shown."""
    for key in optimizer.hyper_keys:
        yield from zip(names(key), map(float, items(key, group[key], index)), strict=True)


def tensors_of(
    given: Mapping[str, Any], like: Mapping[str, Tensor], param: Tensor, where: str, steps: int | None
) -> State:
    """One parameter's state, copied to where its parameter is.

    Raises:
        ValueError: a tensor missing, left over, of another shape, not finite, or negative where squares are summed.
    """
    if given.keys() - {"step"} != like.keys():
        raise ValueError(f"{where} has the saved state {sorted(given)}; expected {sorted(like)} (and step)")
    for name, wanted in like.items():
        found = torch.as_tensor(given[name])
        if found.shape != wanted.shape:
            raise ValueError(
                f"`{name}` of {where} has the saved shape {tuple(found.shape)}; expected {tuple(wanted.shape)}"
            )
        kind = "values that are not finite" if anywhere(~found.isfinite()) else ""
        if not kind and name in NEVER_NEGATIVE and not found.is_complex() and anywhere(found < 0):
            kind = "negative values"
        if kind:
            raise ValueError(f"`{name}` of {where} holds {kind}; the saved state is damaged, load an earlier one")
    # torch's SGD counts nothing, but a buffer shows that there was a step
    count = float(given.get("step", max(steps or 0, 1)))
    device = param.device if param.is_cuda else "cpu"
    moved = {
        name: torch.as_tensor(given[name]).detach().to(dtype=wanted.dtype, device=param.device, copy=True)
        for name, wanted in like.items()
    }
    return {"step": torch.tensor(count, dtype=torch.float32, device=device), **moved}
