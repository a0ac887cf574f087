"""A study trained to its end, or to a stop: what is told meanwhile, its page, its ledger."""

import errno
import gc
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from rich.text import Text

from tapered.cli.progress import progress
from tapered.cli.run import said
from tapered.cli.terminal import Interrupt, console

PAGE = "report.html"
SHOWN = 0.1  # seconds between two movements of the bar
SETTLE, SHORTLY = 120.0, 3.0  # seconds that a ledger's server has at the end, and of a study that was stopped


def finish(
    planned: Any, command: str, folder: Path, *, verify: bool = False, log_to: Sequence[Any] = ()
) -> tuple[Any, Any, Path | None] | None:
    """Train what a study lacks, conclude, write the page: and say where that was not possible.

    Args:
        planned: The study.
        command: What to type to go on with it.
        folder: Its folder.
        verify: Also train a sample again from scratch.
        log_to: Loggers that are told of its runs and its verdict.

    Returns:
        The result, what a verification found, and the page, None where the disk did not take it; None altogether where
        it was interrupted, and the folder has what was finished.
    """
    import tapered.study as studies  # noqa: PLC0415 - torch takes a second that --help need not wait for
    from tapered.report.logged import logged  # noqa: PLC0415 - as above

    errors = console(stderr=True)
    lost = partial(errors.print, soft_wrap=True)
    with opened(planned, folder) as store, logged(planned, store, log_to, lost) as books:
        runs = _train(planned, store, command)
        if runs is None:
            _settle(store, books, SHORTLY)
            return None
        concluded = studies.conclude(planned, store, runs)
        books.conclude(concluded)
        verified = studies.verify(planned, store, runs) if verify else None
        page = _page(concluded, folder / PAGE, command)
        _settle(store, books, SETTLE)
    return concluded, verified, page


def _settle(store: Any, books: Any, seconds: float) -> None:
    """Give the ledger's server and the loggers time to take what waits for them, and say what they have not taken."""
    errors = console(stderr=True)
    for what, waited in (("the ledger", store), ("the loggers", books)):
        lacking = waited.settle(min(seconds, SHORTLY))
        if lacking and seconds > SHORTLY:
            why = f" ({waited.trouble})" if waited.trouble else ""
            errors.print(f"Waiting up to {seconds:g} seconds for {what}{why}; Ctrl-C ends that.", soft_wrap=True)
            with suppress(KeyboardInterrupt):
                lacking = waited.settle(seconds - SHORTLY)
        if lacking:
            errors.print(lacking, soft_wrap=True)


def opened(planned: Any, folder: Path) -> Any:
    """The study's store; and what is to be known before it is trained, on stderr."""
    from tapered.stats import seeds_needed  # noqa: PLC0415 - as above
    from tapered.study import open_store  # noqa: PLC0415 - as above

    study, errors = planned.study, console(stderr=True)
    if study.lacks and (study.fresh_seeds or study.seeds >= seeds_needed()):
        errors.print(Text(study.lacks))  # a few seeds alone are a try, and meant
    with said(errors):
        return open_store(planned, folder)


def _page(concluded: Any, page: Path, command: str) -> Path | None:
    """Write the page, and beside it what `show` and `export` read."""
    from tapered import report  # noqa: PLC0415 - as above
    from tapered.study.summary.kept import Kept, keep  # noqa: PLC0415 - as above

    try:
        report.write(concluded, page, command)
        keep(Kept.of(concluded, report.plot_data(concluded).fields), page.parent)
    except OSError as error:
        remedy = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "let it be written, or copy its folder"
        advice = f"{remedy}, and the same command writes it" if page.parent.is_dir() else "its folder is gone"
        why = f"{page} could not be written ({error.strerror}); {advice}"
        console(stderr=True).print(why, soft_wrap=True)
        return None
    return page


def _train(planned: Any, store: Any, command: str) -> Any:
    """The finished runs, or None where they were interrupted, with what to type to go on."""
    import tapered.study as studies  # noqa: PLC0415 - as above
    from tapered import report  # noqa: PLC0415 - as above

    errors = console(stderr=True)
    with Interrupt(errors) as interrupt, progress(errors) as shown:
        page = report.Live(planned, store, store.folder / PAGE, command, lambda why: errors.print(why, soft_wrap=True))
        telling = _Telling(store, errors, shown, page)
        with page:
            runs = studies.train_runs(
                planned,
                store,
                progress=_settled(telling.advance),
                stop=lambda: interrupt.asked,
                on_round=telling.begin,
                on_phase=lambda phase: telling.say(phase=phase),
            )
            rounds, whole = studies.finished_rounds(planned, {run.key: run for run in runs})
            if whole:
                return runs
            page.stop()
    asked = sum(len(round_.forest.tasks) for round_ in rounds)
    errors.print(f"Stopped with {len(runs)} of {asked} runs finished, all kept in {store.folder}.")
    errors.print(f"To go on: {command}", soft_wrap=True)
    return None


class _Telling:
    """What is told while a study trains: a bar, a page, and once that the ledger's server is away."""

    def __init__(self, store: Any, errors: Any, shown: Any, page: Any) -> None:
        self._store, self._errors, self._shown, self._page = store, errors, shown, page
        self._task = shown.add_task("training", total=None)
        self._doing, self._told = ["", ""], False

    def say(self, *, round_: str | None = None, phase: str | None = None) -> None:
        """What is done from now on."""
        self._doing = [new or old for new, old in zip((round_, phase), self._doing, strict=True)]
        self._shown.update(self._task, description=": ".join(filter(None, self._doing)))

    def begin(self, round_: Any) -> None:
        """A round begins."""
        import tapered.study as studies  # noqa: PLC0415 - as above

        done = studies.updates_made(round_.forest, self._store)
        self._shown.update(self._task, total=round_.forest.plan.to_run, completed=done)
        self.say(round_=round_.name)
        self._page.begin(round_.planned)

    def advance(self, updates: int) -> None:
        """Updates were made."""
        self._shown.advance(self._task, updates)
        self._page()
        if self._store.trouble and not self._told:
            self._told = True
            self._errors.print(
                f"Training goes on without the ledger ({self._store.trouble}), which is filled up later.",
                soft_wrap=True,
            )


def _settled(progress: Callable[[int], None]) -> Callable[[int], None]:
    """What is called with each step's updates, and tells of them a few times a second.

    Before its first call all that was imported and compiled is left to itself: it lives as long as the process, and
    Python's collector would go through it again and again.
    """
    gc.freeze()
    begun, waiting, told = False, 0, time.monotonic()

    def made(updates: int) -> None:
        nonlocal begun, waiting, told
        if not begun:
            gc.collect()  # what compiling left behind goes, what it made stays
            gc.freeze()
            begun = True
        waiting, now = waiting + updates, time.monotonic()
        if now - told >= SHOWN:
            progress(waiting)
            waiting, told = 0, now

    return made
