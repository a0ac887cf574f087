"""A worker: trains the bundles that a driver gives it, and writes nothing that counts.

job ─► the study, read again ─► ready, or refused        task ─► Grower over a Relay ─► put, ..., done
"""

import os
import socket
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from tapered.files import wire
from tapered.files.errors import StoreError
from tapered.files.wire import Message
from tapered.study.plan.planned import Planned
from tapered.study.train.grow import Grower, RunError
from tapered.study.train.relay import Relay
from tapered.study.train.task import OtherError, planned_of, read_task, sees
from tapered.training.crew import crew
from tapered.training.living import UnsteadyError
from tapered.training.threads import threads
from tapered.workloads.own import StudyFileError

TOLD = 0.5  # seconds between two messages of progress, at least
ERRORS = {kind.__name__: kind for kind in (RunError, StoreError, UnsteadyError)}


class Worker:
    """Does what it is told, one after another, in the thread of `serve`; it is told from another thread.

    Args:
        send: Tells the driver.
        planned: The study, where this is a fork of a process that has read it.
    """

    def __init__(self, send: Callable[[Message], None], planned: Planned | None = None) -> None:
        self._send, self._waiting, self._stopped = send, SimpleQueue[Message | None](), 0
        self._planned = planned
        self._folder: Path | None = None
        self._updates, self._told = 0, time.monotonic()
        self._grower: Grower | None = None

    def tell(self, message: Message | None) -> None:
        """A message of the driver's; None says that there are no more."""
        if message is not None and message.kind == "stop":
            self._stopped = max(self._stopped, message.fields["number"])
        else:
            self._waiting.put(message)

    def serve(self) -> None:
        """Do what is waiting, until there is no more; what raises is told."""
        with ExitStack() as settings:
            while (message := self._waiting.get()) is not None:
                try:
                    if message.kind == "job":
                        self._begin(message, settings)
                    else:
                        self._train(message)
                except OtherError as error:
                    self._send(Message("refused", {"host": socket.gethostname(), "why": str(error)}))
                except Exception as error:  # noqa: BLE001 - the driver raises it
                    known = message.kind != "job" or type(error) in ERRORS.values()
                    self._send(Message("failed", _said(error if known else _unread(error))))

    def _begin(self, message: Message, settings: ExitStack) -> None:
        job = message.fields
        settings.enter_context(threads(job["threads"]))
        planned = self._planned = self._planned or planned_of(job)
        settings.enter_context(crew(planned.workload))
        self._folder = Path(job["store"]) if sees(job) else None
        self._send(Message("ready", {"host": socket.gethostname(), "sees_folder": self._folder is not None}))
        if planned.study.mode in ("auto", "rows compiled") and self._waiting.empty():
            import torch._inductor.compile_fx  # noqa: F401, PLC0415 - seconds, while nothing is to be done yet

    def _train(self, message: Message) -> None:
        if self._planned is None:
            raise RuntimeError("a task came before the job that it is of")
        task, number = read_task(self._planned, message.fields), message.fields["number"]
        relay = Relay(task.kept, next(iter(message.pieces), None), self._folder, self._send)
        grower = Grower(
            task.forest, relay, task.mode, self._made, lambda: self._stopped >= number, task.until, lost=task.lost
        )
        self._grower = grower
        parts = grower.grow(task.kept.bundle)
        self._tell_progress()
        done = {"number": number, "parts": [part.name for part in parts], "width": grower.mode.width}
        self._send(Message("done", done))

    def _made(self, updates: int) -> None:
        self._updates += updates
        if time.monotonic() - self._told >= TOLD:
            self._tell_progress()

    def _tell_progress(self) -> None:
        rows = 0 if self._grower is None else self._grower.live
        self._send(Message("progress", {"updates": self._updates, "rows": rows}))
        self._updates, self._told = 0, time.monotonic()


def _unread(error: Exception) -> RunError:
    """What a user's file or data raised here alone, where the driver could read them."""
    why = str(error) if isinstance(error, StudyFileError) else f"{type(error).__name__}: {error}"
    raised = RunError(f"the worker on {socket.gethostname()} could not read the study: {why}")
    raised.__cause__ = error
    return raised


def _said(error: Exception) -> dict[str, str]:
    known = type(error).__name__ if type(error) in ERRORS.values() else ""
    return {"error": known, "text": str(error), "trace": "".join(traceback.format_exception(error))}


def main(ear: wire.Ear, planned: Planned | None = None) -> None:
    """Serve at the end of a pipe until the other end is closed."""
    worker = Worker(partial(wire.send, ear.pipe), planned)
    ear.hand_on(worker.tell)
    try:
        worker.serve()
    except OSError:  # nobody reads any more
        os._exit(0)
