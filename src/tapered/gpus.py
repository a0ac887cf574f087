"""The GPUs that scripts and workers may be given, by names that CUDA_VISIBLE_DEVICES takes.

CUDA_VISIBLE_DEVICES, else what nvidia-smi lists, else as many as torch counts ─► visible() ─► a share of them each
"""

import os
import re
import shutil
import subprocess
from functools import lru_cache
from itertools import pairwise

VISIBLE = "CUDA_VISIBLE_DEVICES"
LISTED = re.compile(r"\(UUID: ((?:GPU|MIG)-[^)]+)\)")
WAIT = 60.0  # seconds for a driver that wakes its devices


def visible() -> list[str]:
    """The GPUs that this process may give away.

    By their UUIDs where the driver says them: its order is not CUDA's, and the torch of this Python may
    know of no GPU.
    """
    said = os.environ.get(VISIBLE)
    return _listed() if said is None else _said(said)


def _said(text: str) -> list[str]:
    """What a variable names; none behind the first that is no device, as CUDA reads it.

    >>> _said("4, GPU-a"), _said("0,-1,1"), _said("")
    (['4', 'GPU-a'], ['0'], [])
    """
    names: list[str] = []
    for name in map(str.strip, text.split(",")):
        if name in ("", "-1"):
            break
        names.append(name)
    return names


def _listed() -> list[str]:
    program = shutil.which("nvidia-smi")
    if program and (names := _told(program)):
        return list(names)
    import torch  # noqa: PLC0415 - seconds, which other scripts need not wait for

    return [str(i) for i in range(torch.cuda.device_count())]


@lru_cache(maxsize=8)
def _told(program: str) -> tuple[str, ...]:
    """What the driver says, once a process, as it may have to wake its devices."""
    try:
        found = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=WAIT, check=True).stdout  # noqa: S603 - the driver's own
    except (OSError, subprocess.SubprocessError):
        return ()
    names = LISTED.findall(found)
    # a GPU that is parted into instances stands before them, and is none itself
    parted = {name for name, after in pairwise(names) if not _part(name) and _part(after)}
    return tuple(name for name in names if name not in parted)


def _part(name: str) -> bool:
    return name.startswith("MIG-")
