r"""The worst case of the last iterate of (stochastic) gradient descent on convex problems, for any schedule.

    x_{k+1} = x_k - h_k g_k,  k = 1..N;    f convex,  E|g_k|^2 <= G_k^2 (k = 1..N+1),  |x_1 - x*| <= D

    u_{N+1} = a > 0,   u_k = u_{k+1} + h_k / u_{k+1}
    E f(x_{N+1}) - f*  <=  1/2 [ D^2 / u_1^2 + sum_{k<=N} (u_k - u_{k+1})^2 G_k^2 + a^2 G_{N+1}^2 ],   least over a

It is Zamani and Glineur's lemma (2023, arXiv 2307.11134) with reference points chosen so that only f(x_{N+1}) is left.
With V the sums in the brackets, the best multiple of a shape is D / (u_1 sqrt(V)), and its bound D sqrt(V) / u_1. No
schedule's bound is below D / sqrt(sum of G_k^-2); linear to zero has it where norms are equal.
"""

from dataclasses import dataclass, field
from math import log, nan, sqrt
from typing import SupportsIndex

import numpy as np

from tapered.theory import given
from tapered.theory.backward import Backward
from tapered.theory.given import Norms, Rates

NOTHING = 1e-200  # a rate, where distance and norm are 1, that moves nothing in float64


@dataclass(frozen=True)
class WorstCase:
    """What no convex problem makes worse, for one schedule.

    Args:
        bound: Of E f(x_{N+1}) - f*, after the last step, with the schedule times `peak`.
        peak: What the schedule is to be multiplied by for that; NaN where all its rates are 0 and nothing matters.
        highest: The highest rate at that peak.
        least: The least bound that any schedule has for these norms: D / sqrt(sum of G_k^-2).
        average: The bound of the mean of the iterates x_1..x_N weighted by their rates, at a best peak of its own.
        steps: N.
        distance: D.

    Example:
        >>> from tapered.schedules import constant, linear
        >>> for shape in (constant(1.0), linear(steps=100)):
        ...     print(f"{worst_case(shape, 100).ratio:.2f} times the least of all schedules")
        1.41 times the least of all schedules
        1.00 times the least of all schedules
    """

    bound: float
    peak: float
    highest: float
    least: float
    average: float
    steps: int
    distance: float
    _units: tuple[float, float] = field(repr=False, compare=False)  # of a rate, of a norm
    _backward: Backward | None = field(repr=False, compare=False)

    @property
    def ratio(self) -> float:
        """`bound` over the least of all schedules: 1 where there is none better."""
        return self.bound / self.least

    @property
    def average_ratio(self) -> float:
        """`average` over the least of all schedules."""
        return self.average / self.least

    def at(self, peak: float) -> float:
        """The bound with the schedule times a peak of one's own; `at(1.0)` is that of the schedule as written.

        >>> from tapered.schedules import linear
        >>> found = worst_case(linear(steps=99), 99)
        >>> round(found.at(found.peak), 6), round(found.at(10 * found.peak), 3), found.at(0.0)
        (0.1, 0.505, 1.0)
        """
        p = given.finite(self._unitless(given.number(peak, "peak", zero=True)), "peak")
        if self._backward is None:
            return self.bound
        if p < NOTHING:
            return self._unit * sqrt(self._backward.last)
        found = self._backward.search(lambda u, v: 1 / (p * u) + p * v, high=-log(p))
        found = self._backward.refined(found, lambda u, v: 1 / (p * u) + p * v)
        U, V = self._backward.at(found)
        return given.finite(self._unit * (1 / (p * U) + p * V) / 2, "the bound")

    def tolerance(self, factor: float) -> float:
        """What a peak `factor` times the best costs, as a multiple of `bound`, on a domain whose diameter is D.

        There iterates are projected, so that the bound may begin at any of them, and at most D G_{N+1} is lost. Of
        schedules that end as (1 - k / N)^p it grows as factor^(1 / (2 p + 1)) (Attia and Koren 2025, arXiv 2503.09411).

        >>> from tapered.schedules import constant, linear
        >>> [round(worst_case(shape, 1000).tolerance(10), 2) for shape in (constant(1.0), linear(steps=1000))]
        [4.39, 2.04]
        """
        times = given.number(factor, "factor")
        if self._backward is None:
            return 1.0
        p = given.finite(times * self._unitless(self.peak), "factor")
        found = self._backward.search(lambda u, v: 1 / (p * u) + p * v, high=-log(p), anywhere=True)
        most = sqrt(self._backward.last)
        return self._unit * min(self._backward.least_anywhere(found, p) / 2, most) / self.bound

    def _unitless(self, peak: float) -> float:
        rate, norm = self._units
        return peak * rate * norm / self.distance

    @property
    def _unit(self) -> float:
        return self.distance * self._units[1]


def worst_case(schedule: Rates, steps: SupportsIndex, *, norms: Norms = 1.0, distance: float = 1.0) -> WorstCase:
    """The worst case of the last iterate over all convex problems, for any schedule, at its best peak.

    Exact where it could be checked (by semidefinite programming, up to 60 steps, for rates that stay or fall and equal
    norms, to 1e-5), elsewhere an upper bound. It is of convex problems that need not be smooth, and of the worst.

    Args:
        schedule: The shape; or a table of one rate a step.
        steps: N, the updates that are made.
        norms: G, of the gradients: a number, a table of N + 1 numbers, or a function of the step 0..N. Those that were
            measured in a run fell because the rate fell: equal ones say more of a schedule.
        distance: D, from the start to the best point.

    Raises:
        TypeError: If something is no number, table or schedule.
        ValueError: If a rate is negative, a norm or the distance not above 0, or one of them not finite.

    Example:
        >>> from tapered.schedules import constant, linear
        >>> found = worst_case(linear(steps=99), 99)
        >>> round(found.bound, 12), round(found.peak, 6), round(found.ratio, 12)
        (0.1, 0.099, 1.0)
        >>> round(worst_case(constant(1.0), 99).ratio, 3)
        1.412
    """
    count, D = given.whole(steps), given.number(distance, "distance")
    h, rate = given.scaled(given.rates(schedule, count))
    G, norm = given.scaled(given.norms(norms, count))
    moving = h > 0
    least = D * norm / float(np.sqrt((1 / np.square(G)).sum()))
    units, last = (rate, norm), float(G[-1] ** 2)
    if not moving.any():
        stays = given.finite(D * norm * float(G[-1]), "the bound")
        return WorstCase(stays, nan, 0.0, least, stays, count, D, units, None)
    back = Backward(h[moving], np.square(G[:-1][moving]), last)
    found = back.refined(back.search(lambda u, v: v / u), lambda u, v: v / u)
    U, V = back.at(found)
    weighted = float(np.sqrt((np.square(h) * np.square(G[:-1])).sum()))
    peak = D / (norm * sqrt(U) * sqrt(V))
    return WorstCase(
        bound=given.finite(D * norm * sqrt(V / U), "the bound"),
        peak=given.finite(peak / rate, "the best peak"),
        highest=peak,
        least=least,
        average=D * norm * weighted / float(h.sum()),
        steps=count,
        distance=D,
        _units=units,
        _backward=back,
    )
