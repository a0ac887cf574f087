"""Processes below one of our own: found, looked at, killed. Nobody else's are touched."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path


def children(pid, marked="study.train.worker"):
    """The processes below one whose command says so."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,stat=,args="], check=True, capture_output=True, text=True).stdout
    rows = [line.split(None, 3) for line in listed.splitlines()]
    below, found = {str(pid)}, []
    for _ in range(6):
        below |= {row[0] for row in rows if row[1] in below}
    found = [int(row[0]) for row in rows if row[0] in below and marked in row[-1] and not row[2].startswith("Z")]
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
