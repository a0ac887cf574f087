"""Whether a script goes on exactly from a checkpoint of another run, as runs that share steps do.

once ──7──8──────16──►    asked at 7 ─► forked: exact? ─► steps are shared wherever runs part
                          else first of its own, 8 ─► own: exact? ─► they are shared from every 8th alone

Lightning, for one, goes on exactly from the end of an epoch and not from within it. Of what a script writes by itself,
the first stands for all: where that is the end of an epoch, so is each at a multiple of its step.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tapered.scripts.asked import Parent
from tapered.scripts.checkpoints import found
from tapered.scripts.slots import Start
from tapered.study.file.arms import Arm
from tapered.study.script.checked import Finding
from tapered.study.script.outcome import RECORD
from tapered.study.script.sharing import Saved, hand_over, usable
from tapered.study.script.tries import Tries, Try
from tapered.words import counted

RESTORE = "save and restore all generators, the order of data, and the optimizer"
FINDS = "see how it finds its checkpoint"


def apart_from_rounds(step: int) -> int:
    """The last prime up to a step: runs part within an epoch, too, where fewer scripts go on exactly than at its end.

    >>> apart_from_rounds(10), apart_from_rounds(8), apart_from_rounds(1)
    (7, 7, 1)
    """
    return next((n for n in range(step, 1, -1) if all(n % d for d in range(2, n))), step)


@dataclass
class Forks:
    """Runs that go on from the first one's checkpoints.

    Args:
        of: All runs that are made.
        arm: Whose.
        seed: Of which seed.
        every: Updates between checkpoints from which it goes on exactly: 1 where any will do, 0 where none will.
        begun: The checkpoint that each began with, by its name.
    """

    of: Tries
    arm: Arm
    seed: int
    every: int = 0
    begun: dict[str, Saved] = field(default_factory=dict)

    @property
    def part(self) -> int:
        """Where a checkpoint is asked for."""
        return apart_from_rounds(self.of.steps // 2)

    def tries(self) -> Iterator[Try]:
        """What is to be made, beside the run whose checkpoints are taken over."""
        script, ends = self.of.subject.script, f"ends at {self.part} of {counted(self.of.steps, 'update')}"
        if script.checkpoints is None:
            return
        if script.named:
            yield Try("forked", "forked: goes on from a checkpoint of once", self._forked, ("once",))
            yield Try("own", "own: goes on from one that it writes by itself", self._own, ("forked",))
        elif script.halts:
            yield Try("trunk", f"trunk: {ends}", lambda: self.of.start("trunk", self.arm, self.seed, until=self.part))
            yield Try("forked", "forked: goes on from the checkpoint of trunk", self._halted, ("trunk",))

    def _left(self) -> list[Saved]:
        """What the first run left before its end, oldest first."""
        place, pattern = self.of.place("once"), self.of.subject.script.checkpoints
        (place / RECORD).touch()
        return [one for one in usable(pattern or "", place) if one.step < self.of.steps]

    def _forked(self) -> Start | None:
        """From the one that was asked for; where it saves when it likes, from its first."""
        left = self._left()
        return self._from("forked", [one for one in left if one.step == self.part] or left)

    def _own(self) -> Start | None:
        """From the first one that it was not asked for, where the one that was is of no use."""
        asked = self.begun["forked"].step == self.part and not self._exact("forked")
        return self._from("own", [one for one in self._left() if asked and one.step != self.part])

    def _halted(self) -> Start | None:
        trunk, out = self.of.ends["trunk"], self.of.place("trunk") / "out"
        well = trunk.word == "stopped" and trunk.step == self.part
        there = found(self.of.subject.script.checkpoints or "", out)[-1:] if well else []
        return self._from("forked", [Saved(self.part, one.path, out) for one in there])

    def _from(self, name: str, saved: list[Saved]) -> Start | None:
        if not saved:
            return None
        self.begun[name] = saved[0]
        (self.of.place(name) / "out").mkdir(parents=True)
        hand_over(saved[0], self.of.place(name))
        return self.of.start(name, self.arm, self.seed, Parent("once", saved[0].step))

    def _exact(self, name: str) -> bool:
        return name in self.of.ends and not self._wrong(name)[0]

    def _wrong(self, name: str) -> tuple[str, str]:
        """Why a run is not what the first one was from there on, and what to change; "" where it is."""
        on, step = self.of.ends[name], self.begun[name].step
        at = f"the checkpoint of step {step}"
        if not on.result:
            return f"from {at} it {on.word}: {on.why}", FINDS
        told = [step for points in self.of.told(name).points.values() for step in points]
        if min(told, default=self.of.steps) <= step:
            return f"given {at} it began anew, and told of step {min(told)}", f"{FINDS}, and resume in [script]"
        apart = self.of.gap(name, after=step)
        return (f"from {at} its numbers differ by up to {apart:.3g}" if apart else ""), RESTORE

    def finding(self) -> Finding:
        """What is to be said of it, once all have ended."""
        if "forked" not in self.of.ends:
            return self._none()
        wrong, fix = self._wrong("forked")
        if not wrong:
            self.every, at = 1, f"the checkpoint of step {self.begun['forked'].step}"
            return Finding("share", True, f"From {at} it gives the same numbers: steps are shared.")
        if not self._exact("own"):
            return _alone(wrong, fix)
        self.every = self.begun["own"].step
        return Finding(
            "share",
            True,
            f"From the checkpoint of step {self.every}, which it writes by itself, it gives the same numbers: steps "
            f"are shared from its own checkpoints alone, every {self.every} updates. From one that it was asked for it "
            f"does not go on exactly: {wrong}.",
        )

    def _none(self) -> Finding:
        """Why there is no checkpoint to go on from."""
        script = self.of.subject.script
        longer = f"save more often, keep what is saved, or check = {4 * self.of.steps} in [script]"
        if script.checkpoints is None:
            return _alone("checkpoints is not stated", 'checkpoints = "{out}/checkpoint-{step}"', good=None)
        if script.named:
            return _alone(f"no {script.checkpoints} was left of {counted(self.of.steps, 'update')}", longer)
        if not script.halts:
            fix = "put {until} into the command, in the place of {steps}, where it says when to end"
            return _alone("checkpoints has no {step}, and the command no {until}", fix, good=None)
        trunk = self.of.ends["trunk"]
        if trunk.word != "stopped" or trunk.step != self.part:
            return _alone(f"asked to end at step {self.part} it {trunk.word} {trunk.why}", "see what {until} does")
        return _alone(f"no {script.checkpoints} was left at step {self.part}", longer)


def _alone(why: str, fix: str, *, good: bool | None = False) -> Finding:
    return Finding("share", good, f"No steps are shared: {why}.", fix)
