"""Which vector instructions a graph is compiled for: those that the processor says it has, without trying each first.

Torch compiles and loads a small program for each kind of vectors before its first graph, one after another: 8 of the 15
seconds that the first graph of a small perceptron takes. What the processor has it knows without; whether the compiler
knows them as well shows when the graph itself is compiled.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")
_unknown: list[str] = []  # why the compiler was no good with them, in this process


def known(compile_with: Callable[[Mapping[str, Any]], T]) -> T:
    """What a compilation returns with the options for the processor's vectors, or, where it fails so, with torch's own.

    Args:
        compile_with: Compiles with these options beside its own.
    """
    from torch._inductor import config, cpu_vec_isa  # noqa: PLC0415 - a second, only where one compiles

    if config.cpp.vec_isa_ok is None and not _unknown:
        try:
            return compile_with({"cpp.vec_isa_ok": True})
        except Exception as error:  # noqa: BLE001 - the compiler's errors share no class; what is wrong is raised again
            cpu_vec_isa.valid_vec_isa_list.cache_clear()
            found = compile_with({})
            _unknown.append(str(error))
            return found
    return compile_with({})
