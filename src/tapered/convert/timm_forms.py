"""The closed form of each of timm's schedulers: its constructor's arguments and a base rate to a schedule."""
# ruff: noqa: D102, FBT001, FBT002, N802  # the methods of Forms are the framework's own functions, in name and order

import bisect
import math
from collections.abc import Callable, Sequence

from tapered.convert.result import affine, joined, scaled, switched
from tapered.convert.timm_parts import falling_by, missed_restarts, stairs
from tapered.schedules import (
    Schedule,
    constant,
    cosine_decay,
    cosine_decay_restarts,
    hold,
    inverse_sqrt,
    linear,
    piecewise_constant,
    polynomial_decay,
    power_decay,
    tanh_decay,
)


class Forms:
    """A method for each of timm's classes, on one group's base rate."""

    def __init__(self, base: float, notes: list[str], *, exact: bool) -> None:
        self.base, self.notes, self.exact = base, notes, exact

    def _warmed(self, rest: Schedule, steps: int, start: float, *, prefix: bool, end: float | None = None) -> Schedule:
        """timm's warmup: before the rest, or over its first steps, after which the rest is already along."""
        if not steps:
            return rest
        rise = linear(start, self.base if end is None else end, steps)
        if prefix:
            return rise.then(rest)
        before, after = rise(steps - 1), rest(steps)
        if end is None and after < self.base:
            self.notes.append(
                f"timm's warmup ends in a jump, from {before:.6g} to {after:.6g} where {self.base:.6g} was aimed at, "
                "since the decay runs from step 0; kept: that (warmup_prefix=True joins the two)"
            )
        return switched(rise, rest, steps)

    def _restarting(self, first: float, cycle_mul: float, cycle_limit: int, *, kept: bool = False) -> None:
        """What is said of restarts that timm misses; `kept` where its own way is followed."""
        missed = ", ".join(map(str, missed_restarts(first, cycle_mul, cycle_limit)))
        if missed:
            end = "that" if kept else "each where it is"
            self.notes.append(f"timm finds restarts by a logarithm, which misses those at {missed}; kept: {end}")

    def _cycled(self, shape: Schedule, floor: float, cycles: tuple[float, float, int]) -> Schedule:
        """A shape from 1 to 0, each cycle from its own peak, base * decay^i, to the floor."""
        t_mul, decay, limit = cycles
        if limit == 1:
            return scaled(self.base, shape) if not floor else affine(floor, self.base, shape)
        if decay == 0:
            raise ValueError("cycle_decay must be above 0 where cycle_limit is above 1, got 0")
        path = scaled(self.base, shape.repeat(limit, t_mul, decay))
        return path if not floor else path + -floor * shape.repeat(limit, t_mul) + constant(floor)

    def CosineLRScheduler(
        self,
        t_initial: int,
        lr_min: float = 0.0,
        cycle_mul: float = 1.0,
        cycle_decay: float = 1.0,
        cycle_limit: int = 1,
        warmup_t: int = 0,
        warmup_lr_init: float = 0.0,
        warmup_prefix: bool = False,
        *,
        k_decay: float = 1.0,  # timm has it behind arguments that all of its classes take
    ) -> Schedule:
        if cycle_limit == 0:
            path: Schedule = constant(lr_min)
        elif cycle_limit == 1 and lr_min <= self.base:
            path = cosine_decay(self.base, t_initial, end=lr_min or None, k_decay=k_decay)
        elif lr_min <= self.base:
            self._restarting(t_initial, cycle_mul, cycle_limit, kept=self.exact)
            path = cosine_decay_restarts(
                self.base,
                t_initial,
                cycle_mul,
                cycle_decay,
                end=lr_min,
                scales="peak",
                cycles=cycle_limit,
                k_decay=k_decay,
                tf_exact=self.exact and bool(missed_restarts(t_initial, cycle_mul, cycle_limit)),
            )
        else:
            self._restarting(t_initial, cycle_mul, cycle_limit)
            shape = cosine_decay(decay_steps=t_initial, k_decay=k_decay)
            path = self._cycled(shape, lr_min, (cycle_mul, cycle_decay, cycle_limit))
        return self._warmed(path, warmup_t, warmup_lr_init, prefix=warmup_prefix)

    def TanhLRScheduler(
        self,
        t_initial: int,
        lb: float = -7.0,
        ub: float = 3.0,
        lr_min: float = 0.0,
        cycle_mul: float = 1.0,
        cycle_decay: float = 1.0,
        cycle_limit: int = 1,
        warmup_t: int = 0,
        warmup_lr_init: float = 0.0,
        warmup_prefix: bool = False,
    ) -> Schedule:
        shape = tanh_decay(decay_steps=t_initial, lower=lb, upper=ub)
        self._restarting(t_initial, cycle_mul, cycle_limit)
        if cycle_limit == 0:
            path: Schedule = hold(1, value=lr_min)
        elif cycle_limit == 1 and lr_min <= self.base:
            path = tanh_decay(self.base, t_initial, lb, ub, lr_min)
        else:
            path = self._cycled(shape, lr_min, (cycle_mul, cycle_decay, cycle_limit))
        path = path.then(constant(lr_min))  # where timm drops to, from the little that tanh leaves
        if warmup_t and not warmup_prefix:
            return self._warmed(path, warmup_t, warmup_lr_init, prefix=False, end=path(warmup_t))
        return self._warmed(path, warmup_t, warmup_lr_init, prefix=warmup_prefix)

    def PolyLRScheduler(
        self,
        t_initial: int,
        power: float = 0.5,
        lr_min: float = 0.0,
        cycle_mul: float = 1.0,
        cycle_decay: float = 1.0,
        cycle_limit: int = 1,
        warmup_t: int = 0,
        warmup_lr_init: float = 0.0,
        warmup_prefix: bool = False,
        *,
        k_decay: float = 1.0,  # timm has it behind arguments that all of its classes take
    ) -> Schedule:
        self._restarting(t_initial, cycle_mul, cycle_limit)
        if cycle_limit == 0:
            path: Schedule = constant(lr_min)
        elif cycle_limit == 1 and lr_min <= self.base:
            path = polynomial_decay(self.base, t_initial, lr_min, power, k_decay=k_decay)
        else:
            shape = polynomial_decay(decay_steps=t_initial, end=0.0, power=power, k_decay=k_decay)
            path = self._cycled(shape, lr_min, (cycle_mul, cycle_decay, cycle_limit))
        return self._warmed(path, warmup_t, warmup_lr_init, prefix=warmup_prefix)

    def StepLRScheduler(
        self,
        decay_t: float,
        decay_rate: float = 1.0,
        warmup_t: int = 0,
        warmup_lr_init: float = 0.0,
        warmup_prefix: bool = True,
    ) -> Schedule:
        still = decay_rate == 1.0
        path = constant(self.base) if still else stairs(self.base, decay_t, decay_rate)
        return self._warmed(path, warmup_t, warmup_lr_init, prefix=warmup_prefix or still)

    def MultiStepLRScheduler(
        self,
        decay_t: Sequence[float],
        decay_rate: float = 1.0,
        warmup_t: int = 0,
        warmup_lr_init: float = 0.0,
        warmup_prefix: bool = True,
    ) -> Schedule:
        self.notes.append("timm's milestones come a step early, at milestone - 1; kept: that")
        # bisected as timm does, also where they do not rise
        after = sorted({math.ceil(stone) - 1 for stone in decay_t if stone > 1})
        values = [self.base * decay_rate ** bisect.bisect_right(decay_t, at + 1) for at in (0, *after)]
        path = piecewise_constant(tuple(after), tuple(values), switch="at") if after else constant(values[0])
        return self._warmed(path, warmup_t, warmup_lr_init, prefix=warmup_prefix)

    def WSDLRScheduler(
        self,
        t_initial: int,
        decay_t: int,
        lr_min: float = 0.0,
        stable_fn: str = "constant",
        stable_timescale: float | None = None,
        stable_power: float = 0.5,
        decay_fn: str | Callable[[float], float] = "1-sqrt",
        decay_power: float = 0.5,
        decay_ratio: float = 0.1,
        warmup_t: int = 0,
        warmup_lr_init: float = 0.0,
    ) -> Schedule:
        if not 0 < decay_t <= t_initial:
            raise ValueError(f"decay_t must be above 0 and at most t_initial, {t_initial}, got {decay_t}")
        fall = falling_by(decay_fn, decay_t, decay_power, decay_ratio)
        scale = warmup_t if stable_timescale is None else stable_timescale
        match stable_fn:
            case "constant":
                top = max(self.base, lr_min)
                falling = scaled(top, fall) if not lr_min else affine(lr_min, top, fall)
                path = joined([hold(max(t_initial - decay_t, 1), value=top), falling], [t_initial - decay_t])
            case "rsqrt" | "power":
                stable: Schedule = inverse_sqrt(self.base, scale, scale)
                if stable_fn == "power":
                    stable = power_decay(self.base, -stable_power, scale, scale)
                falling = joined([hold(max(t_initial - decay_t, 1)), fall], [t_initial - decay_t])
                path = stable * falling
                if lr_min:
                    path = stable.clamp(low=lr_min) * falling + -lr_min * falling + constant(lr_min)
            case _:
                raise ValueError(f"stable_fn must be constant, rsqrt or power, got {stable_fn!r}")
        return self._warmed(path, warmup_t, warmup_lr_init, prefix=True)
