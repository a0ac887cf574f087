"""Which of several processes of one run this is, under torchrun, accelerate or Lightning."""

import os
import sys
from typing import Any


def rank() -> int:
    """That of torch.distributed, once it is initialised; else what a launcher says; 0 for a process alone."""
    distributed = _distributed()
    if distributed is not None:
        return int(distributed.get_rank())
    return _said("RANK", _said("LOCAL_RANK", 0))


def world() -> int:
    """How many there are."""
    distributed = _distributed()
    return int(distributed.get_world_size()) if distributed is not None else _said("WORLD_SIZE", 1)


def _distributed() -> Any:
    found = sys.modules.get("torch.distributed")
    ready = found is not None and hasattr(found, "is_initialized") and found.is_available() and found.is_initialized()
    return found if ready else None


def _said(name: str, otherwise: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else otherwise
