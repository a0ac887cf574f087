"""A workload by its name: built in, or "file.py:name" of one's own, with the code that its numbers depend on."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tapered.draws import seeded
from tapered.training.objective import loss_of
from tapered.training.workload import Workload
from tapered.words import suggest
from tapered.workloads import WORKLOADS, own, sources
from tapered.workloads.own import StudyFileError

Made = tuple[Workload, str]


def workload_of(
    text: str,
    options: Mapping[str, Any] = MappingProxyType({}),
    folder: Path = Path(),
    *,
    expected: str | None = None,
) -> tuple[Workload, str]:
    """A workload by its name, or by the file and name of one's own; and the hash of that file, or "built in".

    Args:
        text: "bmi", or "file.py:name".
        options: What the function that makes it is called with.
        folder: Where paths start.
        expected: The hash that the file is to have, compared before it runs.

    Raises:
        StudyFileError: If there is none, or it is no workload.
        CheckpointError: If it has another hash.

    >>> workload_of("bmi", {"batch_size": 16})[0].batch_size
    16
    """
    if text in WORKLOADS:
        return own.called(WORKLOADS[text], text, options), own.BUILT_IN
    if ":" not in text:
        raise StudyFileError(f'workload={text!r} is unknown; {suggest(text, WORKLOADS)}, or "file.py:name" of your own')
    source = own.find(text, folder)
    if expected is not None:
        source.check(expected)
    return source.make(options), source.hash


def coded(text: str, make: Callable[[], Made], folder: Path = Path()) -> tuple[Workload, str, dict[str, str]]:
    """A workload, the hash of its file, and those of the other files that its code is in.

    Args:
        text: "bmi", or "file.py:name".
        make: Makes it, as `workload_of`.
        folder: Where paths start.
    """
    file = folder / text.rpartition(":")[0]
    if text in WORKLOADS or not file.is_file():
        return *make(), {}
    with sources.watched(file):
        workload, source = make()
        rehearse(workload)
    return workload, source, sources.beside(file)


def rehearse(workload: Workload) -> None:
    """Build a model and compute the loss of a minibatch, so that what they import is imported; they may fail later."""
    with suppress(Exception):
        model = workload.build(0)
        with seeded(0, "rehearsal"):
            inputs, targets = workload.fetch("train", workload.batch(0, 0)[: workload.batch_size])
            loss_of(workload, model, inputs, targets)
