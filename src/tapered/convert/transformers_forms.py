"""Transformers' schedules as factors of the base rate: by get_scheduler's names, and the functions in its LambdaLRs.

Each form takes the keywords of the function of the same name in transformers.optimization.
"""
# ruff: noqa: D102  # the methods of Forms are the framework's own functions, in name and order

import functools
from typing import Any, Literal

from tapered.convert.result import affine, bounded
from tapered.schedules import (
    Schedule,
    constant,
    cooldown,
    cosine_decay,
    cosine_decay_restarts,
    hold,
    inverse_sqrt,
    linear,
    polynomial_decay,
    warmup,
)

WAVES = 2**20  # as many times num_cycles stand for a cosine without end
# The functions that its LambdaLRs hold, in transformers.optimization.
LAMBDAS = {
    "_get_constant_schedule_with_warmup_lr_lambda": "constant_with_warmup",
    "_get_linear_schedule_with_warmup_lr_lambda": "linear",
    "_get_cosine_schedule_with_warmup_lr_lambda": "cosine",
    "_get_cosine_with_hard_restarts_schedule_with_warmup_lr_lambda": "cosine_with_restarts",
    "_get_polynomial_decay_schedule_with_warmup_lr_lambda": "polynomial",
    "_get_inverse_sqrt_schedule_lr_lambda": "inverse_sqrt",
    "_get_cosine_with_min_lr_schedule_with_warmup_lr_rate_lambda": "cosine_warmup_with_min_lr",
    "_get_wsd_scheduler_lambda": "warmup_stable_decay",
}


