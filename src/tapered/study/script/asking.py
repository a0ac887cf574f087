"""A run of a study as a start of its script: what it is asked, in a folder of its own, and the words to start it by.

Planned, Task, Parent ─► Asked ─► run.json, rates.f64 ─► Start (folder, command, limits, judge)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tapered import kind
from tapered.files.errors import StoreError
from tapered.scripts.asked import Asked, Parent
from tapered.scripts.command import NEVER, SAME_OUT, Command, values
from tapered.scripts.limits import Limits
from tapered.scripts.slots import Start
from tapered.study.file.arms import Arm
from tapered.study.file.script import Scripted
from tapered.study.plan.planned import Planned
from tapered.study.plan.tasks import Task
from tapered.study.script.judge import Judge
from tapered.study.store.folder import Store

PRINTED = "regex:"  # of metrics that are taken from what a script prints


@dataclass(frozen=True)
class Asking:
    """Asks a script for the runs of a study.

    Args:
        planned: The study, its grids and trials as they are by now.
        subject: Its script.
    """

    planned: Planned
    subject: Scripted

    @property
    def judge(self) -> Judge:
        """What a run is judged by."""
        script = self.subject.script
        return Judge(script.metrics, script.step, self.subject.metric)

    @property
    def limits(self) -> Limits:
        """How long it may take."""
        script = self.subject.script
        pattern = script.metrics.removeprefix(PRINTED) if script.metrics.startswith(PRINTED) else None
        return Limits(script.startup, script.silence, script.timeout, script.grace, script.retries, keep=pattern)

    def check(self) -> None:
        """Refuse a command that cannot be started: its program is looked for, every placeholder filled.

        Raises:
            ScriptError: naming the word.
        """
        for arm in self.planned.study.arms:
            asked = Asked(arm.name, 0, self.planned.steps, self.planned.steps, self.planned.study.peaks_of(arm)[0])
            self.command(asked, Path("run"), [1.0], "constant(1.0)").words()

    def start(
        self,
        task: Task,
        folder: Path,
        until: int,
        parent: Parent | None = None,
        save_at: tuple[int, ...] = (),
        beside: Path | None = None,
    ) -> Start:
        """Write down what a run is asked, and say how it is started.

        Args:
            task: The run.
            folder: Its folder, which is there.
            until: Where it may end.
            parent: Whose checkpoint its ``out/`` begins with.
            save_at: Where a checkpoint is wanted.
            beside: The folder of a run of another seed that is asked the same.

        Raises:
            StoreError: The disk does not take it.
        """
        script, run = self.subject.script, task.run
        rates = task.path.hypers["lr"]
        asked = Asked(
            arm=run.arm,
            seed=run.seed,
            steps=run.steps,
            until=until,
            peak=run.peak,
            rate=script.rate,
            optimizer=script.optimizer,
            save_at=save_at,
            parent=parent,
        )
        try:
            (folder / "out").mkdir(exist_ok=True)
            asked.write(folder, rates)
        except OSError as error:
            raise StoreError(f"{folder} could not take what its run is asked ({error.strerror}); make room") from error
        schedule = str(self.arm(run.arm).schedule(run.steps, run.peak))
        return Start(
            folder,
            self.command(asked, folder, rates.tolist(), schedule),
            self.limits,
            replace(self.judge, beside=beside),
            None if self.planned.study.kinds == "any" else self.planned.facts.get(kind.TRAINED),
        )

    def command(self, asked: Asked, folder: Path, rates: Sequence[float], schedule: str) -> Command:
        """The words to start a run by.

        Args:
            asked: What it is asked.
            folder: Its folder.
            rates: The rate of each update.
            schedule: The same as text.
        """
        script, names = self.subject.script, [arm.name for arm in self.planned.study.arms]
        return Command(
            script.template(self.arm(asked.arm).args, names),
            values(folder, asked, rates, schedule, flags=[asked.arm]),
            rate=script.rate,
            resume=script.resume if script.resume in (NEVER, SAME_OUT) else script.going_on,
            checkpoints=script.checkpoints,
            processes=script.processes,
            folder=self.subject.folder.absolute(),
        )

    def arm(self, name: str) -> Arm:
        """An arm of the study by its name."""
        return next(arm for arm in self.planned.study.arms if arm.name == name)


def folder_of(store: Store, key: str) -> Path:
    """The folder of a run, which is made where there is none.

    Raises:
        StoreError: The disk does not take it.
    """
    folder = store.folder / "runs" / key
    if folder.is_symlink():
        raise StoreError(f"{folder} is a link, and a study writes into its own folder only; remove it")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} could not be made ({error.strerror}); make room") from error
    return folder
