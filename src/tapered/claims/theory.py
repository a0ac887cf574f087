"""Whether theory has a reason for decay: the last iterate's worst case along twelve schedules, at three lengths."""

from collections.abc import Mapping
from math import log, sqrt

from tapered.claims.base import Answer, Claim, Summary
from tapered.schedules import parse
from tapered.theory import quadratic, worst_case

LENGTHS = (100, 1_000, 10_000)
TABLE = {
    "linear to zero": "linear(steps=steps)",
    "cosine to zero": "cosine_decay(decay_steps=steps)",
    "quadratic to zero": "polynomial_decay(decay_steps=steps, end=0.0, power=2.0)",
    "hold 50%, linear": "hold(0.5*steps).then(cooldown(0.5*steps))",
    "hold 80%, 1-sqrt": "hold(0.8*steps).then(cooldown(0.2*steps, shape='1-sqrt'))",
    "hold 80%, linear": "hold(0.8*steps).then(cooldown(0.2*steps))",
    "warmup 5%, cosine": "warmup(0.05*steps, ramp='(t+1)/N') * cosine_decay(decay_steps=steps)",
    "cosine to 10%": "cosine_decay(decay_steps=steps, alpha=0.1)",
    "exponential to 1%": "exponential_decay(decay_steps=steps, decay_rate=0.01)",
    "x0.1 at 70%": "hold(0.7*steps).then(constant(0.1))",
    "alpha/sqrt(t)": "inverse_sqrt(1.0)",
    "constant": "constant(1.0)",
}
FALLING = list(TABLE)[:7]  # to zero


def judge(_: Mapping[str, Summary]) -> Answer:
    """Whether a rate that falls to zero has a better worst case of the last iterate than a constant one.

    Each at its own best peak, as multiples of the least of all schedules. Confirmed if at each length every one that
    falls to zero is below constant, and stays within 1% of what it is at the shortest, while constant's grows at each
    length; refuted if at the longest none is below; else it depends. What the noisy quadratic says is told beside.
    """
    cases = {name: [worst_case(parse(text, {"steps": n}), n) for n in LENGTHS] for name, text in TABLE.items()}
    ratios = {name: [case.ratio for case in row] for name, row in cases.items()}
    constant, last = ratios["constant"], LENGTHS[-1]
    below = all(a < b for name in FALLING for a, b in zip(ratios[name], constant, strict=True))
    steady = all(max(ratios[name]) < 1.01 * ratios[name][0] for name in FALLING)
    grows = constant == sorted(constant)
    none = all(ratios[name][-1] >= constant[-1] for name in FALLING)
    other = {name: _expected(TABLE[name]) for name in ("linear to zero", "exponential to 1%", "constant")}
    said = ", ".join(f"{name} {ratios[name][-1]:.3f}" for name in ("linear to zero", "cosine to zero", "cosine to 10%"))
    tenfold = {name: cases[name][1].tolerance(10.0) for name in ("constant", "cosine to zero")}
    return Answer(
        "confirmed" if below and steady and grows else "refuted" if none else "depends",
        f"over the least of all schedules at {last:,} steps: {said}, exponential to 1% "
        f"{ratios['exponential to 1%'][-1]:.3f}, alpha/sqrt(t) {ratios['alpha/sqrt(t)'][-1]:.3f}, constant "
        f"{constant[-1]:.3f} and growing about as sqrt(1 + ln(N)/4) = {sqrt(1 + log(last) / 4):.2f}, where its average "
        f"has {cases['constant'][-1].average_ratio:.3f}: decay does what averaging does. A peak ten times too high "
        f"costs a constant rate x{tenfold['constant']:.1f}, cosine x{tenfold['cosine to zero']:.1f}. On a noisy "
        f"quadratic SGD ends at {other['linear to zero']:.2f} with linear, {other['exponential to 1%']:.2f} with "
        f"exponential to 1% and {other['constant']:.1f} with constant: another order, of one smooth problem",
        {
            **{f"{name} at {n}": ratio for name, row in ratios.items() for n, ratio in zip(LENGTHS, row, strict=True)},
            **{
                f"{name}, averaged, at {n}": case.average_ratio
                for name, row in cases.items()
                for n, case in zip(LENGTHS, row, strict=True)
            },
            **{f"{name}, best peak at {last}": row[-1].peak for name, row in cases.items()},
            **{f"{name}, peak x10 at {LENGTHS[1]}": value for name, value in tenfold.items()},
            **{f"{name}, quadratic": value for name, value in other.items()},
        },
    )


def _expected(text: str) -> float:
    """SGD's expected loss on a noisy quadratic, 64 dimensions, condition 100, 1,000 steps, at the best peak."""
    schedule = parse(text, {"steps": LENGTHS[1]})
    return quadratic(schedule, LENGTHS[1], rule="SGD", dimensions=64, condition=100.0).best().loss


CLAIM = Claim("theory", "There is a theoretical reason to let the rate fall to zero by the end.", (), judge)
