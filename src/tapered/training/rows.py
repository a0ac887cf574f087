"""Rows: runs on their way, stacked; and paths, the hypers of each at every step.

    start(workload, rule, seeds) -> Rows        tabulate(rule, steps, lr=schedule) -> Path

Rows are a value. A fork is an index on the row axis: `rows.take([0, 0, 1])`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import nan
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tapered.rules import Rule, State
from tapered.rules.ranges import ranges_of
from tapered.schedules import Controller, Schedule
from tapered.training.extras import pack
from tapered.training.losses import Losses
from tapered.training.precision import fresh
from tapered.training.shares import shares
from tapered.training.workload import Workload
from tapered.words import brief

OnStep = Callable[[int], bool | None]
Tensors = Mapping[str, Tensor]
MOST_STEPS = 2**27  # a gigabyte for each hyper


@brief
@dataclass(frozen=True)
class Rows:
    """The states of R runs, their tensors stacked along a first axis.

    Args:
        rule: The arithmetic that `state` belongs to.
        seeds: What initial weights, minibatches and dropout of each row follow.
        steps: Completed updates of each row; with those that float16 skipped.
        params: Parameter name -> tensor of shape (R, *shape), as `model.named_parameters()` names them.
        buffers: Buffer name -> tensor of shape (R, *shape).
        state: Parameter name -> the rule's state tensors, (R, *shape) each.
        counts: Parameter name -> completed updates of that parameter, float32, shape (R,). A parameter without a
            gradient is not updated, so its count may stay behind the row's steps.
        losses: For each row (step, training loss of that minibatch before the update): at most `LOSSES_KEPT` evenly
            spaced points.
        latest: For each row the training loss of its last update; NaN where it was made elsewhere, or none was.
        diverged: For each row the step whose loss was not finite; None if there was none. A diverged row is a result
            and is trained no further; its tensors mean nothing.
        extra: For each row what its model keeps by `get_extra_state`, packed; empty where no module does.
        scaler: Of float16 the scale, how long it has held, and the steps that it skipped, (R,) each; else empty.
    """

    rule: Rule
    seeds: tuple[int, ...]
    steps: tuple[int, ...]
    params: Tensors
    buffers: Tensors
    state: Mapping[str, State]
    counts: Tensors
    losses: tuple[Losses, ...]
    latest: tuple[float, ...]
    diverged: tuple[int | None, ...]
    extra: tuple[bytes, ...]
    scaler: Tensors = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.seeds)

    def take(self, indices: Sequence[int]) -> "Rows":
        """The rows at these places, in this order; a place may come more than once.

        >>> from tapered import rules
        >>> from tapered.training.workload import quadratic
        >>> start(quadratic(), rules.Adam(), seeds=[3, 4]).take([1, 1, 0]).seeds
        (4, 4, 3)
        """
        places = torch.tensor(list(indices), dtype=torch.int64)
        return self._picked(list(indices), lambda tensor: tensor.index_select(0, places.to(tensor.device)))

    def _picked(self, places: list[int], pick: Callable[[Tensor], Tensor]) -> "Rows":
        return replace(
            self,
            seeds=tuple(self.seeds[i] for i in places),
            steps=tuple(self.steps[i] for i in places),
            losses=tuple(self.losses[i] for i in places),
            latest=tuple(self.latest[i] for i in places),
            diverged=tuple(self.diverged[i] for i in places),
            extra=tuple(self.extra[i] for i in places),
            **mapped(self, pick),
        )

    @staticmethod
    def joined(parts: Sequence["Rows"]) -> "Rows":
        """The rows of several, one after another.

        Raises:
            ValueError: If there are none, or they are of several rules.
        """
        if len({part.rule for part in parts}) != 1:
            raise ValueError(f"got rows of the rules {[part.rule for part in parts]}; expected one rule")
        first = parts[0]
        if len(parts) == 1:
            return first

        def cat(tensors: Sequence[Tensor]) -> Tensor:
            return torch.cat(list(tensors))

        return replace(
            first,
            seeds=sum((part.seeds for part in parts), ()),
            steps=sum((part.steps for part in parts), ()),
            params={n: cat([part.params[n] for part in parts]) for n in first.params},
            buffers={n: cat([part.buffers[n] for part in parts]) for n in first.buffers},
            state={n: {k: cat([part.state[n][k] for part in parts]) for k in first.state[n]} for n in first.state},
            counts={n: cat([part.counts[n] for part in parts]) for n in first.counts},
            losses=sum((part.losses for part in parts), ()),
            latest=sum((part.latest for part in parts), ()),
            diverged=sum((part.diverged for part in parts), ()),
            extra=sum((part.extra for part in parts), ()),
            scaler={n: cat([part.scaler[n] for part in parts]) for n in first.scaler},
        )


def mapped(rows: Rows, function: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """Every tensor of rows through a function, by field."""
    return {
        "params": {name: function(t) for name, t in rows.params.items()},
        "buffers": {name: function(t) for name, t in rows.buffers.items()},
        "state": {name: {key: function(t) for key, t in part.items()} for name, part in rows.state.items()},
        "counts": {name: function(t) for name, t in rows.counts.items()},
        "scaler": {name: function(t) for name, t in rows.scaler.items()},
    }


@brief
@dataclass(frozen=True, eq=False)
class Path:
    """A rule and the value of each of its hypers at each step: name -> float64 array, index = step.

    Raises:
        ValueError: If a hyper is missing, unknown or somewhere out of its range.
    """

    rule: Rule
    hypers: Mapping[str, NDArray[np.float64]]

    def __post_init__(self) -> None:
        """Refuse a path that lacks a hyper, has one too many, or has values that are not numbers."""
        wanted = {"lr", *self.rule.hypers}
        if set(self.hypers) != wanted:
            raise ValueError(
                f"a path for {self.rule} got hypers {sorted(self.hypers)}; expected {sorted(wanted)}; "
                f"try tabulate(rule, steps, lr=schedule), which fills in the defaults"
            )
        for name, bounds in ranges_of(self.rule).items():
            values = self.hypers[name]
            bad = bounds.first_outside(values)
            if bad is not None:
                raise ValueError(
                    f"got {name}={float(values[bad])!r} at step {bad}; expected {bounds} at every step; "
                    f"try {name}={bounds.example}, or .clamp(low, high) behind its schedule"
                )

    @property
    def steps(self) -> int:
        """The steps it covers."""
        return min(len(values) for values in self.hypers.values())


def tabulate(rule: Rule, steps: int, **hypers: float | Schedule) -> Path:
    """The path of a rule over `steps` steps; each hyper a number or a schedule, defaults where left out.

    Args:
        rule: Whose hypers they are.
        steps: How many updates the path covers.
        hypers: `lr`, and others by name.

    Raises:
        ValueError: If `rule` has no such hyper, `lr` is missing, a value is out of its range at some step, or there are
            too many steps.

    >>> from tapered import rules
    >>> tabulate(rules.SGD(), 3, lr=0.5).hypers["lr"]
    array([0.5, 0.5, 0.5])
    """
    if steps > MOST_STEPS:
        raise ValueError(f"got steps={steps:,}; a table of every step is kept, so expected at most {MOST_STEPS:,}")
    values: dict[str, float | Schedule] = {**rule.hypers, **hypers}
    return Path(rule, {name: _table(value, steps) for name, value in values.items()})


def _table(value: float | Schedule, steps: int) -> NDArray[np.float64]:
    if isinstance(value, Schedule):
        return value.table(steps)
    if isinstance(value, Controller):
        value.table()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"got {value!r} ({type(value).__name__}) for a hyper; expected a number or a schedule")
    return _flat(float(value), steps)


@lru_cache(maxsize=64)
def _flat(value: float, steps: int) -> NDArray[np.float64]:
    """One array for all runs whose hyper is this number."""
    table = np.full(steps, value)
    table.flags.writeable = False
    return table


def start(workload: Workload, rule: Rule, seeds: Sequence[int]) -> Rows:
    """The rows of these seeds before their first update.

    Args:
        workload: What is trained.
        rule: What it is trained by.
        seeds: One a row.

    >>> from tapered import rules
    >>> from tapered.training.workload import quadratic
    >>> start(quadratic(), rules.Adam(), seeds=[0, 1]).params["w"].shape
    torch.Size([2, 4])
    """
    known = {seed: _start(workload, rule, seed) for seed in dict.fromkeys(seeds)}
    return Rows.joined([known[seed] for seed in seeds])


def _start(workload: Workload, rule: Rule, seed: int) -> Rows:
    model = workload.build(seed)
    limit = workload.recipe.clip_value
    turning = next((name for name, p in model.named_parameters() if p.is_complex()), None)
    if limit is not None and turning is not None:
        raise ValueError(
            f"got clip_value={limit}, and the parameter {turning!r} is complex; its numbers have no largest and "
            f"smallest; try clip_norm={limit}"
        )
    for share in shares(workload.recipe, (name for name, p in model.named_parameters() if p.requires_grad)):
        tables = share.of({name: _flat(value, 1) for name, value in {"lr": 1.0, **rule.hypers}.items()})
        try:
            Path(rule, tables)
        except ValueError as error:
            raise ValueError(f"the group of {share.names[0]!r}: {error}") from error
    params = {name: p.detach().clone() for name, p in model.named_parameters()}
    place = workload.recipe.place
    return Rows(
        rule=rule,
        seeds=(seed,),
        steps=(0,),
        params={name: p[None] for name, p in params.items()},
        buffers={name: b.detach().clone()[None] for name, b in model.named_buffers()},
        state={name: {key: s[None] for key, s in rule.init(p).items()} for name, p in params.items()},
        counts={name: torch.zeros(1, device=place) for name in params},
        losses=((),),
        latest=(nan,),
        diverged=(None,),
        extra=(pack(model),),
        scaler=fresh(workload.recipe),
    )


def placed(rows: Rows, device: torch.device) -> Rows:
    """Rows on a device; themselves where they are there.

    >>> from tapered import rules
    >>> from tapered.training.workload import quadratic
    >>> rows = start(quadratic(), rules.Adam(), seeds=[0])
    >>> placed(rows, torch.device("cpu")) is rows
    True
    """
    if next(iter(rows.params.values())).device == device:
        return rows
    return replace(rows, **mapped(rows, lambda tensor: tensor.to(device)))
