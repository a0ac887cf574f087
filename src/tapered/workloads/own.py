"""A workload of one's own, "file.py:name": its file is read and hashed first, and what ran is what was hashed.

    "mine.py:problem" ─► find ─► Source (path, name, bytes, hash) ─► make(options) ─► a Workload

Only a Workload, or a function or class that the file itself defines, is taken from it: what it merely imports is not,
so that no text can call `os.system`.
"""

import hashlib
import inspect
import os
import shlex
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import torch

from tapered.draws import seeded
from tapered.files.errors import CheckpointError
from tapered.training.workload import Workload
from tapered.words import suggest
from tapered.workloads import named

BUILT_IN = "built in"


class StudyFileError(ValueError):
    """A study file that cannot be read as a study; the message names the field, the value and the fix."""


@dataclass(frozen=True)
class Source:
    """A name in a Python file that was read and has not run yet.

    Args:
        text: As it was written.
        path: The file.
        name: What of it.
        code: The file's bytes.
    """

    text: str
    path: Path
    name: str
    code: bytes

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.code).hexdigest()

    def check(self, expected: str) -> None:
        """Compare the file with what it was.

        Raises:
            CheckpointError: It has another hash.
        """
        if self.hash != expected:
            raise CheckpointError(
                f"the workload's file {self.text} has changed since the run began, and its numbers with it; restore "
                f"the file, or begin another run"
            )

    def make(self, options: Mapping[str, Any]) -> Workload:
        """Run the file, and call what it defines under the name.

        Raises:
            StudyFileError: it raised, ended the process, or has no such workload.
        """
        found = self._found(self._module())
        with contained(f"workload={self.text!r}"):
            return called(found, self.text, options)

    def _module(self) -> ModuleType:
        module = ModuleType(f"{self.path.stem}_{self.hash[:12]}")
        module.__file__ = str(self.path)
        sys.modules[module.__name__] = module  # dataclasses look there for annotations; none is imported by such a name
        if (beside := str(self.path.parent.resolve())) not in sys.path:
            sys.path.insert(0, beside)  # what lies beside it can be imported, as under `python file.py`
        with contained(f"workload={self.text!r}: {self.path}"):
            try:
                # the bytes that were hashed: the import system would prefer a compiled file beside it
                exec(compile(self.code, str(self.path), "exec", dont_inherit=True), vars(module))  # noqa: S102
            except Exception as error:
                raise StudyFileError(
                    f"workload={self.text!r}: {self.path} raised {type(error).__name__}: {error}"
                ) from error
        return module

    def _found(self, module: ModuleType) -> Any:
        if self.name not in vars(module):
            raise StudyFileError(
                f"workload={self.text!r}: {self.path} defines no {self.name!r}; {suggest(self.name, vars(module))}"
            )
        found = vars(module)[self.name]
        if callable(found) and not isinstance(found, Workload) and not _defined(found, module):
            raise StudyFileError(
                f"workload={self.text!r}: {self.name} is only imported into {self.path}; expected a Workload, or a "
                f"function that the file itself defines; try def problem(): return {self.name}()"
            )
        return found


def _defined(found: Any, module: ModuleType) -> bool:
    """Whether a file defines a function, perhaps under decorators that say what they wrap, or a class."""
    if isinstance(found, type):
        return found.__module__ == module.__name__
    plain = inspect.unwrap(found)
    return isinstance(plain, FunctionType) and plain.__globals__ is vars(module)


def find(text: str, folder: Path = Path()) -> Source:
    """The file and the name that a text names; nothing of it runs.

    Args:
        text: "file.py:name".
        folder: Where paths start.

    Raises:
        StudyFileError: There is no such file, or it is no Python file.
    """
    file, _, name = text.rpartition(":")
    path = folder / file
    try:
        plain = stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - a name that is too long is no file, and no error
    except (OSError, ValueError):
        plain = False
    if not plain:
        raise StudyFileError(f"workload={text!r}: there is no file {path}; paths start at the study's folder")
    if path.suffix != ".py":
        raise StudyFileError(f"workload={text!r}: {path} is no Python file; expected one that ends in .py")
    return Source(text, path, name, path.read_bytes())


def called(found: Any, text: str, options: Mapping[str, Any]) -> Workload:
    """A workload as it is, or what a function of one makes of its options."""
    try:
        with seeded(0, "workload"):
            workload = found(**options) if callable(found) and not isinstance(found, Workload) else found
    except (TypeError, ValueError) as error:
        raise StudyFileError(f"workload={text!r} with {dict(options)}: {error}") from error
    if not isinstance(workload, Workload):
        kind = type(workload).__name__
        raise StudyFileError(f"workload={text!r} is {kind}; expected a Workload, or a function of one")
    return workload


@contextmanager
def contained(what: str) -> Iterator[None]:
    """Somebody's code runs: it ends no process, and leaves the folder and the threads of this one as they are."""
    threads = torch.get_num_threads()
    try:
        with seeded(0, "workload"), chdir(Path.cwd()):  # data that it draws is the same in every process
            yield
    except SystemExit as error:
        raise StudyFileError(
            f"{what} called sys.exit({error.code!r}); leave that to `if __name__ == '__main__':`"
        ) from error
    finally:
        torch.set_num_threads(threads)


def remember(text: str, options: Mapping[str, Any], source: str) -> None:
    """Keep that the user named a workload, so that a folder may ask for it."""
    file, _, name = text.rpartition(":")
    named.remember(None if source == BUILT_IN else Path(file), name, source, options)


def allowed(text: str, options: Mapping[str, Any], source: str, *, given: str | None, command: str) -> str:
    """The workload that a folder asks for, as the text to load it by, once the user has named it: nothing runs here.

    A hash in the folder is no reason to run a file, as whoever wrote the one could write the other. What is built in
    and called without arguments may always run; all else where the user ran the same file in the same place with the
    same arguments before, or names it now.

    Args:
        text: What the folder names: "bmi", or "file.py:name".
        options: What it is to be called with.
        source: The hash that the folder gives, or "built in".
        given: What the user names now; None for nothing.
        command: What was typed, to which the refusal adds what is missing.

    Raises:
        CheckpointError: The user has not named it, or something else.
    """
    builtin, name = source == BUILT_IN, text.rpartition(":")[2]
    if builtin and name != text:
        raise CheckpointError(f"the folder calls the workload {text!r} built in, which it is not")
    if given is not None:
        _check_given(given, text, source)
        remember(given, options, source)
        return given
    path = None if builtin else Path(text.rpartition(":")[0])
    if (builtin and not options) or named.known(path, name, source, options):
        return text
    place = text if path is None else f"{path.resolve()}:{name}"
    arguments = f", called with {dict(options)!r:.200}" if options else ""
    raise CheckpointError(
        f"the folder asks for the workload {place}{arguments}, which you have not run here before; a folder can name "
        f"any code: if you trust it, type {command} --workload {shlex.quote(text)}"
    )


def _check_given(given: str, text: str, source: str) -> None:
    """Refuse what a user names where it is not what the folder has."""
    name = text.rpartition(":")[2]
    if given.rpartition(":")[2] != name or (source == BUILT_IN and given != text):
        raise CheckpointError(f"got --workload {given}; the folder's workload is {text!r}; try the same name")
    if source != BUILT_IN:
        find(given).check(source)
