"""`tapered study FILE --check`: a few short runs of a script, by which is known what its study may claim and share.

once   ────────────●────────────►  metrics, rate, end         cut    ─────x
again  ─────────────────────────►  the same                   on          ╰──────►  the same after a kill
other  ─────────────────────────►  another seed               forked ●───────────►  the same from a checkpoint
"""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from tapered.scripts.asked import Parent
from tapered.scripts.checkpoints import found
from tapered.scripts.notes import unseen
from tapered.scripts.rates import applied
from tapered.scripts.slots import Places
from tapered.study.file.arms import Arm
from tapered.study.file.script import Scripted
from tapered.study.plan.planned import Planned
from tapered.study.script.checked import Checked, Finding
from tapered.study.script.outcome import RECORD, said
from tapered.study.script.sharing import Saved, hand_over, nearest
from tapered.study.script.tries import StoppedError, Tries, numbered
from tapered.study.store.folder import Store
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
    tries = Tries(planned.having(numbered(planned.study)), subject, folder, slots, say, stop)
    begun, looked = time.monotonic(), _Check(tries)
    try:
        findings = tuple(looked.findings())
    except StoppedError:
        return None
    shared = next((found for found in findings if found.name == "share"), None)
    checked = Checked(
        findings,
        shared is not None and shared.good is True,
        looked.noise,
        time.monotonic() - begun,
        tries.steps,
        tries.starts,
    )
    checked.write(store.folder, planned)
    return checked


def apart_from_rounds(step: int) -> int:
    """The last prime up to a step: runs part within an epoch, too, where fewer scripts go on exactly than at its end.

    >>> apart_from_rounds(10), apart_from_rounds(8), apart_from_rounds(1)
    (7, 7, 1)
    """
    return next((n for n in range(step, 1, -1) if all(n % d for d in range(2, n))), step)


