"""Named compositions: each function returns the schedule that it stands for, which prints as that."""

from collections.abc import Sequence
from typing import Literal

from tapered.schedules import checks
from tapered.schedules.base import CooldownShape, Schedule
from tapered.schedules.basic import cooldown, exponential_warmup, hold, warmup
from tapered.schedules.decays import power_decay
from tapered.schedules.exponentials import exponential_decay
from tapered.schedules.pieces import Boundaries, piecewise_constant, piecewise_interpolate


def warmup_stable_decay(
    peak: float = 1.0,
    *,
    warmup_steps: int,
    stable_steps: int,
    decay_steps: int,
    shape: CooldownShape = "1-sqrt",
    floor: float = 0.0,
) -> Schedule:
    """Warmup, hold, cooldown, times a peak; `floor` is a fraction of the peak.

    `warmup_steps` may be 0. Transformers' warmup_stable_decay, whose own default shape is linear; "1-sqrt" is the best
    in Haegele et al. 2024.

    Args:
        peak: the value that is held.
        warmup_steps: from 0 to the peak.
        stable_steps: at the peak.
        decay_steps: from the peak to the floor.
        shape: of the last part, as of `cooldown`.
        floor: the last value as a fraction of the peak.

    Example:
        >>> warmup_stable_decay(3e-4, warmup_steps=200, stable_steps=1600, decay_steps=400)
        0.0003 * warmup(200).then(hold(1600)).then(cooldown(400, shape="1-sqrt"))
    """
    flat: Schedule = hold(stable_steps)
    if warmup_steps:
        flat = warmup(warmup_steps).then(flat)
    shaped = flat.then(cooldown(decay_steps, shape=shape, floor=floor))
    return shaped if peak == 1.0 else peak * shaped


def step_decay(initial: float = 1.0, *, step_size: int, gamma: float = 0.1) -> Schedule:
    """initial * gamma^floor(k / step_size): torch's StepLR, timm's StepLRScheduler.

    Args:
        initial: the value at step 0.
        step_size: steps from one fall to the next.
        gamma: the factor of each fall.

    Example:
        >>> step_decay(0.1, step_size=30)
        exponential_decay(0.1, decay_steps=30, decay_rate=0.1, staircase=True)
    """
    return exponential_decay(initial, step_size, gamma, staircase=True)


def multistep_decay(initial: float = 1.0, *, milestones: Sequence[float], gamma: float = 0.1) -> Schedule:
    """initial * gamma^(milestones at or before k): torch's MultiStepLR; `milestones` are rising steps.

    Args:
        initial: the value at step 0.
        milestones: the steps at which it falls, rising.
        gamma: the factor of each fall.

    Raises:
        ValueError: milestones do not rise, or gamma is not above 0.

    Example:
        >>> multistep_decay(1.0, milestones=(30, 80), gamma=0.5)
        piecewise_constant((30, 80), values=(1.0, 0.5, 0.25), switch="at")
    """
    example = "multistep_decay(0.1, milestones=(30, 80), gamma=0.1)"
    initial = checks.argument("multistep_decay", example, "initial", checks.Number, initial)
    gamma = checks.argument("multistep_decay", example, "gamma", checks.Positive, gamma)
    milestones = checks.argument("multistep_decay", example, "milestones", Boundaries, milestones)
    values = [initial * gamma**passed for passed in range(len(milestones) + 1)]
    return piecewise_constant(tuple(milestones), tuple(values), switch="at")


