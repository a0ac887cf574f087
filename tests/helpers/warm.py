"""A Python that has imported what takes seconds, and forks for each program: `python ARGS...` in milliseconds.

Warm(*TORCH) ─► started(["-m", "module", ...], env) ─► a fork of it, which runs and ends as Python would ─► its output
"""

import gc
import json
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

TORCH = "torch._dynamo", "tapered.scripts.choosing"  # the first is imported by a first optimizer


class Warm:
    """One such Python; to be closed.

    Args:
        modules: What it imports first.
        around: Its environment.
    """

    def __init__(self, *modules, around):
        line = [sys.executable, __file__, *modules]
        self._python = subprocess.Popen(line, env=around, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def started(self, words, env):
        """What `subprocess.run([sys.executable, *words], ...)` gives, with its output as text."""
        with tempfile.TemporaryDirectory() as folder:
            out, err = (str(Path(folder, name)) for name in ("out", "err"))
            asked = {"words": list(words), "env": dict(env), "cwd": str(Path.cwd()), "out": out, "err": err}
            self._python.stdin.write(json.dumps(asked) + "\n")
            self._python.stdin.flush()
            code = int(self._python.stdout.readline())
            return subprocess.CompletedProcess(words, code, Path(out).read_text(), Path(err).read_text())

    def close(self):
        self._python.stdin.close()
        self._python.wait()
        self._python.stdout.close()


def _forked():
    """What one fork is asked; the first process stays here, and says how each ended."""
    for line in sys.stdin:
        if not (child := os.fork()):
            return json.loads(line)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    sys.exit()


def _prepared(asked):
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    for number, name in enumerate((os.devnull, asked["out"], asked["err"])):
        handle = os.open(name, os.O_RDWR | os.O_CREAT)
        os.dup2(handle, number)
        os.close(handle)


if __name__ == "__main__":
    for module in sys.argv[1:]:
        __import__(module)
    gc.freeze()  # nothing of it is looked through again, at the end of each fork
    asked = _forked()
    _prepared(asked)
    first, *rest = asked["words"]
    if first == "-m":
        sys.argv, sys.path[0] = rest, asked["cwd"]
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = [first, *rest], str(Path(first).absolute().parent)
        runpy.run_path(first, run_name="__main__")
