"""timm's create_scheduler_v2: its arguments to those of the class that it makes."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from tapered.convert.calls import Call
from tapered.schedules.checks import suggestion

SCHEDS = ("cosine", "tanh", "step", "constant", "multistep", "poly", "wsd", "rsqrt", "plateau", "none")


def create_scheduler_v2(  # noqa: D103  # a signature to bind to
    sched: str = "cosine",
    num_epochs: int = 300,
    decay_epochs: float | None = None,
    decay_milestones: Sequence[int] = (90, 180, 270),
    cooldown_epochs: int = 0,
    patience_epochs: int = 10,
    decay_rate: float = 0.1,
    min_lr: float = 0.0,
    warmup_lr: float = 1e-5,
    warmup_epochs: int = 0,
    warmup_prefix: bool = False,  # noqa: FBT001, FBT002  # timm's order
    noise: float | Sequence[float] | None = None,
    noise_pct: float = 0.67,
    noise_std: float = 1.0,
    noise_seed: int = 42,
    cycle_mul: float = 1.0,
    cycle_decay: float = 0.1,
    cycle_limit: int = 1,
    k_decay: float = 1.0,
    decay_fn: str | None = None,
    stable_timescale: float | None = None,
    plateau_mode: str = "max",
    step_on_epochs: bool = True,  # noqa: FBT001, FBT002  # as above
    updates_per_epoch: int = 0,
) -> None: ...


def created(call: Call) -> Call:
    """The class and arguments that create_scheduler_v2 makes of its own."""
    if call.name != "create_scheduler_v2":
        call = Call("create_scheduler_v2", (call.name, *call.args), call.kwargs)
    given = call.bound(inspect.signature(create_scheduler_v2))
    sched = given["sched"]
    if sched not in SCHEDS:
        raise ValueError(f"timm has no scheduler {sched!r}{suggestion(str(sched), SCHEDS)}; it has {', '.join(SCHEDS)}")
    if sched == "plateau":
        return Call("PlateauLRScheduler", (), _plateau(given))
    per = 1 if given["step_on_epochs"] else given["updates_per_epoch"]
    if per <= 0:
        raise ValueError(f"updates_per_epoch must be above 0 where step_on_epochs=False, got {per}")
    name, args, arguments = _class(sched, given, per)
    return Call(name, args, arguments | {"t_in_epochs": given["step_on_epochs"]})


def _plateau(given: Mapping[str, Any]) -> dict[str, Any]:
    if not given["step_on_epochs"]:
        raise ValueError("timm's plateau is stepped once an epoch; leave step_on_epochs=False out")
    kept = {
        "decay_rate": "decay_rate",
        "patience_epochs": "patience_t",
        "warmup_epochs": "warmup_t",
        "min_lr": "lr_min",
    }
    kept |= {"warmup_lr": "warmup_lr_init", "plateau_mode": "mode"}
    return {to: given[key] for key, to in kept.items()} | _noise_arguments(given, given["num_epochs"])


def _class(sched: str, given: Mapping[str, Any], per: int) -> tuple[str, tuple[()], dict[str, Any]]:
    total, warm = given["num_epochs"] * per, given["warmup_epochs"] * per
    warmup = {"warmup_t": warm, "warmup_lr_init": given["warmup_lr"]}
    common = _noise_arguments(given, total)
    prefixed = warmup | {"warmup_prefix": given["warmup_prefix"]} | common
    cycled = prefixed | {key: given[key] for key in ("cycle_mul", "cycle_decay", "cycle_limit")}
    cycled |= {"t_initial": total, "lr_min": given["min_lr"]}
    if sched in ("wsd", "rsqrt"):
        return "WSDLRScheduler", (), warmup | common | _stable(sched, given, per, total, warm)
    decay = 90 if given["decay_epochs"] is None else given["decay_epochs"]
    still = {"decay_t": 1, "decay_rate": 1.0}
    stones = tuple(stone * per for stone in given["decay_milestones"])
    classes = {
        "cosine": ("CosineLRScheduler", cycled | {"k_decay": given["k_decay"]}),
        "tanh": ("TanhLRScheduler", cycled),
        "poly": ("PolyLRScheduler", cycled | {"k_decay": given["k_decay"], "power": given["decay_rate"]}),
        "step": ("StepLRScheduler", prefixed | {"decay_t": decay * per, "decay_rate": given["decay_rate"]}),
        "constant": ("StepLRScheduler", prefixed | still),
        "multistep": ("MultiStepLRScheduler", prefixed | {"decay_t": stones, "decay_rate": given["decay_rate"]}),
        "none": ("StepLRScheduler", still),
    }
    name, arguments = classes[sched]
    return name, (), arguments


def _stable(sched: str, given: Mapping[str, Any], per: int, total: int, warm: int) -> dict[str, Any]:
    length = total if given["warmup_prefix"] else total - warm
    decay = 0.2 if given["decay_epochs"] is None else given["decay_epochs"]
    scale, slow = given["stable_timescale"], sched == "rsqrt"
    return {
        "t_initial": length,
        "decay_t": round(decay * length if 0 < decay < 1 else decay * per),
        "lr_min": given["min_lr"],
        "stable_fn": "rsqrt" if slow else "constant",
        "stable_timescale": None if scale is None else scale * per,
        "decay_fn": given["decay_fn"] or ("linear" if slow else "1-sqrt"),
    }


def _noise_arguments(given: Mapping[str, Any], total: int) -> dict[str, Any]:
    noise = given["noise"]
    if noise is None:
        return {}
    many = [part * total for part in noise] if isinstance(noise, (list, tuple)) else [noise * total]
    span = many[0] if len(many) == 1 else many
    return {"noise_range_t": span} | {key: given[key] for key in ("noise_pct", "noise_std", "noise_seed")}