@dataclass
class _Check:
    """What is found of runs, one thing after another."""

    tries: Tries
    noise: float | None = None

    def findings(self) -> Iterator[Finding]:
        """All of it; nothing more behind what makes the rest meaningless."""
        study = self.tries.planned.study
        base = next(arm for arm in study.arms if arm.name == study.baseline)
        first, other = study.first_seed, study.first_seed + 1
        once = self.tries.run("once", base, first)
        yield from self._ended_well("once", base)
        if not once.result:
            return
        yield self._told("once")
        yield self._rate("once", base)
        for name, seed, look in (("again", first, self._same), ("other", other, self._seed)):
            if not self.tries.run(name, base, seed).result:
                yield from self._ended_well(name, base)
                return
            yield look()
        for place, arm in enumerate(study.arms):
            if arm.name != base.name:
                name = f"arm {place}"
                self.tries.run(name, arm, first)
                yield from self._ended_well(name, arm)
                yield self._rate(name, arm)
        shared = self._shared(base, first)
        yield self._resumed(base, first, exact=shared.good is True)
        yield shared

    def _ended_well(self, name: str, arm: Arm) -> Iterator[Finding]:
        ended = self.tries.ends[name]
        if ended.result:
            if name == "once":
                yield Finding("end", True, f"It ends at {counted(self.tries.steps, 'update')}, as it is asked.")
            return
        lines = "".join(f"\n    {line}" for line in ended.lines)
        fix = {
            "refused": "" if "rate" in ended.why else "let {steps} say how many updates it makes, and see its metrics",
            "crashed": f"it must run by itself; see {self.tries.place(name)}",
            "hung": "make startup or silence longer, or see what it waits for",
        }.get(ended.word, "")
        yield Finding("end", False, f"Arm {arm.name!r}: {ended.word} at step {ended.step}: {ended.why}.{lines}", fix)

    def _told(self, name: str) -> Finding:
        told = self.tries.told(name)
        names = ", ".join(f"{each} ({counted(len(points), 'point')})" for each, points in sorted(told.points.items()))
        return Finding("metrics", True, f"It told {names}.")

    def _rate(self, name: str, arm: Arm) -> Finding:
        """What was seen of the rate; another rate than was asked has ended the run already."""
        script, place = self.tries.subject.script, self.tries.place(name)
        if script.rate == "off":
            return Finding(
                "rate",
                None,
                'The rate is not looked at: rate = "off".',
                'rate = "see", where it is torch that applies it',
            )
        seen = applied(place)
        if not self.tries.ends[name].result:
            return Finding(
                "rate",
                False,
                f"Arm {arm.name!r} did not come to its end.",
                'rate = "set" applies the rate from outside',
            )
        if not seen:
            why = (
                self.tries.start(name, arm, self.tries.planned.study.first_seed).command.unseen()
                or "no update of a torch optimizer was seen"
            )
            return Finding(
                "rate", None, f"The rate of arm {arm.name!r} could not be seen: {why}.", 'rate = "off" says so at once'
            )
        done = "set before" if script.rate == "set" else "as asked in"
        notes = "".join(f" {said(note)}" for note in unseen(place))
        return Finding(
            "rate", True, f"The rate of arm {arm.name!r} was {done} all {counted(self.tries.steps, 'update')}.{notes}"
        )

    def _same(self) -> Finding:
        apart = self.tries.gap("again")
        if not isfinite(apart):
            return Finding(
                "same", False, "The same seed tells numbers at other steps, or others that are not finite.", RESTORE
            )
        self.noise = apart
        if self.noise == 0:
            return Finding("same", True, "The same seed gives the same numbers, to the last bit.")
        return Finding(
            "same",
            False,
            f"The same seed gives numbers that differ by up to {self.noise:.3g}: the script's own noise.",
            "seed every generator from {seed}, and take deterministic algorithms; a study can be made all the same",
        )

    def _seed(self) -> Finding:
        apart = self.tries.gap("other")
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
        if not self.tries.subject.script.goes_on:
            return Finding(
                "resume", None, 'It does not go on from what it saved (resume = "none"): a killed run begins anew.',
                'resume = "same-out", or words such as "--resume {checkpoint}"',
            )  # fmt: skip
        self.tries.say("cut: stopped in mid-run, and started again")
        half = self.tries.steps // 2
        start = self.tries.start("cut", arm, seed, until=half)
        reached: list[int] = []

        def stop(folder: Path) -> bool:
            reached.append(start.judge(folder).furthest)
            return reached[-1] >= half

        cut = self.tries.through("cut", start, stop)
        if cut.word != "stopped":
            seen = "; from a checkpoint it goes on exactly" if exact else ""
            fix = "" if exact else f"check = {4 * self.tries.steps} in [script] gives it longer"
            return Finding("resume", None, f"It came to its end before it could be stopped{seen}.", fix)
        on = self.tries.through("cut", self.tries.start("cut", arm, seed))
        if not on.result:
            return Finding("resume", False, f"Started again it {on.word}: {on.why}.", "see how it finds its checkpoint")
        apart = self.tries.gap("cut")
        if apart == 0:
            return Finding("resume", True, "Stopped and started again it gives the same numbers.")
        found = f"Stopped and started again its numbers differ by up to {apart:.3g}."
        return Finding("resume", apart <= (self.noise or 0.0), found, RESTORE)

    def _shared(self, arm: Arm, seed: int) -> Finding:
        """Gone on from a checkpoint of another run, as runs that share steps do."""
        saved = self._saved(arm, seed)
        if isinstance(saved, Finding):
            return saved
        (self.tries.place("forked") / "out").mkdir(parents=True)
        hand_over(saved, self.tries.place("forked"))
        on = self.tries.run("forked", arm, seed, Parent("once", saved.step))
        at = f"the checkpoint of step {saved.step}"
        if not on.result:
            return _alone(f"from {at} it {on.word}: {on.why}", "see how it finds its checkpoint")
        told = [step for points in self.tries.told("forked").points.values() for step in points]
        if min(told, default=self.tries.steps) <= saved.step:
            return _alone(
                f"given {at} it began anew, and told of step {min(told)}",
                "see how it finds its checkpoint, and resume in [script]",
            )
        apart = self.tries.gap("forked", after=saved.step)
        if apart == 0:
            return Finding("share", True, f"From {at} it gives the same numbers: steps are shared.")
        return _alone(f"from {at} its numbers differ by up to {apart:.3g}", RESTORE)

    def _saved(self, arm: Arm, seed: int) -> Saved | Finding:
        """A checkpoint of a run that is whole; or why there is none."""
        script, half = self.tries.subject.script, apart_from_rounds(self.tries.steps // 2)
        pattern = script.checkpoints
        if pattern is None:
            return _alone("checkpoints is not stated", 'checkpoints = "{out}/checkpoint-{step}"', good=None)
        longer = f"save more often, keep what is saved, or check = {4 * self.tries.steps} in [script]"
        if script.named:
            (self.tries.place("once") / RECORD).touch()
            saved = nearest(pattern, self.tries.place("once"), self.tries.steps - 1)
            return saved or _alone(f"no {pattern} was left of {counted(self.tries.steps, 'update')}", longer)
        if not script.halts:
            fix = "put {until} into the command, in the place of {steps}, where it says when to end"
            return _alone("checkpoints has no {step}, and the command no {until}", fix, good=None)
        self.tries.say(f"trunk: ends at {half} of {counted(self.tries.steps, 'update')}")
        trunk = self.tries.through("trunk", self.tries.start("trunk", arm, seed, until=half))
        if trunk.word != "stopped" or trunk.step != half:
            return _alone(f"asked to end at step {half} it {trunk.word} {trunk.why}", "see what {until} does")
        there = found(pattern, self.tries.place("trunk") / "out")
        out = self.tries.place("trunk") / "out"
        return Saved(half, there[-1].path, out) if there else _alone(f"no {pattern} was left at step {half}", longer)


def _alone(why: str, fix: str, *, good: bool | None = False) -> Finding:
    return Finding("share", good, f"No steps are shared: {why}.", fix)
