"""Range tests on a workload: all rates at once from one state, or one run whose rate rises."""

import math
from dataclasses import replace

import numpy as np

from tapered.range_test.curve import Curve, smooth, stops
from tapered.rules import Rule
from tapered.schedules import Schedule
from tapered.training.advance import LOOP, Mode, advance, evaluate
from tapered.training.losses import LOSSES_KEPT
from tapered.training.rows import OnStep, Path, Rows, start, tabulate
from tapered.training.workload import Workload


def grid(low: float, high: float, points: int) -> tuple[float, ...]:
    """Rates from low to high on a log scale.

    Args:
        low: the lowest rate, above 0.
        high: the highest.
        points: how many, at least 4.

    Raises:
        ValueError: If they do not span a range of at least 4 points.

    >>> grid(1e-3, 1.0, 4)
    (0.001, 0.01, 0.1, 1.0)
    """
    if not (0 < low < high < math.inf):
        raise ValueError(f"got low={low!r} and high={high!r}; expected 0 < low < high; try low=1e-6, high=10")
    if isinstance(points, bool) or not isinstance(points, int) or points < 4:
        raise ValueError(f"got points={points!r}; expected a whole number of at least 4; try points=64")
    return tuple(float(f"{rate:.12g}") for rate in np.geomspace(low, high, points))


def range_test(
    workload: Workload,
    rule: Rule,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    points: int = 64,
    steps: int = 20,
    seed: int = 0,
    split: str = "valid",
    mode: Mode = LOOP,
    on_step: OnStep | None = None,
    **hypers: float | Schedule,
) -> Curve:
    """Each rate its own row: the loss after `steps` updates at that rate, all from the same weights and minibatches.

    So a rate's loss does not depend on the rates before it, as it does in a ramp; this costs `points * steps` updates.

    Args:
        workload: What is trained.
        rule: With which rule.
        low: Lowest rate.
        high: Highest rate.
        points: How many, on a log grid.
        steps: Updates at each rate.
        seed: Of initial weights and minibatches.
        split: The split whose loss is taken at the end.
        mode: How rows train; see `modes.choose`.
        on_step: As for `train.advance`.
        hypers: The rule's others, numbers or schedules.

    Raises:
        ValueError: If the grid, the split, `steps` or a hyper cannot be.

    Example:
        >>> from tapered import rules
        >>> from tapered.training.workload import quadratic
        >>> curve = range_test(quadratic(), rules.SGD(), low=1e-3, high=10, points=9)
        >>> [round(loss, 2) for loss in curve.losses]  # curvature is 10: a rate above 2 / 10 diverges
        [17.36, 8.53, 1.54, 0.41, 0.22, 382923077320704.0, inf, inf, inf]
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"got steps={steps!r}; expected a whole number of at least 1; try steps=20")
    rates = grid(low, high, points)
    workload.split(split)
    paths = [tabulate(rule, steps, **{**hypers, "lr": rate}) for rate in rates]
    first = start(workload, rule, [seed])
    begun = evaluate(workload, first, split)[0]["loss"]
    rows = advance(workload, first.take([0] * points), paths, steps, mode=mode, on_step=on_step)
    losses = tuple(_ends(workload, rows, split, mode))
    return Curve("rows", rates, losses, losses, begun, steps, split)


def _ends(workload: Workload, rows: Rows, split: str, mode: Mode) -> list[float]:
    """The loss of each row at its end, infinite for one that diverged."""
    there = [place for place, diverged in enumerate(rows.diverged) if diverged is None]
    found = evaluate(workload, rows.take(there), split, mode=mode) if there else []
    losses = dict(zip(there, (_finite(values["loss"]) for values in found), strict=True))
    return [losses.get(place, math.inf) for place in range(len(rows))]


def _finite(loss: float) -> float:
    return loss if math.isfinite(loss) else math.inf


def ramp(
    workload: Workload,
    rule: Rule,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    points: int = 128,
    seed: int = 0,
    on_step: OnStep | None = None,
    **hypers: float | Schedule,
) -> Curve:
    """One run whose rate rises at each step: rate k is `low * (high / low)^(k / (points - 1))`.

    A loss is that of the minibatch before the update at its rate, so it answers to the rates before. The run ends where
    the average is 4 times its lowest, or a loss is not finite.

    Args:
        workload: What is trained.
        rule: With which rule.
        low: Lowest rate, of the first step.
        high: Highest rate, of the last.
        points: How many, on a log grid; one step for each.
        seed: Of initial weights and minibatches.
        on_step: As for `train.advance`.
        hypers: The rule's others, numbers or schedules.

    Example:
        >>> from tapered import rules
        >>> from tapered.training.workload import quadratic
        >>> curve = ramp(quadratic(), rules.SGD(), low=1e-4, high=10)
        >>> len(curve.rates), [(found.name, round(found.rate, 3)) for found in curve.suggestions]
        (93, [('steep', 0.005), ('valley', 0.019), ('minimum', 0.027)])

    Source: Smith 2017, "Cyclical learning rates", section 3.3, there with a linear rise; fastai's `lr_find`.
    """
    rates = grid(low, high, points)
    path = tabulate(rule, points, **{**hypers, "lr": 1.0})
    path = Path(rule, {**path.hypers, "lr": np.array(rates)})
    row, losses = start(workload, rule, [seed]), list[float]()
    while len(losses) < points and row.diverged[0] is None:
        to_step = min(row.steps[0] + LOSSES_KEPT, points)
        row = advance(workload, replace(row, losses=((),)), [path], to_step, on_step=on_step)
        losses += [loss for _, loss in row.losses[0]]
        if stops(losses):
            break
    if row.diverged[0] is not None:
        losses.append(math.inf)
    return ramped(rates, losses)


def ramped(rates: tuple[float, ...], losses: list[float]) -> Curve:
    """The curve of a ramp, up to where it diverged."""
    average = smooth(losses)
    end = next((i + 1 for i in range(len(losses)) if stops(losses[: i + 1])), len(losses))
    kept = tuple(_finite(loss) for loss in losses[:end])
    return Curve("ramp", rates[:end], kept, tuple(_finite(loss) for loss in average[:end]), kept[0], 1)
