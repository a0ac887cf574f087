"""Keeps one start of a script, in a process of its own: whatever ends, nothing of the script is left behind.

    python -I -S keeper.py REPORT_TO WORDS...

supervisor ─ "t": SIGTERM, "k": SIGKILL, end of file: it has gone ─► keeper ─ "began PID", "ended CODE LEFT" ─►
                                                                      ╰─► the script, its children and theirs

On Linux children that left the script's group come to the keeper when their parents end, and the script ends with the
keeper. Elsewhere the script's process group is ended, and who left it lives on. It imports nothing of tapered, so that
it begins in milliseconds and takes little memory; standard input is where the supervisor speaks.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from types import FrameType

PDEATHSIG, SUBREAPER = 1, 36  # of Linux's prctl
LINGER = 3.0  # seconds between SIGTERM and SIGKILL for who outlives the script
LONGEST = 30.0  # seconds after which what cannot be killed, since it waits for a disk, is left
LINUX = sys.platform == "linux"


class Keeper:
    """One script and all that it starts."""

    def __init__(self, report: int, words: list[str]) -> None:
        self._report, self.pid = report, 0
        self.code: int | None = None
        self._woken, waking = os.pipe()
        os.set_blocking(waking, False)
        os.set_blocking(self._woken, False)
        signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
        self._gone = False
        # handlers, since what is ignored would be ignored in the script as well
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGTERM, self._leave)
        self._control = ctypes.CDLL(None).prctl if LINUX else None
        self._with_parent(signal.SIGTERM)
        if self._control:
            self._control(SUBREAPER, 1, 0, 0, 0)
        self._begin(words)

    def _leave(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as a handler is called
        self._gone = True

    def _with_parent(self, number: int) -> None:
        if self._control:
            self._control(PDEATHSIG, number, 0, 0, 0)

    def _begin(self, words: list[str]) -> None:
        keeper = os.getpid()

        def alone() -> None:
            self._with_parent(signal.SIGKILL)
            if os.getppid() != keeper:
                os._exit(1)

        try:
            # held, since one that is let go asks for its process's end itself, which then nobody else hears of
            self._script = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=alone)  # noqa: PLW1509, S603 - no thread is here; the user's own words
        except OSError as error:
            self._say(f"failed {error.strerror or error}")
            sys.exit(1)
        self.pid = self._script.pid
        self._say(f"began {self.pid}")

    def _say(self, text: str) -> None:
        with suppress(OSError):
            os.write(self._report, f"{text}\n".encode())

    def keep(self) -> None:
        """Until the script has ended, or whoever started it; then nothing is left."""
        while self.code is None and not self._gone:
            ready, _, _ = select.select([0, self._woken], [], [])
            if self._woken in ready:
                with suppress(BlockingIOError):
                    os.read(self._woken, 4096)
                self._reap()
            if 0 in ready and self.code is None:
                self._told(os.read(0, 16))
        left = len(self._below()) if self.code is not None else 0
        if left and not self._gone:
            self._ask()
        self._kill()
        self._say(f"ended {self.code} {left}")

    def _told(self, said: bytes) -> None:
        if not said:
            self._gone = True
        if b"t" in said:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGTERM)
        if b"k" in said:
            self._kill()

    def _ask(self) -> None:
        """Let who outlived the script end by themselves."""
        self._all(signal.SIGTERM)
        until = time.monotonic() + LINGER
        while self._below() and time.monotonic() < until and not self._gone:
            select.select([self._woken], [], [], 0.05)
            self._reap()

    def _kill(self) -> None:
        until = time.monotonic() + LONGEST
        while time.monotonic() < until:
            self._all(signal.SIGKILL)
            self._reap()
            if self.code is not None and not self._below():
                return
            time.sleep(0.005)

    def _all(self, number: int) -> None:
        if self.code is None or not LINUX:  # its number may be another's once it was waited for
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)
        for pid in self._below():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == self.pid:
                    self.code = os.waitstatus_to_exitcode(found[1])

    def _below(self) -> list[int]:
        """All processes below this one; none where the system does not say."""
        children: dict[int, list[int]] = {}
        for name in os.listdir("/proc") if LINUX else ():  # noqa: PTH208 - many, as below
            with suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - many, and pathlib is slow to begin
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
                if state != b"Z":  # which only waits to be asked for
                    children.setdefault(int(parent), []).append(int(name))
        found, below = [], [os.getpid()]
        while below:
            below = [child for pid in below for child in children.get(pid, [])]
            found += below
        return found


if __name__ == "__main__":
    Keeper(int(sys.argv[1]), sys.argv[2:]).keep()
