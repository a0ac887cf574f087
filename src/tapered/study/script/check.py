"""`tapered study FILE --check`: a few short runs of a script, by which is known what its study may claim and share.

once   ────────────●────────────►  metrics, rate, end         cut    ─────x
again  ─────────────────────────►  the same                   on          ╰──────►  the same after a kill
other  ─────────────────────────►  another seed               forked ●───────────►  the same from a checkpoint
"""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tapered.scripts.asked import Parent
from tapered.scripts.checkpoints import found
from tapered.scripts.ended import Ended
from tapered.scripts.metrics import Told
from tapered.scripts.notes import unseen
from tapered.scripts.rates import applied
from tapered.scripts.slots import Places, Start
from tapered.study.file.arms import Arm
from tapered.study.file.script import Scripted
from tapered.study.plan.forest import Task
from tapered.study.plan.planned import Planned
from tapered.study.script.asking import Asking
from tapered.study.script.checked import Checked, Finding
from tapered.study.script.outcome import RECORD, said
from tapered.study.script.sharing import Saved, hand_over, nearest
from tapered.study.store.folder import Store
from tapered.study.store.runs import Run
from tapered.words import counted

FOLDER = "check"
RESTORE = "save and restore all generators, the order of data, and the optimizer"


def check(
    planned: Planned,
    subject: Scripted,
    store: Store,
    slots: Places,
    say: Callable[[str], None],
    stop: Callable[[], bool] = lambda: False,
) -> Checked | None:
    """Train a few updates some times over, and say what was found; kept in the study's folder.

    Args:
        planned: The study.
        subject: Its script.
        store: Its open store.
        slots: What starts the script.
        say: Told what is done, a line each.
        stop: True ends what runs.

    Returns:
        What was found, kept in the study's folder; None where it was stopped.
    """
    folder = store.folder / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    tried = _Tries(planned, subject, folder, slots, say, stop)
    begun = time.monotonic()
    try:
        findings = tuple(tried.findings())
    except _StoppedError:
        return None
    shared = next((found for found in findings if found.name == "share"), None)
    checked = Checked(
        findings,
        shared is not None and shared.good is True,
        tried.noise,
        time.monotonic() - begun,
        tried.steps,
        tried.starts,
    )
    checked.write(store.folder, planned)
    return checked


class _StoppedError(Exception):
    """Somebody asked to stop."""


