"""What the witness writes: each update's rate as it is made, and what the rates do not say.

applied.csv      rank 0: "update,rate", a line an update       applied-RANK.csv     of others, what was not as asked
witness.jsonl    {"optimizer": "Adam", "order": 0, "numbers": 8, "studied": true}, and other facts
"""

import atexit
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tapered.scripts.lines import Lines
from tapered.scripts.ranks import rank, world

APPLIED, FACTS = "applied.csv", "witness.jsonl"
GAP, LEAST = 1e-6, 1e-3  # of max(asked, LEAST * peak): a warm-up starts at 0, where a relative gap says nothing
LATE = 1.0  # seconds that a rate waits which lies on a device, or which a full disk did not take


class Notes:
    """The files of one process, made when it has something to say.

    Args:
        folder: the run's.
        rates: what is asked, one an update.
    """

    def __init__(self, folder: Path, rates: Sequence[float]) -> None:
        self.folder, self.rates = folder, rates
        self.top = max(map(abs, rates), default=0.0)
        self.rank = -1
        self._file: Lines
        self._facts = Lines(folder / FACTS)
        self._waiting: list[tuple[int, Any]] = []
        self._since = 0.0

    @property
    def begun(self) -> bool:
        """Whether an earlier start made updates."""
        return (self.folder / APPLIED).exists()

    def rate(self, update: int, rate: Any) -> None:
        """An update was made. A rate on a device is read a second later, since each read would wait for the device."""
        if self.rank < 0:
            self._begin()
        if type(rate) is float and not self._waiting:
            self._add(update, rate)
            return
        now = time.monotonic()
        if not self._waiting:
            self._since = now
        self._waiting.append((update, rate))
        if now - self._since > LATE:
            self.flush()

    def fact(self, **fact: Any) -> None:
        """Something that the rates do not say."""
        try:
            self._facts.add(json.dumps(fact))
        except OSError:
            return  # a full disk: the script's own writes say so

    def flush(self) -> None:
        """Write what waits; what the disk does not take waits on."""
        waiting, self._waiting, self._since = self._waiting, [], time.monotonic()
        for at, (update, rate) in enumerate(waiting):
            if not self._add(update, float(rate)):
                self._waiting += waiting[at + 1 :]
                return

    def _begin(self) -> None:
        self.rank = rank()
        self._file = Lines(self.folder / (APPLIED if self.rank == 0 else f"applied-{self.rank}.csv"))
        self.fact(rank=self.rank, of=world())
        atexit.register(self.flush)

    def _add(self, update: int, rate: float) -> bool:
        if self.rank and self._as_asked(update, rate):
            return True
        try:
            self._file.add(f"{update},{rate!r}")
        except OSError:
            self._waiting.append((update, rate))
            self._since = time.monotonic()
            return False
        return True

    def _as_asked(self, update: int, rate: float) -> bool:
        if update >= len(self.rates):
            return False
        asked = self.rates[update]
        return abs(rate - asked) <= GAP * max(abs(asked), LEAST * self.top)
