"""The closed form of each of torch's schedulers: arguments and a base rate to a schedule."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tapered.convert import transformers_forms
from tapered.convert.back import Factor
from tapered.convert.result import affine, scaled
from tapered.schedules import (
    Schedule,
    constant,
    cosine_decay,
    cosine_decay_restarts,
    cumulative_product,
    cyclic,
    exponential_decay,
    from_function,
    linear,
    piecewise_constant,
    piecewise_interpolate,
    polynomial_decay,
    warmup,
)

WAVES = 2**20  # half waves that stand for torch's endless cosine; a power of 2, so that phases keep their bits


@dataclass(frozen=True)
class Form:
    """What a closed form is made from: arguments of one group, its base rate, and where notes go."""

    arguments: Mapping[str, Any]
    base: float
    exact: bool
    notes: list[str]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.arguments[name]
        except KeyError:
            raise AttributeError(name) from None

    def note(self, odd: str, kept: str) -> None:
        """A sentence on what is odd in torch's curve, and which of the two was kept."""
        said = "that" if self.exact else f"{kept} (exact=True keeps torch's)"
        self.notes.append(f"torch's {odd}; kept: {said}")


def step(form: Form) -> Schedule:
    """StepLR."""
    if form.gamma == 0:
        return piecewise_constant((form.step_size,), (form.base, 0.0), switch="at")
    return exponential_decay(form.base, form.step_size, form.gamma, staircase=True)


def multistep(form: Form) -> Schedule:
    """MultiStepLR; a milestone counts as often as it is given."""
    given = list(form.milestones)
    met = sorted(stone for stone in given if stone == int(stone) and stone >= 0)
    if len(met) < len(given):
        form.notes.append(
            "torch's MultiStepLR passes over milestones that are no whole step from 0 up; they are left out"
        )
    after = sorted({stone for stone in met if stone > 0})
    values = [form.base * form.gamma ** sum(stone <= at for stone in met) for at in (0, *after)]
    return piecewise_constant(tuple(after), tuple(values), switch="at") if after else constant(values[0])


def constant_factor(form: Form) -> Schedule:
    """ConstantLR."""
    low = form.base * form.factor
    if form.total_iters <= 0:
        form.note("ConstantLR never leaves its factor where total_iters is 0", "the base rate")
        return constant(low if form.exact else form.base)
    if form.factor == 0:
        form.notes.append("torch's ConstantLR divides by its factor 0 at total_iters and raises; kept: the base rate")
    return piecewise_constant((form.total_iters,), (low, form.base), switch="at")


def line(form: Form) -> Schedule:
    """LinearLR."""
    if form.total_iters <= 0:
        form.notes.append("torch's LinearLR stays at its start_factor where total_iters is 0; kept: that")
        return constant(form.base * form.start_factor)
    return scaled(form.base, linear(form.start_factor, form.end_factor, form.total_iters))


def exponential(form: Form) -> Schedule:
    """ExponentialLR."""
    if form.gamma == 0:
        return piecewise_constant((1,), (form.base, 0.0), switch="at")
    return exponential_decay(form.base, 1, form.gamma)


def polynomial(form: Form) -> Schedule:
    """PolynomialLR."""
    if form.power == 0 or form.total_iters <= 0:
        return constant(form.base)
    return polynomial_decay(form.base, form.total_iters, end=0.0, power=form.power)


def cosine(form: Form) -> Schedule:
    """CosineAnnealingLR, whose cosine goes on for ever."""
    at = form.T_max
    form.note(f"CosineAnnealingLR rises again from step {at} on", "its floor, held")
    waves = WAVES if form.exact else 1
    if form.eta_min > form.base:
        return affine(form.eta_min, form.base, cosine_decay(decay_steps=at * waves, num_periods=waves / 2))
    end = form.eta_min or None
    return cosine_decay(form.base, decay_steps=at * waves, end=end, num_periods=waves / 2)


