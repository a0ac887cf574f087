"""Memory: less at once where it runs out, and what is freed is kept for the next step."""

import ctypes
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import TypeVar

import torch

T = TypeVar("T")
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # as malloc.h numbers them
KEPT, LARGEST = 2**28, 2**26  # bytes that are kept in all, and of the largest tensor that is
SAID = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"}  # the user's own word on it


def fitting(size: int, attempt: Callable[[int], T]) -> T:
    """What an attempt with so many at once returns, begun again with half as many where memory runs out."""
    while True:
        try:
            return attempt(size)
        except Exception as error:
            if size == 1 or not is_out_of_memory(error):
                raise
        size //= 2  # outside the handler, whose traceback holds what was made


@cache
def keep_freed() -> None:
    """Have this process keep what it frees, up to 256 MB, in the place of giving it back and asking for it again.

    The system clears each page of what it gives: of convolutions of 32 rows that takes a third of a step. Of glibc
    (`mallopt`, malloc.h) and for the whole process, for good; other systems' libraries are left as they are.
    """
    if sys.platform == "linux" and not SAID & os.environ.keys():
        with suppress(AttributeError, OSError):
            adjust = ctypes.CDLL(None).mallopt
            adjust(TRIM_THRESHOLD, KEPT)
            adjust(MMAP_THRESHOLD, LARGEST)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, of Python's, torch's on the CPU or torch's on a device."""
    said = str(error).lower()
    failed = "allocate memory" in said or "not enough memory" in said or "out of memory" in said
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (isinstance(error, RuntimeError) and failed)
