"""The code that a workload's numbers depend on beside its own file: every module that is in no installed package.

    model.py ── import helper ──► helper.py ── from lib import loss ──► lib/loss.py       name -> SHA-256 of the file
        ╰── whatever else its running brought in

Imports are read from the text, wherever they stand, so that one inside a function counts, and nothing runs for it. What
is imported by other means is found among what came into `sys.modules` while the workload was made.
"""

import ast
import hashlib
import importlib.machinery
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import tapered

SUFFIXES = (".py", ".so", ".pyd")
_brought: dict[Path, set[str]] = {}  # a workload's file -> names of modules that running it has brought in


@contextmanager
def watched(file: Path) -> Iterator[None]:
    """Remember the modules that come in meanwhile as those of a workload's file."""
    before = set(sys.modules)
    try:
        yield
    finally:
        _brought.setdefault(file.resolve(), set()).update(sys.modules.keys() - before)


def beside(file: Path) -> dict[str, str]:
    """The other files of a workload's code, by their path from its folder or module's name, with their SHA-256."""
    file = file.resolve()
    found: dict[Path, str] = {}
    waiting = [*_imports(file, ""), *_brought.get(file, ())]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        path = _file_of(name, file.parent)
        if path is None or path == file or path in found or not _is_own(path):
            continue
        found[path] = name
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += _imports(path, package)
    named = {_shown(path, name, file.parent): path for path, name in found.items()}
    return {name: digest(named[name]) for name in sorted(named)}


def changed(file: Path, known: Mapping[str, str]) -> list[str]:
    """Those of the files that a workload's code was that are others now; nothing runs to find out."""
    now = beside(file)
    return [name for name in known if now.get(name, digest(file.resolve().parent / name)) != known[name]]


def digest(path: Path) -> str:
    """Twenty hex digits of a file's SHA-256; what it is instead where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:20]
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _imports(path: Path, package: str) -> list[str]:
    """The modules that a file's text imports, anywhere in it, with the packages that they lie in."""
    if path.suffix != ".py":
        return []
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):  # who runs it will say so
        return []
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    every = {".".join(name.split(".")[: i + 1]) for name in names for i in range(name.count(".") + 1)}
    return sorted(name for name in every if name)


def _file_of(name: str, folder: Path) -> Path | None:
    """The file of a module: the one in use where it was imported already, else where it would be found; none runs."""
    module = sys.modules.get(name)
    where = _found(name, folder) if module is None else getattr(module, "__file__", None)
    return Path(where).resolve() if where and str(where).endswith(SUFFIXES) else None


def _found(name: str, folder: Path) -> str | None:
    parent = name.rpartition(".")[0]
    if parent:
        above = _file_of(parent, folder)
        places = [str(above.parent)] if above is not None and above.name == "__init__.py" else []
        places = places or [str(Path(place, *parent.split("."))) for place in (str(folder), *sys.path)]
    else:
        places = [str(folder), *sys.path]
    try:
        spec = importlib.machinery.PathFinder.find_spec(name, places)
    except KeyError:  # of a package without a file, below another such that is not imported
        return None
    return None if spec is None or not spec.has_location else spec.origin


def _is_own(path: Path) -> bool:
    """Whether a file belongs to nobody's installed package, nor to Python or this library, whose versions are known."""
    return not any(path.is_relative_to(place) for place in _installed())


@cache
def _installed() -> tuple[Path, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    places = {sysconfig.get_path(name) for name in names} | {*site.getsitepackages(), site.getusersitepackages()}
    places |= {path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")}  # by a .pth file
    return (*(Path(place).resolve() for place in places if place), Path(tapered.__file__).resolve().parent)


def _shown(path: Path, name: str, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else name
