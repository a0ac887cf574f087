"""Hooks of every kind: called in torch's order, with what torch gives them, and what they change holds."""

import copy
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch_templates.judge import Side
from torch_templates.problems import shown, slopes, weight
from torch_templates.template import template


@template(
    variants={
        f"{when}, {'with' if go else 'without'} gradients": {"when": when, "go": go}
        for when in ("pre", "post")
        for go in (True, False)
    }
)
def step_hooks(side: Side, *, when: str, go: bool) -> None:
    """Before and after each step, until the handle is removed."""
    param, calls = weight(side, 4), []
    optimizer = side.make([param])
    register = optimizer.register_step_pre_hook if when == "pre" else optimizer.register_step_post_hook
    handle = register(lambda *given: calls.append([given[0] is optimizer, list(map(type, given[1:]))]))
    for k in range(3):
        if go:
            slopes([param], k)
        if k == 2:
            handle.remove()
        optimizer.step()
        side.see("calls", len(calls))
    side.see("given", [str(call) for call in calls])
    shown(side, optimizer, [param], "all")


@template()
def all_step_hooks(side: Side) -> None:
    """Every optimizer's and this one's, in turn, around two optimizers over one parameter."""
    param, calls = weight(side, 2), []
    first, second = side.make([param]), side.torchs([param])
    hooks = [
        register_optimizer_step_pre_hook(lambda *_: calls.append("all before")),
        register_optimizer_step_post_hook(lambda *_: calls.append("all after")),
        *(o.register_step_pre_hook(lambda *_: calls.append("before")) for o in (first, second)),
        *(o.register_step_post_hook(lambda *_: calls.append("after")) for o in (first, second)),
    ]
    try:
        for optimizer in (first, second, first):
            optimizer.step()
            side.see("calls", list(calls))
    finally:
        for hook in hooks:
            hook.remove()
    first.step()
    side.see("calls when removed", len(calls))


@template(ways=("default", "fused=True"))
def step_hook_that_acts(side: Side) -> None:
    """A hook may clip gradients, give the step another closure, and write the rate."""
    param, losses = weight(side, 40), []
    optimizer = side.make([param])

    def before(own: Any, given: tuple[Any, ...], options: dict[str, Any]) -> Any:
        param.grad.clamp_(-0.5, 0.5)
        own.param_groups[0]["lr"] = 4e-3
        return (given[0], lambda: losses.append(len(losses)) or 7.0), options

    optimizer.register_step_pre_hook(before)
    for k in range(3):
        slopes([param], k)
        side.see("loss", optimizer.step(lambda: 1.0))
        shown(side, optimizer, [param], f"update {k}")
    side.see("closures", list(losses))


@template(variants={"pre": {"which": "pre"}, "post": {"which": "post"}, "both": {"which": "pre post"}})
def state_dict_hooks(side: Side, *, which: str) -> None:
    """Before saving, a hook may add to the state; after it, change what is saved."""
    optimizer = side.make([weight(side, 2, 3)])

    def before(own: Any) -> None:
        own.state["mark"] = 1

    def after(_own: Any, saved: dict[str, Any]) -> dict[str, Any]:
        return {**saved, "state": {}, "marked": saved["state"].pop("mark", None)}

    if "pre" in which:
        optimizer.register_state_dict_pre_hook(before)
    if "post" in which:
        optimizer.register_state_dict_post_hook(after)
    saved = optimizer.state_dict()
    side.see("saved", {"mark": saved["state"].get("mark", "none"), "marked": saved.get("marked", "none")})


@template(variants={"first": {"prepend": True}, "last": {"prepend": False}})
def load_hooks_before(side: Side, *, prepend: bool) -> None:
    """Before loading, hooks may write into the dict or give another; the latest to run holds."""
    param = weight(side, 2, 3)
    optimizer = side.make([param])
    state = optimizer.state_dict()

    def writes(_own: Any, saved: dict[str, Any]) -> None:
        saved["param_groups"][0]["lr"] = 0.002

    def gives(_own: Any, saved: dict[str, Any]) -> dict[str, Any]:
        other = copy.deepcopy(saved)
        other["param_groups"][0]["lr"] = 0.003
        return other

    optimizer.register_load_state_dict_pre_hook(writes)
    optimizer.load_state_dict(state)
    side.see("rate", float(optimizer.param_groups[0]["lr"]))
    optimizer.register_load_state_dict_pre_hook(gives, prepend=prepend)
    optimizer.load_state_dict(state)
    side.see("rate then", float(optimizer.param_groups[0]["lr"]))
    slopes([param], 0)
    optimizer.step()
    shown(side, optimizer, [param], "update 0")


@template(variants={"alone": {"both": False}, "with one before": {"both": True}})
def load_hooks_after(side: Side, *, both: bool) -> None:
    """After loading, a hook finds what was loaded, and may write into the optimizer."""
    param = weight(side, 2, 3)
    optimizer = side.make([param])

    def before(_own: Any, saved: dict[str, Any]) -> dict[str, Any]:
        other = copy.deepcopy(saved)
        other["param_groups"][0]["lr"] = 0.003
        return other

    def after(own: Any) -> None:
        own.state["found"] = float(own.param_groups[0]["lr"]) == 0.003
        own.state["ran"] = True

    if both:
        optimizer.register_load_state_dict_pre_hook(before)
    optimizer.register_load_state_dict_post_hook(after)
    slopes([param], 0)
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    side.see("hook", {key: optimizer.state[key] for key in ("found", "ran")})
    side.see("entries", sorted(str(key) for key in optimizer.state if isinstance(key, str)))
    slopes([param], 1)
    optimizer.step()
    shown(side, optimizer, [param], "update 1")


@template(ways=("default",))
def state_dict_hook_order(side: Side) -> None:
    """Hooks of saving in the order of their registration, one of them put in front."""
    optimizer, calls = side.make([weight(side, 3)]), []
    for name, prepend in (("a", False), ("b", False), ("c", True)):
        optimizer.register_state_dict_pre_hook(lambda _, name=name: calls.append(f"before {name}"), prepend=prepend)
        optimizer.register_state_dict_post_hook(lambda *_, name=name: calls.append(f"after {name}"), prepend=prepend)
        optimizer.register_load_state_dict_post_hook(lambda _, name=name: calls.append(f"load {name}"), prepend=prepend)
    optimizer.load_state_dict(optimizer.state_dict())
    side.see("calls", calls)


@template(ways=("default",))
def hooks_of_a_copy(side: Side) -> None:
    """A copy's hooks, as torch has them."""
    param, calls = weight(side, 3), []
    optimizer = side.make([param])
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    again = copy.deepcopy(optimizer)
    own = again.param_groups[0]["params"]
    slopes(own, 0)
    again.step()
    shown(side, again, own, "update 0")
    side.see("calls", len(calls))
    side.see("weights of the first", torch.equal(param, weight(side, 3)))
