"""The last iterate's worst case against closed forms, exact worst cases, its own definition and real problems."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tapered.claims.theory import TABLE
from tapered.schedules import constant, cosine_decay, from_function, hold, inverse_sqrt, linear, parse, warmup
from tapered.theory import worst_case

EXACT = json.loads((Path(__file__).parents[1] / "oracles" / "worst_cases.json").read_text())["values"]


def by_definition(rates, squares, peak=1.0, points=12_001, *, anywhere=False):
    """1/2 [D^2/u_1^2 + V] by the recursion in u as it is stated, least over a fine grid of a; D = 1."""
    u = np.exp(np.linspace(-22, 8, points))
    V = u * u * squares[-1]
    found = (1 / u**2 + V) / 2
    for h, g2 in zip(peak * np.asarray(rates)[::-1], squares[-2::-1], strict=True):
        d = h / u
        V, u = V + d * d * g2, u + d
        found = np.minimum(found, (1 / u**2 + V) / 2) if anywhere else (1 / u**2 + V) / 2
    return found.min()


@pytest.mark.parametrize("steps", [1, 2, 10, 100, 1000, 100_000])
@pytest.mark.parametrize(("norm", "distance"), [(1.0, 1.0), (3.0, 0.5)])
def test_linear_to_zero_has_the_least_of_all(steps, norm, distance):
    found = worst_case(linear(steps=steps), steps, norms=norm, distance=distance)
    assert found.bound == pytest.approx(norm * distance / math.sqrt(steps + 1), rel=1e-12)
    assert found.least == pytest.approx(found.bound, rel=1e-12)
    assert found.peak == pytest.approx(distance / norm * steps / (steps + 1) ** 1.5, rel=1e-8)
    assert found.at(found.peak) == pytest.approx(found.bound, rel=1e-12)


def test_constant_is_below_the_form_of_zamani_and_glineur():
    for steps, known in ((10, 1.1859), (100, 1.4132), (1000, 1.6078), (10_000, 1.7786)):
        found = worst_case(constant(7.0), steps)
        assert found.ratio == pytest.approx(known, abs=5e-5)
        assert found.ratio < math.sqrt(1 + math.log(steps) / 4)
        assert found.average == pytest.approx(1 / math.sqrt(steps))


def published_shapes(steps=60):
    k = np.arange(steps + 1)
    tail = int(0.2 * (steps + 1))
    return {
        "linear": 1 - k / steps,
        "wsd": np.concatenate([np.ones(steps + 1 - tail), 1 - np.arange(1, tail + 1) / tail]),
        "constant": np.ones(steps + 1),
        "cosine": (1 + np.cos(np.pi * k / steps)) / 2,
        "sqrt": 1 / np.sqrt(k + 1),
    }


def published_peak(rates):
    """The best peak by Theorem 10 of Defazio et al. (2023), whose bound is another one.

    D^2 / 2S + sum h^2 / 2S + 1/2 sum_k h_k / S_{k+1} sum_{t>=k} h_t^2 / S_k
    """
    S, Q = (np.cumsum(part[::-1])[::-1] for part in (rates, rates**2))
    return math.sqrt(1 / (2 * S[0]) / (Q[0] / (2 * S[0]) + (rates[:-1] / S[1:] * Q[:-1] / S[:-1]).sum() / 2))


@pytest.mark.parametrize("name", EXACT)
def test_exact_worst_cases_by_semidefinite_programming(name):
    shape = published_shapes()[name]
    rates = published_peak(shape[:60]) * shape
    for step, exact in EXACT[name].items():
        made = rates[1 : int(step)]  # theirs counts iterates, and makes no first step
        found = worst_case(made, len(made)).at(1.0) if len(made) else 1.0
        assert found == pytest.approx(exact, rel=1e-5)
        assert found > exact * (1 - 1e-7)


def test_no_convex_problem_exceeds_it_and_some_come_near():
    """max_i a_i x, whose least value is 0 at 0, along rates that stop and jump, with the norms that were met."""
    rng, largest = np.random.default_rng(0), 0.0
    for _ in range(150):
        steps, d = int(rng.integers(1, 40)), int(rng.integers(1, 6))
        pieces = rng.standard_normal((int(rng.integers(1, 5)), d)) * np.exp(rng.normal(size=(1, d)))
        pieces = np.concatenate([pieces, -pieces.sum(0, keepdims=True)])  # so that 0 lies among them
        rates = np.exp(rng.normal(-1, 1, steps)) * (rng.random(steps) > 0.2)
        x = rng.standard_normal(d)
        distance, norms = np.linalg.norm(x), []
        for h in [*rates, 0.0]:
            g = pieces[np.argmax(pieces @ x)]
            norms.append(np.linalg.norm(g))
            end, x = (pieces @ x).max(), x - h * g
        bound = worst_case(rates, steps, norms=norms, distance=distance).at(1.0)
        assert end <= bound * (1 + 1e-12)
        largest = max(largest, end / bound)
    assert largest > 0.9


def wild(seed, steps=60):
    rng = np.random.default_rng(seed)
    rates = np.exp(rng.normal(0, 2, steps)) * (rng.random(steps) > 0.3)
    rates[0] = 1.0
    return rates, np.exp(rng.normal(0, 1, steps + 1))


@pytest.mark.parametrize("seed", range(12))
def test_wild_rates_and_norms_by_the_definition(seed):
    rates, norms = wild(seed)
    found = worst_case(rates, len(rates), norms=norms)
    assert found.bound == pytest.approx(by_definition(rates, norms**2, found.peak), rel=1e-4)
    for factor in (1e-3, 0.1, 1.0, 7.0, 1e3):
        peak = factor * found.peak
        assert found.at(peak) == pytest.approx(by_definition(rates, norms**2, peak), rel=1e-4)
        assert found.at(peak) >= found.bound * (1 - 1e-12)
        here = by_definition(rates, norms**2, peak, anywhere=True)
        assert found.tolerance(factor) * found.bound == pytest.approx(here, rel=1e-3)
    assert found.bound >= found.least * (1 - 1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_the_schedule_that_suits_the_norms_has_the_least(seed):
    norms = np.exp(np.random.default_rng(seed).normal(size=41))
    weights = norms**-2
    rates = weights * (weights.sum() - np.cumsum(weights))
    found = worst_case(rates[:-1], 40, norms=norms)
    assert found.ratio == pytest.approx(1.0, rel=1e-10)
    assert found.least == pytest.approx(1 / math.sqrt(weights.sum()))


def test_units():
    shape, norms = cosine_decay(decay_steps=50), np.linspace(1, 2, 51)
    plain = worst_case(shape, 50, norms=norms)
    other = worst_case(1e-4 * shape, 50, norms=1e6 * norms, distance=1e-3)
    assert other.bound == pytest.approx(1e3 * plain.bound, rel=1e-12)
    assert other.peak == pytest.approx(1e-5 * plain.peak, rel=1e-8)
    assert other.highest == pytest.approx(1e-9 * plain.highest, rel=1e-8)
    assert other.at(2 * other.peak) == pytest.approx(1e3 * plain.at(2 * plain.peak), rel=1e-8)
    assert other.tolerance(5) == pytest.approx(plain.tolerance(5), rel=1e-9)
    tiny = worst_case(1e-290 * shape, 50, norms=norms * 1e120, distance=1e-120)
    assert tiny.ratio == pytest.approx(plain.ratio, rel=1e-12)


def test_rates_of_zero_move_nothing():
    early = worst_case(linear(steps=40), 100)
    alone = worst_case(linear(steps=40), 40)
    assert early.bound == pytest.approx(alone.bound, rel=1e-12)
    assert early.peak == pytest.approx(alone.peak, rel=1e-9)
    assert early.ratio == pytest.approx(math.sqrt(101 / 41))
    assert worst_case(warmup(10), 10).bound == pytest.approx(worst_case(warmup(10).table(10)[1:], 9).bound, rel=1e-12)


@pytest.mark.parametrize("given", [constant(0.0), [0.0] * 5, warmup(300).clamp(high=0.0)])
def test_where_no_rate_is_above_zero_the_start_is_the_end(given):
    found = worst_case(given, 5, norms=[1, 1, 1, 1, 1, 3.0], distance=2.0)
    assert (found.bound, found.at(9.0), found.tolerance(10), found.highest) == (6.0, 6.0, 1.0, 0.0)
    assert math.isnan(found.peak)
    for peak in (0.0, 1e-300, 1e-100):
        assert worst_case(linear(steps=5), 5).at(peak) == pytest.approx(1.0, rel=1e-15)
    for peak in (1e100, 1e200):
        assert worst_case(linear(steps=5), 5).at(peak) == pytest.approx(
            peak * worst_case([1, 0.8, 0.6, 0.4, 0.2], 5).at(1e50) / 1e50
        )


def test_a_table_a_schedule_and_a_function_are_one():
    shape = 0.5 * warmup(5) * cosine_decay(decay_steps=30)
    found = worst_case(shape, 30, norms=lambda step: 1.0 + step % 3)
    for rates in (shape.table(30), shape.table(30).tolist(), from_function(shape.__call__)):
        assert worst_case(rates, 30, norms=[1.0 + step % 3 for step in range(31)]) == found
    assert worst_case(shape, 30, norms=constant(2.0)) == worst_case(shape, np.int64(30), norms=2)


def test_too_large_a_peak_costs_what_attia_and_koren_found():
    factors = np.geomspace(30, 1000, 4)
    for power in (1, 2, 3):
        shape = parse(f"polynomial_decay(decay_steps=steps, end=0.0, power={power}.0)", {"steps": 2000})
        found = worst_case(shape, 2000)
        slope = np.polyfit(np.log(factors), np.log([found.tolerance(f) for f in factors]), 1)[0]
        assert slope == pytest.approx(1 / (2 * power + 1), abs=5e-3)
    stuck = worst_case(constant(1.0), 2000)
    assert stuck.tolerance(1e9) == pytest.approx(1 / stuck.bound)  # D G: as if nothing had been trained
    assert stuck.tolerance(1.0) == pytest.approx(1.0)


def test_what_a_cooldown_wins_at_the_same_peak():
    held = worst_case(hold(1000), 1000)
    cooled = worst_case(hold(800).then(parse("cooldown(200)")), 1000)
    peak = held.peak
    assert cooled.at(peak) < 0.8 * held.at(peak)


def test_a_long_run():
    found = worst_case(linear(steps=300_000), 300_000)
    assert found.bound == pytest.approx(1 / math.sqrt(300_000 + 1), rel=1e-12)
    assert len(found._backward.blocks) < 20_000


TOLD = {
    "linear to zero": (1.000, 1.000, 1.000, 1.00),
    "cosine to zero": (1.030, 1.030, 1.030, 0.97),
    "hold 50%, linear": (1.017, 1.016, 1.016, 0.66),
    "hold 80%, 1-sqrt": (1.065, 1.063, 1.063, 0.54),
    "hold 80%, linear": (1.081, 1.080, 1.080, 0.51),
    "cosine to 10%": (1.047, 1.098, 1.145, 0.79),
    "exponential to 1%": (1.134, 1.144, 1.155, 2.01),
    "x0.1 at 70%": (1.157, 1.186, 1.219, 0.56),
    "alpha/sqrt(t)": (1.226, 1.374, 1.515, 16.62),
    "constant": (1.413, 1.608, 1.779, 0.28),
    "quadratic to zero": (1.061, 1.061, 1.061, 1.41),
    "warmup 5%, cosine": (1.037, 1.039, 1.039, 1.01),
}


@pytest.mark.parametrize("name", TABLE)
def test_the_table_of_the_claim(name):
    """By the recursion as it is stated, on a fine grid; and to the digits that the documents have."""
    for steps, ratio in zip((100, 1000, 10_000), TOLD[name], strict=False):
        found = worst_case(parse(TABLE[name], {"steps": steps}), steps)
        assert round(found.ratio, 3) == ratio
    assert round(100 * found.peak, 2) == TOLD[name][3]
    rates = parse(TABLE[name], {"steps": 100}).table(100)
    once = worst_case(rates, 100)
    assert once.bound == pytest.approx(by_definition(rates, np.ones(101), once.peak), rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": linear(-1.0, steps=4)}, "schedule is -1 at step 0; expected finite numbers of at least 0"),
        ({"schedule": [0.1, math.inf, 0.1, 0.1]}, "schedule is inf at step 1"),
        ({"schedule": [0.1, 0.1, math.nan, 0.1]}, "schedule is nan at step 2"),
        ({"schedule": [0.1] * 3}, r"schedule of shape \(3,\); expected a schedule, or a table of steps=4"),
        ({"schedule": "linear"}, "as schedule; expected a schedule"),
        ({"schedule": lambda _: 0.1}, "tapered.from_function"),
        ({"steps": 0}, "got steps=0"),
        ({"steps": True}, "got steps=True"),
        ({"steps": 2.5}, "got steps=2.5"),
        ({"steps": 10**12}, "got steps=1000000000000"),
        ({"norms": 0.0}, "norms is 0 at step 0; expected finite numbers above 0"),
        ({"norms": [1, 1, 1, 1]}, r"steps \+ 1 = 5"),
        ({"norms": [1, 1, -2.0, 1, 1]}, "norms is -2 at step 2"),
        ({"norms": lambda step: math.inf if step == 3 else 1.0}, "norms is inf at step 3"),
        ({"norms": [1e-120, 1, 1, 1, 1]}, "norms go from 1e-120 to 1"),
        ({"norms": "flat"}, "as norms; expected a number"),
        ({"distance": 0}, "got distance=0"),
        ({"distance": -1.0}, "got distance=-1"),
        ({"distance": math.nan}, "got distance=nan"),
        ({"distance": "far"}, "got distance='far'"),
        ({"distance": 1e300, "norms": 1e300}, "the bound is beyond float64"),
    ],
    ids=lambda value: str(value).partition(" at 0x")[0][:40],
)
def test_what_is_no_number_above_zero_is_refused_by_name(change, message):
    given = {"schedule": linear(steps=4), "steps": 4, **change}
    with pytest.raises((ValueError, TypeError), match=message):
        worst_case(given.pop("schedule"), given.pop("steps"), **given)


@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan, "high", None])
def test_peaks_and_factors_are_checked(value):
    found = worst_case(inverse_sqrt(1.0), 10)
    for ask, name in ((found.at, "peak"), (found.tolerance, "factor")):
        with pytest.raises((ValueError, TypeError), match=f"got {name}="):
            ask(value)
    with pytest.raises(ValueError, match="got factor=0"):
        found.tolerance(0.0)
