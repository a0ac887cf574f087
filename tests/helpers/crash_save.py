"""A save that dies at its n-th call to the system: before it, or halfway through a write.

python crash_save.py FOLDER PLACE      dies at call PLACE; exits 0 with the number of calls where there are fewer
"""

import os
import shutil
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import torch

from tapered.checkpoint import release, resume, save

CALLS = ("mkdir", "open", "write", "fsync", "close", "rename", "unlink", "rmdir", "scandir", "lstat")


SIZE = 3


def parts(value: float = 0.0) -> dict:
    model = torch.nn.Linear(SIZE, 2)
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(value)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for p in model.parameters():
        optimizer.state[p]["momentum_buffer"] = torch.full_like(p, value)
    return {"model": model, "optimizer": optimizer}


def die_at(place: int, error: OSError | None = None) -> list[int]:
    """Wrap the system's calls; the place-th is the last one, or fails with `error`."""
    count = [0]

    def wrapped(name: str, real):
        def call(*args, **named):
            count[0] += 1
            if count[0] == place:
                if name == "write":
                    real(args[0], args[1][: len(args[1]) // 2])
                if error is not None:
                    raise error
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **named)

        return call

    for name in CALLS:
        setattr(os, name, wrapped(name, getattr(os, name)))
    shutil._use_fd_functions = False  # it asks which of os's functions it may use, and ours are not known to it
    return count


def main(folder: str, place: int) -> None:
    previous = parts()
    found = resume(folder, **previous)
    count = die_at(place)
    following = found.step + 1
    save(folder, following, keep=1, **parts(float(following)), value=following)
    print(count[0])


def begun(folder: Path) -> None:
    save(folder, 1, keep=1, **parts(1.0), value=1)
    save(folder, 2, keep=1, **parts(2.0), value=2)
    release(folder)


def whole(folder: Path) -> int:
    """The step that a resume gives; every number of it belongs to that step."""
    again = parts()
    found = resume(folder, **again)
    assert found.skipped == ()
    assert found.values == {"value": found.step}
    moments = [entry["momentum_buffer"] for entry in again["optimizer"].state.values()]
    assert all(torch.all(p == found.step) for p in [*again["model"].parameters(), *moments])
    release(folder)
    return found.step


@contextmanager
def failing(place: int, error: OSError):
    real, fds = {name: getattr(os, name) for name in CALLS}, shutil._use_fd_functions
    try:
        yield die_at(place, error)
    finally:
        for name, function in real.items():
            setattr(os, name, function)
        shutil._use_fd_functions = fds


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
