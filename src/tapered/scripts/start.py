"""One start of a script, as its supervisor has it: behind a keeper, which ends with the supervisor and all with itself.

words, environment ─► Started: its outputs go to N.out and N.err ─► ended? ─► its exit code
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tapered.scripts import keeper
from tapered.scripts.errors import ScriptError

OWN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
PREFIXES = ("ROLE_", "GROUP_WORLD", "TORCHELASTIC_")  # of what torchrun sets for a driver that it started
CLOSING = 40.0  # seconds for which a keeper that was told to end all may take; some more than it takes itself


class Started:
    """A script that has been started.

    Args:
        words: What is started.
        environment: Its environment.
        folder: Where.
        outputs: The files that its outputs are appended to.
        lock: Of the run's folder, which the keeper holds as long as it lives.

    Raises:
        ScriptError: It cannot be started.
        OSError: The disk does not take its files.
    """

    def __init__(
        self, words: Sequence[str], environment: Mapping[str, str], folder: Path, outputs: Sequence[Path], lock: int
    ) -> None:
        self.code: int | None = None
        """As of `subprocess`; None while it runs."""
        self.left = 0
        """Processes that outlived the script and were ended."""
        self.lost = False
        """Whether its keeper was killed, so that something of it may be left."""
        self.pid = 0
        hears, says = os.pipe()
        files = [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666) for path in outputs]
        try:
            # isolated, so that the script's own environment does not disturb it
            line = [sys.executable, "-I", "-S", keeper.__file__, str(says), *words]
            self._keeper = subprocess.Popen(  # noqa: S603 - the user's own words
                line, env=dict(environment), cwd=folder, stdin=subprocess.PIPE, stdout=files[0], stderr=files[1],
                pass_fds=(says, lock), start_new_session=True, bufsize=0,
            )  # fmt: skip
        except OSError as error:
            os.close(hears)
            raise ScriptError(f"{words[0]} cannot be started in {folder} ({error})") from None
        finally:
            for handle in (*files, says):
                os.close(handle)
        self._hears, self._said = hears, b""
        self._first()

    def _first(self) -> None:
        while b"\n" not in self._said and self._hear(None):
            pass
        word, _, why = self._said.partition(b"\n")[0].decode().partition(" ")
        if word == "failed":
            self.close()
            raise ScriptError(
                f"the command cannot be started: {why}; a script needs its first line (#!), or its program in front"
            )
        self.pid = int(why or 0)

    def _hear(self, within: float | None) -> bool:
        """Take what the keeper says; False where it has gone."""
        ready, _, _ = select.select([self._hears], [], [], within)
        said = os.read(self._hears, 4096) if ready else b""
        self._said += said
        return bool(said) or not ready

    def ended(self, within: float) -> bool:
        """Whether it has ended, and nothing of it is left; waits so many seconds for that."""
        if self.code is None and not self._hear(within):
            last = self._said.splitlines()[-1].split() if self._said else []
            if last[:1] == [b"ended"]:
                code, left = last[1:]
                self.code, self.left = (-signal.SIGKILL if code == b"None" else int(code)), int(left)
            else:  # the keeper was killed, and the script with it
                self.code, self.lost = -signal.SIGKILL, True
                self._end_group()
            self._keeper.wait()
        return self.code is not None

    def _end_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            if self.pid:
                os.killpg(self.pid, signal.SIGKILL)

    def _tell(self, word: bytes) -> None:
        with suppress(OSError):
            if self._keeper.stdin:
                self._keeper.stdin.write(word)

    def ask(self) -> None:
        """SIGTERM to its process group."""
        self._tell(b"t")

    def kill(self) -> None:
        """SIGKILL to all that it started."""
        self._tell(b"k")

    def close(self) -> None:
        """End it, and leave nothing."""
        if self._keeper.stdin:
            with suppress(OSError):
                self._keeper.stdin.close()
        until = time.monotonic() + CLOSING
        while self.code is None and time.monotonic() < until:
            self.ended(0.5)
        if self._keeper.poll() is None:
            self._keeper.kill()
            self._keeper.wait()
        os.close(self._hears)


def environment(folder: Path, more: Mapping[str, str], threads: int) -> dict[str, str]:
    """What a script finds: this process's own, the run's folder, and what its slot has.

    Args:
        folder: The run's folder.
        more: Of its slot.
        threads: For libraries that compute, where nothing else is said.
    """
    own = {name: text for name, text in os.environ.items() if name not in OWN and not name.startswith(PREFIXES)}
    # what it prints is its sign of life, and may be what it reports; a kill is not to lose it
    given = {"OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    return given | own | dict(more) | {"TAPERED_RUN": str(folder.absolute())}
