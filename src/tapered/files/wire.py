"""What processes say to each other: a kind, fields as JSON, and pieces of bytes; no pickle.

Message("put", {"text": ...}, (rows,)) ─ frames ─► its head as JSON, then each piece ─ unframed ─► the same message
"""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any


@dataclass(frozen=True)
class Message:
    """Something said by the driver or by a worker.

    Args:
        kind: "job", "task" and "stop" of the driver; "ready", "refused", "progress", "put", "split", "done" and
            "failed" of a worker.
        fields: What JSON takes.
        pieces: Contents of files, as safetensors.
    """

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    pieces: tuple[bytes, ...] = ()


def send(pipe: "Connection[bytes, bytes]", message: Message) -> None:
    """Write a message; waits until the other end has taken it.

    Raises:
        OSError: If nobody reads.
    """
    head = {"kind": message.kind, "fields": message.fields, "pieces": len(message.pieces)}
    pipe.send_bytes(json.dumps(head).encode())
    for piece in message.pieces:
        pipe.send_bytes(piece)


def received(pipe: "Connection[bytes, bytes]") -> Iterator[Message]:
    """The messages of a pipe, until its other end is closed."""
    try:
        while True:
            head = json.loads(pipe.recv_bytes())
            pieces = tuple(pipe.recv_bytes() for _ in range(head["pieces"]))
            yield Message(head["kind"], head["fields"], pieces)
    except (EOFError, OSError):
        return


class Ear:
    """Hears a pipe in a thread of its own, and ends this process with whoever is at the other end.

    Args:
        pipe: What is heard, from now on: what a process has to import takes seconds.
    """

    def __init__(self, pipe: "Connection[bytes, bytes]") -> None:
        self.pipe, self._held = pipe, list[Message]()
        self._tell: Callable[[Message], None] = self._held.append
        self._lock = threading.Lock()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the other end's matter, which stops what this does
        threading.Thread(target=self._listen, daemon=True).start()

    def hand_on(self, tell: Callable[[Message], None]) -> None:
        """Tell somebody what has been heard so far, and what will be."""
        with self._lock:
            for message in self._held:
                tell(message)
            self._tell = tell

    def _listen(self) -> None:
        for message in received(self.pipe):
            with self._lock:
                self._tell(message)
        os._exit(0)  # nobody is there any more, and what was not sent is lost to them
