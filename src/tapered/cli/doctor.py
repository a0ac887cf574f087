"""`tapered doctor`: what this machine has for training, what is missing, and how to get it."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rich.text import Text

from tapered.cli.terminal import DONE, FAILED, Flag, Json, console, print_json, table
from tapered.words import counted, sized

NEEDED = ("torch", "numpy", "safetensors", "optuna")
# what is used where it is there: package, its floor's extra, and what for
EXTRAS = {
    "scikit-learn": ("workloads", "built-in workloads"),
    "pillow": ("workloads", "built-in workloads"),
    "ray": ("ray", "studies on a cluster"),
    "psycopg": ("postgres", "a ledger in PostgreSQL"),
}
ROOM = 1 << 30  # bytes; with less a study of large models may end


class Found(NamedTuple):
    """One thing that was looked at: its name, what is there, how that is, and what to do where it lacks."""

    name: str
    value: str
    state: Literal["ok", "lacking", "wrong"] = "ok"
    remedy: str = ""


def doctor(
    folder: Path = Path(),
    /,
    *,
    as_json: Json = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Show what there is to train with, what is missing, and how to get it; exit code 1 where something is wrong.

    Args:
        folder: Where results are to be kept.
        as_json: Print one JSON object.
        debug: Show a traceback when something fails.
    """
    found = [*_versions(), *_machine(), *_devices(), _compiler(), *_folder(folder)]
    if as_json:
        print_json({each.name: {"value": each.value, "state": each.state, "remedy": each.remedy} for each in found})
    else:
        out = console(stderr=False)
        rows = [(each.name, each.value, "" if each.state == "ok" else each.state) for each in found]
        out.print(table(rows, header=False, words=True))
        for each in found:
            if each.remedy:
                out.print(Text(f"- {each.name}: {each.remedy}"))
    return FAILED if any(each.state == "wrong" for each in found) else DONE


def _versions() -> Iterator[Found]:
    yield Found("tapered", metadata.version("tapered"))
    yield Found("Python", f"{platform.python_version()}, {sys.executable}")
    for name in NEEDED:
        yield Found(name, metadata.version(name))
    for name, (extra, purpose) in EXTRAS.items():
        try:
            yield Found(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Found(name, "not installed", "lacking", f"{purpose}: pip install 'tapered[{extra}]'")


def _machine() -> Iterator[Found]:
    import torch  # noqa: PLC0415 - seconds, which --help need not wait for

    from tapered import kind  # noqa: PLC0415 - as above
    from tapered.machines import cores  # noqa: PLC0415 - as above
    from tapered.training.capacity import free_memory  # noqa: PLC0415 - as above

    yield Found("system", f"{platform.system()} {platform.release()} on {platform.machine()}")
    yield Found("cores", f"{cores()}, of which torch takes {counted(torch.get_num_threads(), 'thread')}")
    yield Found("free memory", sized(free_memory()))
    blas: Any = torch.backends.mkl
    yield Found("BLAS", "MKL" if blas.is_available() else "the one that torch was built with")
    here = kind.here()
    yield Found("vectors", here["vectors"])
    yield Found("kind", f"{here['bits']}: the same word means the same last bits")


def _devices() -> Iterator[Found]:
    import torch  # noqa: PLC0415 - as above

    for place in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(place)
        yield Found(f"cuda:{place}", f"{about.name}, {sized(about.total_memory)}")
    if torch.backends.mps.is_available():
        yield Found("mps", "Apple's GPU")
    if not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        built = torch.version.cuda
        remedy = "" if built else "this torch is built for processors alone; see pytorch.org for others"
        yield Found("GPU", "none that torch sees", "lacking", remedy)


def _compiler() -> Found:
    """Whether a graph compiles and gives the right numbers, tried."""
    import torch  # noqa: PLC0415 - as above

    from tapered.training import program  # noqa: PLC0415 - as above

    found = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    try:
        program.compiled_alone(torch.nn.Softplus())
    except Exception as error:  # noqa: BLE001 - the compiler's errors share no class
        why = str(error).strip().splitlines()[0][:100] if str(error).strip() else type(error).__name__
        remedy = "rows are trained stacked, not in one graph: install g++" if found is None else why
        return Found("compiler", str(found or "none"), "lacking", remedy)
    return Found("compiler", f"{found}, compiles")


def _folder(folder: Path) -> Iterator[Found]:
    where = str(folder.absolute())
    try:
        with tempfile.TemporaryDirectory(dir=folder):
            pass
    except OSError as error:
        yield Found("folder", where, "wrong", f"it takes no files ({error.strerror}); go to another, or name one")
        return
    free = shutil.disk_usage(folder).free
    yield Found("folder", where)
    yield Found("free disk", sized(free), "ok" if free > ROOM else "wrong", "" if free > ROOM else "make room")
