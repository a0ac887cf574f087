"""A study's page while it is trained: rewritten now and then with what is known so far, and left standing at a stop.

store, runs of a script in training ─► Live ─► report.html, whole or not at all

Each time may cost as much as a share of the time that has passed allows, whatever the study's size and the disk.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tapered.files.whole import replace
from tapered.report.partial import render_partial
from tapered.report.template import ready
from tapered.study import Planned
from tapered.study.file.script import Scripted
from tapered.study.result.partial import partial
from tapered.study.script.begun import begun
from tapered.study.script.judge import Judge
from tapered.study.store.folder import Store
from tapered.study.store.runs import Run

EVERY = 5.0  # seconds between two pages, at least
SHARE = 0.005  # of the time that has passed, which pages take at most
LEAST, EACH = 0.1, 1e-3  # seconds that a page is taken to take at least, and more for each run of the study


class Live:
    """Writes the page of a study that is being trained.

    Args:
        planned: The study as its file states it.
        store: Its open store.
        path: The page.
        command: What to type to go on with it.
        warn: Told once why there is no page; training goes on.
    """

    def __init__(self, planned: Planned, store: Store, path: Path, command: str, warn: Callable[[str], None]) -> None:
        self.planned, self.store, self.path, self.command, self._warn = planned, store, path, command, warn
        self._began = self._last = time.monotonic()
        study = planned.study
        runs = sum(len(study.peaks_of(arm)) for arm in study.arms) * study.seeds
        self._spent, self._least, self._warned = 0.0, LEAST + EACH * runs, False
        self._cost, self._known = self._least, False
        self._alone = threading.Lock()  # those who watch scripts call from threads of their own

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the page of what there is, where training did not come to its end."""
        if error is not None:
            self.stop()

    def begin(self, planned: Planned) -> None:
        """A round begins; of a study of which nothing is known yet there is a page at once.

        Args:
            planned: The study, its grids or trials as they are by now.
        """
        new, self._known, self.planned = not self._known and not self.store.bundles(), True, planned
        if new:
            self.write()
        else:
            self()

    def stop(self) -> None:
        """Write the page of a study that nobody trains any more; none where nothing was begun."""
        if self._known or self.store.bundles():
            self.write(stopped=True)

    def __call__(self) -> None:
        """Write the page where that is due; called as often as anybody likes."""
        now = time.monotonic()
        if now - self._last < EVERY or self._spent + self._cost > SHARE * (now - self._began):
            return
        if self._alone.acquire(blocking=False):
            try:
                self.write()
            finally:
                self._alone.release()

    def write(self, *, stopped: bool = False) -> None:
        """Write the page now; what fails is said once, and nothing stops for it.

        Args:
            stopped: Whether nobody trains any more.
        """
        if not self.store.writable:
            return
        ready(drawn=bool(self.store.bundles()))  # not counted: the page at the end waits for it as well
        began = time.monotonic()
        try:
            replace(self.path, self._page(stopped=stopped).encode())
        except Exception as error:  # noqa: BLE001 - a page is worth no run, whatever is wrong with it
            self._said(error)
        self._last = time.monotonic()
        self._spent += self._last - began
        self._cost = max(self._last - began, self._least)

    def _page(self, *, stopped: bool) -> str:
        planned, stated = self.planned, self.planned.stated
        found = partial(stated.study, self._runs())
        return render_partial(found, planned.asked, stated.text, self.command, time.time(), stopped=stopped)

    def _runs(self) -> list[Run]:
        return [*self.store.runs(), *self._begun()]

    def _begun(self) -> list[Run]:
        """Runs of a script in training, which the store has when they end."""
        subject, ended = self.planned.subject, {run.key for run in self.store.runs() if run.finished}
        if not isinstance(subject, Scripted):
            return []
        judge = Judge(subject.script.metrics, subject.script.step, subject.metric)
        return list(begun(self.store.folder / "runs", ended, subject.metric, judge))

    def _said(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            self._warn(f"{self.path} could not be written ({why}); training goes on without it.")
