"""A save that dies at its n-th call to the system: before it, or halfway through a write.

python crash_save.py FOLDER PLACE      dies at call PLACE; exits 0 with the number of calls where there are fewer
"""

import os
import shutil
import signal
import sys

import torch

from tapered.checkpoint import resume, save

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


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
