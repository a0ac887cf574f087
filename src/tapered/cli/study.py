"""`tapered study`: run a study, or go on with it."""

import errno
import gc
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.text import Text

from tapered.cli.given import Given
from tapered.cli.run import said
from tapered.cli.script import checked, first_file, script_plan
from tapered.cli.show import paragraphs, tell
from tapered.cli.terminal import (
    DONE,
    FAILED,
    INTERRUPTED,
    Flag,
    Interrupt,
    Json,
    console,
    print_json,
    progress,
    table,
)

PAGE = "report.html"
NOTHING = Given()
SHOWN = 0.1  # seconds between two movements of the bar
SETTLE, SHORTLY = 120.0, 3.0  # seconds that a ledger's server has at the end, and of a study that was stopped


def study(
    file: str | None = None,
    /,
    *,
    given: Given = NOTHING,
    check: Flag = False,
    no_prune: Flag = False,
    quick: Flag = False,
    from_script: Path | None = None,
    as_json: Json = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Run a study, or go on with it, and print its verdict.

    Args:
        file: A built-in study's name (bmi) or a TOML file.
        given: Options that `tune` has too.
        check: Start the study's script a few times for a few updates, and say what may be claimed and shared.
        no_prune: Train every run to its end, and say whether pruning would have chosen the same.
        quick: Run the smaller study that the file's [quick] table states.
        from_script: Write a first study of this script into FILE, by what its --help says, for you to correct.
        as_json: Print one JSON object.
        debug: Show a traceback when something fails.
    """
    if from_script is not None:
        return first_file(from_script, file, as_json=as_json)
    if file is None:
        raise ValueError("FILE is missing: a built-in study's name, or a TOML file; try tapered study bmi")
    stated = given.read(file, whole=no_prune, quick=quick)
    flags = [flag for flag, asked in (("--no-prune", no_prune), ("--quick", quick)) if asked]
    command = given.command("study", file, *flags)
    if check:
        return checked(stated, command, given.store, as_json=as_json)
    return run(stated, command, given, as_json=as_json)


def run(stated: Any, command: str, given: Given, *, as_json: bool) -> int:
    """Run a study that was read, and print its verdict; or its plan.

    Args:
        stated: The study.
        command: What to type for this.
        given: Where its results are kept, whether it is planned alone, whether a sample is trained again.
        as_json: Print one JSON object.
    """
    from tapered.study import default_folder, plan_of  # noqa: PLC0415 - torch takes a second

    planned = plan_of(stated)
    folder = given.store or default_folder(planned)
    if given.plan:
        return _forecast(planned, folder, as_json=as_json)
    found = finish(planned, command, folder, verify=given.verify)
    return INTERRUPTED if found is None else _tell(*found, folder, as_json=as_json)


def finish(planned: Any, command: str, folder: Path, *, verify: bool = False) -> tuple[Any, Any, Path | None] | None:
    """Train what a study lacks, conclude, write the page: and say where that was not possible.

    Args:
        planned: The study.
        command: What to type to go on with it.
        folder: Its folder.
        verify: Also train a sample again from scratch.

    Returns:
        The result, what a verification found, and the page, None where the disk did not take it; None altogether where
        it was interrupted, and the folder has what was finished.
    """
    from tapered import study as studies  # noqa: PLC0415 - as above

    with opened(planned, folder) as store:
        runs = _train(planned, store, command)
        if runs is None:
            _settle(store, SHORTLY)
            return None
        concluded = studies.conclude(planned, store, runs)
        verified = studies.verify(planned, store, runs) if verify else None
        page = _page(concluded, folder / PAGE, command)
        _settle(store, SETTLE)
    return concluded, verified, page


def _settle(store: Any, seconds: float) -> None:
    """Give the ledger's server time to take what waits for it, and say what it has not taken."""
    errors, lacking = console(stderr=True), store.settle(min(seconds, SHORTLY))
    if lacking and seconds > SHORTLY:
        why = f" ({store.trouble})" if store.trouble else ""
        errors.print(f"Waiting up to {seconds:g} seconds for the ledger{why}; Ctrl-C ends that.", soft_wrap=True)
        with suppress(KeyboardInterrupt):
            lacking = store.settle(seconds - SHORTLY)
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
    from tapered.study.summary.kept import keep  # noqa: PLC0415 - as above

    try:
        report.write(concluded, page, command)
        keep(concluded, page.parent)
    except OSError as error:
        remedy = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "let it be written, or copy its folder"
        advice = f"{remedy}, and the same command writes it" if page.parent.is_dir() else "its folder is gone"
        why = f"{page} could not be written ({error.strerror}); {advice}"
        console(stderr=True).print(why, soft_wrap=True)
        return None
    return page


def _train(planned: Any, store: Any, command: str) -> Any:
    """The finished runs, or None where they were interrupted, with what to type to go on."""
    from tapered import study as studies  # noqa: PLC0415 - as above

    errors, told = console(stderr=True), list[str]()
    with Interrupt(errors) as interrupt, progress(errors) as shown:
        task = shown.add_task("training", total=None)

        doing = ["", ""]

        def say(*, round_: str | None = None, phase: str | None = None) -> None:
            doing[:] = [new or old for new, old in zip((round_, phase), doing, strict=True)]
            shown.update(task, description=": ".join(filter(None, doing)))

        def begin(round_: Any) -> None:
            done = studies.updates_made(round_.forest, store)
            shown.update(task, total=round_.forest.plan.to_run, completed=done)
            say(round_=round_.name)

        def advance(updates: int) -> None:
            shown.advance(task, updates)
            if store.trouble and not told:
                told.append(store.trouble)
                errors.print(
                    f"Training goes on without the ledger ({store.trouble}), which is filled up later.", soft_wrap=True
                )

        runs = studies.train_runs(
            planned,
            store,
            progress=_settled(advance),
            stop=lambda: interrupt.asked,
            on_round=begin,
            on_phase=lambda phase: say(phase=phase),
        )
    rounds, whole = studies.finished_rounds(planned, {run.key: run for run in runs})
    if whole:
        return runs
    asked = sum(len(round_.forest.tasks) for round_ in rounds)
    errors.print(f"Stopped with {len(runs)} of {asked} runs finished, all kept in {store.folder}.")
    errors.print(f"To go on: {command}", soft_wrap=True)
    return None


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


def _forecast(planned: Any, folder: Path, *, as_json: bool) -> int:
    from tapered.study import summary  # noqa: PLC0415 - as above
    from tapered.study.plan.forecast import forecast, may_add  # noqa: PLC0415 - as above
    from tapered.study.train.choose import workers_of  # noqa: PLC0415 - as above

    study = planned.study
    if study.script is not None:
        return script_plan(planned, folder, as_json=as_json)
    found = forecast(planned, workers_of(study))
    later = may_add(study)
    if as_json:
        seeds = {"comparisons": study.comparisons, "seeds_needed": study.needed, "fresh": len(study.fresh_seeds)}
        asked = summary.asked_fields(study) | {"pairs": [list(pair) for pair in study.pairs]}
        print_json(asked | summary.forecast_fields(found) | {"may_add": later, **seeds, "lacks": study.lacks})
        return DONE
    out = console(stderr=False)
    paragraphs(summary.asked_lines(study))
    out.print(table(summary.forecast_rows(found), header=False))
    workers = summary.workers_line(found)
    for line in (*summary.cost_lines(found.cost), *([workers] if workers else [])):
        out.print(Text(f"- {line}"))
    for line in (*map(str, found.groups), summary.pairs_line(study), *later, study.lacks):
        if line is not None:
            out.print(Text(f"- {line}"))
    return DONE


def _tell(concluded: Any, verified: Any, page: Path | None, folder: Path, *, as_json: bool) -> int:
    from tapered.study import summary  # noqa: PLC0415 - as above

    if as_json:
        facts = summary.summary(concluded) | {"folder": str(folder), "page": page and str(page)}
        print_json(facts | ({} if verified is None else {"verified": summary.verified_fields(verified)}))
    else:
        _show(concluded, page, verified)
    return DONE if verified is None or verified.same else FAILED


def _show(concluded: Any, page: Path | None, verified: Any) -> None:
    """The question, the verdict, what it rests on, the arms, what to bear in mind, where the page is."""
    from tapered.study import summary  # noqa: PLC0415 - as above
    from tapered.study.summary.kept import Shown  # noqa: PLC0415 - as above

    out = console(stderr=False)
    tell(Shown.of(concluded))
    if verified is not None:
        out.print(Text(f"- {summary.verified_line(verified)}"))
    if page is not None:
        out.print(Text(f"Page: {page}"), soft_wrap=True)
