r"""The expected loss of SGD and Adam along any schedule on the noisy quadratic, without training.

    f(w; x) = 1/2 sum_i h_i (w_i - x_i)^2,   the mean x of a minibatch of variance n = sigma^2 / B
    loss    = 1/2 sum_i h_i W_i              W_i = E w_i^2

SGD, exactly:                    W <- (1 - lr h)^2 W + (lr h)^2 n
Adam, its root at its mean:      v <- beta2 v + (1 - beta2) h^2 (W + n),    r = lr / (c1 (sqrt(v / c2) + eps))
                                 P =  beta1^2 M + 2 beta1 (1 - beta1) h C + (1 - beta1)^2 h^2 (W + n)       E m^2
                                 Q =  beta1 C + (1 - beta1) h W                                             E w m
                                 W <- W - 2 r Q + r^2 P,    C <- Q - r P,    M <- P

Adam's step is linear in (w, m) once its root is a number; the recursion takes the root of E v for it, from each of
some starting points apart, which are Gauss and Hermite's for a normal start, and is exact but for that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, SupportsIndex

import numpy as np

from tapered.pictures.fragment import line
from tapered.theory import given
from tapered.theory.given import Floats, Rates
from tapered.words import brief

Start = Sequence[float] | Floats | None
NODES = 8  # starting points above 0 that stand for a standard normal one
TRIED, ZOOM, ROUNDS = 29, 9, 3  # peaks: on a grid, then between the neighbours of the best
DECADES = (-6.0, 1.0)  # that the grid spans, of 1 / max h for SGD, of 1 for Adam


class Best(NamedTuple):
    """The peak at which the expected loss after the last step is least, and that loss.

    Args:
        peak: what the schedule is to be multiplied by.
        loss: expected after the last step.

    Example:
        >>> Best(peak=0.3, loss=2.5).loss
        2.5
    """

    peak: float
    loss: float


@brief
@dataclass(frozen=True, eq=False)
class Problem:
    """What is known of the noisy quadratic.

    Args:
        h: The curvatures.
        n: The variance of a minibatch's mean, in each coordinate.
        starts: E w_i^2 at the start, a row for each starting point.
        weights: What each of these counts for.
    """

    h: Floats
    n: float
    starts: Floats
    weights: Floats


@dataclass(frozen=True)
class Adam:
    """Adam's numbers."""

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8


@dataclass(frozen=True)
class Expected:
    """The expected loss along a schedule.

    Args:
        losses: After 0, 1, ..., N steps at the schedule as written; infinite where it leaves float64.
        rule: "SGD" or "Adam".

    Example:
        >>> from tapered.schedules import constant
        >>> found = quadratic(constant(0.1), 100, rule="SGD", dimensions=4, condition=10.0)
        >>> len(found.losses), bool(found.final < found.losses[0])
        (101, True)
    """

    losses: Floats
    rule: str
    _table: Floats = field(repr=False, compare=False)
    _problem: Problem = field(repr=False, compare=False)
    _adam: Adam | None = field(repr=False, compare=False)

    def __repr__(self) -> str:
        return f"Expected({self.rule}: {self.losses[0]:.4g} at the start, {self.final:.4g} after {self._steps} steps)"

    def _repr_html_(self) -> str:
        said = str(self)[9:-1]
        return line(list(enumerate(self.losses.tolist())), said, ("step", "expected loss"), log=True)

    @property
    def _steps(self) -> str:
        return f"{len(self.losses) - 1:,}"

    @property
    def final(self) -> float:
        """After the last step."""
        return float(self.losses[-1])

    def best(self) -> Best:
        """The best of all peaks that may multiply the schedule: a grid over seven decades, then closer.

        >>> from tapered.schedules import exponential_decay, linear
        >>> for shape in (linear(steps=1000), exponential_decay(decay_steps=1000, decay_rate=0.01)):
        ...     print(f"{quadratic(shape, 1000, rule='SGD', dimensions=64, condition=100.0).best().loss:.2f}")
        3.52
        2.12
        """
        highest = float(self._table.max())
        if highest == 0:
            return Best(1.0, self.final)
        unit = (1.0 if self._adam else 1 / float(self._problem.h.max())) / highest
        peaks = unit * np.logspace(*DECADES, TRIED)
        for _ in range(ROUNDS):
            losses = self._finals(peaks)
            i = int(np.argmin(losses))
            found = Best(float(peaks[i]), float(losses[i]))
            peaks = np.geomspace(peaks[max(i - 1, 0)], peaks[min(i + 1, len(peaks) - 1)], ZOOM)
        return found

    def _finals(self, peaks: Floats) -> Floats:
        for seconds in _seconds(peaks[:, None] * self._table, self._problem, self._adam):
            last = seconds
        return _losses(last, self._problem)


def curvatures(dimensions: int, condition: float) -> Floats:
    """From 1 to ``condition``, evenly spaced on a log scale.

    >>> curvatures(3, 100.0).tolist()
    [1.0, 10.0, 100.0]
    """
    return np.geomspace(1.0, condition, dimensions)


