"""python children.py FRAMEWORK PLACE first|second: its cases, each in a process of its own, forked after the imports.

`first` trains each case through, and once more until it kills itself; `second`, in another interpreter, resumes those.
"""

import importlib
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parent.parent)  # here, a module hides the framework of its name
os.environ.update(TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="")
LIMIT = 240  # seconds for one training


def kinds(case: str) -> tuple[str, ...]:
    """With a tapered schedule attach takes part; with a number there is nothing to attach."""
    if case.startswith("schedule under "):
        return ("tapered", "attached")  # torch's AdamW has no schedule that could be in the way
    return ("torch", "tapered", "attached") if case.startswith("schedule") else ("torch", "tapered")


def apart(work: Callable[[], None], out: Path) -> None:
    """Do the work in a fork; what it says goes to a file, what it dies of to another."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with (out / "said").open("a") as said:
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
                work()
            code = 0
        except BaseException as error:  # noqa: BLE001 - a fork never goes on as its parent
            (out / "error").write_text(f"{type(error).__name__}: {error}")
            (out / "traceback").write_text(traceback.format_exc())
        os._exit(code)
    last = time.monotonic() + LIMIT
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > last:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            (out / "error").write_text(f"TimeoutError: it was not done after {LIMIT} s")
            return
        time.sleep(0.02)


def child(name: str, place: Path, part: str, only: str = "") -> None:
    warnings.simplefilter("ignore")
    import torch
    from trainers import stubs
    from trainers.run import Run

    torch.set_num_threads(1)
    stubs.put(*stubs.NEEDED.get(name, ()))
    module: Any = importlib.import_module(f"trainers.{name}")
    for case in module.CASES:
        if not case.startswith(only):
            continue
        for kind in kinds(case):
            here = place / case.replace("/", "-") / kind
            roles = ("whole", "killed") if part == "first" else ("resumed",)
            for role in ("whole",)[: part == "first"] if case.startswith("schedule under ") else roles:
                out, folder = here / role, here / ("through" if role == "whole" else "parted")
                out.mkdir(parents=True)
                folder.mkdir(parents=True, exist_ok=True)
                run = Run(case, kind, folder, out, kill=role == "killed", resuming=role == "resumed")
                apart(lambda run=run: run.end(module.train(run)), out)


if __name__ == "__main__":
    child(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
