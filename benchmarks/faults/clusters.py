"""A Ray cluster of two nodes on this machine, whose parts can be killed."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from trees import children, killed


class Cluster:
    """A head and a second node of one core each, and nobody else's."""

    def __init__(self, port):
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
        self._program, self.address = str(Path(sys.executable).parent / "ray"), f"127.0.0.1:{port}"
        subprocess.run([self._program, "get-auth-token", "--generate"], check=True, capture_output=True)
        self.head = self._start("--head", f"--port={port}", "--include-dashboard=false")
        until(lambda: heard(port), self.head)
        self.node = self._start(f"--address={self.address}")
        until(lambda: children(self.node.pid, "/raylet/raylet"), self.node)

    def _start(self, *words):
        log = Path("cluster.log").open("a")  # noqa: SIM115 - the process's
        return subprocess.Popen([self._program, "start", "--num-cpus=1", "--block", *words], stdout=log, stderr=log)

    def actors(self):
        return [pid for part in (self.head, self.node) for pid in children(part.pid, "ray::Remote")]

    def kill(self, part):
        for pid in children(part.pid, ""):
            killed(pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for part in (self.node, self.head):
            self.kill(part)
            part.kill()
            part.wait()


def heard(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def until(true, process, within=120):
    deadline = time.monotonic() + within
    while not true():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"no cluster:\n{Path('cluster.log').read_text()[-2000:]}")
        time.sleep(0.05)
