"""A copy of this process that ends with it, however that ends."""

import multiprocessing as mp
import os
import signal
import threading
import warnings
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from typing import Any

import torch


def can_fork() -> bool:
    """Whether this process can be forked: the system can, and it is no worker of a pool, which may have no children."""
    return "fork" in mp.get_all_start_methods() and not mp.current_process().daemon


def forked(target: Callable[..., None], *args: Any) -> ForkProcess:
    """Begin a copy of this process that calls `target`, on one thread, and is gone as soon as this one is."""
    process = mp.get_context("fork").Process(target=_work, args=(target, *args), daemon=True)
    with warnings.catch_warnings():
        # of threads, which the fork leaves behind: torch's it does not use, and no lock of ours is held
        warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
        process.start()
    return process


def _work(target: Callable[..., None], *args: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the other process's matter
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_follow, daemon=True).start()
    torch.set_num_threads(1)  # those of the process that forked are not here
    target(*args)


def _follow() -> None:
    parent = mp.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