def quadratic(
    schedule: Rates,
    steps: SupportsIndex,
    *,
    rule: Literal["SGD", "Adam"] = "Adam",
    dimensions: int = 16,
    condition: float = 1000.0,
    sigma: float = 1.0,
    batch_size: int = 1,
    start: Start = None,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> Expected:
    """The expected loss of SGD or Adam along a schedule on the noisy quadratic that `tapered.workloads` trains.

    SGD's is exact. Adam's takes the root of E v for the root of v. Beside the means of 256 runs (four problems, twelve
    schedules of 1,000 steps, seven peaks from 0.001 to 1; `benchmarks/evidence/quadratics.py`) it was off by 2.1% in
    the median, 9.7% at nine of ten, 23% at most, where means are sure to 2 to 5%; it put schedules in their order.

    Args:
        schedule: The rate as written; or a table of one rate a step.
        steps: Updates.
        rule: "SGD", without momentum, or "Adam".
        dimensions: Coordinates.
        condition: Largest curvature over the smallest, which is 1.
        sigma: Standard deviation of a sample in each coordinate; 0 for no noise.
        batch_size: Samples a step.
        start: Initial weights, one a coordinate; by default standard normal ones, in the mean.
        betas: Adam's.
        eps: Adam's.

    Raises:
        TypeError: If something is no number, table or schedule.
        ValueError: If one of them is out of range.

    Example:
        >>> from tapered.schedules import constant, linear
        >>> for shape in (constant(0.01), linear(0.01, steps=1000)):
        ...     print(f"{quadratic(shape, 1000, dimensions=64, condition=100.0).final:.2f}")
        3.42
        1.85
    """
    count = given.whole(steps)
    table = given.rates(schedule, count)
    adam = _adam(rule, betas, eps)
    problem = _problem(dimensions, condition, sigma, batch_size, start, nodes=1 if adam is None else NODES)
    losses = [_losses(seconds, problem)[0] for seconds in _seconds(table[None], problem, adam)]
    return Expected(np.array(losses), rule, table, problem, adam)


def _adam(rule: str, betas: tuple[float, float], eps: float) -> Adam | None:
    if rule not in ("SGD", "Adam"):
        raise ValueError(f'got rule={rule!r}; expected "SGD" or "Adam"')
    beta1, beta2 = (given.number(beta, f"betas[{i}]", zero=True) for i, beta in enumerate(betas))
    if max(beta1, beta2) >= 1:
        raise ValueError(f"got betas={betas}; expected two numbers of at least 0 and below 1; try (0.9, 0.999)")
    return Adam(beta1, beta2, given.number(eps, "eps", zero=True)) if rule == "Adam" else None


def _problem(dimensions: int, condition: float, sigma: float, batch_size: int, start: Start, *, nodes: int) -> Problem:
    """The problem; SGD is linear in E w^2, so that one starting point is as good as all."""
    d, batch = given.whole(dimensions, "dimensions"), given.whole(batch_size, "batch_size")
    wide, deviation = given.number(condition, "condition"), given.number(sigma, "sigma", zero=True)
    if wide < 1 or (d == 1 and wide != 1):
        raise ValueError(
            f"got condition={wide:g} for dimensions={d}; expected at least 1, and 1 where there is one dimension"
        )
    if start is None:
        at, weights = np.polynomial.hermite_e.hermegauss(2 * nodes)
        starts = np.tile(np.square(at[nodes:, None]), (1, d))
        weights = weights[nodes:] / weights[nodes:].sum()
    else:
        starts, weights = np.square(_started(start, d))[None], np.ones(1)
    return Problem(curvatures(d, wide), deviation**2 / batch, starts, weights)


def _started(start: Sequence[float] | Floats, dimensions: int) -> Floats:
    found = np.asarray(start, dtype=np.float64)
    if found.shape != (dimensions,) or not np.isfinite(found).all():
        raise ValueError(f"got start={start!r:.80}; expected dimensions={dimensions} finite numbers")
    return found


def _losses(seconds: Floats, problem: Problem) -> Floats:
    """Of E w_i^2, shape (rows, starts, dimensions), one a row; what is beyond float64 is infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = seconds @ problem.h / 2 @ problem.weights
    return np.where(np.isnan(found), np.inf, found)


def _seconds(rates: Floats, problem: Problem, adam: Adam | None) -> Iterator[Floats]:
    """E w_i^2 after 0, 1, ... steps, for each row of rates; shape (rows, starts, dimensions)."""
    begun = np.tile(problem.starts, (len(rates), 1, 1))
    along = rates.T[:, :, None, None]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        yield from _sgd(along, begun, problem) if adam is None else _adams(along, begun, problem, adam)


def _sgd(rates: Floats, W: Floats, of: Problem) -> Iterator[Floats]:  # noqa: N803 - the drawing's letters
    yield W
    for lr in rates:
        W = (1 - lr * of.h) ** 2 * W + (lr * of.h) ** 2 * of.n
        yield W


def _adams(rates: Floats, W: Floats, of: Problem, adam: Adam) -> Iterator[Floats]:  # noqa: N803
    h, b1, b2 = of.h, adam.beta1, adam.beta2
    C = M = v = np.zeros_like(W)
    yield W
    for t, lr in enumerate(rates, 1):
        squares = h * h * (W + of.n)
        v = b2 * v + (1 - b2) * squares
        root = np.sqrt(v / (1 - b2**t)) + adam.eps
        r = np.divide(lr, (1 - b1**t) * root, out=np.zeros_like(root), where=root > 0)  # no gradient, no step
        P = b1 * b1 * M + 2 * b1 * (1 - b1) * h * C + (1 - b1) ** 2 * squares
        Q = b1 * C + (1 - b1) * h * W
        W, C, M = W - 2 * r * Q + r * r * P, Q - r * P, P
        yield W
