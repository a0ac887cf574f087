"""python -m tapered.scripts.witness see|set train.py ARGS...: runs a script, with hooks on torch's optimizers.

    TAPERED_RUN, train.py ─► as `python train.py` runs it ─► applied.csv, witness.jsonl

see: the rate of every update is written down. set: it is also the one that is asked, whatever the script's own
scheduler says; each group keeps the ratio to the first one's rate with which it was made. `-m module` is taken, too.
Torch is not imported before the script imports it, so that what a script sets first (threads, devices) holds.
"""

import importlib.abc
import importlib.util
import os
import runpy
import sys
import types
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from typing import Any

from tapered.scripts.current import VARIABLE, ScriptRun, run_in
from tapered.scripts.errors import ScriptError

USAGE = "usage: python -m tapered.scripts.witness see|set (FILE | -m MODULE) [ARGUMENTS]"
OPTIMIZERS = "torch.optim.optimizer"
INSTALLED: list[Path] = []


def install(run: ScriptRun, rate: str) -> None:
    """Witness this process from now on, once; before torch's optimizers are imported, or after.

    Args:
        run: what is asked.
        rate: "see" or "set".
    """
    if INSTALLED:
        return
    INSTALLED.append(run.folder)
    if hasattr(sys.modules.get(OPTIMIZERS), "Optimizer"):
        _watch(run, rate)
    else:
        sys.meta_path.insert(0, _Waiting(lambda: _watch(run, rate)))


def _watch(run: ScriptRun, rate: str) -> None:
    """From the first optimizer on that is made; torch has imported all of itself by then."""
    from tapered.scripts.making import watch_making  # noqa: PLC0415  # needs torch

    watch_making(run, sets=rate == "set")


class _Waiting(importlib.abc.MetaPathFinder):
    """Calls something as soon as torch's optimizers are imported."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002  # Python's call
        target: types.ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname != OPTIMIZERS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def executed(module: types.ModuleType) -> None:
                execute(module)
                self._then()

            spec.loader.exec_module = executed  # type: ignore[method-assign]  # of this loader alone
        return spec


def main(words: Sequence[str]) -> None:
    """Run a script as Python would.

    Args:
        words: as on the command line, from `see` or `set` on.

    Raises:
        SystemExit: the words are not those of `USAGE`, or there is no run; and where the script raises it.
    """
    rate, *rest = words or [""]
    if rate not in ("see", "set") or not rest or (rest[0] == "-m" and len(rest) == 1):
        raise SystemExit(USAGE)
    folder = os.environ.get(VARIABLE)
    if not folder:
        raise SystemExit(f"{VARIABLE} is not set; it names the folder of a run, and `tapered study` sets it")
    try:
        install(run_in(Path(folder).resolve()), rate)
    except ScriptError as error:
        raise SystemExit(str(error)) from None
    if rest[0] == "-m":
        sys.argv = rest[1:]
        runpy.run_module(rest[1], run_name="__main__", alter_sys=True)
    else:
        _run(rest)


def _run(words: Sequence[str]) -> None:
    """What `python FILE ...` does: the file's folder leads the path, and its names are those of `__main__`."""
    sys.argv = list(words)
    path = Path(words[0]).absolute()
    if not path.is_file():
        if not path.is_dir():
            raise SystemExit(f"there is no file {words[0]}, from {Path.cwd()}")
        runpy.run_path(words[0], run_name="__main__")
        return
    if not sys.flags.safe_path:
        sys.path[0] = str(path.resolve().parent)
    module = types.ModuleType("__main__")
    names: dict[str, Any] = {"__file__": str(path), "__cached__": None, "__builtins__": __builtins__}
    loader = SourceFileLoader("__main__", str(path))
    vars(module).update(names, __loader__=loader, __spec__=None)
    sys.modules["__main__"] = module  # for good: threads, pickles and workers look it up there
    exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), vars(module))  # noqa: S102  # the user's


if __name__ == "__main__":
    from tapered.scripts.witness import main as run_main  # the module's own, which `current_run` sees, too

    run_main(sys.argv[1:])
