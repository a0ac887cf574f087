"""timm's schedulers, by create_scheduler_v2's arguments, as a class's call, or live. timm need not be installed."""

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tapered.convert.calls import Call, read_call
from tapered.convert.plateaus import TIMM, TIMM_TAKES, timm_plateau
from tapered.convert.result import Conversion, conversion, rates, scaled, switched
from tapered.convert.timm_create import SCHEDS, created
from tapered.convert.timm_forms import Forms
from tapered.schedules import Schedule, constant, from_function
from tapered.schedules.operators import multiplied

CLASSES = tuple(name for name in vars(Forms) if not name.startswith("_"))
EPOCHS = (
    "timm counts epochs here; kept: that, so one step of the schedule is one epoch; "
    "found.schedule.in_epochs(updates_per_epoch) counts updates"
)
SCALED = (
    "timm multiplies by each group's lr_scale: .schedules have it in them, so attach those with multiplier=None; "
    ".schedule is without it, for attach(optimizer, lr=found.schedule), which multiplies by it too"
)
# What every class takes beside its own: none of it moves the rate but the noise.
COMMON = ("t_in_epochs", "noise_range_t", "noise_type", "noise_pct", "noise_std", "noise_seed", "initialize")
DRAWS = 10_000  # of noise, after which none fits


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
        """The factor at a step; none at step 0, which has the rate that timm's constructor writes."""
        if step == 0 or step < self.first or (self.last is not None and step >= self.last):
            return 1.0
        generator = torch.Generator().manual_seed(self.seed + step)
        if self.uniform:
            return 1.0 + 2 * (torch.rand(1, generator=generator).item() - 0.5) * self.pct
        for _ in range(DRAWS):
            drawn = torch.randn(1, generator=generator).item() * self.std
            if abs(drawn) < self.pct:
                return 1.0 + drawn
        raise ValueError(f"noise_pct={self.pct:g} is so small that timm's noise is drawn for ever; try noise_pct=0.67")


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
        ValueError: an unknown name; arguments that timm refuses too.
        TypeError: arguments that it does not take.

    Example:
        >>> from_timm("cosine", lr=0.1, num_epochs=90, warmup_epochs=10, warmup_prefix=True).schedule
        linear(1e-05, end=0.1, steps=10).then(cosine_decay(0.1, decay_steps=90))
    """
    notes: list[str] = []
    if not isinstance(source, str):
        lr, call = _live(source, lr)
    elif source in SCHEDS or source in CLASSES or source == TIMM:
        call = Call(source, (), arguments)
    else:
        read = read_call(source)
        call = Call(read.name, read.args, {**read.kwargs, **arguments})
    bases = rates(lr, 'from_timm("cosine", lr=0.1, num_epochs=90)')
    if call.name not in (*CLASSES, TIMM):
        call = created(call)
    if call.name == TIMM:
        return timm_plateau(source, bases, call)
    if call.kwargs.get("t_in_epochs", True):
        notes.append(EPOCHS)
    noise = _noise(call.kwargs, notes, exact=exact)
    kept = Call(call.name, call.args, {key: value for key, value in call.kwargs.items() if key not in COMMON})
    found = [_schedule(kept, base, notes, exact=exact) for base in bases]
    if noise is not None:
        found = [multiplied(schedule, from_function(noise)) for schedule in found]
    return _in_groups(found, getattr(source, "optimizer", None), notes)


def _in_groups(found: list[Schedule], optimizer: Any, notes: list[str]) -> Conversion:
    """With the `lr_scale` of each group, which timm multiplies its values by."""
    groups = () if optimizer is None else optimizer.param_groups
    scales = [float(group.get("lr_scale", 1.0)) for group in groups]
    notes += [
        f"group {late} came after the scheduler, which passes over it; convert it on its own"
        for late in range(len(found), len(scales))
    ]
    if all(scale == 1.0 for scale in scales):
        return conversion(found, notes)
    if len(scales) < len(found):
        raise ValueError(f"got {len(found)} rates for {len(scales)} groups of the scheduler's optimizer; give one each")
    notes.append(SCALED)
    return conversion([scaled(scale, one) for scale, one in zip(scales, found, strict=False)], notes, found)


def _schedule(call: Call, base: float, notes: list[str], *, exact: bool) -> Schedule:
    form = getattr(Forms(base, notes, exact=exact), call.name)
    given = call.bound(inspect.signature(form))
    try:
        found: Schedule = form(**given)
    except ValueError as error:
        raise ValueError(f"timm's {call.name}: {error}") from None
    return _begun(found, given, base, notes)


def _begun(found: Schedule, given: Mapping[str, Any], base: float, notes: list[str]) -> Schedule:
    """With step 0 as timm's constructor writes it; its first call is that for step 1."""
    first = float(given["warmup_lr_init"]) if given["warmup_t"] else base
    if math.isclose(found(0), first, rel_tol=1e-12, abs_tol=1e-300):
        return found
    notes.append(
        f"timm trains step 0 at the rate that its constructor writes, {first:.6g}, where its formula has "
        f"{found(0):.6g}; kept: that (step(0) and step_update(0) would write the formula's)"
    )
    return switched(constant(first), found, 1)


def _live(source: Any, lr: Any) -> tuple[Any, Call]:
    name = type(source).__name__
    if name not in (*CLASSES, TIMM) or not hasattr(source, "base_values"):
        raise TypeError(f"from_timm takes a name, a call as text or a timm scheduler, got {source!r:.80}")
    takes = (*(TIMM_TAKES if name == TIMM else inspect.signature(getattr(Forms, name)).parameters), *COMMON)
    given = {key: value for key, value in vars(source).items() if key in takes}
    if given.get("stable_fn") == "constant":
        given.pop("stable_timescale", None)
    return tuple(source.base_values) if lr is None else lr, Call(name, (), given)


def _noise(given: Mapping[str, Any], notes: list[str], *, exact: bool) -> Noise | None:
    span = given.get("noise_range_t")
    if span is None:
        return None
    if isinstance(span, (list, tuple)) and len(span) < 2:
        raise ValueError(f"timm's noise_range_t is one number, from there on, or two, got {span}")
    if not exact:
        notes.append("timm adds noise, another draw at each step; kept: the curve without it (exact=True keeps it)")
        return None
    notes.append("timm adds noise, another draw at each step; kept: that, as a function, which is no text")
    first, last = span[:2] if isinstance(span, (list, tuple)) else (span, None)
    seed = given.get("noise_seed")
    return Noise(
        first,
        last,
        given.get("noise_pct", 0.67),
        given.get("noise_std", 1.0),
        42 if seed is None else seed,
        given.get("noise_type", "normal") != "normal",
    )