def one_cycle(
    peak: float = 1.0,
    *,
    total_steps: int,
    pct_start: float = 0.3,
    shape: Literal["linear", "cosine"] = "cosine",
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
    convention: Literal["torch", "optax"] = "torch",
) -> Schedule:
    """From peak / div_factor to peak and down to peak / (div_factor * final_div_factor) (Smith 2017).

    Args:
        peak: the highest value.
        total_steps: the length.
        pct_start: the fraction of the way at which the peak is.
        shape: of the way up and down: torch's anneal_strategy.
        div_factor: peak over first value.
        final_div_factor: first value over last value.
        three_phase: goes back to the first value, and then down: torch's three_phase, optax's linear_onecycle.
        convention: where the turns are. "torch", the default: at pct_start * total_steps - 1, the last value at step
            total_steps - 1, the second turn as far from the first as that is from 0. "optax": at
            int(pct_start * total_steps) and total_steps, the second turn at int(0.85 * total_steps).

    Raises:
        ValueError: there is no step before the peak.

    Example:
        >>> one_cycle(0.1, total_steps=100)(29), one_cycle(0.1, total_steps=100).horizon
        (0.1, 99)
    """
    example = "one_cycle(0.1, total_steps=1000)"
    checks.converted("one_cycle", example, "convention", checks.Choice(("torch", "optax")), convention)
    for field, kind, value in (
        ("peak", checks.Number, peak),
        ("total_steps", checks.Steps, total_steps),
        ("pct_start", checks.Unit, pct_start),
        ("div_factor", checks.Positive, div_factor),
        ("final_div_factor", checks.Positive, final_div_factor),
    ):
        checks.argument("one_cycle", example, field, kind, value)
    if convention == "torch":
        turns = [pct_start * total_steps - 1, 2 * pct_start * total_steps - 2, total_steps - 1]
    else:
        turns = [int(pct_start * total_steps), int(0.85 * total_steps), total_steps]
    if turns[0] <= 0:
        raise ValueError(
            f"one_cycle has no step before its peak, got total_steps={total_steps}, pct_start={pct_start}; "
            f"write for example {example}"
        )
    first = peak / div_factor
    values = [first, peak, first, first / final_div_factor]
    if not three_phase:
        del turns[1], values[2]
    return piecewise_interpolate(tuple(turns), tuple(values), shape)


def rex_decay(initial: float = 1.0, *, decay_steps: int) -> Schedule:
    """initial * (1 - u) / (1 - u / 2), u = k / decay_steps: REX (Chen et al. 2021).

    Args:
        initial: the value at step 0.
        decay_steps: the steps to 0.

    Example:
        >>> round(rex_decay(decay_steps=100)(50), 6)
        0.666667
    """
    shape = cooldown(decay_steps, shape="rex")
    return shape if initial == 1.0 else initial * shape


def power(peak: float, *, tokens_per_step: float, batch_size: float, a: float, b: float) -> Schedule:
    """min(peak, batch_size * a * n^b), n = tokens_per_step * (k + 1) tokens seen: the Power scheduler.

    Shen et al. 2024. Put a warmup before it with `*` and a cooldown after it with `.cooldown(at, steps)`.

    Args:
        peak: their eta_max.
        tokens_per_step: tokens in an update.
        batch_size: their beta, sequences in an update.
        a: amplitude, from a fit to your own models.
        b: exponent, from the same fit; below 0.

    Example:
        >>> rate = power(0.02, tokens_per_step=4096 * 128, batch_size=128, a=4.6, b=-0.51)
        >>> rate(0), round(rate(100_000), 5)
        (0.02, 0.00201)
    """
    example = "power(0.02, tokens_per_step=2**20, batch_size=256, a=4.6, b=-0.51)"
    for field, value in (("tokens_per_step", tokens_per_step), ("batch_size", batch_size), ("a", a)):
        checks.argument("power", example, field, checks.Positive, value)
    # n = (k + 1) / (1 / tokens_per_step), the form that power_decay has
    return power_decay(batch_size * a, b, timescale=1.0 / tokens_per_step).clamp(high=peak)


def untuned_linear_warmup(beta2: float = 0.999) -> Schedule:
    """min(1, (k + 1) (1 - beta2) / 2): Adam's warmup without tuning, over 2 / (1 - beta2) updates (Ma and Yarats 2019).

    Args:
        beta2: Adam's, from 0 to below 1.

    Example:
        >>> untuned_linear_warmup(0.999)
        warmup(2000, ramp="(t+1)/N")
    """
    return warmup(round(2.0 / _distance(beta2)), ramp="(t+1)/N")


def untuned_exponential_warmup(beta2: float = 0.999) -> Schedule:
    """1 - exp(-(1 - beta2) (k + 1)): the other warmup of Ma and Yarats 2019, which has no horizon.

    Args:
        beta2: Adam's, from 0 to below 1.

    Example:
        >>> untuned_exponential_warmup(0.75)
        exponential_warmup(4.0)
    """
    return exponential_warmup(1.0 / _distance(beta2))


def _distance(beta2: float) -> float:
    given: float = checks.argument("untuned warmup", "untuned_linear_warmup(0.999)", "beta2", checks.Below, beta2)
    return 1.0 - given
