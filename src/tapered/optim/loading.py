"""State dicts of tapered's optimizers: written so that torch loads them, read only after everything was checked."""

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tapered.optim.freezing import KEY
from tapered.optim.hints import HINTS
from tapered.optim.hypers import items, names, number
from tapered.optim.policies import ADVICE, Reload
from tapered.optim.states import count_of, names_of
from tapered.rules import Rule
from tapered.rules.shards import anywhere, is_shared
from tapered.schedules import Schedule

if TYPE_CHECKING:
    from tapered.optim.resumable import Resumable

LATER = {"momentum_buffer"}  # made when momentum sets in
MOMENTS = {
    "exp_avg",
    "exp_avg_sq",
    "max_exp_avg_sq",
    "exp_inf",
    "square_avg",
    "grad_avg",
    "acc_delta",
    "sum",
    "z",
} | LATER
NEVER_NEGATIVE = ("exp_avg_sq", "max_exp_avg_sq", "exp_inf", "square_avg", "acc_delta", "sum")


def resumed(
    optimizer: "Resumable", saved: Mapping[str, Any], reload: Reload, *, dropped: bool = False
) -> tuple[list[dict[str, Any]], list[dict[str, Schedule]], dict[Any, Any]]:
    """The groups, their schedules and the states after loading `saved`; the optimizer is not touched.

    Args:
        optimizer: what loads.
        saved: a state dict.
        reload: what holds where schedules differ.
        dropped: the states were left out on purpose.

    Raises:
        ValueError: what does not fit, with group, parameter and both values.
    """
    if not {"state", "param_groups"} <= saved.keys():
        raise ValueError(
            f"got a state with the keys {sorted(map(str, saved))}; expected state and param_groups; "
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
    pairs = [merge(optimizer, index, group, reload, steps) for index, group in enumerate(groups)]
    merged, follows = [group for group, _ in pairs], [found for _, found in pairs]
    trained = [group for group in merged if any(p.requires_grad for p in group["params"])]
    if steps and not saved["state"] and not dropped and any(names_of(optimizer.rule(group)) for group in trained):
        raise ValueError(
            f"got a state of {steps} completed updates with an empty `state`: the moments are lost, and the rate would "
            "go on without them; try the whole optimizer.state_dict()"
        )
    state = dict(saved["state"])
    for index, group in enumerate(merged):
        rule = optimizer.rule(group)
        for key, param in zip(groups[index]["params"], own[index]["params"], strict=True):
            entry = state.pop(key, {})
            given = {k: v for k, v in entry.items() if v is not None} if isinstance(entry, Mapping) else entry
            if given:
                state[param] = state_of(given, rule, param, f"parameter {key} in group {index}", steps)
    return merged, follows, state


def counted(saved: Mapping[str, Any]) -> int | None:
    """Completed updates: tapered's counter, or the most that torch counted for a parameter; None where neither is."""
    ours = [group["step"] for group in saved["param_groups"] if "step" in group]
    states = {key: state for key, state in saved["state"].items() if isinstance(state, Mapping)}
    theirs = [state["step"] for state in states.values() if state.get("step") is not None]
    without = [key for key, state in states.items() if state.get("step") is None and MOMENTS & state.keys()]
    if theirs and without:
        raise ValueError(
            f"parameters {without} have no `step` in the saved state, the others have; it is damaged, load "
            "an earlier one"
        )
    for step in ours + theirs:
        single = isinstance(step, (int, float)) or (isinstance(step, Tensor) and step.numel() == 1)
        if not single or not float(step).is_integer() or step < 0:
            raise ValueError(f"got {step!r:.80} for `step` in the saved state; expected a whole number >= 0")
    # torch's optimizer keeps our count as somebody's key, and goes on counting in its own
    return int(max(ours + theirs)) if ours or theirs else None


def merge(
    optimizer: "Resumable", index: int, saved: Mapping[str, Any], reload: Reload, steps: int | None
) -> tuple[dict[str, Any], dict[str, Schedule]]:
    """One group after loading, and its schedules: hypers and options by the policy, others' keys as torch takes them.

    What says how to run stays as it is.
    """
    own, follows = optimizer.param_groups[index], dict[str, Schedule]()
    keep = {"params", "schedules", "step", KEY, *optimizer.defaults}
    others = {key: copy.deepcopy(value) for key, value in saved.items() if key not in keep}
    group = {**own, **others, "schedules": {}, "step": steps or 0}
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
        optimizer.split(group, follows, key, index)
    if follows and steps is None:
        raise ValueError(
            f"got a state without a step count, and group {index} has schedules ({follows}); "
            f"try state_dict['param_groups'][{index}]['step'] = completed updates"
        )
    for key in optimizer.defaults.keys() - {*optimizer.hyper_keys, *HINTS}:
        group[key] = optimizer.fixed.get(key, bool(saved.get(key, own[key])))
    group["schedules"] = {name: str(schedule) for name, schedule in follows.items()}
    return group, follows


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
    moved = sorted(theirs) == sorted(mine)  # other names may be a wrapper's, as torch takes them
    if moved and (differ := [(a, b) for a, b in zip(theirs, mine, strict=True) if a != b]):
        raise ValueError(
            f"`params` in group {index} has {differ[0][1]!r} where the saved state has {differ[0][0]!r}; state is kept "
            "by position; give the parameters in the saved order"
        )


def choose(
    optimizer: "Resumable", index: int, name: str, saved: Mapping[str, Any], value: Any, reload: Reload, step: int
) -> Any:
    """The number or schedule that holds for one hyper after loading."""
    own, where = optimizer.param_groups[index], f"`{name}` in group {index}"
    # a number that was written into a late group holds where this optimizer's do; else the state's takes its place
    follows = optimizer.schedules[index] if reload.policy == "replace" else optimizer._resolved(index)  # noqa: SLF001
    mine: Any = follows.get(name)
    text = saved.get("schedules", {}).get(name)
    theirs = value if text is None else text
    number(name, value, index, optimizer.ranges[name])
    late = "joined" in own and reload.policy == "resume"  # it goes on as it was left, without a schedule of its own
    if mine is not None and text is not None and (not late or str(mine) == text):
        return reload.chosen(where, mine, text, step)
    if reload.policy == "replace":
        return flat(optimizer, own, index)[name] if mine is None else reload.placed(where, mine, step)
    if reload.policy == "extend" and mine is not None:
        raise ValueError(f"{where} differs: saved {theirs}, this optimizer's {mine}; {ADVICE}")
    if mine is None and text is None:
        return theirs  # a number is followed by nothing: it goes on as it was left
    if reload.policy in ("saved", "extend") or late:
        return theirs if text is None else optimizer.known(text)
    if mine is not None and "schedules" not in saved:
        return mine  # torch's states know of no schedules
    shown = flat(optimizer, own, index)[name] if mine is None else mine
    raise ValueError(f"{where} differs: saved {theirs}, this optimizer's {shown}; {ADVICE}")


def flat(optimizer: "Resumable", group: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Every hyper of a group by its own name, as shown."""
    return {
        name: value
        for key in optimizer.hyper_keys
        for name, value in zip(names(key), items(key, group[key], index), strict=True)
    }


def state_of(given: Any, rule: Rule, param: Tensor, where: str, steps: int | None) -> dict[str, Any]:
    """One parameter's state, copied to where its parameter is and laid out as it is; others' entries as torch does.

    Raises:
        ValueError: a tensor missing, of another shape, not finite, or negative where squares are summed.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f"{where} has {given!r:.80} as its saved state; expected a dict of tensors")  # noqa: TRY004
    like = rule.init(param.detach().to("meta"))
    missing = like.keys() - given.keys() - LATER
    if missing and given.keys() & (MOMENTS | {"step"}):
        raise ValueError(f"{where} has the saved state {sorted(given)}; expected {sorted(like)} (and step)")
    for name, wanted in like.items():
        if name in given:
            check_tensor(name, torch.as_tensor(given[name]), wanted, where)
    made = {
        name: placed(value, param, like[name].dtype if name in like else None)
        for name, value in given.items()
        if name != "step"
    }
    if not given.keys() & (MOMENTS | {"step"}):
        return made  # all of it is others'
    # torch's SGD counts nothing, but a buffer shows that there was a step
    count = float(given.get("step", max(steps or 0, 1)))
    return {"step": count_of(rule, param, count), **made}


def check_tensor(name: str, found: Tensor, wanted: Tensor, where: str) -> None:
    """A saved tensor may be used.

    Raises:
        ValueError: it is of another shape, not finite, or negative where squares are summed.
    """
    if found.shape != wanted.shape:
        raise ValueError(
            f"`{name}` of {where} has the saved shape {tuple(found.shape)}; expected {tuple(wanted.shape)}"
        )
    kind = "values that are not finite" if anywhere(~found.isfinite()) else ""
    if not kind and name in NEVER_NEGATIVE and not found.is_complex() and anywhere(found < 0):
        kind = "negative values"
    if kind:
        raise ValueError(f"`{name}` of {where} holds {kind}; the saved state is damaged, load an earlier one")


def placed(value: Any, param: Tensor, dtype: torch.dtype | None) -> Any:
    """A copy of a state entry beside its parameter: in the rule's dtype, or as torch casts what it does not know."""
    if not isinstance(value, Tensor):
        return copy.deepcopy(value)
    if dtype is None:
        dtype = param.dtype if param.is_floating_point() and value.is_floating_point() else value.dtype
    moved = value.detach().to(dtype=dtype, device=param.device, copy=True)
    if is_shared(param) or moved.shape != param.shape or moved.stride() == param.stride() or not moved.dim():
        return moved
    return torch.empty_like(param, dtype=dtype, requires_grad=False).copy_(moved)  # kernels want one layout
