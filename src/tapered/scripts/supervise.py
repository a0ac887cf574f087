"""One run of a script: started, watched, started again where it may be, ended; by one supervisor at a time.

Command ─► a start ─► signs of life, a stop, time ─► how it ended, and what its folder says ─► again, or Ended
                                                         ╰─► the newest checkpoint set aside, where it could not go on
"""

import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tapered.scripts import checkpoints
from tapered.scripts.alone import held
from tapered.scripts.command import NEVER, Command
from tapered.scripts.ended import LINES, Ended, Seen, Word
from tapered.scripts.errors import ScriptError
from tapered.scripts.start import Started, environment
from tapered.scripts.watch import Life, Output, last_lines
from tapered.words import counted, sized

LOOK = 0.5  # seconds between two looks at a script
SHARE = 2000  # a judge rests so many times as long as it took
RESTS = 2.0  # seconds that it rests at least
EMPTY = 1 << 20  # bytes; less is a full disk
STOP, OUT = "stop", "out"
# no script ends itself so; a shell between says 128 more
OUTSIDE = {
    code
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for code in (-number, 128 + number)
}

Judge = Callable[[Path], Seen]


@dataclass(frozen=True)
class Limits:
    """How long a script may take, in seconds, and how often it is started again.

    Args:
        startup: Without a sign of life, before the first report of a start: imports and compilation take long.
        silence: Without a sign of life from then on: no byte in what it reports, prints or writes to its folder.
        timeout: For the run as a whole, all its starts in one call together; None for as long as it takes.
        grace: Between being asked to end and SIGTERM, and between that and SIGKILL.
        retries: Starts after the one that got furthest. Each start that gets further begins the count anew.
        output: Bytes that are kept of each output of a start, its beginning and its end.
        keep: A regular expression; lines of an output that have it are kept as well, since they report something.
    """

    startup: float = 600.0
    silence: float = 600.0
    timeout: float | None = None
    grace: float = 30.0
    retries: int = 2
    output: int = 64 << 20
    keep: str | None = None


def supervise(
    folder: Path,
    command: Command,
    limits: Limits,
    judge: Judge,
    *,
    told: Callable[[int], None] | None = None,
    stop: Callable[[], bool] | None = None,
    slot: Mapping[str, str] | None = None,
    threads: int = 1,
) -> Ended:
    """Start a run's script, and again where it may be; returns when it has ended and nothing of it is left.

    Args:
        folder: The run's; what is asked is in it.
        command: How it is started.
        limits: How long it may take.
        judge: Reads what the folder says, also while the script runs.
        told: Called now and then with the updates made.
        stop: True asks the script to end: by the file `stop`, which anybody may write; then by SIGTERM and SIGKILL.
        slot: More of the script's environment.
        threads: For libraries that compute, where the environment says nothing.

    Returns:
        How it ended. What is a result is kept as `result.json`, and such a run is not started again.

    Raises:
        InUseError: Another supervisor has the folder.
        ScriptError: The command cannot be started, or `result.json` is damaged.
        OSError: The disk does not take what is written here.
    """
    with held(folder) as lock:
        if kept := Ended.read(folder):
            return kept
        (folder / STOP).unlink(missing_ok=True)
        (folder / OUT).mkdir(exist_ok=True)
        place = _Place(folder, lock, dict(slot or {}), threads)
        ended = _Run(place, command, limits, judge, told or (lambda _: None), stop or (lambda: False)).run()
        if ended.result:
            ended.write(folder)
    return ended


@dataclass(frozen=True)
class _Place:
    folder: Path
    lock: int
    slot: Mapping[str, str]
    threads: int


@dataclass(frozen=True)
class _How:
    """How one start ended."""

    code: int
    stopped: bool = False
    hung: str = ""
    last: bool = False  # whether there is no time for another


