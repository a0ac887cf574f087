"""The executor that a study asks for."""

import torch

from tapered.machines import cores
from tapered.study.file.executor import Executor as Asked
from tapered.study.file.study import Study
from tapered.study.train.executor import Executor, Here
from tapered.study.train.processes import Processes
from tapered.workloads.own import StudyFileError


def executor_of(study: Study) -> Executor:
    """What trains a study's runs, as its ``executor`` says; this process where it says nothing.

    Raises:
        StudyFileError: If there is none such here.
    """
    asked = study.executor or Asked()
    if asked.kind == "ray":
        from tapered.study.train.on_ray import OnRay  # noqa: PLC0415 - an extra, and slow to import

        return OnRay(asked.address or "local", workers_of(study) if asked.workers else None, lease=asked.lease)
    always = asked.kind == "processes"
    workers = workers_of(study)
    return Processes(workers, always=always, lease=asked.lease) if always or workers > 1 else Here()


def workers_of(study: Study) -> int:
    """How many workers a study asks for, at most; where it does not insist on processes, no more than it has cores."""
    asked = study.executor or Asked()
    said = asked.workers or ("cores" if asked.kind == "processes" else 1)
    room = max(1, cores() // study.threads)
    if said == "cores":
        return room
    if said == "gpus":
        if not torch.cuda.is_available():
            raise StudyFileError('workers="gpus", but torch sees no GPU here; try workers = "cores"')
        return torch.cuda.device_count()
    return min(said, room) if asked.kind == "auto" else said
