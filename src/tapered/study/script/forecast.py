"""What a study of a script will take, before it is run: nothing is started for it.

Planned, what --check and finished runs took ─► ScriptForecast: rows, lines, fields
"""

import shlex
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from typing import Any

from tapered.scripts.asked import Asked
from tapered.study.file.script import Scripted
from tapered.study.plan.planned import Planned
from tapered.study.plan.rounds import rounds
from tapered.study.script.asking import Asking
from tapered.study.script.checked import known, spacing
from tapered.study.script.outcome import Record
from tapered.study.script.places import count_of
from tapered.study.script.sharing import donors
from tapered.study.script.telling import alone
from tapered.words import lasting
from tapered.workloads.own import StudyFileError


@dataclass(frozen=True)
class ScriptForecast:
    """A study of a script before it is run.

    Args:
        runs: Runs of the first round.
        asked: Updates of all of them.
        to_run: Updates that are made, shared ones once, as far as checkpoints are left where runs part.
        shared: Why no steps are shared; "" where they are.
        seconds: All of them, one after another; NaN where nothing is known.
        workers: How many run at a time.
        words: The first start.
        unseen: Why its rate cannot be seen; "" where it can.
        checked: Whether `--check` was made of it.
    """

    runs: int
    asked: int
    to_run: int
    shared: str
    seconds: float
    workers: int
    words: tuple[str, ...]
    unseen: str
    checked: bool

    @property
    def rows(self) -> list[tuple[str, str]]:
        """A small table without a header."""
        return [
            ("runs", f"{self.runs:,}"),
            ("steps asked", f"{self.asked:,}"),
            ("steps to run", f"{self.to_run:,}"),
            ("at a time", f"{self.workers:,}"),
            ("time", lasting(self.seconds / self.workers)),
        ]

    @property
    def lines(self) -> list[str]:
        """What else is to be known, a sentence each."""
        spared = f"{self.asked / max(1, self.to_run):.2f} times fewer, as runs share them where checkpoints are left"
        found = [
            f"{self.asked:,} steps asked, {self.to_run:,} to run, "
            + (f"none shared: {self.shared}." if self.shared else f"{spared}."),
            f"The first start: {shlex.join(self.words)}",
        ]
        if self.unseen:
            found.append(f"The rate cannot be seen: {self.unseen}.")
        if not self.checked:
            found.append("Not checked yet: tapered study FILE --check starts it a few times for a few updates.")
        elif not isfinite(self.seconds):
            found.append("How long an update takes is not known yet.")
        return found

    @property
    def fields(self) -> dict[str, Any]:
        """The same as JSON takes it."""
        return {
            "runs": self.runs,
            "steps_asked": self.asked,
            "steps_to_run": self.to_run,
            "not_shared": self.shared or None,
            "seconds": self.seconds if isfinite(self.seconds) else None,
            "workers": self.workers,
            "command": list(self.words),
            "rate_unseen": self.unseen or None,
            "checked": self.checked,
        }


def script_forecast(planned: Planned, folder: Path) -> ScriptForecast:
    """Plan a study's first round.

    Args:
        planned: The study, of a script.
        folder: Its folder, which may have what a check and earlier runs took.

    Raises:
        ScriptError: Its command cannot be started.
        StudyFileError: It is a study of a workload.
    """
    if not isinstance(planned.subject, Scripted):
        raise StudyFileError("this is a study of a workload")
    script = planned.subject.script
    every = spacing(planned, folder)
    round_ = next(rounds(planned, dict, shared=every > 0))
    forest, asking = round_.forest, Asking(round_.planned, planned.subject)
    task = forest.tasks[0]
    asking.check()
    run = task.run
    place = folder / "runs" / run.key
    asked = Asked(run.arm, run.seed, run.steps, run.steps, run.peak, script.rate)
    rates = task.path.hypers["lr"].tolist()
    command = asking.command(asked, place, rates, str(asking.arm(run.arm).schedule(run.steps, run.peak)))
    check = known(folder, planned)
    pace = _pace(folder, check)
    parted = [donor.step for donor in donors(forest).values() if donor.step < run.steps] if every else []
    to_run = forest.plan.to_run + sum(step % every for step in parted)  # what lies behind the checkpoint before
    return ScriptForecast(
        runs=len(forest.tasks),
        asked=forest.plan.asked,
        to_run=to_run,
        shared="" if every else alone(planned, folder),
        seconds=pace * to_run,
        workers=min(count_of(planned.study, script), len(forest.tasks)),
        words=tuple(command.words()),
        unseen=command.unseen() if script.rate != "off" else "",
        checked=check is not None,
    )


def _pace(folder: Path, check: dict[str, Any] | None) -> float:
    """Seconds of an update, by the runs that have ended, else by the check's; NaN where there are none."""
    found = [record for path in (folder / "runs").glob("*/record.json") if (record := Record.read(path.parent))]
    made = sum(record.made for record in found)
    if made:
        return sum(record.seconds for record in found) / made
    if check and check["starts"]:
        return float(check["seconds"]) / (int(check["starts"]) * int(check["steps"]))
    return nan
