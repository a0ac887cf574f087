"""`tapered fork`: go on from a run's checkpoint at another rate, in a folder of its own."""

from pathlib import Path
from typing import Literal

from tapered.cli.run import check_saves, said, train
from tapered.cli.terminal import Flag, Json, Words, console, retype


def fork(
    folder: Path,
    /,
    *,
    lr: str,
    into: Path | None = None,
    steps: int | None = None,
    counted: Literal["now", "start"] | None = None,
    reset_moments: Flag = False,
    save_every: int | None = None,
    workload: str | None = None,
    log_to: Words = (),
    as_json: Json = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Go on from a run's last checkpoint at another rate, in a folder of its own; the parent stays as it is.

    Args:
        folder: The parent run's folder.
        lr: The new rate, in force at the first step: a number or a schedule.
        into: The child's folder; by default FOLDER-LR.
        steps: The step to end at; by default the parent's.
        counted: What a schedule's step 0 is: "now", the fork, or the "start" of the parent's run.
        reset_moments: Begin with fresh rule state; Adam's bias correction then starts again.
        save_every: Updates between two checkpoints; by default a tenth of the run.
        workload: FILE:NAME (or NAME) of the run's workload, where the folder's own word is not enough.
        log_to: A logger, as tensorboard:FOLDER, wandb:PROJECT, mlflow:NAME or trackio:PROJECT; may be given again.
        as_json: Print one JSON object.
        debug: Show a traceback when something fails.
    """
    from tapered.loggers.kinds import check  # noqa: PLC0415 - torch takes a second that --help need not wait
    from tapered.run import single  # noqa: PLC0415 - as above

    child = into or default_child(folder, lr)
    from tapered.training.threads import threads  # noqa: PLC0415 - as above

    check(log_to)
    check_saves(save_every)
    with threads(1):
        errors = console(stderr=True)
        with said(errors):
            trained = single.fork(
                folder,
                child,
                lr,
                steps=steps,
                keep_moments=not reset_moments,
                counted=counted,
                workload=workload,
                command=retype("fork", str(folder), lr=lr, into=into, steps=steps, counted=counted),
            )
        rate, moments = trained.setting.schedule(trained.step), "reset" if reset_moments else "kept"
        errors.print(f"Forked at step {trained.step} into {child}: rate {rate:.6g}, moments {moments}.", soft_wrap=True)
        return train(trained, child, save_every, log_to, as_json=as_json)


def default_child(folder: Path, lr: str) -> Path:
    """Beside the parent, named by the rate."""
    import re  # noqa: PLC0415 - only here

    return folder.with_name(f"{folder.name}-{re.sub('[^A-Za-z0-9.-]+', '-', lr).strip('-')[:60]}")
