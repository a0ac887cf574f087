"""A run explained: trained as it is trained anyway, its next gradient taken at chosen steps."""

from collections.abc import Sequence
from math import isfinite

import numpy as np

from tapered.explain.measure import Given, measure
from tapered.explain.points import Explanation, Point, Series
from tapered.rules import bare, decouples
from tapered.theory import Shares, shares
from tapered.training import loop
from tapered.training.advance import advance, deterministic
from tapered.training.rows import Path, Rows, start
from tapered.training.workload import Workload

LOOKS = 32


def looks(steps: int, count: int = LOOKS) -> tuple[int, ...]:
    """At most `count` of the steps 0, ..., steps - 1, evenly spaced on a log scale: the first and the last among them.

    Example:
        >>> looks(1000, 8)
        (0, 2, 6, 18, 51, 138, 372, 999)
    """
    return tuple(sorted({round(place) - 1 for place in np.geomspace(1, steps, count)}))


def explain_run(
    workload: Workload,
    path: Path,
    seed: int = 0,
    *,
    at: Sequence[int] | None = None,
    row: Rows | None = None,
    by_parameter: bool = False,
) -> Explanation:
    """Train one run along its path and look at chosen steps of it.

    The run's numbers are those of `train.advance`, bit for bit. Each look costs about one step more.

    Args:
        workload: What is trained.
        path: Rule and hypers at every step; see `train.tabulate`.
        seed: Of initial weights, minibatches and dropout.
        at: Steps to look at, each below `path.steps`; by default 32 or fewer on a log scale.
        row: Where to begin instead of step 0: one row, as a checkpoint has it. It is not written, `seed` is its own.
        by_parameter: One group for each parameter, under its name, instead of one for all.

    Raises:
        ValueError: If a step lies outside the path.

    Example:
        >>> from tapered import rules
        >>> from tapered.training.advance import tabulate
        >>> from tapered.training.workload import quadratic
        >>> found = explain_run(quadratic(), tabulate(rules.Adam(), 100, lr=0.01))
        >>> last = found.series[0].points[-1]
        >>> last.step, round(last.term("step").factor, 4), round((1 - 0.999**100) ** 0.5 / (1 - 0.9**100), 4)
        (99, 0.3086, 0.3086)
    """
    row = start(workload, path.rule, [seed]) if row is None else row
    first = row.steps[0]
    chosen = sorted(set((first + step for step in looks(path.steps - first)) if at is None else at))
    outside = [step for step in chosen if not first <= step < path.steps]
    if outside or not chosen:
        got = outside[0] if outside else "no steps"
        raise ValueError(f"got {got} for `at`; expected completed updates, from {first} to {path.steps - 1}")
    found = []
    for step in chosen:
        row = advance(workload, row, [path], step)
        points = {} if row.diverged[0] is not None else explain_row(workload, row, path, by_parameter=by_parameter)
        if not points:
            break
        found.append(points)
    names = list(dict.fromkeys(name for points in found for name in points))
    series = [Series(name, bare(path.rule), tuple(p[name] for p in found if name in p)) for name in names]
    stopped = row.steps[0] if len(found) < len(chosen) and row.diverged[0] is None else row.diverged[0]
    return Explanation(tuple(series), stopped, _shares(path, first))


def _shares(path: Path, first: int) -> Shares | None:
    """What decoupled weight decay leaves at the path's end; of groups with factors of their own, at a factor of 1."""
    decay = path.hypers.get("weight_decay")
    if decay is None or not decouples(path.rule) or not decay[first:].any():
        return None
    return shares(path.hypers["lr"][first:], decay[first:], path.steps - first)


def explain_row(workload: Workload, row: Rows, path: Path, *, by_parameter: bool = False) -> dict[str, Point]:
    """The next step of a single row, as it would be taken: group name -> its point; empty if its loss is not finite.

    Args:
        workload: What is trained.
        row: One row of it; it is not written.
        path: Rule and hypers, covering the row's step.
        by_parameter: One group for each parameter, under its name, instead of one called "all".

    Example:
        >>> from tapered import rules
        >>> from tapered.training.advance import tabulate
        >>> from tapered.training.workload import quadratic
        >>> path = tabulate(rules.SGD(), 10, lr=0.01)
        >>> point = explain_row(quadratic(), start(quadratic(), path.rule, [0]), path)["all"]
        >>> point.step, point.lr, abs(point.update - 0.01 * point.gradient) < 1e-6
        (0, 0.01, True)
    """
    step = row.steps[0]
    with deterministic():
        loss, grads = loop.gradients(workload, row)
        if not isfinite(loss):
            return {}
        given = {
            name: Given(
                row.params[name][0],
                grad,
                {key: tensor[0] for key, tensor in row.state[name].items()},
                int(row.counts[name][0]) + 1,
            )
            for name, grad in grads.items()
        }
        groups = {name: [part] for name, part in given.items()} if by_parameter else {"all": list(given.values())}
        hyper = {name: float(values[step]) for name, values in path.hypers.items()}
        moving = [name for name, values in path.hypers.items() if (values != values[0]).any()]
        return {name: measure(path.rule, step, parts, hyper, moving) for name, parts in groups.items()}
