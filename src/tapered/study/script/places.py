"""Where the runs of a script are started: so many at a time here, or on the nodes of a Ray cluster.

executor = { workers = 4 } ─► Slots        executor = { kind = "ray", address = ... } ─► RaySlots
"""

from tapered.machines import cores
from tapered.scripts.slots import Places, Slots
from tapered.study.file.executor import Executor as Asked
from tapered.study.file.script import Script
from tapered.study.file.study import Study
from tapered.workloads.own import StudyFileError


def slots_of(study: Study, script: Script) -> Places:
    """What starts a study's scripts; to be closed.

    Raises:
        StudyFileError: If there is none such here.
    """
    asked = study.executor or Asked()
    if asked.kind == "ray":
        from tapered.scripts.on_ray import RaySlots  # noqa: PLC0415 - an extra, and slow to import

        return RaySlots(
            asked.address or "local",
            count_of(study, script) if asked.workers else None,
            gpus=script.gpus,
            cpus=study.threads * script.processes,
            threads=study.threads,
        )
    return Slots(count_of(study, script), gpus=script.gpus, processes=script.processes, threads=study.threads)


def count_of(study: Study, script: Script) -> int:
    """How many scripts run at a time."""
    asked = study.executor or Asked()
    room = max(1, cores() // (study.threads * script.processes))
    said = asked.workers or 1
    if said == "cores":
        return room
    if said == "gpus":
        import torch  # noqa: PLC0415 - where nobody asks for GPUs, nobody waits for it

        if not torch.cuda.is_available():
            raise StudyFileError('workers="gpus", but torch sees no GPU here; try workers = "cores"')
        return max(1, torch.cuda.device_count() // max(1, script.gpus))
    return said
