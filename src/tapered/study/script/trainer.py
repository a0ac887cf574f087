"""The runs of a study of a script: started so many at a time, judged, kept.

forest ─► those whose donors are done ─► Start ─► slots ─► Ended ─► store ─┐
                ╰──────────────────────────────────────────────────────────╯
"""

import shutil
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from tapered import kind
from tapered.files.errors import StoreError
from tapered.scripts.asked import FACTS, Asked, Parent
from tapered.scripts.ended import Ended
from tapered.scripts.nodes import kinds_of
from tapered.scripts.slots import Places, Result, Start
from tapered.study.file.script import Scripted
from tapered.study.plan.forest import Forest
from tapered.study.plan.planned import Planned
from tapered.study.plan.tasks import Task
from tapered.study.script.asking import Asking, folder_of
from tapered.study.script.checked import spacing
from tapered.study.script.errors import failed, ignored, raised, refused
from tapered.study.script.outcome import branch_of, record_of
from tapered.study.script.places import slots_of
from tapered.study.script.sharing import KEPT, Donor, donors, hand_over, keep, nearest, wanted
from tapered.study.store.folder import Store
from tapered.study.store.runs import Branch, Bundle, Curve, Run
from tapered.study.store.text import pack

REFUSED = ".refused"  # behind a run's key: its folder, set aside


def scripts_of(
    planned: Planned, subject: Scripted, store: Store, progress: Callable[[int], None], stop: Callable[[], bool]
) -> "Scripts":
    """What trains a study of a script: as many at a time as it asks for, sharing what `--check` found exact."""
    slots = slots_of(planned.study, subject.script)
    return Scripts(subject, store, slots, progress, stop, every=spacing(planned, store.folder))


@dataclass
class Scripts:
    """Trains the runs of a script.

    Args:
        subject: The script.
        store: Where runs are kept.
        slots: So many at a time.
        progress: Called with the number of updates made since the last call.
        stop: True ends what runs, which goes on later.
        every: Updates between the checkpoints with which runs may begin; 0 where each begins with its first step.
    """

    subject: Scripted
    store: Store
    slots: Places
    progress: Callable[[int], None]
    stop: Callable[[], bool]
    every: int = 0
    _at: dict[Path, int] = field(default_factory=dict)

    @property
    def shares(self) -> bool:
        """Whether a run may begin with another's checkpoint."""
        return self.every > 0

    def check(self, planned: Planned) -> None:
        """Refuse a command that cannot be started."""
        Asking(planned, self.subject).check()

    def train(self, planned: Planned, forest: Forest, until: int, rung: int | None = None) -> bool:  # noqa: ARG002
        """Train a forest to a mark; False where it was stopped before.

        Raises:
            RefusedRunError: A run did something else than it was asked.
            FailedRunsError: Runs did not come to their end, all others having been trained.
        """
        stage = _Stage(self, planned, forest, until, donors(forest) if self.shares else {}, self.known())
        if stage.waiting():
            self.store.check_writable()
            stage.train()
        if stage.failed:
            raise failed(list(stage.failed.values()), len(forest.tasks))
        return not stage.waiting()

    def known(self) -> dict[str, Run]:
        """Every run that has been begun, by key."""
        return {run.key: run for run in self.store.runs()}

    def stands(self, folder: Path, step: int) -> None:
        """A run begins at a step, of which nothing is to be told."""
        self._at[folder] = step

    def told(self, folder: Path, step: int) -> None:
        """A run has come to a step."""
        more = step - self._at.get(folder, 0)
        if more > 0:
            self._at[folder] = step
            self.progress(more)


