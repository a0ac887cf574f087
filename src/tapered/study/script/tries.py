"""Short runs of a script that a check makes, by name, each in a folder of its own.

Planned ─► Tries ─► run("once", arm, seed) ─► Ended, what it told, how far that is from what "once" told
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from tapered.scripts.asked import Parent
from tapered.scripts.ended import Ended
from tapered.scripts.metrics import Told
from tapered.scripts.slots import Places, Start
from tapered.study.file.arms import Arm
from tapered.study.file.script import Scripted
from tapered.study.file.space import ends
from tapered.study.file.study import Study
from tapered.study.plan.planned import Planned
from tapered.study.plan.tasks import Task
from tapered.study.script.asking import Asking
from tapered.study.script.judge import Judge
from tapered.study.store.runs import Run
from tapered.words import counted


class StoppedError(Exception):
    """Somebody asked to stop."""


@dataclass
class Tries:
    """Runs as they are made.

    Args:
        planned: The study, each arm of which has numbers.
        subject: Its script.
        folder: Of all of them.
        slots: What starts the script.
        say: Told what is done, a line each.
        stop: True ends what runs.
        starts: How often it was started.
        ends: How each run ended, by its name.
    """

    planned: Planned
    subject: Scripted
    folder: Path
    slots: Places
    say: Callable[[str], None]
    stop: Callable[[], bool]
    starts: int = 0
    ends: dict[str, Ended] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Updates of each run."""
        return min(self.subject.script.check, self.planned.steps)

    @property
    def judge(self) -> Judge:
        """What runs are judged by."""
        return Asking(self.planned, self.subject).judge

    def start(self, name: str, arm: Arm, seed: int, parent: Parent | None = None, until: int | None = None) -> Start:
        """A run at the middle one of its arm's peaks; what fails is said at once.

        Args:
            name: What it is called.
            arm: Of which arm.
            seed: Of which seed.
            parent: Whose checkpoint it begins with.
            until: Where it may end for now, if not at its end.
        """
        peaks, steps = self.planned.study.peaks_of(arm), self.steps
        peak = peaks[len(peaks) // 2]
        path = arm.path(steps, peak)
        task = Task(Run(name, arm.name, peak, seed, steps), path.rule, path, steps)
        self.place(name).mkdir(exist_ok=True)
        half = () if until is not None else (steps // 2,)
        start = Asking(self.planned, self.subject).start(task, self.place(name), until or steps, parent, half)
        return replace(start, limits=replace(start.limits, retries=0))

    def run(self, name: str, arm: Arm, seed: int, parent: Parent | None = None) -> Ended:
        """Make a run, to its end."""
        self.say(f"{name}: {counted(self.steps, 'update')}, seed {seed}")
        return self.through(name, self.start(name, arm, seed, parent))

    def through(self, name: str, start: Start, stop: Callable[[Path], bool] = lambda _: False) -> Ended:
        """Make a run until it ends.

        Raises:
            StoppedError: Somebody asked to stop.
        """
        for _, ended in self.slots.run([start], None, lambda folder: self.stop() or stop(folder)):
            if self.stop():
                raise StoppedError
            if isinstance(ended, Exception):
                raise ended
            self.starts += ended.starts
            self.ends[name] = ended
        return self.ends[name]

    def place(self, name: str) -> Path:
        """A run's folder."""
        return self.folder / name.replace(" ", "-")

    def told(self, name: str) -> Told:
        """What a run told."""
        return self.judge.told(self.place(name))

    def gap(self, name: str, after: int = 0) -> float:
        """How far what a run told after a step is from what the first told."""
        return self.judge.gap(self.told("once"), self.told(name), after)


def numbered(study: Study) -> Study:
    """The study with numbers for every arm whose numbers are still to be searched: the lowest of its space."""

    def one(arm: Arm) -> Arm:
        if not arm.space or arm.trials:
            return arm
        peaks = study.grid_of(arm).values
        return arm.model_copy(update={"trials": ({**ends(arm.space)[0], "peak": peaks[len(peaks) // 2]},)})

    return study.model_copy(update={"arms": tuple(map(one, study.arms))})
