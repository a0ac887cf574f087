"""Minibatches on their way to a device: the next one is made and sent while this one is trained.

    batches ─► made and sent, beside what is computed ─► one is held ─► waited for by the device, not by this process

On CUDA they are sent by a stream of their own; a batch is waited for where it is used first. On the processor there is
nothing to send.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from tapered.training import trees
from tapered.training.devices import CPU

T = TypeVar("T")


def sent_ahead(device: torch.device, batches: Iterator[T]) -> Iterator[T]:
    """Batches that are sent to a device as they are made, each while the one before it is used; there, if it is this.

    What raises is raised when it is needed, after the batch before it.
    """
    if device == CPU:
        yield from batches
        return
    road, held = _Road(device), list[_Sent]()
    while True:
        try:
            sent = road.send(batches)
        except Exception:
            yield from (each.arrived() for each in held)
            raise
        yield from (each.arrived() for each in held)
        if sent is None:
            return
        held = [sent]


class _Road:
    """A way to a device, beside what is computed there where it has one."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def send(self, batches: Iterator[Any]) -> "_Sent | None":
        """The next batch, on its way; None where there is none."""
        beside: AbstractContextManager[Any] = nullcontext() if self.stream is None else torch.cuda.stream(self.stream)
        with beside:
            for batch in batches:
                return _Sent(batch, self.device, None if self.stream is None else self.stream.record_event())
        return None


@dataclass(frozen=True)
class _Sent:
    batch: Any
    device: torch.device
    event: torch.cuda.Event | None

    def arrived(self) -> Any:
        """The batch, which whatever is computed from now on waits for."""
        if self.event is not None:
            here = torch.cuda.current_stream(self.device)
            here.wait_event(self.event)
            # its memory is given to no other batch before what is computed from it now is done
            trees.each(self.batch, lambda tensor: _used(tensor, here))
        return self.batch


def _used(tensor: torch.Tensor, stream: torch.cuda.Stream) -> torch.Tensor:
    if tensor.is_cuda:
        tensor.record_stream(stream)
    return tensor