@dataclass
class _Tries:
    planned: Planned
    subject: Scripted
    folder: Path
    slots: Places
    say: Callable[[str], None]
    stop: Callable[[], bool]
    starts: int = 0
    noise: float | None = None
    ends: dict[str, Ended] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Updates of each run."""
        return min(self.subject.script.check, self.planned.steps)

    def findings(self) -> Iterator[Finding]:
        """What is found, one after another; nothing more behind what makes the rest meaningless."""
        base = self._arm(self.planned.study.baseline)
        first, other = self.planned.study.first_seed, self.planned.study.first_seed + 1
        once = self._run("once", base, first)
        yield from self._ended_well("once", base)
        if not once.result:
            return
        yield self._told("once")
        yield self._rate("once", base)
        self._run("again", base, first)
        yield self._same()
        self._run("other", base, other)
        yield self._seed()
        for arm in self.planned.study.arms:
            if arm.name != base.name:
                self._run(f"arm {arm.name}", arm, first)
                yield from self._ended_well(f"arm {arm.name}", arm)
                yield self._rate(f"arm {arm.name}", arm)
        shared = self._shared(base, first)
        yield self._resumed(base, first, exact=shared.good is True)
        yield shared

    def _arm(self, name: str) -> Arm:
        return next(arm for arm in self.planned.study.arms if arm.name == name)

    def _start(self, name: str, arm: Arm, seed: int, parent: Parent | None = None, until: int | None = None) -> Start:
        peaks, steps = self.planned.study.peaks_of(arm), self.steps
        peak = peaks[len(peaks) // 2]
        path = arm.path(steps, peak)
        task = Task(Run(name, arm.name, peak, seed, steps), path.rule, path)
        place = self.folder / name.replace("/", "-").replace(" ", "-")
        place.mkdir(exist_ok=True)
        half = () if until is not None else (steps // 2,)
        start = Asking(self.planned, self.subject).start(task, place, until or steps, parent, half)
        return replace(start, limits=replace(start.limits, retries=0))  # what fails is said at once

    def _run(self, name: str, arm: Arm, seed: int, parent: Parent | None = None) -> Ended:
        self.say(f"{name}: {counted(self.steps, 'update')}, seed {seed}")
        start = self._start(name, arm, seed, parent)
        return self._through(name, start, lambda _: False)

    def _through(self, name: str, start: Start, stop: Callable[[Path], bool]) -> Ended:
        for _, ended in self.slots.run([start], None, lambda folder: self.stop() or stop(folder)):
            if self.stop():
                raise _StoppedError
            if isinstance(ended, Exception):
                raise ended
            self.starts += ended.starts
            self.ends[name] = ended
        return self.ends[name]

    def _place(self, name: str) -> Path:
        return self.folder / name.replace("/", "-").replace(" ", "-")

    def _read(self, name: str) -> Told:
        return Asking(self.planned, self.subject).judge.told(self._place(name))

    def _gap(self, name: str, after: int = 0) -> float:
        """How far a run's numbers are from those of the first."""
        return Asking(self.planned, self.subject).judge.gap(self._read("once"), self._read(name), after)

    def _ended_well(self, name: str, arm: Arm) -> Iterator[Finding]:
        ended = self.ends[name]
        if ended.result:
            if name == "once":
                yield Finding("end", True, f"It ends at {counted(self.steps, 'update')}, as it is asked.")
            return
        lines = "".join(f"\n    {line}" for line in ended.lines)
        fix = {
            "refused": "let {steps} say how many updates it makes, and where its metrics are",
            "crashed": f"it must run by itself; see {self._place(name)}",
            "hung": "make startup or silence longer, or see what it waits for",
        }.get(ended.word, "")
        yield Finding("end", False, f"Arm {arm.name!r}: {ended.word} at step {ended.step}: {ended.why}.{lines}", fix)

    def _told(self, name: str) -> Finding:
        told = self._read(name)
        names = ", ".join(f"{each} ({counted(len(points), 'point')})" for each, points in sorted(told.points.items()))
        return Finding("metrics", True, f"It told {names}.")

    def _rate(self, name: str, arm: Arm) -> Finding:
        """What was seen of the rate; another rate than was asked has ended the run already."""
        script, place = self.subject.script, self._place(name)
        if script.rate == "off":
            return Finding(
                "rate",
                None,
                'The rate is not looked at: rate = "off".',
                'rate = "see", where it is torch that applies it',
            )
        seen = applied(place)
        if not self.ends[name].result:
            return Finding(
                "rate",
                False,
                f"Arm {arm.name!r} did not come to its end.",
                'rate = "set" applies the rate from outside',
            )
        if not seen:
            why = (
                self._start(name, arm, self.planned.study.first_seed).command.unseen()
                or "no update of a torch optimizer was seen"
            )
            return Finding(
                "rate", None, f"The rate of arm {arm.name!r} could not be seen: {why}.", 'rate = "off" says so at once'
            )
        done = "set before" if script.rate == "set" else "as asked in"
        notes = "".join(f" {said(note)}" for note in unseen(place))
        return Finding(
            "rate", True, f"The rate of arm {arm.name!r} was {done} all {counted(self.steps, 'update')}.{notes}"
        )

    def _same(self) -> Finding:
        self.noise = self._gap("again")
        if self.noise == 0:
            return Finding("same", True, "The same seed gives the same numbers, to the last bit.")
        return Finding(
            "same",
            False,
            f"The same seed gives numbers that differ by up to {self.noise:.3g}: the script's own noise.",
            "seed every generator from {seed}, and take deterministic algorithms; a study can be made all the same",
        )

    def _seed(self) -> Finding:
        apart = self._gap("other")
        if apart > (self.noise or 0.0):
            return Finding("seed", True, "Another seed gives other numbers.")
        if apart > 0:
            return Finding(
                "seed", None, "Another seed gives numbers no further apart than the same seed does.", RESTORE
            )
        return Finding(
            "seed",
            False,
            "Another seed gives the same numbers: it is ignored, and pairs of seeds would be one pair.",
            "draw initial weights and order from {seed}",
        )

    def _resumed(self, arm: Arm, seed: int, *, exact: bool) -> Finding:
        """Stopped in mid-run and started again."""
        if not self.subject.script.goes_on:
            return Finding(
                "resume", None, 'It does not go on from what it saved (resume = "none"): a killed run begins anew.',
                'resume = "same-out", or words such as "--resume {checkpoint}"',
            )  # fmt: skip
        self.say("cut: stopped in mid-run, and started again")
        half = self.steps // 2
        start = self._start("cut", arm, seed, until=half)
        reached: list[int] = []

        def stop(folder: Path) -> bool:
            reached.append(start.judge(folder).furthest)
            return reached[-1] >= half

        cut = self._through("cut", start, stop)
        if cut.word != "stopped":
            seen = "; from a checkpoint it goes on exactly" if exact else ""
            fix = "" if exact else f"check = {4 * self.steps} in [script] gives it longer"
            return Finding("resume", None, f"It came to its end before it could be stopped{seen}.", fix)
        on = self._through("cut", self._start("cut", arm, seed), lambda _: False)
        if not on.result:
            return Finding("resume", False, f"Started again it {on.word}: {on.why}.", "see how it finds its checkpoint")
        apart = self._gap("cut")
        if apart == 0:
            return Finding("resume", True, "Stopped and started again it gives the same numbers.")
        found = f"Stopped and started again its numbers differ by up to {apart:.3g}."
        return Finding("resume", apart <= (self.noise or 0.0), found, RESTORE)

    def _shared(self, arm: Arm, seed: int) -> Finding:
        """Gone on from a checkpoint of another run, as runs that share steps do."""
        saved = self._saved(arm, seed)
        if isinstance(saved, Finding):
            return saved
        (self._place("forked") / "out").mkdir(parents=True)
        hand_over(saved, self._place("forked"))
        on = self._run("forked", arm, seed, Parent("once", saved.step))
        at = f"the checkpoint of step {saved.step}"
        if not on.result:
            return _alone(f"from {at} it {on.word}: {on.why}", "see how it finds its checkpoint")
        told = [step for points in self._read("forked").points.values() for step in points]
        if min(told, default=self.steps) <= saved.step:
            return _alone(
                f"given {at} it began anew, and told of step {min(told)}",
                "see how it finds its checkpoint, and resume in [script]",
            )
        apart = self._gap("forked", after=saved.step)
        if apart == 0:
            return Finding("share", True, f"From {at} it gives the same numbers: steps are shared.")
        return _alone(f"from {at} its numbers differ by up to {apart:.3g}", RESTORE)

    def _saved(self, arm: Arm, seed: int) -> Saved | Finding:
        """A checkpoint of a run that is whole; or why there is none."""
        script, half = self.subject.script, self.steps // 2
        pattern = script.checkpoints
        if pattern is None:
            return _alone("checkpoints is not stated", 'checkpoints = "{out}/checkpoint-{step}"', good=None)
        longer = f"save more often, keep what is saved, or check = {4 * self.steps} in [script]"
        if script.named:
            (self._place("once") / RECORD).touch()
            saved = nearest(pattern, self._place("once"), self.steps - 1)
            return saved or _alone(f"no {pattern} was left of {counted(self.steps, 'update')}", longer)
        if not script.halts:
            fix = "put {until} into the command, in the place of {steps}, where it says when to end"
            return _alone("checkpoints has no {step}, and the command no {until}", fix, good=None)
        self.say(f"trunk: ends at {half} of {counted(self.steps, 'update')}")
        trunk = self._through("trunk", self._start("trunk", arm, seed, until=half), lambda _: False)
        if trunk.word != "stopped" or trunk.step != half:
            return _alone(f"asked to end at step {half} it {trunk.word} {trunk.why}", "see what {until} does")
        there = found(pattern, self._place("trunk") / "out")
        out = self._place("trunk") / "out"
        return Saved(half, there[-1].path, out) if there else _alone(f"no {pattern} was left at step {half}", longer)


def _alone(why: str, fix: str, *, good: bool | None = False) -> Finding:
    return Finding("share", good, f"No steps are shared: {why}.", fix)
