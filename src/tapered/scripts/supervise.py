"""One run of a script: started, watched, started again where it may be, ended; by one supervisor at a time.

Command ─► a start ─► Watching ─► How, Seen ─► word_of ─► again, or Ended ─► result.json
               ╰── the newest checkpoint set aside, where no start went on from it
"""

import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tapered.scripts import checkpoints
from tapered.scripts.alone import end_strays, held
from tapered.scripts.command import NEVER, Command
from tapered.scripts.ended import LINES, Ended, Seen, Word
from tapered.scripts.judging import How, Judge, word_of
from tapered.scripts.limits import Limits
from tapered.scripts.looking import STOP, Watcher, Watching
from tapered.scripts.start import Started, environment
from tapered.scripts.watch import Output, last_lines
from tapered.words import sized

EMPTY = 1 << 20  # bytes; less is a full disk
OUT = "out"


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
        steps = int(command.values["steps"])
        watcher = Watcher(folder, steps, limits, judge, told or (lambda _: None), stop or (lambda: False))
        ended = _Run(watcher, command, _Place(lock, dict(slot or {}), threads)).run()
        if ended.result:
            ended.write(folder)
    return ended


@dataclass(frozen=True)
class _Place:
    lock: int
    slot: Mapping[str, str]
    threads: int


class _Run:
    def __init__(self, watcher: Watcher, command: Command, place: _Place) -> None:
        self._watcher, self._command, self._place = watcher, command, place
        self._folder, self._limits = watcher.folder, watcher.limits
        self._notes: list[str] = []
        self._starts = len([path for path in self._folder.glob("*.err") if path.stem.isdecimal()])

    def run(self) -> Ended:
        """Start after start."""
        before, applied = self._watcher.seen(), self._applied()
        best, since, aside = before.furthest if self._starts else -1, 0, False
        until = int(self._command.values["until"])
        while True:
            how = self._start(before)
            seen = self._watcher.seen()
            if found := word_of(seen, how, self._watcher.steps, until):
                return self._ended(*found, seen)
            since = 0 if seen.furthest > best else since + 1
            best = max(best, seen.furthest)
            if self._watcher.stopping():
                return self._ended("stopped", "was asked to end before it was started again", seen)
            if since >= self._limits.retries or how.last:
                why = f"{how}, at {seen.furthest} of {self._watcher.steps}"
                return self._ended("hung" if how.hung else "crashed", why, seen)
            trained = seen.told > before.told or self._applied() > applied
            if since and not (trained or aside or how.outside or self._free() < EMPTY):
                aside = self._set_aside()
            before, applied = seen, self._applied()

    def _ended(self, word: Word, why: str, seen: Seen) -> Ended:
        if word in ("crashed", "hung") and (free := self._free()) < EMPTY:
            self._notes.append(f"its disk is full: {sized(free)} are free")
        lines = last_lines(self._files(), LINES)
        step = seen.diverged if word == "diverged" and seen.diverged is not None else seen.step or 0
        return Ended(word, step, self._starts, why, lines, tuple(self._notes), time.monotonic() - self._watcher.began)

    def _free(self) -> int:
        """Bytes that its disk takes, or that of what the script writes, which may be another."""
        return min(shutil.disk_usage(place).free for place in (self._folder, self._folder / OUT))

    def _files(self) -> list[Path]:
        """Where the newest start's outputs go."""
        return [self._folder / f"{self._starts}.{name}" for name in ("out", "err")]

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

    def _start(self, before: Seen) -> How:
        words = self._words()
        env = environment(self._folder, self._place.slot, self._place.threads)
        self._starts += 1
        files, keep = self._files(), re.compile(self._limits.keep) if self._limits.keep else None
        outputs = [Output(path, self._limits.output, keep) for path in files]
        started = Started(words, env, self._command.folder or Path.cwd(), files, self._place.lock)
        try:
            how = Watching(self._watcher, started, outputs, before).watch()
        finally:
            started.close()
        if started.lost:
            started.left = end_strays(self._folder)
        self._note(started, outputs)
        return how

    def _words(self) -> list[str]:
        """Of the next start; one that cannot go on has a new folder to write to."""
        out, again = self._folder / OUT, self._starts > 0
        if again and self._command.resume == NEVER and any(out.iterdir()):
            checkpoints.set_aside(out)
            out.mkdir()
        there = self._checkpoints()
        return self._command.words(there[-1].path if there else None, again=again)

    def _note(self, started: Started, outputs: list[Output]) -> None:
        if started.left:
            self._notes.append(f"{started.left} of its children lived on, and ended with it")
        for output in outputs:
            output.bound()
            if output.left_out:
                self._notes.append(f"{sized(output.left_out)} of {output.path.name} were left out")
