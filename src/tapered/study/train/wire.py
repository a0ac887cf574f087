"""What processes say to each other: a kind, fields as JSON, and pieces of bytes; no pickle.

Message("put", {"text": ...}, (rows,)) ─ frames ─► its head as JSON, then each piece ─ unframed ─► the same message
"""

import json
from collections.abc import Iterator, Mapping
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
