"""Processes below one of our own: found, looked at, killed. Nobody else's are touched."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

WORKERS = "study.train.worker", "cli.main"  # one that began from nothing, and a fork of the command


def children(pid, *marks):
    """The processes below one whose command says one of these; those of workers where none is given."""
    marks = marks or WORKERS
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,stat=,args="], check=True, capture_output=True, text=True).stdout
    rows = [line.split(None, 3) for line in listed.splitlines()]
    below, found = {str(pid)}, []
    for _ in range(6):
        below |= {row[0] for row in rows if row[1] in below}
    live = [row for row in rows if row[0] in below and not row[2].startswith("Z")]
    found = [int(row[0]) for row in live if any(mark in row[-1] for mark in marks)]
    return [pid_ for pid_ in found if pid_ != pid]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def killed(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def left(pids):
    """How many live 5 s later."""
    deadline = time.monotonic() + 5
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return sum(map(alive, pids))
