"""The executor that a study asks for."""

from typing import Literal

from tapered import gpus
from tapered.machines import cores
from tapered.study.file.executor import Executor as Asked
from tapered.study.plan.planned import Planned
from tapered.study.train.executor import Executor, Here
from tapered.study.train.processes import Processes
from tapered.training.devices import is_any_gpu
from tapered.workloads.own import StudyFileError


def executor_of(planned: Planned) -> Executor:
    """What trains a study's runs, as its ``executor`` says; this process where it says nothing.

    Raises:
        StudyFileError: If there is none such here.
    """
    asked = planned.study.executor or Asked()
    if asked.kind == "ray":
        from tapered.study.train.on_ray import OnRay  # noqa: PLC0415 - an extra, and slow to import

        _check_gpus(planned, asked)
        said = asked.workers if isinstance(asked.workers, int) else None  # all cores, or GPUs, that the cluster has
        return OnRay(asked.address or "local", said, lease=asked.lease)
    always = asked.kind == "processes"
    workers = workers_of(planned)
    return Processes(workers, always=always, lease=asked.lease) if always or workers > 1 else Here()


def workers_of(planned: Planned) -> int:
    """How many workers a study asks for, at most; where it does not insist on processes, no more than it has cores."""
    asked = planned.study.executor or Asked()
    _check_gpus(planned, asked)
    many: Literal["gpus", "cores"] = "gpus" if is_any_gpu(planned.workload.recipe.place) else "cores"
    said = asked.workers or (many if asked.kind == "processes" else 1)
    room = max(1, cores() // planned.study.threads)
    if said == "gpus":
        return len(gpus.visible())
    if said == "cores":
        return room
    return min(said, room) if asked.kind == "auto" else said


def _check_gpus(planned: Planned, asked: Asked) -> None:
    recipe = planned.workload.recipe
    device, place = recipe.device, recipe.place
    if asked.workers == "gpus" and place.type != "cuda":
        raise StudyFileError(
            f'got workers = "gpus", and device = "{device}" is no GPU here; try device = "cuda", or workers = "cores"'
        )
    if place.type == "cuda" and not is_any_gpu(place) and (asked.workers == "gpus" or asked.kind == "ray"):
        raise StudyFileError(
            f'got device = "{device}" where each worker has a GPU of its own; try device = "cuda", the first that '
            f"it sees"
        )
