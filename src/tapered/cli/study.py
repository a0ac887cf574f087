"""`tapered study`: run a study, or go on with it."""

from pathlib import Path
from typing import Any

from rich.text import Text

from tapered.cli.finish import finish
from tapered.cli.script import checked, first_file, script_plan
from tapered.cli.show import paragraphs, tell
from tapered.cli.terminal import DONE, FAILED, INTERRUPTED, Flag, Json, console, print_json, retype, table


def study(
    file: str | None = None,
    /,
    *,
    seeds: int | None = None,
    steps: int | None = None,
    store: Path | None = None,
    ledger: str | None = None,
    plan: Flag = False,
    check: Flag = False,
    verify: Flag = False,
    no_prune: Flag = False,
    quick: Flag = False,
    workload: str | None = None,
    workers: str | None = None,
    ray: str | None = None,
    from_script: Path | None = None,
    as_json: Json = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Run a study, or go on with it, and print its verdict.

    Args:
        file: A built-in study's name (bmi) or a TOML file.
        seeds: Seeds of each arm and peak, instead of the file's.
        steps: Steps of each run, instead of the file's.
        store: Folder for the results; by default studies/NAME-HASH.
        ledger: URL of a database that shows the finished runs, as postgresql+psycopg://USER@HOST/DATABASE; its password
            in ~/.pgpass.
        plan: Run nothing; print the steps asked and to run, memory, time, how rows are trained, and why.
        check: Start the study's script a few times for a few updates, and say what may be claimed and shared.
        verify: Also train a sample of the runs again from scratch; exit code 1 if a number differs.
        no_prune: Train every run to its end, and say whether pruning would have chosen the same.
        quick: Run the smaller study that the file's [quick] table states.
        workload: FILE:NAME of the workload, where the file names one outside of its own folder.
        workers: Processes that train at a time, at most: a number, "cores" or "gpus".
        ray: Train on a Ray cluster: its address, "auto" for this machine's, "local" for one of its own.
        from_script: Write a first study of this script into FILE, by what its --help says, for you to correct.
        as_json: Print one JSON object.
        debug: Show a traceback when something fails.
    """
    if from_script is not None:
        return first_file(from_script, file, as_json=as_json)
    if file is None:
        raise ValueError("FILE is missing: a built-in study's name, or a TOML file; try tapered study bmi")
    from tapered.study import read  # noqa: PLC0415 - torch takes a second that --help need not wait

    executor = executor_fields(workers, ray)
    stated = read(
        file, seeds=seeds, steps=steps, executor=executor, whole=no_prune, quick=quick, workload=workload, ledger=ledger
    )
    flags = [flag for flag, given in (("--no-prune", no_prune), ("--quick", quick)) if given]
    options = {
        "seeds": seeds,
        "steps": steps,
        "store": store,
        "ledger": ledger,
        "workload": workload,
        "workers": workers,
        "ray": ray,
    }
    command = retype("study", file, *flags, **options)
    if check:
        return checked(stated, command, store, as_json=as_json)
    return run(stated, command, store, forecast=plan, verify=verify, as_json=as_json)


def executor_fields(workers: str | None, ray: str | None) -> dict[str, Any]:
    """What a command line says of where runs are trained, as a study file's `executor` does.

    >>> executor_fields("4", None), executor_fields("cores", "local")
    ({'workers': 4}, {'workers': 'cores', 'kind': 'ray', 'address': 'local'})
    """
    count = int(workers) if workers is not None and workers.isascii() and workers.isdecimal() else workers
    said = {"workers": count, "kind": ray and "ray", "address": ray}
    return {name: value for name, value in said.items() if value is not None}


def run(stated: Any, command: str, store: Path | None, *, forecast: bool, verify: bool, as_json: bool) -> int:
    """Run a study that was read, and print its verdict; or its plan.

    Args:
        stated: The study.
        command: What to type for this.
        store: Folder for the results; None for its own.
        forecast: Print the plan instead.
        verify: Also train a sample again from scratch.
        as_json: Print one JSON object.
    """
    from tapered.study import default_folder, plan_of  # noqa: PLC0415 - as above

    planned = plan_of(stated)
    if forecast:
        return _forecast(planned, store or default_folder(planned), as_json=as_json)
    folder = store or default_folder(planned)
    found = finish(planned, command, folder, verify=verify)
    return INTERRUPTED if found is None else _tell(*found, folder, as_json=as_json)


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
    for line in (summary.follow_line(found), *map(str, found.groups), summary.pairs_line(study), *later, study.lacks):
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
