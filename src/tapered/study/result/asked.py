"""What a result is an answer to."""

from dataclasses import dataclass

from tapered.study.file.study import Study
from tapered.words import brief


@brief
@dataclass(frozen=True)
class Asked:
    """A study as far as its result is read by it; nothing that trains.

    Args:
        study: The file, its grids and trials as they were in the end.
        steps: Updates each run makes.
        problem: The workload's name.
        metrics: The names of its metrics beside the loss.
    """

    study: Study
    steps: int
    problem: str
    metrics: tuple[str, ...] = ()
