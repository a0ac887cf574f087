"""Scripts of several runs at a time on a Ray cluster: a task each, which is a supervisor on the script's own node.

Start ─► RaySlots.run ─► a task with num_gpus, which supervises in the shared folder ─► (Start, Ended)

A task ends with its driver, its supervisor with the task, and the script with its supervisor. What Ray loses goes on
from the run's folder. A stop is asked by the file `stop`, which any supervisor sees.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tapered import machines
from tapered.scripts.asked import FACTS
from tapered.scripts.ended import Ended
from tapered.scripts.errors import ScriptError
from tapered.scripts.looking import STOP
from tapered.scripts.nodes import enter
from tapered.scripts.slots import Result, Start
from tapered.scripts.supervise import supervise

HEARD = 1.0  # seconds that are waited for an end before stops are looked at
TOLD = 10.0  # seconds between two looks at how far runs are
LOST = 5  # times that Ray begins a task anew whose node or process was lost


class RaySlots:
    """Places of a Ray cluster.

    Args:
        address: "local", "auto", or where a cluster's is.
        count: How many scripts at a time at most; None for as many as there is room for.
        gpus: How many each has.
        cpus: How many cores each has.
        threads: What libraries of each of its processes compute with; None for as many as it has cores.
    """

    def __init__(
        self,
        address: str = "local",
        count: int | None = None,
        *,
        gpus: int = 0,
        cpus: int = 1,
        threads: int | None = None,
    ) -> None:
        self._address, self._needs, self._threads = address, {"num_cpus": cpus, "num_gpus": gpus}, threads or cpus
        self._begun = machines.join(address)
        self.count = count or machines.room(self._needs)

    def close(self) -> None:
        """Leave the cluster."""
        if self._begun:
            machines.ray().shutdown()
            self._begun = False

    def run(
        self,
        starts: Iterable[Start | None],
        told: Callable[[Path, int], None] | None = None,
        stop: Callable[[Path], bool] | None = None,
    ) -> Iterator[Result]:
        """As `Places.run`."""
        ray = machines.ray()
        task = ray.remote(_supervised).options(**self._needs, max_retries=LOST, scheduling_strategy="SPREAD")
        running: dict[Any, Start] = {}
        waiting, looked = iter(starts), time.monotonic()
        try:
            while True:
                while len(running) < self.count and (start := next(waiting, None)):
                    running[task.remote(_placed(start), self._threads)] = start
                if not running:
                    return
                done, _ = ray.wait(list(running), timeout=HEARD)
                for reference in done:
                    start = running.pop(reference)
                    yield start, _result(ray, reference)
                for start in running.values():
                    if stop and stop(start.folder):
                        with suppress(OSError):
                            (start.folder / STOP).touch()
                if told and time.monotonic() - looked > TOLD:
                    for start in running.values():
                        told(start.folder, start.judge(start.folder).furthest)
                    looked = time.monotonic()
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


def _placed(start: Start) -> Start:
    """A start whose folders a process elsewhere finds."""
    command = replace(start.command, folder=(start.command.folder or Path.cwd()).absolute())
    return replace(start, folder=start.folder.absolute(), command=command)


def _result(ray: Any, reference: Any) -> Ended | Exception:
    try:
        found: Ended = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        return error.cause if isinstance(error.cause, Exception) else error
    except Exception as error:  # noqa: BLE001 - whatever Ray raises, it is the caller's
        return error
    return found


def _supervised(start: Start, threads: int) -> Ended:
    """What runs on a node."""
    if not (start.folder / FACTS).is_file():
        raise ScriptError(
            f"{start.folder} is not there on a node of the cluster; scripts need a folder that all nodes share, as by "
            f"--store /shared/..."
        )
    enter(start.folder, start.kind)
    return supervise(start.folder, start.command, start.limits, start.judge, threads=threads)
