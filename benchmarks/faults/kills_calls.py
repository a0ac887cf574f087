"""kill -9 at every system call of a command on its folder, by strace: does the same command then finish, the same?

    python benchmarks/faults/kills_calls.py [--minutes 60] [--only run study tune claims] [--json]

Each of the commands runs undisturbed once, in a process forked after the imports, while strace lists the calls that it
makes on its own folder, from the first to the last. Then it is killed as it enters each of them, and the same command
is given again: it must exit with 0, and what it keeps must be what the undisturbed one keeps. The calls come in a
random order, so that as many as fit into the minutes are spread over the command. Needs strace.
"""

import argparse
import collections
import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from kills import results, warm
from optuna.storages import RDBStorage  # noqa: F401 - imported once, for all forks

from tapered import claims, report, study  # noqa: F401 - as above
from tapered.cli.main import main as main_of_tapered
from tapered.run import single
from tapered.study.train import grow  # noqa: F401 - as above
from tapered.training import modes
from tapered.training.advance import Mode

CALLS = (
    "openat,write,pwrite64,fsync,fdatasync,close,rename,renameat,renameat2,mkdir,mkdirat,unlink,unlinkat,rmdir,flock,"
    "fcntl,ftruncate"
)
STUDY = """
name = "calls"
workload = "quadratic"
steps = 20
seeds = 2
baseline = "a"
peaks = { low = 0.01, high = 0.1, count = 2 }
[[arms]]
name = "a"
rule = "SGD"
lr = "constant(1.0)"
"""
TUNE = STUDY + "\n[tune]\ntrials = 4\nbatch = 2\nsampler = 'random'\n"
COMMANDS = {
    "run": ["run", "bmi", "--lr", "1e-3", "--steps", "20", "--store", "kept"],
    "study": ["study", "study.toml", "--store", "kept"],
    "tune": ["tune", "tune.toml", "--store", "kept"],
    "claims": ["claims", "control 0", "--run", "--quick", "--store", "kept"],
}


def child_of(words, go=None):
    """The command in a process of its own; it waits for `go`, so that strace sees all of it."""
    child = os.fork()
    if child:
        return child
    mode = Mode("rows", 8, "the benchmark says so")
    modes.forecast = lambda *_: modes.Timed(mode, 1e-5)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    if go is not None:
        Path("ready").touch()
        while not os.access(go, os.F_OK):
            time.sleep(0.002)
        os.access("/tapered-begins", os.F_OK)
    os._exit(main_of_tapered(words))


def traced(words, options):
    """The command under strace; its wait status."""
    for mark in ("go", "ready"):
        Path(mark).unlink(missing_ok=True)
    child = child_of(words, "go")
    while not Path("ready").exists():
        time.sleep(0.002)
    strace = subprocess.Popen(["strace", "-qq", "-y", "-p", str(child), *options], stderr=subprocess.DEVNULL)
    while b"TracerPid:\t0" in Path(f"/proc/{child}/status").read_bytes():
        if strace.poll() is not None:
            sys.exit("strace cannot attach; it needs the right to trace (ptrace)")
        time.sleep(0.002)
    Path("go").touch()
    status = os.waitpid(child, 0)[1]
    strace.wait()
    return status


def calls_of(words):
    """(name, its number among the calls of that name) of the calls that name the folder."""
    if traced(words, ["-o", "log", "-e", f"trace={CALLS},access,faccessat,faccessat2"]):
        sys.exit(f"tapered {' '.join(words)} fails undisturbed")
    numbers, found = collections.Counter(), []
    for line in Path("log").read_text(errors="replace").splitlines():
        name = line.partition("(")[0].strip()
        if re.fullmatch(r"\w+", name) and "access" not in name:
            numbers[name] += 1
            if "kept" in line:
                found.append((name, numbers[name]))
    if not found:
        sys.exit(f"strace lists no call of tapered {' '.join(words)} on its folder")
    return found


def kept(name):
    """What a command keeps, as text."""
    if name == "run":
        found = single.resume(Path("kept"))[0]
        return repr({key: value.tolist() for key, value in found.rows.params.items()}), found.step, found.rows.losses
    folders = sorted(path.parent for path in Path("kept").rglob("frozen.json"))
    return [(str(folder), results(folder)) for folder in folders]


def sweep(name, minutes):
    """Kill the command at each call, and give it again, for so many minutes."""
    words = COMMANDS[name]
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        Path("study.toml").write_text(STUDY)
        Path("tune.toml").write_text(TUNE)
        calls = calls_of(words)
        expected = asked(name)
        if expected is None:
            sys.exit(f"what tapered {' '.join(words)} kept cannot be read")
        found = collections.Counter(calls=len(calls))
        wrong = []
        deadline = time.monotonic() + 60 * minutes
        for call, number in random.Random(0).sample(calls, len(calls)):
            if time.monotonic() > deadline:
                break
            shutil.rmtree("kept", ignore_errors=True)
            inject = ["-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]
            if not os.WIFSIGNALED(traced(words, inject)):
                found["missed"] += 1
                continue
            found["kills"] += 1
            code = os.waitstatus_to_exitcode(os.waitpid(child_of(words), 0)[1])
            same = code == 0 and asked(name) == expected
            found["identical"] += same
            if not same:
                wrong.append((call, number, code))
    return {**dict.fromkeys(("calls", "kills", "missed", "identical"), 0), **found, "wrong": wrong}


def asked(name):
    """What is kept, read in a process of its own, as a resume holds the folder's lock until its end."""
    child = os.fork()
    if child == 0:
        Path("found").write_text(repr(kept(name)))
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        return None
    return Path("found").read_text()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60, help="for each command, at most")
    parser.add_argument("--only", nargs="*", default=list(COMMANDS), choices=list(COMMANDS))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if shutil.which("strace") is None:
        sys.exit("strace is not here; try apt-get install strace")
    warm()
    found = {name: sweep(name, given.minutes) for name in given.only}
    if given.json:
        print(json.dumps(found))
    else:
        for name, row in found.items():
            print(f"{name:7}" + "".join(f"  {key} {value}" for key, value in row.items()), flush=True)
    return int(any(row["missed"] or not row["kills"] == row["identical"] > 0 for row in found.values()))


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
