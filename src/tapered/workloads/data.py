"""Data of the built-in workloads: found where a package put it, checked by its hash, never downloaded.

file or package ─► SHA-256 as pinned here? ─► float32 ─► fixed split ─► TensorDatasets, and facts for the result
"""

import gzip
import hashlib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from tapered.draws import generator_seed

EXTRA = "pip install 'tapered[workloads]'"


class MissingDataError(ValueError):
    """Data that is not on this machine; the message ends in the command that installs it."""


class ChangedDataError(ValueError):
    """Data that is there and is not what the workload was made for; the message has both hashes."""


def module(name: str) -> Any:
    """An imported module of the extra ``workloads``.

    Raises:
        MissingDataError: If it is not installed, with the line that installs it.

    >>> module("math").pi
    3.141592653589793
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingDataError(
            f"this workload's data comes with {error.name}, which is missing; try: {EXTRA}"
        ) from None


def file(path: Path, sha256: str, install: str) -> bytes:
    """The content of a file, decompressed where its name ends in .gz; the hash is that of the content.

    Raises:
        MissingDataError: If there is no such file, with the line that installs it.
        ChangedDataError: If its content is another.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MissingDataError(f"there is no {path} ({type(error).__name__}); try: {install}") from None
    try:
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError) as error:
        raise ChangedDataError(f"{path} is no whole gzip file ({error}); try: {install}") from None
    check(str(path), content, sha256)
    return content


def check(name: str, content: bytes, sha256: str) -> None:
    """Refuse content that has not this hash.

    Raises:
        ChangedDataError: With the hash found and the hash expected.
    """
    found = digest(content)
    if found != sha256:
        raise ChangedDataError(
            f"{name} has SHA-256 {found}; expected {sha256}; its numbers would compare with no other result; "
            f"try the version of the package that docs/workloads.md names"
        )


def digest(content: bytes) -> str:
    """SHA-256 in hex.

    >>> digest(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(content).hexdigest()


def parts(name: str, sizes: Sequence[int], *tensors: Tensor) -> tuple[TensorDataset, ...]:
    """Examples in a fixed order, the same for every seed, cut into datasets of these sizes.

    The order is a permutation that follows from the name.

    Raises:
        ValueError: If the sizes ask for more examples than there are.

    >>> [len(part) for part in parts("mine", (6, 2, 2), torch.arange(10))]
    [6, 2, 2]
    """
    size = len(tensors[0])
    if sum(sizes) > size or min(sizes) < 1:
        raise ValueError(f"{name} has {size} examples; got splits of {', '.join(map(str, sizes))}")
    order = torch.randperm(size, generator=torch.Generator().manual_seed(generator_seed(0, name)))
    cuts = torch.split(order[: sum(sizes)], list(sizes))
    return tuple(TensorDataset(*(tensor[cut] for tensor in tensors)) for cut in cuts)


def standardised(sets: Sequence[TensorDataset]) -> tuple[TensorDataset, ...]:
    """Inputs less the first set's mean, over its standard deviation, column by column; as float32.

    A column that is constant in the first set is only centred.
    """
    first = sets[0].tensors[0].double()
    mean, spread = first.mean(0), first.std(0, unbiased=False)
    spread = torch.where(spread > 0, spread, 1.0)
    return tuple(TensorDataset(((s.tensors[0].double() - mean) / spread).float(), *s.tensors[1:]) for s in sets)


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """For each example whether its largest output is the label's: bool, shape (batch,)."""
    return outputs.argmax(-1) == targets
