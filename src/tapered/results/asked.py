"""`tapered.study`: a study asked from Python, as the command line asks it."""

import gc
import os
from pathlib import Path
from typing import Any, Literal

from tapered.cli.finish import finish
from tapered.cli.terminal import retype
from tapered.loggers.kinds import check
from tapered.report import plot_data
from tapered.results.result import Result
from tapered.study.file.read import read
from tapered.study.file.study import Study
from tapered.study.plan import default_folder, plan_of
from tapered.study.summary.kept import Kept
from tapered.training.workload import Workload


def study(
    of: str | os.PathLike[str] | Study,
    /,
    *,
    seeds: int | None = None,
    steps: int | None = None,
    store: str | os.PathLike[str] | None = None,
    quick: bool = False,
    prune: bool = True,
    workload: str | None = None,
    workers: int | Literal["cores", "gpus"] | None = None,
    ray: str | None = None,
    ledger: str | None = None,
    log_to: Any = None,
) -> Result:
    """Run a study, or go on with it, and return what it found: what `tapered study` does, in the same folder.

    A study that is finished is not run again; one that was stopped or killed goes on where it was. Ctrl-C, or a
    notebook's stop button, stops it after the step at hand, and what was trained is kept.

    Args:
        of: A built-in study's name ("bmi"), a TOML file, or a `tapered.study.Study`, whose workload stands in a file
            as well, or is a function of a notebook's cells.
        seeds: Seeds of each arm and peak, instead of the file's.
        steps: Steps of each run, instead of the file's.
        store: Folder for the results; by default studies/NAME-HASH.
        quick: Run the smaller study that the file's [quick] table states.
        prune: False trains every run to its end, and says whether pruning would have chosen the same.
        workload: FILE:NAME of the workload, where the file names one outside of its own folder.
        workers: Processes that train at a time, at most: a number, "cores" or "gpus".
        ray: Train on a Ray cluster: its address, "auto" for this machine's, "local" for one of its own.
        ledger: URL of a database that shows the finished runs.
        log_to: A logger of the runs that have ended, as of `log_to`, or several in a list: "wandb:PROJECT" has a run
            for each of them, a `SummaryWriter` or a function tags.

    Raises:
        StudyFileError: The file or its workload is not as it should be; nothing has been trained.
        StoreError: The folder belongs to another study, is in use or damaged.
        RunError: A model, loss or dataset raised; what was trained before is kept.
        KeyboardInterrupt: It was stopped; the same call goes on.

    Example:
        >>> import tapered
        >>> result = tapered.study("bmi", quick=True, store="studies/bmi")  # doctest: +SKIP
        >>> result.arms["exponential decay"].peak  # doctest: +SKIP
        0.3162
    """
    if isinstance(of, Workload) or not isinstance(workload, (str, type(None))):
        raise TypeError(
            "a study of a workload says what is compared; try Study(workload=problem, ...), of its function"
        )
    file = of if isinstance(of, Study) else os.fspath(of)
    targets = [one for one in (log_to if isinstance(log_to, (list, tuple)) else [log_to]) if one is not None]
    check(targets, many=True)
    executor = {"workers": workers, "kind": ray and "ray", "address": ray}
    asked = {"seeds": seeds, "steps": steps, "ledger": ledger, "workload": workload}
    planned = plan_of(read(file, executor=executor, whole=not prune, quick=quick, **asked))  # type: ignore[arg-type]  # of one dict
    folder = default_folder(planned) if store is None else Path(store)
    flags = [flag for flag, given in (("--no-prune", not prune), ("--quick", quick)) if given]
    flags += [f"--log-to={target}" for target in targets if isinstance(target, str)]
    options = {**asked, "store": store, "workers": workers, "ray": ray}
    command = retype("study", file, *flags, **options) if isinstance(file, str) else _python(file, store)
    try:
        found = finish(planned, command, folder, log_to=targets)
    finally:
        gc.unfreeze()  # what training set aside from the collector is this process's as before
    if found is None:
        raise KeyboardInterrupt(
            f"the study was stopped; what was trained is kept in {folder}, and the same call goes on"
        )
    return Result(Kept.of(found[0], plot_data(found[0]).fields), folder)


def _python(study: Study, store: str | os.PathLike[str] | None) -> str:
    """What was written for a study that stands in no file; its fields are kept in the folder."""
    where = "" if store is None else f", store={os.fspath(store)!r}"
    return f"tapered.study(Study(name={study.name!r}, ...){where})  # in Python; study.toml has its fields"
