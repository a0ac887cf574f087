"""`tapered resume`: go on with a run that `tapered run` or `tapered fork` began."""

from pathlib import Path
from typing import Literal

from tapered.cli.run import check_saves, said, train
from tapered.cli.terminal import Flag, Json, Words, console, retype


def resume(
    folder: Path,
    /,
    *,
    steps: int | None = None,
    save_every: int | None = None,
    workload: str | None = None,
    kinds: Literal["same", "any"] = "same",
    device: str | None = None,
    workers: int | None = None,
    log_to: Words = (),
    as_json: Json = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Go on with a run from its last checkpoint: the same numbers as if it had never stopped.

    Args:
        folder: The run's folder.
        steps: The step to end at; by default the one that it was to reach.
        save_every: Updates between two checkpoints; by default a tenth of the run.
        workload: FILE:NAME (or NAME) of the run's workload, where the folder's own word is not enough.
        kinds: "any" goes on under another kind of processor or version of torch, where the last bits may differ.
        device: cpu, cuda, cuda:1, mps, or auto; between two of them the last bits differ, which takes --kinds any.
        workers: Processes that fetch its items ahead.
        log_to: A logger, as tensorboard:FOLDER, wandb:PROJECT, mlflow:NAME or trackio:PROJECT; may be given again.
        as_json: Print one JSON object.
        debug: Show a traceback when something fails.
    """
    from tapered.loggers.kinds import check  # noqa: PLC0415 - torch takes a second that --help need not wait
    from tapered.run import single  # noqa: PLC0415 - as above
    from tapered.training.threads import threads  # noqa: PLC0415 - as above

    check(log_to)
    check_saves(save_every)
    with threads(1):
        errors = console(stderr=True)
        with said(errors):
            typed, here = retype("resume", str(folder), steps=steps), {"device": device, "workers": workers}
            trained, found = single.resume(folder, steps, workload=workload, command=typed, kinds=kinds, here=here)
        rate = trained.setting.schedule(found.step)
        errors.print(f"Resumed at step {found.step} of {trained.setting.steps}; rate {rate:.6g}.", soft_wrap=True)
        ended = trained.setting.schedule.horizon
        if ended is not None and ended <= found.step < trained.setting.steps:
            errors.print(
                f"Its schedule ended at step {ended} and holds {rate:.6g}; for another rate: tapered fork {folder} "
                f"--lr ...",
                soft_wrap=True,
            )
        return train(trained, folder, save_every, log_to, as_json=as_json)