@dataclass
class _Stage:
    """Runs of one forest on their way to a mark, each begun when the one that it shares steps with has come there."""

    scripts: Scripts
    planned: Planned
    forest: Forest
    until: int
    donors: Mapping[str, Donor]
    known: dict[str, Run]
    failed: dict[str, tuple[Run, Ended, str]] = field(default_factory=dict)
    tasks: dict[Path, Task] = field(default_factory=dict)
    left: list[Task] = field(default_factory=list)

    def waiting(self) -> list[Task]:
        """Those that are not at the mark, nor failed."""
        return [task for task in self.forest.tasks if not self._settled(task.run.key)]

    def _settled(self, key: str) -> bool:
        run = self.known.get(key)
        return key in self.failed or (run is not None and (run.finished or run.step >= self.until))

    def train(self) -> None:
        """Start those that wait, and keep what becomes of them."""
        scripts, self.left = self.scripts, self.waiting()
        running = scripts.slots.run(self._starts(), scripts.told, lambda _: scripts.stop())
        with closing(cast("Generator[Result]", running)) as ends:  # so that what is refused ends the others at once
            for start, ended in ends:
                if isinstance(ended, Exception):
                    raise raised(start.folder, ended)
                self._ended(self.tasks[start.folder], start.folder, ended)

    def _starts(self) -> Iterator[Start | None]:
        """The next start; None while all that wait do so for a donor."""
        while self.left and not self.scripts.stop():
            ready = (task for task in self.left if (d := self.donors.get(task.run.key)) is None or self._settled(d.key))
            task = next(ready, None)
            if task is None:
                yield None
                continue
            self.left.remove(task)
            start = self._start(task)
            if start is not None:
                yield start

    def _start(self, task: Task) -> Start | None:
        """How a run is started; None where nothing is to be started any more."""
        key, donor = task.run.key, self.donors.get(task.run.key)
        theirs = self.known.get(donor.key) if donor else None
        if donor and theirs:
            end = self.until if theirs.diverged is None else theirs.step
            if min(donor.step, theirs.step) >= end:
                self._keep(_as(task.run, theirs, self.until), self.scripts.store.folder / "runs" / theirs.key)
                return None
        folder = folder_of(self.scripts.store, key)
        parent = self._parent(folder, donor)
        step = max(self.known[key].step if key in self.known else 0, parent.step if parent else 0)
        parting = wanted(self.donors).get(key, ())
        kept = [int(path.name) for path in (folder / KEPT).glob("*") if path.name.isdigit()]
        until = self._leg(task, parting, max([step, *kept]))
        start = Asking(self.planned, self.scripts.subject).start(
            task, folder, until, parent, parting if self.scripts.every == 1 else (), self._beside(task)
        )
        self.tasks[folder] = task
        self.scripts.stands(folder, step)
        if (ended := Ended.read(folder)) is not None:
            self._ended(task, folder, ended)  # a kill fell between its end and the study's knowing
            return None
        return start

    def _beside(self, task: Task) -> Path | None:
        """The folder of the first run of another seed that is asked the same; it may not be there yet."""
        run = task.run
        others = (other.run for other in self.forest.tasks if (other.run.arm, other.run.peak) == (run.arm, run.peak))
        found = next((other.key for other in others if other.seed != run.seed), None)
        return None if found is None else self.scripts.store.folder / "runs" / found

    def _leg(self, task: Task, parting: Sequence[int], step: int) -> int:
        """Where a run is to end for now: where others part from it, if its checkpoints do not tell of their steps."""
        script, until = self.scripts.subject.script, min(self.until, task.run.steps)
        legs = [at for at in parting if step < at < until] if script.halts and not script.named else []
        return min(legs, default=until)

    def _parent(self, folder: Path, donor: Donor | None) -> Parent | None:
        """Whose checkpoint a run begins with; it is put there where the run has not begun yet."""
        if (folder / FACTS).exists():
            return folder_asked(folder).parent
        pattern = self.scripts.subject.script.checkpoints
        if donor is None or pattern is None:
            return None
        theirs = folder.with_name(donor.key)
        checkpoint = nearest(pattern, theirs, donor.step, self.scripts.every)
        if checkpoint is None:
            return None
        try:
            hand_over(checkpoint, folder)
        except OSError as error:
            raise StoreError(f"{folder} could not take {checkpoint.path} ({error.strerror}); make room") from error
        return Parent(donor.key, checkpoint.step)

    def _ended(self, task: Task, folder: Path, ended: Ended) -> None:
        """Keep what came of a run; one that was stopped on its way stays as it is."""
        run, subject = task.run, self.scripts.subject
        if ended.word == "refused":
            aside = folder.with_name(folder.name + REFUSED)
            shutil.rmtree(aside, ignore_errors=True)
            raise refused(run, ended, subject.script.rate, str(folder.rename(aside)))
        if ended.word in ("crashed", "hung"):
            self.failed[run.key] = (run, ended, str(folder))
        elif not ended.result and ended.word == "stopped" and folder_asked(folder).until < self.until:
            self._halted(task, folder, ended)
        elif ended.result or ended.step >= self.until:
            judge = Asking(self.planned, subject).judge
            diverged = ended.step if ended.word == "diverged" else None
            before = self._before(folder_asked(folder).parent)
            branch = branch_of(run, judge, folder, min(ended.step, run.steps), diverged, before, self.planned.marks)
            branch = self._dated(branch, ended)
            try:
                record_of(folder, ended, judge.told(folder)).write(folder)
            except OSError as error:
                raise StoreError(f"{folder} could not take what was seen ({error.strerror}); make room") from error
            self._keep(branch, folder)

    def _dated(self, branch: Branch, ended: Ended) -> Branch:
        """With when it was begun, as far as that is known, and when it was finished."""
        before = self.known.get(branch.runs[0].key)
        began = before.began if before else None
        return replace(branch, began=time.time() - ended.seconds if began is None else began).dated()

    def _halted(self, task: Task, folder: Path, ended: Ended) -> None:
        """A run ended where others part from it: its checkpoint is kept for them, and it goes on."""
        script, asked = self.scripts.subject.script, folder_asked(folder)
        if ended.step >= asked.until and script.checkpoints is not None:
            try:
                keep(script.checkpoints, folder, asked.until)
            except OSError as error:
                raise StoreError(f"{folder} could not take its checkpoint ({error.strerror}); make room") from error
            self.left.insert(0, task)

    def _before(self, parent: Parent | None) -> Curve:
        """The curve up to a parent's checkpoint, which is the run's own."""
        donor = self.known.get(parent.key) if parent else None
        return tuple(point for point in donor.curve if point[0] <= parent.step) if parent and donor else ()

    def _keep(self, branch: Branch, folder: Path) -> None:
        """Keep what a run says, and on which kind of processor its script ran: a folder's."""
        run = branch.results(self.planned.study.metric)[0]
        for other in self.known.values():
            if (other.arm, other.peak) == (run.arm, run.peak) and other.seed != run.seed and _same(run, other):
                raise ignored(run, other, self.scripts.store.folder)
        kinds = kinds_of(folder) or [kind.text(kind.here())]
        self.scripts.store.keep(*pack(Bundle((branch,)), None, kinds))
        self.known[run.key] = run


def folder_asked(folder: Path) -> Asked:
    """What the run of a folder was asked."""
    return Asked.read_light(folder)[0]


def _same(run: Run, other: Run) -> bool:
    """Whether two curves are the same and say something: one that never moves could be the same by chance."""
    moves = len({tuple(sorted(point.items())) for _, point in run.curve}) > 1
    return moves and run.curve == other.curve


def _as(run: Run, donor: Run, until: int) -> Branch:
    """A run that has not parted from its donor yet: it stands where that does."""
    step = until if donor.diverged is None else donor.step
    curve = tuple(point for point in donor.curve if point[0] <= until)
    return Branch((run,), step, curve, donor.losses, donor.diverged, began=donor.began).dated()
