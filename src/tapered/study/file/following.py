"""Rates that follow what a run tells: the controller of an arm, what it is told and when, and what it decided.

observes = "loss"                                     the validation loss at each evaluation
observes = "held/loss"                                that of another split
observes = { metric = "train/loss", every = 50 }      the training loss of every 50th update

Following, what was told ─► decisions ─► schedule: the rate as it was applied; what it is nothing else depends on
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, Self

from annotated_types import Ge
from pydantic import BeforeValidator, model_validator

from tapered.schedules import Controller, Schedule
from tapered.schedules.observed import Decision, applied, decided
from tapered.study.file.fields import Name, Strict, Whole

TRAINED = "train/loss"


class Recorded(Protocol):
    """What a run, or runs that are one row so far, have told."""

    @property
    def curve(self) -> Sequence[tuple[int, Mapping[str, float]]]:
        """(step, the numbers of its evaluation), in order."""

    @property
    def told(self) -> Sequence[tuple[int, float]]:
        """(step, the training loss of its last update), in order, as far as a controller asks for it."""


def _named(value: Any) -> Any:
    return {"metric": value} if isinstance(value, str) else value


class Observed(Strict):
    """What a controller is told: ``metric`` at each evaluation, or "train/loss", that of every so-manyth update."""

    metric: Name = "loss"
    every: Annotated[Whole, Ge(1)] | None = None

    @model_validator(mode="after")
    def _timed(self) -> Self:
        if (self.metric == TRAINED) != (self.every is not None):
            fix = f'"{self.metric}"' if self.every else f'{{ metric = "{TRAINED}", every = 50 }}'
            raise ValueError(
                f"every says of how many updates one tells its training loss, and evaluations come when they do; got "
                f"{self.metric!r} with every = {self.every or 'nothing'}; try observes = {fix}"
            )
        return self

    @property
    def split(self) -> str:
        """The split whose data it sees."""
        return self.metric.rpartition("/")[0] or "valid"

    def __str__(self) -> str:
        if self.every is not None:
            return f"the training loss of every {ordinal(self.every)} update"
        name = self.metric.rpartition("/")[2]
        where = "validation" if self.split == "valid" else f"split {self.split!r}:"
        return f"the {where} {name} at each evaluation"


Observes = Annotated[Observed, BeforeValidator(_named)]


def ordinal(number: int) -> str:
    """A number as a place.

    >>> [ordinal(n) for n in (1, 2, 13, 50, 103)]
    ['1st', '2nd', '13th', '50th', '103rd']
    """
    end = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{end}"


@dataclass(frozen=True)
class Following:
    """A rate that a controller sets by what its run tells.

    Args:
        controller: It, its rates multiplied by the peak.
        observed: What it is told.
        steps: Updates the run makes; what is told after the last changes nothing and is not told.
    """

    controller: Controller
    observed: Observed
    steps: int

    def told(self, run: Recorded) -> list[tuple[int, float]]:
        """(step, value) as far as the run has come; the weights that it begins with tell nothing."""
        if self.observed.every is None:
            each = [(step, point[self.observed.metric]) for step, point in run.curve]
        else:
            each = [(step, value) for step, value in run.told if step % self.observed.every == 0]
        return [(step, value) for step, value in each if 0 < step < self.steps]

    def decisions(self, run: Recorded) -> tuple[Decision, ...]:
        """What it decided, as far as the run has come."""
        return decided(self.controller, self.told(run))[1]

    def schedule(self, decisions: Sequence[Decision] = ()) -> Schedule:
        """The rate as it was applied."""
        return applied(self.controller, decisions)

    def hears(self, marks: Sequence[int]) -> Sequence[int]:
        """The steps at which it is told something that may change the rate, ascending.

        Args:
            marks: The steps at which the run is evaluated, ascending.
        """
        if self.observed.every is None:
            return [mark for mark in marks if self.controller.start < mark < self.steps]
        first = (self.controller.start // self.observed.every + 1) * self.observed.every
        return range(first, self.steps, self.observed.every)

    def next(self, step: int, marks: Sequence[int]) -> int:
        """The first of these after a step; the last step where there is none."""
        heard = self.hears(marks)
        place = bisect_right(heard, step)
        return heard[place] if place < len(heard) else self.steps