def restarts(form: Form) -> Schedule:
    """CosineAnnealingWarmRestarts."""
    if form.eta_min > form.base:
        return affine(form.eta_min, form.base, cosine_decay_restarts(first_decay_steps=form.T_0, t_mul=form.T_mult))
    return cosine_decay_restarts(form.base, form.T_0, t_mul=form.T_mult, end=form.eta_min or None)


@dataclass(frozen=True)
class Height:
    """CyclicLR's triangle times a function of the user's own."""

    triangle: Schedule
    function: Callable[[float], float]
    period: float | None  # of the cycles it counts; None where it is given the step

    def __call__(self, at: int) -> float:
        """The height at a step."""
        x = at if self.period is None else math.floor(1 + at / self.period)
        return self.triangle(at) * self.function(x)


def cycles(form: Form) -> Schedule:
    """CyclicLR."""
    low, high, up = form.base, form.max_lr, form.step_size_up
    down = form.arguments.get("step_size_down")
    down = None if down == up else down
    if form.scale_fn is None and low <= high:
        return cyclic(high, low, up, down, form.mode, form.gamma if form.mode == "exp_range" else 1.0)
    if form.scale_fn is None:
        return affine(low, high, cyclic(1.0, 0.0, up, down, form.mode, form.gamma))
    period = None if form.scale_mode == "iterations" else up + (down or up)
    return affine(low, high, from_function(Height(cyclic(1.0, 0.0, up, down), form.scale_fn, period)))


def one_cycle(form: Form) -> Schedule:
    """OneCycleLR: its phases, of which one that torch never comes to is left out."""
    total = form.arguments.get("total_steps") or form.epochs * form.steps_per_epoch
    form.notes.append(f"torch's OneCycleLR raises after step {total}; kept: its last value, of step {total - 1}")
    shape, first = "cosine" if form.anneal_strategy == "cos" else "linear", form.max_lr / form.div_factor
    last = total - 1
    turns = [form.pct_start * total - 1, 2 * form.pct_start * total - 2, last]
    values = [first, form.max_lr, first, first / form.final_div_factor]
    if not form.three_phase:
        del turns[1], values[2]
    if form.pct_start == 0 and not form.three_phase:  # torch's way down then began a step before step 0
        return affine(values[1], values[2], warmup(total, ramp="(t+1)/N", shape=shape))  # type: ignore[arg-type]  # one of the two
    if turns[0] <= 0:
        raise ValueError(f"it has no step before its peak, got total_steps={total}, pct_start={form.pct_start}")
    used = next(index for index, turn in enumerate(turns) if turn >= last) + 1
    path = piecewise_interpolate(tuple(turns[:used]), tuple(values[: used + 1]), shape)  # type: ignore[arg-type]  # as above
    return path if turns[used - 1] == last else path.until(last)


def function(form: Form) -> Schedule:
    """LambdaLR: Transformers' functions and ours as what they stand for, others as they are."""
    given = form.lr_lambda
    if isinstance(given, Factor):
        return scaled(form.base / given.lr, given.schedule)
    shape = transformers_forms.from_lambda(given, form.notes, exact=form.exact)
    return scaled(form.base, from_function(given) if shape is None else shape)


def product(form: Form) -> Schedule:
    """MultiplicativeLR."""
    return scaled(form.base, cumulative_product(form.lr_lambda))


FORMS: dict[str, Callable[[Form], Schedule]] = {
    "LambdaLR": function,
    "MultiplicativeLR": product,
    "StepLR": step,
    "MultiStepLR": multistep,
    "ConstantLR": constant_factor,
    "LinearLR": line,
    "ExponentialLR": exponential,
    "PolynomialLR": polynomial,
    "CosineAnnealingLR": cosine,
    "CosineAnnealingWarmRestarts": restarts,
    "CyclicLR": cycles,
    "OneCycleLR": one_cycle,
}
