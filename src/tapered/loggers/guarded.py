"""A logger in a thread of its own, so that neither what it raises nor where it hangs reaches the training.

tell ─► what waits ─► the thread: open, tell, tell, ..., close      it raised, or does not answer ─► dropped, once
"""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from time import monotonic, sleep

from tapered.loggers.kinds import Opened, Values

PATIENCE = 60.0  # seconds that one call of a logger may take
LOOK = 0.01  # seconds between two looks at one that is waited for
MOST = 100_000  # what waits for a logger that is slower than the training
Item = tuple[int, Values] | None  # None: nothing comes any more


class Guarded:
    """One logger.

    Args:
        name: What it is called when it is dropped.
        opens: Opens it, in the thread.
        lost: Called once, in the thread of who tells, with why it was dropped.
        patience: Seconds that one of its calls may take.
    """

    def __init__(
        self, name: str, opens: Callable[[], Opened], lost: Callable[[str], None], patience: float = PATIENCE
    ) -> None:
        self.name, self.dropped = name, False
        self._opens, self._lost, self._patience = opens, lost, patience
        self._waiting: SimpleQueue[Item] = SimpleQueue()
        self._raised: BaseException | None = None
        self._since: float | None = monotonic()  # when the call began that it is in
        self._ended = False
        self._thread = Thread(target=self._work, name=f"tapered: {name}", daemon=True)
        self._thread.start()

    def tell(self, step: int, values: Values) -> None:
        """Have it told; this takes no time of who tells."""
        if not self._ended and not self._gone():
            self._waiting.put((step, values))

    def close(self) -> None:
        """Have it end, once it was told all that waits; after its patience it is left behind."""
        if not self._gone() and not self._ended:
            self._ended = True
            self._waiting.put(None)
            self._thread.join(self._patience)
            self._gone()

    def wait(self, until: Callable[[], bool], seconds: float) -> None:
        """Wait until something holds, for so long at most, and no longer than it works."""
        end = monotonic() + seconds
        while not until() and not self._gone() and monotonic() < end:
            sleep(LOOK)

    def leave(self) -> None:
        """Have it end after what it is being told; what waits is told by nobody."""
        self.dropped = True
        self._waiting.put(None)

    def _gone(self) -> bool:
        """Whether it was dropped; it is, where it raised or does not answer."""
        if not self.dropped:
            why = self._why()
            if why is not None:
                self.dropped = True
                self._lost(f"the logger {self.name} was dropped, and the run goes on without it: {why}")
        return self.dropped

    def _why(self) -> str | None:
        if self._raised is not None:
            return f"{type(self._raised).__name__}: {self._raised!s:.300}"
        since = self._since
        late = since is not None and monotonic() - since > self._patience
        if late or (self._ended and self._thread.is_alive()):
            return f"it has not answered for {self._patience:g} seconds"
        if self._waiting.qsize() > MOST:
            return f"it is slower than the training, and {MOST:,} steps wait for it; try every=10"
        return None

    def _work(self) -> None:
        try:
            opened = self._opens()
            self._since = None
            while (item := self._waiting.get()) is not None and not self.dropped:
                self._since = monotonic()
                opened.tell(*item)
                self._since = None
            opened.close()
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is the logger's
            self._raised = error
