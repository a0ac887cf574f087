"""`tapered study FILE --check`: a few short runs of a script, by which is known what its study may claim and share.

once   ────────────●────────────►  metrics, rate, end         cut    ─────x
again  ─────────────────────────►  the same                   on          ╰──────►  the same after a kill
other  ─────────────────────────►  another seed               forked ●───────────►  the same from a checkpoint
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from math import isfinite
from pathlib import Path

from tapered.scripts.notes import unseen
from tapered.scripts.rates import applied
from tapered.scripts.slots import Places, Start
from tapered.study.file.arms import Arm
from tapered.study.file.script import Scripted
from tapered.study.plan.planned import Planned
from tapered.study.script.checked import Checked, Finding
from tapered.study.script.forks import RESTORE, Forks
from tapered.study.script.outcome import said
from tapered.study.script.tries import StoppedError, Tries, Try, numbered
from tapered.study.store.folder import Store
from tapered.words import counted

FOLDER = "check"


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
        slots: What starts the script, as many at a time as the study has slots.
        say: Told what is done, a line each.
        stop: True ends what runs.

    Returns:
        What was found, kept in the study's folder; None where it was stopped.
    """
    folder = store.folder / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    tries = Tries(planned.having(numbered(planned.study)), subject, folder, slots, say, stop)
    looked = _Check(tries)
    try:
        findings = tuple(looked.findings())
    except StoppedError:
        return None
    every = looked.forks.every
    checked = Checked(findings, every, looked.noise, tries.seconds, tries.steps, tries.starts)
    checked.write(store.folder, planned)
    return checked


@dataclass
class _Check:
    """What is found of runs that are made side by side, said in the order of what rests on what."""

    tries: Tries
    noise: float | None = None
    forks: Forks = field(init=False)

    def __post_init__(self) -> None:
        study = self.tries.planned.study
        self.base = next(arm for arm in study.arms if arm.name == study.baseline)
        self.seed = study.first_seed
        self.arms = {f"arm {i}": arm for i, arm in enumerate(study.arms) if arm.name != self.base.name}
        self.forks = Forks(self.tries, self.base, self.seed)

    def _tries(self) -> Iterator[Try]:
        """All that are to be made."""
        start, updates = self.tries.start, counted(self.tries.steps, "update")
        seeds = {"once": self.seed, "again": self.seed, "other": self.seed + 1}
        for name, seed in seeds.items():
            save_at = (self.forks.part,) if name == "once" else ()
            make = partial(start, name, self.base, seed, save_at=save_at)
            yield Try(name, f"{name}: {updates}, seed {seed}", make, needed=True)
        for name, arm in self.arms.items():
            yield Try(name, f"{name}: {updates}, seed {self.seed}", partial(start, name, arm, self.seed))
        if self.tries.subject.script.goes_on:
            yield Try("cut", "cut: stopped in mid-run", partial(self._part, None), stop=self._far)
            yield Try("on", "on: cut is started again", partial(self._part, "stopped"), ("cut",))
        yield from self.forks.tries()

    def _part(self, after: str | None) -> Start | None:
        """A run to be stopped, or the same one again, where it was."""
        half = self.tries.steps // 2 if after is None else None
        if after is not None and self.tries.ends["cut"].word != after:
            return None
        return self.tries.start("cut", self.base, self.seed, until=half)

    def _far(self, folder: Path) -> bool:
        return self.tries.judge(folder).furthest >= self.tries.steps // 2

    def findings(self) -> Iterator[Finding]:
        """All of it; nothing more behind what makes the rest meaningless."""
        ends = self.tries.ends
        self.tries.make(list(self._tries()))
        yield from self._ended_well("once", self.base)
        if not ends["once"].result:
            return
        yield self._told("once")
        yield self._rate("once", self.base)
        for name, look in (("again", self._same), ("other", self._seed)):
            if not ends[name].result:
                yield from self._ended_well(name, self.base)
                return
            yield look()
        for name, arm in self.arms.items():
            yield from self._ended_well(name, arm)
            yield self._rate(name, arm)
        shared = self.forks.finding()
        yield self._resumed(exact=shared.good is True)
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

    def _resumed(self, *, exact: bool) -> Finding:
        """Stopped in mid-run and started again."""
        if not self.tries.subject.script.goes_on:
            return Finding(
                "resume", None, 'It does not go on from what it saved (resume = "none"): a killed run begins anew.',
                'resume = "same-out", or words such as "--resume {checkpoint}"',
            )  # fmt: skip
        on = self.tries.ends.get("on")
        if on is None:
            seen = "; from a checkpoint it goes on exactly" if exact else ""
            fix = "" if exact else f"check = {4 * self.tries.steps} in [script] gives it longer"
            return Finding("resume", None, f"It came to its end before it could be stopped{seen}.", fix)
        if not on.result:
            return Finding("resume", False, f"Started again it {on.word}: {on.why}.", "see how it finds its checkpoint")
        apart = self.tries.gap("cut", more=True)
        if apart == 0:
            return Finding("resume", True, "Stopped and started again it gives the same numbers.")
        found = f"Stopped and started again its numbers differ by up to {apart:.3g}."
        return Finding("resume", apart <= (self.noise or 0.0), found, RESTORE)
