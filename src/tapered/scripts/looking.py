"""One start of a script, looked at until it has ended, or is ended.

Started ─► Watching.watch ─┬─ by itself ────────────────────────────────────────► How
                           ├─ a stop: its file, time, SIGTERM, time, SIGKILL ───► How
                           ╰─ hung, out of time, or wrong: SIGTERM, time, SIGKILL ► How
"""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tapered.scripts.ended import Seen
from tapered.scripts.judging import How, Judge, wrong
from tapered.scripts.limits import Limits
from tapered.scripts.start import Started
from tapered.scripts.watch import Life, Output

LOOK = 0.5  # seconds between two looks at a script
SLOW = 10.0  # seconds between two looks at all of its folder, at most
SHARE = 2000  # a judge rests so many times as long as it took
RESTS = 2.0  # seconds that it rests at least
STOP = "stop"


class Watcher:
    """What a run's starts are watched by.

    Args:
        folder: The run's.
        steps: Its last.
        limits: Its times.
        judge: Reads the folder, also while the script runs; rests most of the time.
        told: Called with the updates made whenever the judge has been asked.
        stop: Whether the script is to end.
    """

    def __init__(
        self,
        folder: Path,
        steps: int,
        limits: Limits,
        judge: Judge,
        told: Callable[[int], None],
        stop: Callable[[], bool],
    ) -> None:
        self.folder, self.steps, self.limits = folder, steps, limits
        self._judge, self._told, self._stop = judge, told, stop
        self.began = time.monotonic()
        self._rests = 0.0  # until when the judge does

    def seen(self) -> Seen:
        """What the folder says now."""
        began = time.monotonic()
        found = self._judge(self.folder)
        self._told(found.furthest)
        now = time.monotonic()
        self._rests = now + max(RESTS, SHARE * (now - began))
        return found

    def rested(self) -> Seen | None:
        """What the folder says, where the judge has rested long enough."""
        return self.seen() if time.monotonic() >= self._rests else None

    def stopping(self) -> bool:
        """Whether it is to end, as somebody here says, or a file."""
        return self._stop() or (self.folder / STOP).exists()


class Watching:
    """One start.

    Args:
        watcher: Its run's.
        started: The script.
        outputs: What it prints.
        before: What the folder said before it was started.
    """

    def __init__(self, watcher: Watcher, started: Started, outputs: list[Output], before: Seen) -> None:
        self._watcher, self._started, self._outputs = watcher, started, outputs
        self._limits, self._told = watcher.limits, before.told
        self._shortest = min(self._limits.startup, self._limits.silence)
        self._life = Life(watcher.folder, min(SLOW, self._shortest / 10))
        self._spoke = False
        self._wrong = ""
        self._ways: list[tuple[float, Callable[[], None]]] = []  # to end it: when, and how

    def watch(self) -> How:
        """Until it has ended, and nothing of it is left."""
        why: How | None = None
        look = min(LOOK, max(0.02, self._shortest / 10))
        while not self._started.ended(look):
            for output in self._outputs:
                output.bound()
            if why is None:
                why = self._why()
            while self._ways and time.monotonic() >= self._ways[0][0]:
                self._ways.pop(0)[1]()
        code = self._started.code or 0
        return How(code, why.stopped, why.hung, why.last) if why else How(code)

    def _why(self) -> How | None:
        """Why it is ended now, and ways to do so are laid out; None while it may go on."""
        now, grace = time.monotonic(), self._limits.grace
        if self._watcher.stopping():
            with suppress(OSError):  # a full disk; then by signals alone
                (self._watcher.folder / STOP).touch()
            self._ways = [(now + grace, self._started.ask), (now + 2 * grace, self._started.kill)]
            return How(0, stopped=True)
        hung, late = self._hung(), self._late()
        if hung or late or self._is_wrong():
            self._ways = [(now, self._started.ask), (now + grace, self._started.kill)]
            return How(0, hung=late or hung, last=bool(late))
        return None

    def _late(self) -> str:
        most = self._limits.timeout
        late = most is not None and time.monotonic() - self._watcher.began > most
        return f"had not ended after timeout={most:g} s" if late else ""

    def _hung(self) -> str:
        if self._life.quiet() <= self._shortest:
            return ""
        self._heard(self._watcher.rested() if self._spoke else self._watcher.seen())
        most, name = (self._limits.silence, "silence") if self._spoke else (self._limits.startup, "startup")
        hung = self._life.quiet() > most and self._life.look() > most  # a first report may have come meanwhile
        return f"gave no sign of life for {name}={most:g} s" if hung else ""

    def _is_wrong(self) -> bool:
        self._heard(self._watcher.rested())
        return bool(self._wrong)

    def _heard(self, seen: Seen | None) -> None:
        if seen:
            self._spoke = self._spoke or seen.told > self._told
            self._wrong = wrong(seen, self._watcher.steps)
