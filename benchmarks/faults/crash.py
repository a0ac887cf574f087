"""A save killed with -9 at every one of its system calls, by strace: is the last checkpoint or the new one whole?

    python benchmarks/faults/crash.py [--every 1] [--repeat 1] [--json]

strace lists the calls of an undisturbed save, and then kills the process at each of them in turn (`inject
CALL:signal=KILL:when=N`), as it enters the call; a call that came without its kill is a failure, too. After each kill a
resume must give the state before or the new one, every number of it, the next save must work, and nothing is left over.
The same is done to `torch.save` over the only file, which is what most scripts do. Writes that end halfway are in
tests/test_checkpoint_crash.py. Needs strace (Debian: apt-get install strace).
"""

import argparse
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "helpers"))
import crash_save
from crash_save import parts

from tapered import checkpoint
from tapered.checkpoint import CheckpointError, release, resume, save

# calls that reach the disk or read a folder; the others (memory, clocks, threads) cannot tear a save
CALLS = (
    "openat,write,pwrite64,writev,fsync,fdatasync,close,rename,renameat,renameat2,mkdir,mkdirat,unlink,unlinkat,rmdir,"
    "flock,getdents64,lseek,read,pread64,newfstatat,fstat,lstat,stat,ftruncate,statfs"
)


class Ours:
    """Two checkpoints, the older one rotated away; then a third."""

    @staticmethod
    def begin(folder):
        save(folder, 1, keep=1, **parts(1.0), value=1)
        save(folder, 2, keep=1, **parts(2.0), value=2)
        release(folder)

    @staticmethod
    def prepare(folder):
        checkpoint.lock._held.clear()  # a forked process inherits the parent's knowledge, not its locks
        resume(folder, **parts())

    @staticmethod
    def act(folder):
        save(folder, 3, keep=1, **parts(3.0), value=3)

    @staticmethod
    def check(folder):
        """The step that is there, every number of it, and that the folder goes on working; None where not."""
        again = parts()
        try:
            found = resume(folder, **again)
            save(folder, found.step + 1, keep=1, **parts(0.0), value=0)
        except CheckpointError:
            return None
        finally:
            release(folder)
        moments = [entry["momentum_buffer"] for entry in again["optimizer"].state.values()]
        whole = all(torch.all(p == found.step) for p in [*again["model"].parameters(), *moments])
        left = [*folder.glob(".tmp-*"), *folder.glob(".old-*"), *sorted(folder.glob("*-step*"))[1:]]
        return found.step if whole and not left and not found.skipped and found.values["value"] == found.step else None


class Torchs:
    """torch.save over the one file."""

    @staticmethod
    def begin(folder):
        folder.mkdir()
        torch.save({name: part.state_dict() for name, part in parts(2.0).items()}, folder / "last.pt")

    @staticmethod
    def prepare(folder):
        pass

    @staticmethod
    def act(folder):
        torch.save({name: part.state_dict() for name, part in parts(3.0).items()}, folder / "last.pt")

    @staticmethod
    def check(folder):
        try:
            found = torch.load(folder / "last.pt", weights_only=True)
        except Exception:  # noqa: BLE001 - whatever it says, the only checkpoint is gone
            return None
        return int(found["model"]["weight"][0, 0])


def traced(side, folder, go, options):
    """Act in a child process under strace, which comes when all is prepared, so that calls keep their numbers."""
    ready = go.with_name("ready")
    for mark in (go, ready):
        mark.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        try:
            side.prepare(folder)
            ready.touch()
            while not os.access(go, os.F_OK):
                time.sleep(0.002)
            os.access("/tapered-begins", os.F_OK)
            side.act(folder)
            os.access("/tapered-ends", os.F_OK)
        finally:
            os._exit(0)
    while not ready.exists():
        time.sleep(0.002)
    strace = subprocess.Popen(["strace", "-qq", "-p", str(child), *options], stderr=subprocess.DEVNULL)
    while b"TracerPid:\t0" in Path(f"/proc/{child}/status").read_bytes():
        if strace.poll() is not None:
            sys.exit("strace cannot attach; it needs the right to trace (ptrace)")
        time.sleep(0.002)
    go.touch()
    status = os.waitpid(child, 0)[1]
    strace.wait()
    return status


def calls_of(side, place):
    """(name, its number among the calls of that name) of each call between the marks."""
    log = place / "log"
    side.begin(place / "run")
    traced(side, place / "run", place / "go", ["-o", str(log), "-e", f"trace={CALLS},access,faccessat,faccessat2"])
    shutil.rmtree(place / "run")
    numbers, found, within = collections.Counter(), [], False
    for line in log.read_text().splitlines():
        name = line.partition("(")[0].strip()
        if "/tapered-" in line:
            within = "begins" in line
        elif re.fullmatch(r"\w+", name) and "access" not in name:
            numbers[name] += 1
            if within:
                found.append((name, numbers[name]))
    return found


def sweep(side, every):
    """Kill at each call; how many left something usable, and which of the two."""
    with tempfile.TemporaryDirectory() as given:
        place, states, missed = Path(given), collections.Counter(), 0
        calls = calls_of(side, place)
        for name, number in calls[::every]:
            folder = place / "run"
            side.begin(folder)
            inject = ["-o", "/dev/null", "-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={number}"]
            if os.WIFSIGNALED(traced(side, folder, place / "go", inject)):
                states[side.check(folder)] += 1
            else:
                missed += 1
            shutil.rmtree(folder)
    kills = sum(states.values())
    return {"calls": len(calls[::every]), "kills": kills, "missed": missed, "usable": kills - states[None],
            "previous": states[2], "new": states[3]}  # fmt: skip


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--every", type=int, default=1, help="kill at every so many-th call only")
    arguments.add_argument("--repeat", type=int, default=1, help="sweeps of our save")
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    if shutil.which("strace") is None:
        sys.exit("strace is not here; try apt-get install strace")
    torch.set_num_threads(1)
    crash_save.SIZE = 300  # files that take several writes
    sweeps = [sweep(Ours, given.every) for _ in range(given.repeat)]
    found = {"ours": {key: sum(one[key] for one in sweeps) for key in sweeps[0]}, "torch": sweep(Torchs, given.every)}
    if given.json:
        print(json.dumps(found))
    else:
        for side, row in found.items():
            print(f"{side:6}" + "".join(f"  {key} {value}" for key, value in row.items()))
    sys.exit(not found["ours"]["calls"] == found["ours"]["kills"] == found["ours"]["usable"])


if __name__ == "__main__":
    main()
