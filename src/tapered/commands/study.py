"""`tapered study`: run a study, or go on with it."""

import errno
from pathlib import Path
from typing import Any

from rich.text import Text

from tapered.commands.run import said
from tapered.terminal import (
    DONE,
    FAILED,
    INTERRUPTED,
    Flag,
    Interrupt,
    Json,
    console,
    print_json,
    progress,
    retype,
    table,
)

PAGE = "report.html"


def study(
    file: str,
    /,
    *,
    seeds: int | None = None,
    steps: int | None = None,
    store: Path | None = None,
    plan: Flag = False,
    verify: Flag = False,
    no_prune: Flag = False,
    quick: Flag = False,
    workload: str | None = None,
    as_json: Json = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Run a study, or go on with it, and print its verdict.

    Args:
        file: A built-in study's name (bmi) or a TOML file.
        seeds: Seeds of each arm and peak, instead of the file's.
        steps: Steps of each run, instead of the file's.
        store: Folder for the results; by default studies/NAME-HASH.
        plan: Run nothing; print the steps asked and to run, memory, time, how rows are trained, and why.
        verify: Also train a sample of the runs again from scratch; exit code 1 if a number differs.
        no_prune: Train every run to its end, and say whether pruning would have chosen the same.
        quick: Run the smaller study that the file's [quick] table states.
        workload: FILE:NAME of the workload, where the file names one outside of its own folder.
        as_json: Print one JSON object.
        debug: Show a traceback when something fails.
    """
    from tapered.load import load  # noqa: PLC0415 - torch takes a second that --help need not wait

    loaded = load(file, seeds=seeds, steps=steps, whole=no_prune, quick=quick, workload=workload)
    flags = [flag for flag, given in (("--no-prune", no_prune), ("--quick", quick)) if given]
    command = retype("study", file, *flags, seeds=seeds, steps=steps, store=store, workload=workload)
    return run(loaded, command, store, plan=plan, verify=verify, as_json=as_json)


def run(loaded: Any, command: str, store: Path | None, *, plan: bool, verify: bool, as_json: bool) -> int:
    """Run a study that was read, and print its verdict; or its plan.

    Args:
        loaded: The study.
        command: What to type for this.
        store: Folder for the results; None for its own.
        plan: Print the plan instead.
        verify: Also train a sample again from scratch.
        as_json: Print one JSON object.
    """
    from tapered import study as studies  # noqa: PLC0415
    from tapered import summary  # noqa: PLC0415 - scipy takes a second that a plan need not wait

    if plan:
        return _plan(loaded, as_json=as_json)
    folder = store or studies.default_folder(loaded)
    finished = finish(loaded, command, folder, verify=verify)
    if finished is None:
        return INTERRUPTED
    concluded, verified, page = finished
    if as_json:
        facts = summary.summary(concluded) | {"folder": str(folder), "page": page and str(page)}
        print_json(facts | ({} if verified is None else {"verified": summary.verified_fields(verified)}))
    else:
        _show(concluded, page, verified)
    return DONE if verified is None or verified.same else FAILED


def finish(loaded: Any, command: str, folder: Path, *, verify: bool = False) -> tuple[Any, Any, Path | None] | None:
    """Train what a study lacks, conclude, write the page: and say where that was not possible.

    Args:
        loaded: The study.
        command: What to type to go on with it.
        folder: Its folder.
        verify: Also train a sample again from scratch.

    Returns:
        The result, what a verification found, and the page, None where the disk did not take it; None altogether where
        it was interrupted, and the folder has what was finished.
    """
    from tapered import study as studies  # noqa: PLC0415
    from tapered.stats import seeds_needed  # noqa: PLC0415

    errors = console(stderr=True)
    if loaded.study.lacks and (loaded.study.fresh_seeds or loaded.study.seeds >= seeds_needed()):
        errors.print(Text(loaded.study.lacks))  # a few seeds alone are a try, and meant
    with said(errors):
        store = studies.open_store(loaded, folder)
    with store as opened:
        runs = _train(loaded, opened, command)
        if runs is None:
            return None
        concluded = studies.conclude(loaded, opened, runs)
        verified = studies.verify(loaded, opened, runs) if verify else None
    return concluded, verified, _page(concluded, folder / PAGE, command)


def _page(concluded: Any, page: Path, command: str) -> Path | None:
    from tapered import report  # noqa: PLC0415 - as above

    try:
        report.write(concluded, page, command)
    except OSError as error:
        remedy = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "let it be written, or copy its folder"
        advice = f"{remedy}, and the same command writes it" if page.parent.is_dir() else "its folder is gone"
        why = f"{page} could not be written ({error.strerror}); {advice}"
        console(stderr=True).print(why, soft_wrap=True)
        return None
    return page


def _train(loaded: Any, store: Any, command: str) -> Any:
    """The finished runs, or None where they were interrupted, with what to type to go on."""
    from tapered import study as studies  # noqa: PLC0415 - as above

    errors = console(stderr=True)
    with Interrupt(errors) as interrupt, progress(errors) as shown:
        task = shown.add_task("training", total=None)

        def begin(round_: Any) -> None:
            done = studies.updates_made(round_.forest, store)
            shown.update(task, description=round_.name, total=round_.forest.plan.to_run, completed=done)

        runs = studies.train_runs(
            loaded,
            store,
            progress=lambda updates: shown.advance(task, updates),
            stop=lambda: interrupt.asked,
            on_round=begin,
        )
    rounds, whole = studies.finished_rounds(loaded, {run.key: run for run in runs})
    if whole:
        return runs
    asked = sum(len(round_.forest.tasks) for round_ in rounds)
    errors.print(f"Stopped with {len(runs)} of {asked} runs finished, all kept in {store.folder}.")
    errors.print(f"To go on: {command}", soft_wrap=True)
    return None


def _plan(loaded: Any, *, as_json: bool) -> int:
    from tapered import summary  # noqa: PLC0415 - as above
    from tapered.forecast import forecast, may_add  # noqa: PLC0415 - as above

    found, later = forecast(loaded), may_add(loaded.study)
    if as_json:
        study = loaded.study
        seeds = {"comparisons": study.comparisons, "seeds_needed": study.needed, "fresh": len(study.fresh_seeds)}
        print_json(summary.forecast_fields(found) | {"may_add": later, **seeds, "lacks": study.lacks})
        return DONE
    out = console(stderr=False)
    out.print(table(summary.forecast_rows(found), header=False))
    for line in summary.cost_lines(found.cost):
        out.print(Text(f"- {line}"))
    for line in (*later, *([loaded.study.lacks] if loaded.study.lacks else [])):
        out.print(Text(f"- {line}"))
    return DONE


def _show(concluded: Any, page: Path | None, verified: Any) -> None:
    """The verdict, what it rests on, the arms, what to bear in mind, where the page is."""
    from tapered.summary import arm_rows, comparison_rows, cost_lines, headline, verified_line  # noqa: PLC0415 - as above

    out = console(stderr=False)
    for line in headline(concluded):
        out.print(Text(line, style="bold"))
    out.print()
    if len(concluded.comparisons) > 1:
        out.print(table(comparison_rows(concluded)))
        out.print()
    out.print(table(arm_rows(concluded)))
    for caveat in concluded.caveats:
        out.print(Text(f"- {caveat}"))
    for line in cost_lines(concluded.cost):
        out.print(Text(f"- {line}"))
    if verified is not None:
        out.print(Text(f"- {verified_line(verified)}"))
    if page is not None:
        out.print(Text(f"Page: {page}"), soft_wrap=True)
