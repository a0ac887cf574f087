"""The device that a problem is trained on: a word, looked up before anything is made, and what torch needs there.

"auto", "cpu", "cuda", "cuda:1", "mps" ─► device_of ─► torch.device ─┬─► draws: its generator follows seed and step
                                                                     ╰─► kind: what the last bits depend on
"""

import os
import re
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from tapered import draws, gpus, kind
from tapered.training import trees

WORD = re.compile(r"auto|cpu|cuda(:\d+)?|mps")
WORKSPACE, FIXED = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"  # without it cuBLAS may give other last bits each time
CPU = torch.device("cpu")  # that a device is not this one decides, so that tests take another name of it
AHEAD = 64  # steps after which losses on a device are looked at, as each look waits for it
DATA_SHARE = 0.5  # of a device's free memory, what a split's tensors may take to lie there


class DeviceError(ValueError):
    """A device that is not here; the message says what is."""


def there() -> tuple[str, ...]:
    """The devices of this machine, as torch finds them, the fastest kind first."""
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return (*gpus, *(["mps"] if torch.backends.mps.is_available() else []), "cpu")


@lru_cache(maxsize=16)
def device_of(word: str) -> torch.device:
    """The device that a word says.

    Raises:
        DeviceError: If there is no such device here.

    >>> device_of("cpu")
    device(type='cpu')
    """
    if word == "cpu":  # without asking for others, which takes a while
        return CPU
    known = there()
    name = known[0] if word == "auto" else "cuda:0" if word == "cuda" else word
    if name not in known:
        raise DeviceError(f'got device="{word}", which is not here; torch finds {", ".join(known)}; try device="auto"')
    if name == "cpu":
        return CPU
    begin(torch.device(name))
    return torch.device(name)


def begin(device: torch.device) -> None:
    """What holds from now on in this process, as something is trained on a device."""
    if device.type == "cuda" and WORKSPACE not in os.environ:
        late = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]  # torch's
        os.environ[WORKSPACE] = FIXED
        if late:
            warnings.warn(
                f"{WORKSPACE} was not set before CUDA began in this process; if a product was made there already, "
                f"torch refuses the next one; then set {WORKSPACE}={FIXED} before Python starts",
                stacklevel=2,
            )
    draws.follow(generator_of(device))
    kind.use(name_of(device))


def generator_of(device: torch.device) -> torch.Generator:
    """The generator that models draw from on a device."""
    if device.type == "mps":
        return torch.mps._get_default_mps_generator()  # noqa: SLF001 - torch has no public name for it
    torch.cuda.init()  # type: ignore[no-untyped-call]  # torch's; before it there are none
    return torch.cuda.default_generators[device.index]


def name_of(device: torch.device) -> str:
    """What a device is called by those who made it."""
    return f"{device}, {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device)


def moved(device: torch.device, batch: Any) -> Any:
    """A batch on a device; not waited for, where it comes from memory that the device reads by itself."""
    if device == CPU:
        return batch
    return trees.each(batch, lambda tensor: _copied(tensor, device))


def _copied(tensor: Tensor, device: torch.device) -> Tensor:
    if tensor.device == device:
        return tensor
    # what somebody else has pinned may be written again while it is on its way
    if device.type != "cuda" or tensor.device.type != "cpu" or tensor.is_pinned():
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def lying(device: torch.device, tensors: Sequence[Tensor]) -> tuple[Tensor, ...] | None:
    """The tensors of a split on a device, to be gathered there; None where they do not fit."""
    if sum(tensor.nbytes for tensor in tensors) > DATA_SHARE * free_memory(device):
        return None
    return tuple(tensor.to(device) for tensor in tensors)


def free_memory(device: torch.device) -> int:
    """Free bytes of a GPU, or of the memory that Apple's share with the processor."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()


def is_any_gpu(device: torch.device) -> bool:
    """Whether a device is a GPU, and no certain one: each of several processes may have its own."""
    return device.type == "cuda" and not device.index


def sharing(device: torch.device, workers: int) -> int:
    """How many of so many processes share a device's memory, as each takes a GPU in turn."""
    if workers == 1 or not is_any_gpu(device):
        return workers
    return -(-workers // max(1, len(gpus.visible())))


def ahead(device: torch.device) -> int:
    """Steps after which losses are looked at."""
    return 1 if device == CPU else AHEAD
