"""`tapered tune`: a study whose peaks and schedules a sampler searches."""

from typing import Literal

from tapered.cli.given import Given
from tapered.cli.study import NOTHING, run
from tapered.cli.terminal import Flag, Json


def tune(
    file: str,
    /,
    *,
    trials: int | None = None,
    batch: int | None = None,
    sampler: Literal["tpe", "random", "cmaes", "grid"] | None = None,
    seed: int | None = None,
    given: Given = NOTHING,
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
        given: Options that `study` has too.
        as_json: Print one JSON object.
        debug: Show a traceback when something fails.
    """
    search = {"trials": trials, "batch": batch, "sampler": sampler, "seed": seed}
    stated = given.read(file, tune=search)
    return run(stated, given.command("tune", file, **search), given, as_json=as_json)
