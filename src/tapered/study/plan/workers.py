"""Whether several workers spare more than they take to begin."""

from collections.abc import Iterable

STARTING = 8.0  # seconds of training that a worker must spare, about what it takes to begin
FASTEST = 5e-6  # seconds of an update of a row that nothing here goes below


def worth(seconds: Iterable[float | None], workers: int) -> bool:
    """Whether so many workers spare time; where nothing was timed they may.

    Args:
        seconds: What parts of the training take one worker; None where that is not known.
        workers: How many there may be.

    >>> worth([60.0], 2), worth([2.0, 3.0], 2), worth([None], 2)
    (True, False, True)
    """
    known = list(seconds)
    return workers > 1 and (None in known or spared(sum(s for s in known if s), workers) > 0)


def spared(seconds: float, workers: int) -> float:
    """Seconds that so many workers spare of what takes one so long.

    >>> spared(60.0, 2)
    22.0
    """
    return seconds * (1 - 1 / workers) - STARTING
