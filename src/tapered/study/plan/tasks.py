"""Runs to be made, each with the hypers of every step; where a controller sets the rate, as far as it is told.

known beforehand   ────────────────────────────────       a table of all steps
follows its run    ─────────●╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌       known up to ●, where it may decide; then as if it did not
─────────●──────╮                      told at ●: known up to the next one
╰──●╌╌╌╌╌╌╌╌╌╌╌╌
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from tapered.rules import Rule
from tapered.schedules.observed import Decision
from tapered.study.file.arms import Arm
from tapered.study.file.following import Following
from tapered.study.plan.prefixes import Table
from tapered.study.store.runs import Branch, Run
from tapered.training.rows import Path

UNKNOWN = "what it will be told"


@dataclass(frozen=True)
class Task:
    """A run to be made, with what its numbers come from.

    Args:
        run: The run.
        rule: Its rule.
        path: Its hypers at every step, as far as they are known.
        known: The step up to which they are; past it they may become others.
        follows: What sets its rate as the run tells; None where all of it is known beforehand.
        arm: Its arm, where its rate does that.
        decided: What that has decided.
    """

    run: Run
    rule: Rule
    path: Path
    known: int
    follows: Following | None = None
    arm: Arm | None = None
    decided: tuple[Decision, ...] = ()

    @classmethod
    def of(cls, run: Run, arm: Arm, path: Path, follows: Following | None, marks: Sequence[int]) -> Self:
        """A run of an arm that has made no step."""
        known = run.steps if follows is None else follows.next(0, marks)
        return cls(run, path.rule, path, known, follows, None if follows is None else arm)

    def after(self, run: Run | Branch, marks: Sequence[int]) -> "Task":
        """It once its run has come so far: at the rates that were decided on."""
        if self.follows is None or self.arm is None:
            return self
        told, decided = self.follows.told(run), self.follows.decisions(run)
        path = self.path
        if decided != self.decided:
            path = self.arm.path(self.run.steps, self.run.peak, lr=self.follows.schedule(decided))
        known = self.follows.next(told[-1][0] if told else 0, marks)
        return replace(self, path=path, known=known, decided=decided)


def tables(tasks: Sequence[Task]) -> list[Table]:
    """The hypers of each; what may become others differs from all others."""
    found = [task.path.hypers for task in tasks]
    if all(task.follows is None for task in tasks):
        return found
    return [{**table, UNKNOWN: _apart(task, i + 1)} for i, (task, table) in enumerate(zip(tasks, found, strict=True))]


def _apart(task: Task, number: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """0 as long as a table is known, then a number of its own."""
    column = np.zeros(task.path.steps)
    column[task.known :] = number
    return column
