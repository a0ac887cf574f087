"""Many schedules as one table."""

import math
from collections.abc import Sequence
from typing import SupportsIndex

import numpy as np

from tapered.schedules import checks
from tapered.schedules.base import Schedule
from tapered.schedules.curves import Floats
from tapered.schedules.operators import scaled


def tabulate(schedules: Sequence[Schedule], stop: SupportsIndex, start: SupportsIndex = 0) -> Floats:
    """The tables of all schedules, shape (schedules, steps), float64: row i is schedules[i].table(stop, start).

    Schedules that differ in the number before them share the table of what follows it, which is evaluated once.

    Args:
        schedules: any number of them.
        stop: the step before which the tables end.
        start: the step at which they begin.

    Example:
        >>> from tapered.schedules import cosine_decay
        >>> shape = cosine_decay(decay_steps=4)
        >>> tabulate([shape, 0.1 * shape], 5).round(3)
        array([[1.   , 0.854, 0.5  , 0.146, 0.   ],
               [0.1  , 0.085, 0.05 , 0.015, 0.   ]])
    """
    sharing: dict[Schedule, list[int]] = {}
    for row, schedule in enumerate(schedules):
        sharing.setdefault(_shape(schedule), []).append(row)
    tables = np.empty((len(schedules), max(checks.step(stop, "stop") - checks.step(start, "start"), 0)))
    for shape, rows in sharing.items():
        table = shape.table(stop, start)
        furthest = float(np.abs(table).max(initial=0.0))
        for row in rows:
            factor = _factor(schedules[row])
            if not math.isfinite(factor * furthest):
                schedules[row].table(stop, start)  # raises, and says where
            np.multiply(factor, table, out=tables[row])
    return tables


def _shape(schedule: Schedule) -> Schedule:
    return schedule.schedule if isinstance(schedule, scaled) else schedule


def _factor(schedule: Schedule) -> float:
    return schedule.factor if isinstance(schedule, scaled) else 1.0
