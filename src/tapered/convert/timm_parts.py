"""What timm's schedulers are made of: stairs of any length, the falls of its warmup-stable-decay, its restarts."""

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction

from tapered.convert.result import affine
from tapered.schedules import Schedule, cooldown, exponential_decay, piecewise_constant, polynomial_decay
from tapered.schedules.checks import LARGEST_STEP
from tapered.schedules.curves import SUMMED, cycle_starts

POWERS = {0.5: "1-sqrt", 1.0: "linear", 2.0: "square"}


def stairs(base: float, length: float, rate: float) -> Schedule:
    """base * rate^(k // length)."""
    if rate == 0:
        return piecewise_constant((length,), (base, 0.0), switch="at")
    return exponential_decay(base, _floored(length), rate, staircase=True)


def _floored(length: float) -> float:
    """A length whose rounded quotients, rounded down, are Python's k // length.

    2.2 is kept as a little more than 11 / 5, so 11 // 2.2 is 4, though 11 / 2.2 is rounded to 5.
    """
    if length == int(length):
        return length
    above = Fraction(length) > Fraction(length).limit_denominator(10**6)
    return math.nextafter(length, math.inf) if above else length


def falling_by(decay_fn: object, steps: int, power: float, ratio: float) -> Schedule:
    """WSD's decay, from 1 to 0."""
    match decay_fn:
        case "linear" | "1-sqrt" | "cosine":
            return cooldown(steps, shape=decay_fn)
        case "power":
            named = POWERS.get(power)
            if named is not None:
                return cooldown(steps, shape=named)  # type: ignore[arg-type]  # one of its shapes
            return polynomial_decay(decay_steps=steps, end=0.0, k_decay=power)
        case "exp":
            return affine(-ratio / (1.0 - ratio), 1.0, cooldown(steps, shape="exponential", floor=ratio))
    raise ValueError(f"decay_fn must be linear, 1-sqrt, cosine, power or exp, got {decay_fn!r:.80}")


def missed_restarts(first: float, cycle_mul: float, limit: int) -> list[int]:
    """The steps at which timm's formula is not in the cycle that begins, or ends, there; of the first SUMMED cycles."""
    if cycle_mul <= 1.0:
        return []
    return list(_missed(first, cycle_mul, limit))


def _missed(first: float, t: float, limit: int) -> Iterator[int]:
    for cycle, (start, _) in itertools.islice(enumerate(cycle_starts(first, t)), 1, min(limit, SUMMED) + 1):
        at = math.ceil(start)
        if at > LARGEST_STEP:
            return
        for step, place in ((at - 1, cycle - 1), (at, cycle)):
            if math.floor(math.log(1 - step / first * (1 - t), t)) != place:
                yield step
