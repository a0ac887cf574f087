"""A workload of a notebook's cells as a file: the text of its function, and of all that this uses.

def problem(): ... ─► Cells: functions, classes, imports, plain values ─► studies/cells/problem-HASH.py ─► "FILE:NAME"

What runs is that file, read and hashed as every other, so that nothing of a kernel's memory is part of a study: what
the text does not say is refused by name.
"""

import ast
import builtins
import hashlib
import linecache
import symtable
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from inspect import unwrap
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from tapered.files.whole import replace
from tapered.training.workload import Workload

FOLDER = Path("studies", "cells")
HEADER = (
    "# Cells of a notebook, as tapered found them: this text is what a study trains. Other cells write another file.\n"
)
LONGEST = 10_000  # letters of a plain value
ELSEWHERE = ("torch", "torch.nn.functional")  # whose functions of C do not say so
WRITE = 'write the cell to a file, with %%writefile mine.py as its first line, and give "mine.py:{0}"'
Functions = FunctionType | type


def written(given: Any) -> Any:
    """A function or class of cells as "FILE:NAME", its file written in studies/cells; all else stays as it is.

    Raises:
        TypeError: It is a workload itself, or uses what no file can have.
        OSError: The file cannot be written.
    """
    if isinstance(given, Workload):
        raise TypeError(
            f"got the Workload {given.name!r} itself, and a study keeps the code that makes one, which an object does "
            f"not have; try a function of it, def problem(): return Workload(...), and workload=problem; or "
            f"{WRITE.format('problem')}"
        )
    if not isinstance(given, (FunctionType, type)):
        return given
    name, module = given.__name__, sys.modules.get(given.__module__)
    if given.__module__ != "__main__" and getattr(module, name, None) is given and getattr(module, "__file__", None):
        return f"{_beside(Path(str(module.__file__)))}:{name}"  # type: ignore[union-attr]  # it has one
    text = Cells(name).text(given)
    path = FOLDER / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.py"
    if not path.is_file() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, text.encode())
    return f"{path.as_posix()}:{name}"


def _beside(path: Path) -> str:
    return (path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path).as_posix()


class Cells:
    """What a function of cells uses, as it is come upon.

    Args:
        name: Of the function, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name, self._seen = name, set[str]()
        self._imports = set[str]()
        self._parts: list[str] = []

    def text(self, found: Functions) -> str:
        """All of it as the text of a file.

        Raises:
            TypeError: It uses what no file can have.
        """
        self._add(found.__name__, found)
        parts = [HEADER + "\n".join(sorted(self._imports)), *self._parts]
        return "\n\n\n".join(part for part in parts if part) + "\n"

    def _add(self, name: str, value: Any) -> None:
        """What stands under a name, after what it uses itself."""
        if name in self._seen:
            return
        self._seen.add(name)
        if isinstance(value, ModuleType):
            self._imports.add(f"import {value.__name__} as {name}")
        elif isinstance(value, (FunctionType, type)) and value.__module__ == "__main__":
            own = value.__name__
            if own == name:
                self._defined(value)
            elif own == "<lambda>":
                raise self._refused(f"{name}, a lambda, whose text is no statement of its own; make it a def")
            elif vars(sys.modules["__main__"]).get(own) is value:
                self._add(own, value)
                self._parts.append(f"{name} = {own}")
            else:
                raise self._refused(f"{name}, which was defined as {own}, a name of something else now; define it anew")
        elif (module := _home(value)) is not None:
            self._imports.add(f"from {module} import {value.__name__} as {name}")
        elif _is_plain(value):
            self._parts.append(f"{name} = {value!r}")
        else:
            raise self._refused(
                f"{name}, a {type(value).__name__} that is in this notebook's memory alone; make it inside a function"
            )

    def _defined(self, value: Functions) -> None:
        plain = unwrap(value) if isinstance(value, FunctionType) else value
        if isinstance(plain, FunctionType) and plain.__code__.co_freevars:
            names = ", ".join(plain.__code__.co_freevars)
            raise self._refused(
                f"{plain.__name__}, which holds {names} of the function that made it; pass it as a default"
            )
        text = self._source(plain)
        here = plain.__globals__ if isinstance(plain, FunctionType) else vars(sys.modules["__main__"])
        for name in dict.fromkeys(_used(symtable.symtable(text, "<cell>", "exec"), top=True)):
            if name in here and (here[name] is not getattr(builtins, name, here)):
                self._add(name, here[name])
        self._imports |= {f"import {name}" for name in _modules(text, here)}
        self._parts.append(text)

    def _source(self, found: Functions) -> str:
        """Its text, as the cell has it.

        Raises:
            TypeError: No cell has it, several have, or what it is has been changed since.
        """
        codes = [found.__code__] if isinstance(found, FunctionType) else [*_methods(found)]
        texts = {text for file in _files(codes) for text in _texts(file, found.__name__, codes)}
        if len(texts) == 1:
            return texts.pop()
        if texts:
            raise self._refused(f"{found.__name__}, which cells define in {len(texts)} ways; restart the kernel")
        raise self._refused(
            f"{found.__name__}, whose text is in no cell; define it in one, by def or class, with its methods"
        )

    def _refused(self, why: str) -> TypeError:
        return TypeError(f"workload={self._name} uses {why}; or {WRITE.format(self._name)}")


def _methods(found: type) -> Iterator[CodeType]:
    """The code of a class's own methods; none of those that a decorator made of no file."""
    for value in vars(found).values():
        plain = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if isinstance(plain, FunctionType) and linecache.getlines(unwrap(plain).__code__.co_filename):
            yield unwrap(plain).__code__


