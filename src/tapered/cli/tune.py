"""`tapered tune`: a study whose peaks and schedules a sampler searches."""

from pathlib import Path
from typing import Literal

from tapered.cli.study import executor_fields, run
from tapered.cli.terminal import Flag, Json, retype


def tune(
    file: str,
    /,
    *,
    trials: int | None = None,
    batch: int | None = None,
    sampler: Literal["tpe", "random", "cmaes", "grid"] | None = None,
    seed: int | None = None,
    seeds: int | None = None,
    steps: int | None = None,
    store: Path | None = None,
    ledger: str | None = None,
    plan: Flag = False,
    verify: Flag = False,
    workload: str | None = None,
    workers: str | None = None,
    ray: str | None = None,
    as_json: Json = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Search the peak and the schedule of every arm, as many trials each, and print the verdict.

    Args:
        file: A built-in study's name or a TOML file; an arm's space says what is searched beside its peak.
        trials: Trials of each arm, instead of the file's.
        batch: Trials of each arm that are asked for and trained together, 8 if the file says nothing.
        sampler: Optuna's sampler, tpe if the file says nothing.
        seed: What the sampler's draws follow, 0 if the file says nothing.
        seeds: Seeds of each trial, instead of the file's.
        steps: Steps of each run, instead of the file's.
        store: Folder for the results; by default studies/NAME-HASH.
        ledger: URL of a database that shows the finished runs, as postgresql+psycopg://USER@HOST/DATABASE; its password
            in ~/.pgpass.
        plan: Run nothing; print what the first batch takes.
        verify: Also train a sample of the runs again from scratch; exit code 1 if a number differs.
        workload: FILE:NAME of the workload, where the file names one outside of its own folder.
        workers: Processes that train at a time, at most: a number, "cores" or "gpus".
        ray: Train on a Ray cluster: its address, "auto" for this machine's, "local" for one of its own.
        as_json: Print one JSON object.
        debug: Show a traceback when something fails.
    """
    from tapered.study import read  # noqa: PLC0415 - torch takes a second that --help need not wait

    given = {"trials": trials, "batch": batch, "sampler": sampler, "seed": seed}
    stated = read(
        file,
        seeds=seeds,
        steps=steps,
        tune=given,
        executor=executor_fields(workers, ray),
        workload=workload,
        ledger=ledger,
    )
    options = {
        "seeds": seeds,
        "steps": steps,
        "store": store,
        "ledger": ledger,
        "workload": workload,
        "workers": workers,
        "ray": ray,
    }
    command = retype("tune", file, **given, **options)
    return run(stated, command, store, forecast=plan, verify=verify, as_json=as_json)
