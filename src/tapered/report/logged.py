"""What loggers are told of a study: each run when it has ended, as a run of its own, and at the end the verdict.

store ─► finished runs ─► Books ─► a thread a logger ─► TensorBoard, W&B, ...     logged.json: who was told what
                            ▲
StudyResult ─► its numbers ─╯   nothing is evaluated for it, no worker takes part, and what fails stops no training
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from tapered.files import whole
from tapered.files.sealed import sealed, unsealed
from tapered.loggers.guarded import Guarded
from tapered.loggers.kinds import About, Opened, Values, installed, opener
from tapered.report.numbers import names, numbers, points
from tapered.study import Planned, default_folder, summary
from tapered.study.file.arms import Arm
from tapered.study.result import StudyResult
from tapered.study.store.folder import Store
from tapered.study.store.runs import Run
from tapered.words import counted

LOGGED = "logged.json"
VERDICT = "verdict"
Points = Sequence[tuple[int, Values]]


@dataclass(frozen=True)
class Page:
    """What is told at once.

    Args:
        key: By which it is known that it was told.
        name: The run's.
        config: What it was trained with, or what was found.
        points: (step, numbers by name).
    """

    key: str
    name: str
    config: Mapping[str, Any]
    points: Callable[[], Points]


class Books:
    """A study's loggers, each with what it has been told.

    Args:
        planned: The study.
        folder: Where it is kept that they were told.
        targets: As of `log_to`; of those that are open already none is remembered, and they are told all.
        lost: Called with a sentence where one is dropped.
    """

    trouble = None  # what raises or hangs is dropped

    def __init__(self, planned: Planned, folder: Path, targets: Sequence[Any], lost: Callable[[str], None]) -> None:
        self._planned, self._path, self._lost = planned, folder / LOGGED, lost
        self._folder = default_folder(planned).name
        self._names = names([arm.name for arm in planned.study.arms])
        self._alone = threading.Lock()
        try:
            self._told: dict[str, list[str]] = _read(self._path)
        except ValueError as error:
            lost(
                f"{self._path} was damaged ({error}), so no logger is told of this study; without it all are told anew"
            )
            targets = ()
        self._books = [_Book(target, self._keep, self._told.get(str(target), ()), lost) for target in targets]

    def add(self, runs: Sequence[Run]) -> None:
        """Have finished runs told that were not; this takes no time of who trains."""
        for run in runs:
            self._add(self._page(run))

    def conclude(self, result: StudyResult) -> None:
        """Have the verdict told, where it is not the one that was."""
        fields = summary.summary(result)
        said = "\n".join(fields["headline"])
        digest = hashlib.sha256(said.encode()).hexdigest()[:16]
        config = {"study": self._planned.study.name, "question": fields["question"] or "", "verdict": said}
        found = dict(numbers(result, self._names))
        self._add(Page(f"{VERDICT} {digest}", self._named(VERDICT), config, lambda: [(self._planned.steps, found)]))

    def settle(self, seconds: float) -> str | None:
        """Give the loggers so much time to take what waits for them.

        Returns:
            What they were not told, as a sentence; None where nothing lacks.
        """
        end = monotonic() + seconds
        lacking = {book.name: book.settle(max(end - monotonic(), 0.0)) for book in self._books}
        said = [f"{counted(count, 'run')} not told to {name}" for name, count in lacking.items() if count]
        return f"{'; '.join(said)}; the same command goes on with it" if said else None

    def close(self) -> None:
        """Let them go, each after what it is being told."""
        for book in self._books:
            book.close()

    def _add(self, page: Page) -> None:
        for book in self._books:
            book.add(page)

    def _keep(self, target: str, key: str) -> None:
        with self._alone:
            self._told.setdefault(target, []).append(key)
            whole.replace(self._path, sealed(self._told).encode())

    def _named(self, *parts: str) -> str:
        return "/".join((self._folder, *parts))

    def _page(self, run: Run) -> Page:
        study = self._planned.study
        arm = next(arm for arm in study.arms if arm.name == run.arm)
        # each trial of a search has a peak of its own, however near to another's
        peak = "as written" if run.peak is None else repr(run.peak) if study.tune else f"{run.peak:.4g}"
        config = {
            "study": study.name, "arm": run.arm, "peak": run.peak, "seed": run.seed,
            "fresh": run.seed in study.fresh_seeds, "rule": arm.rule, "lr": arm.lr,
            "result": summary.outcome(run), study.metric: summary.finite(run.value), "key": run.key,
        }  # fmt: skip
        config = {name: value for name, value in config.items() if value is not None}
        return Page(run.key, self._named(self._names[run.arm], peak, f"seed {run.seed}"), config, self._of(run, arm))

    def _of(self, run: Run, arm: Arm) -> Callable[[], Points]:
        return lambda: sorted(points(self._planned, arm, run).items())


class _Book:
    """One logger, and what waits for it."""

    def __init__(
        self, target: Any, keep: Callable[[str, str], None], told: Sequence[str], lost: Callable[[str], None]
    ) -> None:
        self.name, self._open = opener(target, About())
        self._target, self._keep = target, keep
        self._known, self._pages, self._done = set(told), list[Page](), 0
        self._alone = threading.Lock()
        self._guarded = Guarded(self.name, self._opens, lost)

    def add(self, page: Page) -> None:
        with self._alone:  # runs of a script end in threads of their own
            if page.key not in self._known:
                self._known.add(page.key)
                self._pages.append(page)
                self._guarded.tell(len(self._pages) - 1, {})

    def settle(self, seconds: float) -> int:
        """How many it has not been told after so much time; none of one that was dropped, which was said."""
        self._guarded.wait(lambda: self._done == len(self._pages), seconds)
        return 0 if self._guarded.dropped else len(self._pages) - self._done

    def close(self) -> None:
        self._guarded.leave()

    def _opens(self) -> Opened:
        if isinstance(self._target, str):
            installed(self._target)
            return Opened(lambda place, _: self._runs(self._pages[place]), lambda: None)
        opened = self._open()
        return Opened(lambda place, _: self._tags(opened, self._pages[place]), opened.close)

    def _runs(self, page: Page) -> None:
        """As a run of its own, which is known to be told when that is closed."""
        opened = opener(self._target, About(page.name, page.config, anew=True))[1]()
        for step, values in page.points():
            opened.tell(step, values)
        opened.close()
        self._keep(self._target, page.key)
        self._done += 1

    def _tags(self, opened: Opened, page: Page) -> None:
        """Under tags of its own, in what somebody opened."""
        tag = page.name.partition("/")[2]
        for step, values in page.points():
            opened.tell(step, {f"{tag}/{name}": value for name, value in values.items()})
        self._done += 1


@contextmanager
def logged(planned: Planned, store: Store, targets: Sequence[Any], lost: Callable[[str], None]) -> Iterator[Books]:
    """A study's loggers within the block, told of all that is finished and of what comes.

    Args:
        planned: The study.
        store: Its open store; where that takes nothing, nobody is told.
        targets: As of `Books`.
        lost: As there.
    """
    books = Books(planned, store.folder, targets if store.writable else (), lost)
    store.follow(books.add)
    try:
        yield books
    finally:
        books.close()


def _read(path: Path) -> dict[str, list[str]]:
    """Who was told what.

    Raises:
        ValueError: The file is not what was written.
    """
    if not path.exists():
        return {}
    try:
        return {str(target): [str(key) for key in keys] for target, keys in unsealed(path.read_text()).items()}
    except (OSError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(str(error)) from None