@dataclass
class _Ending:
    """Ways to end a script, each once and later than the one before."""

    why: str
    steps: list[tuple[float, Callable[[], None]]]  # when, and what

    def go(self) -> None:
        while self.steps and time.monotonic() >= self.steps[0][0]:
            self.steps.pop(0)[1]()


class _Run:
    def __init__(
        self, place: _Place, command: Command, limits: Limits, judge: Judge,
        told: Callable[[int], None], stop: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._place, self._folder, self._command = place, place.folder, command
        self._limits, self._judge, self._told, self._stop = limits, judge, told, stop
        self._began = time.monotonic()
        self._notes: list[str] = []
        self._judged = 0.0  # when the judge may be asked again
        self._starts = len({int(p.stem) for p in self._folder.glob("*.err") if p.stem.isdecimal()})

    def run(self) -> Ended:
        """Start after start."""
        before = self._judge(self._folder)
        best, since, aside = before.furthest if self._starts else -1, 0, False
        while True:
            applied = self._applied()
            how = self._start(before)
            seen = self._judge(self._folder)
            self._told(seen.furthest)
            found = self._word(seen, how)
            if found:
                return self._ended(*found, seen)
            trained = seen.told > before.told or self._applied() != applied
            since = 0 if seen.furthest > best else since + 1
            best = max(best, seen.furthest)
            if self._stopping():
                return self._ended("stopped", "was asked to end before it was started again", seen)
            if since >= self._limits.retries or how.last:
                why = how.hung or f"ended {_code(how.code)} at {seen.furthest} of {self._command.values['steps']}"
                return self._ended("hung" if how.hung else "crashed", why, seen)
            if since and not (trained or aside) and (how.hung or how.code not in OUTSIDE):
                aside = self._set_aside()
            before = seen

    def _word(self, seen: Seen, how: _How) -> tuple[Word, str] | None:
        """The run's end by what its folder says; None where it crashed or hung."""
        steps, until = (int(self._command.values[name]) for name in ("steps", "until"))
        done = seen.step is not None and seen.step >= until
        if wrong := _wrong(seen, steps):
            return "refused", wrong
        if seen.diverged is not None:
            return "diverged", f"reported a number at {seen.diverged} that is not finite"
        if how.stopped and not (how.code == 0 and done):
            return "stopped", f"was asked to end, and did at {seen.furthest} of {steps}"
        if how.code or how.hung:
            return None
        if seen.step is None:
            return "refused", f"ended with exit code 0 and reported nothing; expected a last report at {until}"
        if not done:
            return "refused", f"ended at {seen.step} of {until}, with exit code 0; expected a last report at {until}"
        if seen.lacking:
            return "refused", seen.lacking
        return (
            ("finished", f"made its {steps} steps")
            if seen.step >= steps
            else ("stopped", f"ended at its rung, {until}")
        )

    def _ended(self, word: Word, why: str, seen: Seen) -> Ended:
        if word in ("crashed", "hung") and (free := shutil.disk_usage(self._folder).free) < EMPTY:
            self._notes.append(f"its disk is full: {sized(free)} are free")
        lines = last_lines([self._output("out"), self._output("err")], LINES)
        step = seen.diverged if word == "diverged" and seen.diverged is not None else seen.step or 0
        seconds = time.monotonic() - self._began
        return Ended(word, step, self._starts, why, lines, tuple(self._notes), seconds)

    def _output(self, name: str) -> Path:
        return self._folder / f"{self._starts}.{name}"

    def _applied(self) -> int:
        """Bytes that the witness has written."""
        return sum(path.stat().st_size for path in self._folder.glob("applied*.csv"))

    def _set_aside(self) -> bool:
        """The newest checkpoint, from which a start made not one update, is kept under another name."""
        there = self._checkpoints()
        if there:
            aside = checkpoints.set_aside(there[-1].path)
            self._notes.append(f"{there[-1].path.name} was set aside as {aside.name}, since no start went on from it")
        return bool(there)

    def _checkpoints(self) -> list[checkpoints.Checkpoint]:
        pattern = self._command.checkpoints
        return checkpoints.found(pattern, self._folder / OUT) if pattern else []

    def _stopping(self) -> bool:
        return self._stop() or (self._folder / STOP).exists()

    def _start(self, before: Seen) -> _How:
        again, there = self._starts > 0, self._checkpoints()
        if again and self._command.resume == NEVER and any((self._folder / OUT).iterdir()):
            checkpoints.set_aside(self._folder / OUT)
            (self._folder / OUT).mkdir()
        words = self._command.words(there[-1].path if there else None, again=again)
        env = environment(self._folder, self._place.slot, self._place.threads)
        self._starts += 1
        files = [self._output("out"), self._output("err")]
        keep = re.compile(self._limits.keep) if self._limits.keep else None
        outputs = [Output(path, self._limits.output, keep) for path in files]
        started = Started(words, env, self._command.folder or Path.cwd(), files, self._place.lock)
        try:
            how = self._watched(started, outputs, before)
        finally:
            started.close()
        if started.left:
            self._notes.append(
                f"{counted(started.left, 'process')} that outlived it ended with it".replace("processs", "processes")
            )
        for output in outputs:
            output.bound()
            if output.left_out:
                self._notes.append(f"{sized(output.left_out)} of {output.path.name} were left out")
        return how

    def _watched(self, started: Started, outputs: list[Output], before: Seen) -> _How:
        limits = self._limits
        shortest = min(limits.startup, limits.silence)
        life, look = Life(self._folder, min(10.0, shortest / 10)), min(LOOK, max(0.02, shortest / 10))
        ending: _Ending | None = None
        hung = wrong = ""
        spoke = last = False
        while not started.ended(look):
            for output in outputs:
                output.bound()
            if ending:
                ending.go()
                continue
            if not wrong and (seen := self._now()):
                spoke, wrong = spoke or seen.told > before.told, _wrong(seen, int(self._command.values["steps"]))
            if self._stopping():
                ending = self._asked(started)
            elif wrong:
                ending = self._told_to_end(started, wrong)
            elif limits.timeout is not None and time.monotonic() - self._began > limits.timeout:
                hung, last = f"had not ended after timeout={limits.timeout:g} s", True
            elif life.quiet() > shortest:
                spoke = spoke or self._judge(self._folder).told > before.told
                most, name = (limits.silence, "silence") if spoke else (limits.startup, "startup")
                if life.quiet() > most:
                    hung = f"gave no sign of life for {name}={most:g} s"
            if hung and not ending:
                ending = self._told_to_end(started, hung)
        stopped = ending is not None and not (hung or wrong)
        return _How(started.code or 0, stopped, hung, last)

    def _now(self) -> Seen | None:
        """What the folder says, where the judge has rested long enough."""
        began = time.monotonic()
        if began < self._judged:
            return None
        seen = self._judge(self._folder)
        self._told(seen.furthest)
        now = time.monotonic()
        self._judged = now + max(RESTS, SHARE * (now - began))
        return seen

    def _asked(self, started: Started) -> _Ending:
        """A stop file, time to save and end, SIGTERM, time again, SIGKILL."""
        with suppress(OSError):  # a full disk; then by signals alone
            (self._folder / STOP).touch()
        now, grace = time.monotonic(), self._limits.grace
        return _Ending("stop", [(now + grace, started.ask), (now + 2 * grace, started.kill)])

    def _told_to_end(self, started: Started, why: str) -> _Ending:
        started.ask()
        return _Ending(why, [(time.monotonic() + self._limits.grace, started.kill)])


def _wrong(seen: Seen, steps: int) -> str:
    if seen.wrong or seen.step is None or seen.step <= steps:
        return seen.wrong
    return f"reported step {seen.step} of {steps}; expected no step beyond the last, since budgets are to be equal"


def _code(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    with suppress(ValueError):
        return f"by {signal.Signals(-code).name}"
    return f"by signal {-code}"
