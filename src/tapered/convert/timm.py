"""timm's schedulers, by create_scheduler_v2's arguments, as a class's call, or live. timm need not be installed."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tapered.convert.calls import Call, read_call
from tapered.convert.result import Conversion, conversion, rates
from tapered.convert.timm_forms import Forms
from tapered.schedules import Schedule, from_function
from tapered.schedules.checks import suggestion

CLASSES = tuple(name for name in vars(Forms) if not name.startswith("_"))
SCHEDS = ("cosine", "tanh", "step", "constant", "multistep", "poly", "wsd", "rsqrt", "plateau", "none")
# What every class takes beside its own: none of it moves the rate but the noise.
COMMON = ("t_in_epochs", "noise_range_t", "noise_type", "noise_pct", "noise_std", "noise_seed", "initialize")


@dataclass(frozen=True)
class Noise:
    """step -> 1 + timm's noise there, drawn from torch's generator seeded with noise_seed + step, as timm does."""

    first: float
    last: float | None = None
    pct: float = 0.67
    std: float = 1.0
    seed: int = 42
    uniform: bool = False

    def __call__(self, step: int) -> float:
        """The factor at a step."""
        if step < self.first or (self.last is not None and step >= self.last):
            return 1.0
        generator = torch.Generator().manual_seed(self.seed + step)
        if self.uniform:
            return 1.0 + 2 * (torch.rand(1, generator=generator).item() - 0.5) * self.pct
        while True:
            drawn = torch.randn(1, generator=generator).item() * self.std
            if abs(drawn) < self.pct:
                return 1.0 + drawn


def from_timm(
    source: Any = "cosine", *, lr: float | Sequence[float] | None = None, exact: bool = False, **arguments: Any
) -> Conversion:
    """The schedules of a timm scheduler, one for each rate in `lr`, in the scheduler's own unit.

    That unit is the epoch unless create_scheduler_v2 is given step_on_epochs=False and updates_per_epoch: one step of
    the schedule is one of it.

    Args:
        source: create_scheduler_v2's `sched`; a class's name; a class's call as text; or a live scheduler.
        lr: The base rate, or one for each parameter group; taken from a live scheduler.
        exact: Keeps the noise, as a function, which cannot be written as text.
        **arguments: create_scheduler_v2's, or the class's.

    Raises:
        ValueError: plateau, which depends on the metric; an unknown name; arguments that timm refuses too.
        TypeError: arguments that it does not take.

    Example:
        >>> from_timm("cosine", lr=0.1, num_epochs=90, warmup_epochs=10, warmup_prefix=True).schedule
        linear(1e-05, end=0.1, steps=10).then(cosine_decay(0.1, decay_steps=90))
    """
    notes: list[str] = []
    if not isinstance(source, str):
        lr, call = _live(source, lr)
    elif source in SCHEDS or source in CLASSES or source == "PlateauLRScheduler":
        call = Call(source, (), arguments)
    else:
        read = read_call(source)
        call = Call(read.name, read.args, {**read.kwargs, **arguments})
    if call.name in ("plateau", "PlateauLRScheduler"):
        raise ValueError(
            f"timm's {call.name} lowers the rate by the metric it is shown, so it is no function of the step"
        )
    bases = rates(lr, 'from_timm("cosine", lr=0.1, num_epochs=90)')
    if call.name not in CLASSES:
        call = _created(call, notes)
    noise = _noise(call.kwargs, notes, exact=exact)
    kept = Call(call.name, call.args, {key: value for key, value in call.kwargs.items() if key not in COMMON})
    found = [_schedule(kept, base, notes, exact=exact) for base in bases]
    return conversion([schedule if noise is None else schedule * from_function(noise) for schedule in found], notes)


def _schedule(call: Call, base: float, notes: list[str], *, exact: bool) -> Schedule:
    form = getattr(Forms(base, notes, exact=exact), call.name)
    try:
        found: Schedule = form(**call.bound(inspect.signature(form)))
    except ValueError as error:
        raise ValueError(f"timm's {call.name}: {error}") from None
    return found


def _live(source: Any, lr: Any) -> tuple[Any, Call]:
    name = type(source).__name__
    if name not in (*CLASSES, "PlateauLRScheduler") or not hasattr(source, "base_values"):
        raise TypeError(f"from_timm takes a name, a call as text or a timm scheduler, got {source!r:.80}")
    takes = () if name not in CLASSES else (*inspect.signature(getattr(Forms, name)).parameters, *COMMON)
    given = {key: value for key, value in vars(source).items() if key in takes}
    if given.get("stable_fn") == "constant":
        given.pop("stable_timescale", None)
    return tuple(source.base_values) if lr is None else lr, Call(name, (), given)


def _noise(given: Mapping[str, Any], notes: list[str], *, exact: bool) -> Noise | None:
    span = given.get("noise_range_t")
    if span is None:
        return None
    if not exact:
        notes.append("timm adds noise, another draw at each step; kept: the curve without it (exact=True keeps it)")
        return None
    notes.append("timm adds noise, another draw at each step; kept: that, as a function, which is no text")
    first, last = span if isinstance(span, (list, tuple)) else (span, None)
    seed = given.get("noise_seed")
    return Noise(
        first,
        last,
        given.get("noise_pct", 0.67),
        given.get("noise_std", 1.0),
        42 if seed is None else seed,
        given.get("noise_type", "normal") != "normal",
    )


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


def _created(call: Call, notes: list[str]) -> Call:
    """The class and arguments that create_scheduler_v2 makes of its own."""
    sched = "cosine" if call.name == "create_scheduler_v2" else call.name
    given = call.bound(inspect.signature(create_scheduler_v2)) if call.name == "create_scheduler_v2" else None
    if given is None:
        given = Call("create_scheduler_v2", (sched, *call.args), call.kwargs).bound(
            inspect.signature(create_scheduler_v2)
        )
    sched = given["sched"]
    if sched not in SCHEDS:
        raise ValueError(f"timm has no scheduler {sched!r}{suggestion(str(sched), SCHEDS)}; it has {', '.join(SCHEDS)}")
    if sched == "plateau":
        raise ValueError("timm's plateau lowers the rate by the metric it is shown, so it is no function of the step")
    per = 1 if given["step_on_epochs"] else given["updates_per_epoch"]
    if per <= 0:
        raise ValueError(f"updates_per_epoch must be above 0 where step_on_epochs=False, got {per}")
    if given["step_on_epochs"]:
        notes.append("timm counts epochs here; kept: that, so one step of the schedule is one epoch")
    return Call(*_class(sched, given, per))


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
