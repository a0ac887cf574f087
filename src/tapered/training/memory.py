"""What is done where memory runs out: less at once."""

from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


def fitting(size: int, attempt: Callable[[int], T]) -> T:
    """What an attempt with so many at once returns, begun again with half as many where memory runs out."""
    while True:
        try:
            return attempt(size)
        except Exception as error:
            if size == 1 or not is_out_of_memory(error):
                raise
        size //= 2  # outside the handler, whose traceback holds what was made


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, of Python's, torch's on the CPU or torch's on a device."""
    said = str(error).lower()
    failed = "allocate memory" in said or "not enough memory" in said or "out of memory" in said
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (isinstance(error, RuntimeError) and failed)