def _files(codes: Sequence[CodeType]) -> list[str]:
    """Where a text may be: the cell of the code, or, of a class without any, all cells that there are."""
    cells = [file for file, entry in linecache.cache.items() if len(entry) > 1 and entry[1] is None]
    return [*dict.fromkeys(code.co_filename for code in codes)] or cells


def _texts(file: str, name: str, codes: Sequence[CodeType]) -> Iterator[str]:
    """The texts of what a cell defines under a name, where these codes lie in them."""
    text = "".join(linecache.getlines(file))
    for node in _definitions(text, name):
        first, last = min([node.lineno, *(each.lineno for each in node.decorator_list)]), node.end_lineno or 0
        if all(code.co_filename == file and first <= code.co_firstlineno <= last for code in codes):
            yield textwrap.dedent("".join(text.splitlines(keepends=True)[first - 1 : last])).rstrip()


def _definitions(text: str, name: str) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    try:
        every = ast.walk(ast.parse(text))
    except SyntaxError:
        return
    yield from (node for node in every if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name)


def _used(table: symtable.SymbolTable, *, top: bool) -> Iterator[str]:
    """The names that a text takes from around it."""
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (not symbol.is_assigned() if top else symbol.is_global()):
            yield symbol.get_name()
    for child in table.get_children():
        yield from _used(child, top=False)


def _modules(text: str, here: Mapping[str, Any]) -> Iterator[str]:
    """The modules that a text reaches as parts of others, as sklearn.datasets."""
    for node in ast.walk(ast.parse(text)):
        root, _, rest = ast.unparse(node).partition(".") if isinstance(node, ast.Attribute) else ("", "", "")
        above = here.get(root)
        if isinstance(above, ModuleType) and f"{above.__name__}.{rest}" in sys.modules:
            yield f"{above.__name__}.{rest}"


def _home(value: Any) -> str | None:
    """The module from which a function or class can be imported by its name; None where there is none."""
    name = getattr(value, "__name__", None)
    if not isinstance(name, str):
        return None
    for module in (getattr(value, "__module__", None), *ELSEWHERE):
        if module != "__main__" and getattr(sys.modules.get(str(module)), name, None) is value:
            return str(module)
    return None


def _is_plain(value: Any) -> bool:
    """Whether a value is what its text says: numbers, texts, and what holds only them."""
    text = repr(value)
    try:
        return len(text) <= LONGEST and type(value) in PLAIN and repr(ast.literal_eval(text)) == text
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False


PLAIN: Mapping[type, None] = dict.fromkeys((bool, int, float, complex, str, bytes, type(None), tuple, list, dict, set))
