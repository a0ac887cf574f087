"""Short runs of a script that a check makes, by name, each in a folder of its own; side by side where there are slots.

Try, Try, ... ─► those whose predecessors have ended ─► slots ─► Ended, what each told, how far that is from the first's
"""

from collections.abc import Callable, Iterator, Sequence
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
from tapered.study.script.errors import raised
from tapered.study.script.judge import Judge
from tapered.study.store.runs import Run


class StoppedError(Exception):
    """Somebody asked to stop."""


@dataclass(frozen=True)
class Try:
    """A run that is to be made.

    Args:
        name: What it is called.
        said: What is done, as a line.
        start: How it is started, once its turn has come; None where there is nothing to start.
        after: Those that must have ended before.
        stop: Whether it is to be ended before its end.
        needed: Whether nothing more is to be known where it does not come to its end.
    """

    name: str
    said: str
    start: Callable[[], Start | None]
    after: tuple[str, ...] = ()
    stop: Callable[[Path], bool] = lambda _: False
    needed: bool = False


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
        failed: Whether one that is needed did not come to its end.
    """

    planned: Planned
    subject: Scripted
    folder: Path
    slots: Places
    say: Callable[[str], None]
    stop: Callable[[], bool]
    starts: int = 0
    ends: dict[str, Ended] = field(default_factory=dict)
    failed: bool = False

    @property
    def steps(self) -> int:
        """Updates of each run."""
        return min(self.subject.script.check, self.planned.steps)

    @property
    def seconds(self) -> float:
        """How long all runs took, one after another."""
        return sum(ended.seconds for ended in self.ends.values())

    @property
    def judge(self) -> Judge:
        """What runs are judged by."""
        return Asking(self.planned, self.subject).judge

    def start(
        self,
        place: str,
        arm: Arm,
        seed: int,
        parent: Parent | None = None,
        until: int | None = None,
        save_at: tuple[int, ...] = (),
    ) -> Start:
        """A run at the middle one of its arm's peaks; what fails is said at once.

        Args:
            place: What its folder is called.
            arm: Of which arm.
            seed: Of which seed.
            parent: Whose checkpoint it begins with.
            until: Where it may end for now, if not at its end.
            save_at: Where a checkpoint is wanted.
        """
        peaks, steps = self.planned.study.peaks_of(arm), self.steps
        peak = peaks[len(peaks) // 2]
        path = arm.path(steps, peak)
        task = Task(Run(place, arm.name, peak, seed, steps), path.rule, path, steps)
        folder = self.place(place)
        folder.mkdir(exist_ok=True)
        start = Asking(self.planned, self.subject).start(task, folder, until or steps, parent, save_at)
        return replace(start, limits=replace(start.limits, retries=0))

    def make(self, tries: Sequence[Try]) -> None:
        """Make runs, each to its end, in their order; where one that is needed fails, no more are begun.

        Raises:
            StoppedError: Somebody asked to stop.
        """
        made: dict[Path, list[Try]] = {}
        starts = self._starts(list(tries), made)
        stopping = lambda folder: self.stop() or made[folder][-1].stop(folder)  # noqa: E731
        for start, ended in self.slots.run(starts, None, stopping):
            if self.stop():
                raise StoppedError
            if isinstance(ended, Exception):
                raise raised(start.folder, ended)
            one = made[start.folder][-1]
            self.starts += ended.starts
            self.ends[one.name] = ended
            self.failed = self.failed or (one.needed and not ended.result)

    def _starts(self, waiting: list[Try], made: dict[Path, list[Try]]) -> Iterator[Start | None]:
        """The next one; None while all that wait do so for others."""
        while waiting and not self.failed and not self.stop():
            ready = next((one for one in waiting if self.ends.keys() >= {*one.after}), None)
            if ready is None:
                yield None
                continue
            waiting.remove(ready)
            start = ready.start()
            if start is not None:
                self.say(ready.said)
                made.setdefault(start.folder, []).append(ready)
                yield start

    def place(self, name: str) -> Path:
        """A run's folder."""
        return self.folder / name.replace(" ", "-")

    def told(self, name: str) -> Told:
        """What a run told."""
        return self.judge.told(self.place(name))

    def gap(self, name: str, after: int = 0, *, more: bool = False) -> float:
        """How far what a run told after a step is from what the first told; it may have told of more steps."""
        return self.judge.gap(self.told("once"), self.told(name), after, more=more)


def numbered(study: Study) -> Study:
    """The study with numbers for every arm whose numbers are still to be searched: the lowest of its space."""

    def one(arm: Arm) -> Arm:
        if not arm.space or arm.trials:
            return arm
        peaks = study.grid_of(arm).values
        return arm.model_copy(update={"trials": ({**ends(arm.space)[0], "peak": peaks[len(peaks) // 2]},)})

    return study.model_copy(update={"arms": tuple(map(one, study.arms))})
