"""Where the runs of a script are started: so many at a time here, or on the nodes of a Ray cluster.

executor = { workers = 4 } ─► Slots        executor = { kind = "ray", address = ... } ─► RaySlots
"""

from tapered.gpus import visible
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
            asked.workers if isinstance(asked.workers, int) else None,  # all cores, or GPUs, that the cluster has
            gpus=gpus_of(study, script),
            cpus=study.threads * script.processes,
            threads=study.threads,
        )
    gpus = gpus_of(study, script)
    return Slots(count_of(study, script), gpus=gpus, processes=script.processes, threads=study.threads)


def gpus_of(study: Study, script: Script) -> int:
    """How many GPUs each script has; one where there are as many at a time as there are GPUs, and nothing is said."""
    return script.gpus or int((study.executor or Asked()).workers == "gpus")


def count_of(study: Study, script: Script) -> int:
    """How many scripts run at a time."""
    asked = study.executor or Asked()
    room = max(1, cores() // (study.threads * script.processes))
    said = asked.workers or 1
    if said == "cores":
        return room
    if said == "gpus":
        if not (there := len(visible())):
            raise StudyFileError('workers="gpus", but no GPU is seen here; try workers = "cores"')
        return max(1, there // gpus_of(study, script))
    return said
