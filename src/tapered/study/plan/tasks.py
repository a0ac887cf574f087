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
from tapered.schedules import Controller
from tapered.schedules.observed import Decision, decided
from tapered.study.file.arms import Arm
from tapered.study.file.following import Following
from tapered.study.plan.prefixes import Table
from tapered.study.store.runs import Branch, Run
from tapered.training.rows import Path
from tapered.words import brief

UNKNOWN = "what it will be told"


@brief
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
        controller: In what state that is which sets it.
        heard: The last step at which it was told something.
        decisions: What it has decided.
    """

    run: Run
    rule: Rule
    path: Path
    known: int
    follows: Following | None = None
    arm: Arm | None = None
    controller: Controller | None = None
    heard: int = 0
    decisions: tuple[Decision, ...] = ()

    @classmethod
    def of(cls, run: Run, arm: Arm, path: Path, follows: Following | None, marks: Sequence[int]) -> Self:
        """A run of an arm that has made no step."""
        if follows is None:
            return cls(run, path.rule, path, run.steps)
        return cls(run, path.rule, path, follows.next(0, marks), follows, arm, follows.controller)

    def after(self, run: Run | Branch, marks: Sequence[int]) -> "Task":
        """It once its run has come further: at the rates that were decided on."""
        if self.follows is None or self.arm is None or self.controller is None:
            return self
        told = [(step, value) for step, value in self.follows.told(run) if step > self.heard]
        if not told:
            return self
        controller, new = decided(self.controller, told)
        path, decisions, heard = self.path, (*self.decisions, *new), told[-1][0]
        if new:
            path = self.arm.path(self.run.steps, self.run.peak, lr=self.follows.schedule(decisions))
        known = self.follows.next(heard, marks)
        return replace(self, path=path, known=known, controller=controller, heard=heard, decisions=decisions)


def parting(tasks: Sequence[Task], step: int) -> int:
    """The first step from this one on at which one of these may differ from another, or decide, or ends."""
    end = min(task.known for task in tasks)
    first = tasks[0].path.hypers
    for task in tasks[1:]:
        for name, values in task.path.hypers.items():
            differs = values[step:end].view(np.uint64) != first[name][step:end].view(np.uint64)
            if differs.any():
                end = step + int(differs.argmax())
    return end


def parted(tasks: Sequence[Task], step: int) -> list[list[Task]]:
    """Those that have the same hypers at a step, together."""
    found: dict[tuple[bytes, ...], list[Task]] = {}
    for task in tasks:
        here = tuple(values[step].tobytes() for _, values in sorted(task.path.hypers.items()))
        found.setdefault(here, []).append(task)
    return list(found.values())


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