class Forms:
    """The forms, with what all of them need: whether the ends are kept as they are, and where notes go."""

    def __init__(self, notes: list[str], *, exact: bool) -> None:
        self.notes, self.exact = notes, exact

    def warmed(self, steps: int, shape: Schedule) -> Schedule:
        """A linear warmup that begins at 0, then the shape."""
        return warmup(steps).then(shape) if steps else shape

    def wave(self, steps: int, num_cycles: float, floor: float, name: str) -> Schedule:
        """A cosine over `steps`, which Transformers lets rise again."""
        end = "that" if self.exact else "its last value, held (exact=True keeps transformers')"
        self.notes.append(f"transformers' {name} goes on past num_training_steps and rises again; kept: {end}")
        waves = WAVES if self.exact else 1
        return cosine_decay(decay_steps=steps * waves, alpha=floor, num_periods=num_cycles * waves)

    def constant(self) -> Schedule:
        return constant(1.0)

    def constant_with_warmup(self, num_warmup_steps: int) -> Schedule:
        return warmup(num_warmup_steps) if num_warmup_steps else constant(1.0)

    def linear(self, num_warmup_steps: int, num_training_steps: int) -> Schedule:
        left = num_training_steps - num_warmup_steps
        return self.warmed(num_warmup_steps, linear(steps=left) if left > 0 else constant(0.0))

    def cosine(
        self, num_warmup_steps: int, num_training_steps: int, num_cycles: float = 0.5, min_lr_rate: float = 0.0
    ) -> Schedule:
        left = max(1, num_training_steps - num_warmup_steps)
        name = "cosine_with_min_lr" if min_lr_rate else "cosine"
        return self.warmed(num_warmup_steps, self.wave(left, num_cycles, min_lr_rate, name))

    def cosine_with_restarts(self, num_warmup_steps: int, num_training_steps: int, num_cycles: int = 1) -> Schedule:
        left = max(1, num_training_steps - num_warmup_steps)
        if num_cycles > 0 and num_cycles == int(num_cycles):
            shape: Schedule = cosine_decay_restarts(
                first_decay_steps=left / num_cycles, t_mul=1.0, cycles=int(num_cycles)
            )
        else:  # cut in the middle of a cycle, where it drops to 0
            part = (
                cosine_decay_restarts(first_decay_steps=left / num_cycles, t_mul=1.0) if num_cycles else constant(1.0)
            )
            shape = part.until(left).then(constant(0.0))
        return self.warmed(num_warmup_steps, shape)

    def polynomial(
        self,
        num_warmup_steps: int,
        num_training_steps: int,
        lr_end: float = 1e-7,
        power: float = 1.0,
        lr_init: float = 1.0,
    ) -> Schedule:
        if not lr_end < lr_init:
            raise ValueError(f"lr_end must be smaller than the base rate {lr_init}, got {lr_end}")
        left = num_training_steps - num_warmup_steps
        return self.warmed(num_warmup_steps, polynomial_decay(decay_steps=left, end=lr_end / lr_init, power=power))

    def inverse_sqrt(self, num_warmup_steps: int, timescale: int | None = None) -> Schedule:
        scale = (num_warmup_steps or 10_000) if timescale is None else timescale
        return self.warmed(num_warmup_steps, inverse_sqrt(timescale=scale, shift=scale))

    def cosine_warmup_with_min_lr(
        self,
        num_warmup_steps: int,
        num_training_steps: int,
        num_cycles: float = 0.5,
        min_lr_rate: float = 0.0,
        warmup_lr_rate: float | None = None,
    ) -> Schedule:
        left, first = max(1, num_training_steps - num_warmup_steps), warmup_lr_rate
        fall = self.wave(left, num_cycles, min_lr_rate, "cosine_warmup_with_min_lr")
        # Its cosine is a step early, and the warmup full a step early: so one begins where the other is full.
        if num_warmup_steps > 1 and first is None:
            return bounded(warmup(num_warmup_steps, ramp="(t+1)/N"), num_warmup_steps - 1).then(fall)
        if num_warmup_steps > 1:
            return linear(float(first or 0.0), 1.0, num_warmup_steps - 1).then(fall)
        if num_warmup_steps == 1 and first is None:
            return fall
        if num_cycles != 0.5 or self.exact:
            raise ValueError(
                "cosine_warmup_with_min_lr begins in the middle of its cosine; give num_warmup_steps=2 or more"
            )
        rest = affine(1.0, min_lr_rate, warmup(left, ramp="(t+1)/N", shape="cosine"))
        return hold(1, value=float(first or 0.0)).then(rest) if num_warmup_steps else rest

    def warmup_stable_decay(
        self,
        num_warmup_steps: int,
        num_decay_steps: int,
        num_training_steps: int | None = None,
        num_stable_steps: int | None = None,
        warmup_type: Literal["linear", "cosine", "1-sqrt"] = "linear",
        decay_type: Literal["linear", "cosine", "1-sqrt"] = "cosine",
        min_lr_ratio: float = 0.0,
        num_cycles: float = 0.5,
    ) -> Schedule:
        if num_stable_steps is None:
            if num_training_steps is None:
                raise ValueError("warmup_stable_decay needs num_training_steps or num_stable_steps")
            num_stable_steps = num_training_steps - num_warmup_steps - num_decay_steps
        if num_stable_steps < 0:
            raise ValueError(f"warmup_stable_decay has {num_stable_steps} steps between warmup and decay; train longer")
        fall: Schedule = constant(min_lr_ratio)
        if num_decay_steps and decay_type == "cosine" and num_cycles != 0.5:
            wave = cosine_decay(decay_steps=num_decay_steps, alpha=min_lr_ratio, num_periods=num_cycles)
            fall = wave.then(constant(min_lr_ratio))
        elif num_decay_steps:
            fall = cooldown(num_decay_steps, shape=decay_type, floor=min_lr_ratio)
        flat = hold(num_stable_steps).then(fall) if num_stable_steps else fall
        if not num_warmup_steps:
            return flat
        return warmup(num_warmup_steps, start=min_lr_ratio, shape=warmup_type).then(flat)


def knows(function: Any) -> bool:
    """Whether a function that a LambdaLR holds is one of Transformers' own."""
    own = getattr(function, "func", function)
    if getattr(own, "__module__", None) != "transformers.optimization":
        return False
    return own.__name__ == "_get_constant_lambda" or (
        own.__name__ in LAMBDAS and isinstance(function, functools.partial)
    )


def from_lambda(function: Any, notes: list[str], *, exact: bool) -> Schedule | None:
    """The factor that a function of Transformers' own stands for; None for any other."""
    if not knows(function):
        return None
    own = getattr(function, "func", function)
    if own.__name__ == "_get_constant_lambda":
        return constant(1.0)
    form: Schedule = getattr(Forms(notes, exact=exact), LAMBDAS[own.__name__])(**function.keywords)
    return form
