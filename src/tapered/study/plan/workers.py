"""Whether several workers spare more than they take to begin."""

import sys
from collections.abc import Iterable

from tapered.study.plan.planned import Planned
from tapered.training.devices import CPU
from tapered.training.forked import can_fork

STARTING, FORKING = 8.0, 0.5  # seconds of training that a worker must spare, about what it takes to begin
FASTEST = 5e-6  # seconds of an update of a row that nothing here goes below


def forkable(planned: Planned) -> bool:
    """Whether workers may be forks of this process, which begin at once.

    Not where a fork would share what is read as it goes, as an open file of a data set, or a GPU, or has lost threads.
    """
    workload, recipe = planned.workload, planned.workload.recipe
    alone = planned.study.threads == 1 and recipe.place == CPU and not recipe.workers
    return sys.platform == "linux" and can_fork() and alone and all(map(workload.is_whole, workload.data))


def starting(planned: Planned) -> float:
    """Seconds that a worker takes to begin, about."""
    return FORKING if forkable(planned) else STARTING


def worth(seconds: Iterable[float | None], workers: int, first: float = STARTING) -> bool:
    """Whether so many workers spare time; where nothing was timed they may.

    Args:
        seconds: What parts of the training take one worker; None where that is not known.
        workers: How many there may be.
        first: Seconds that one takes to begin.

    >>> worth([60.0], 2), worth([2.0, 3.0], 2), worth([None], 2)
    (True, False, True)
    """
    known = list(seconds)
    return workers > 1 and (None in known or spared(sum(s for s in known if s), workers, first) > 0)


def spared(seconds: float, workers: int, first: float = STARTING) -> float:
    """Seconds that so many workers spare of what takes one so long.

    >>> spared(60.0, 2)
    22.0
    """
    return seconds * (1 - 1 / workers) - first
