"""What objects remember beside parameters and buffers, found by walking them and told by digests.

    marks(model) ─► {"encoder.calls": digest, ...}      marks before, marks after ─► differing ─► what moved

A run is its tensors, a seed and a step. What else a model remembers from one step to the next would be lost at every
save, fork and evaluation, and its numbers would depend on when these come.
"""

import hashlib
import itertools
import random
import sys
import types
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Marks = dict[str, str]
Members = Iterator[tuple[str, Any]]

DEPTH = 8  # of objects within objects
MOST = 20_000  # values, so that no walk takes long
LONG = 256  # members from which on a container is looked at by its length and its ends
GENERATOR, TENSOR = "generator ", "tensor "  # how the digests of these begin
SHARED = (
    "draw from torch's, numpy.random's or Python's shared generator, which follow seed and step, or make one from them "
    "where it is used: np.random.default_rng(np.random.randint(2**31))"
)
TORCHS = frozenset(vars(nn.Module())) - {"training"}
PLAIN = (types.NoneType, bool, int, float, complex, str, bytes, torch.dtype, torch.device, itertools.count)
CONTAINERS = (dict, types.MappingProxyType, list, tuple, deque, set, frozenset)  # no others: a Mapping may read a file
# whose code and constants are not looked into
OTHERS = frozenset({"torch", "numpy", "tapered", "builtins", *sys.stdlib_module_names}) - {"__main__"}


def marks(thing: Any, *, whole: bool = True) -> Marks:
    """What a model, function or other object remembers: the place of each value -> its digest.

    Looked at are attributes, of classes too, what functions close over, and the values in their files that they name.
    A model's parameters and buffers are left out: they are a run's own.

    Args:
        thing: What is walked; it is not changed.
        whole: Read arrays; False tells them by where they lie, as reading a dataset would take long.

    >>> class Counting(nn.Linear):
    ...     calls = 0
    ...     def forward(self, x):
    ...         self.calls += 1
    ...         return super().forward(x)
    >>> model = Counting(2, 1)
    >>> before, _ = marks(model), model(torch.ones(2))
    >>> differing(before, marks(model))
    ['calls']
    """
    found: Marks = {}
    seen: dict[int, Any] = {}  # kept alive, so that no address comes twice
    left: deque[tuple[str, Any, int]] = deque([("", thing, DEPTH)])
    while left and len(found) < MOST:
        place, value, depth = left.popleft()
        digest = _digest(value, whole=whole)
        if digest is not None:
            found[place] = digest
        elif id(value) not in seen:
            seen[id(value)] = value
            found[place] = f"{type(value).__qualname__} {len(value) if isinstance(value, CONTAINERS) else ''}"
            if depth:
                left.extend((_below(place, name), part, depth - 1) for name, part in _members(value))
    return found


def differing(a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    """The places where two differ, the shortest first."""
    return sorted((name for name in {**a, **b} if a.get(name) != b.get(name)), key=lambda name: (len(name), name))


class UnsteadyError(ValueError):
    """Numbers that would depend on more than seed and step; the message names what they depend on, and the fix."""


@contextmanager
def steadily(workload: Any, *things: Any) -> Iterator[None]:
    """Run a block in which no generator that these keep for themselves may draw, since none of tapered's seeds it.

    Raises:
        UnsteadyError: If one has.
    """
    before = [_generators(thing) for thing in things]
    yield
    for thing, was in zip(things, before, strict=True):
        if moved := differing(was, _generators(thing)):
            kind = getattr(thing, "__qualname__", type(thing).__qualname__)
            raise UnsteadyError(
                f"workload {workload.name!r}: {kind} drew from {moved[0]!r}, a generator of its own, "
                f"which follows no seed of the run and is lost at every save; {SHARED}"
            )


def _generators(thing: Any) -> Marks:
    return {place: digest for place, digest in marks(thing, whole=False).items() if digest.startswith(GENERATOR)}


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _digest(value: Any, *, whole: bool) -> str | None:
    """The digest of a value that has no parts."""
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, Tensor | np.ndarray):
        return _array(value) if whole else f"{id(value)} {tuple(value.shape)} {getattr(value, '_version', 0)}"
    if isinstance(value, np.random.Generator | np.random.RandomState):
        state = value.bit_generator.state if isinstance(value, np.random.Generator) else value.get_state(legacy=False)
        return GENERATOR + _hashed(repr(sorted(_flat(state).items())))
    if isinstance(value, torch.Generator):
        return GENERATOR + _hashed(value.get_state().numpy().tobytes())
    if isinstance(value, random.Random):
        return GENERATOR + _hashed(repr(value.getstate()))
    return None


def _flat(state: Mapping[str, Any]) -> dict[str, Any]:
    """A numpy generator's state, whose arrays would print shortened, as plain values."""
    inner = {name: _flat(part) if isinstance(part, Mapping) else part for name, part in state.items()}
    return {name: part.tolist() if isinstance(part, np.ndarray) else part for name, part in inner.items()}


def _array(value: Tensor | np.ndarray[Any, Any]) -> str:
    try:
        flat = torch.as_tensor(value).detach().cpu().contiguous().view(-1)
        return f"{TENSOR}{value.dtype} {tuple(value.shape)} {_hashed(flat.view(torch.uint8).numpy().tobytes())}"
    except (RuntimeError, TypeError, ValueError):  # of objects, or left over from torch.func
        return f"{TENSOR}that cannot be read"


def _hashed(content: str | bytes) -> str:
    return hashlib.blake2b(content.encode() if isinstance(content, str) else content, digest_size=16).hexdigest()


def _members(value: Any) -> Members:
    """What a value is made of, by name."""
    if isinstance(value, types.FunctionType):
        return _of_function(value)
    if isinstance(value, types.MethodType):
        return iter([("__self__", value.__self__), ("__func__", value.__func__)])
    if isinstance(value, partial):
        return iter([("func", value.func), ("args", value.args), ("keywords", value.keywords)])
    if isinstance(value, type):
        return _of_class(value)
    if isinstance(value, CONTAINERS):
        return _of_container(value)
    return _of_object(value)


def _of_function(function: types.FunctionType) -> Members:
    if _is_others(function):
        return
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # nothing is in it yet
            continue
    yield from vars(function).items()
    for name in function.__code__.co_names:
        if name in function.__globals__ and not isinstance(function.__globals__[name], types.ModuleType):
            yield f"{function.__module__}:{name}", function.__globals__[name]


def _of_class(kind: type) -> Members:
    if not _is_others(kind):
        for name, part in list(vars(kind).items()):
            if not (name.startswith("__") and name not in ("__call__", "__init__", "__getitem__", "__len__")):
                yield name, part.__func__ if isinstance(part, staticmethod | classmethod) else part
        yield from ((base.__name__, base) for base in kind.__bases__)


def _of_container(value: Any) -> Members:
    if isinstance(value, set | frozenset):
        parts: list[Any] = sorted(map(repr, value))
    elif isinstance(value, dict | types.MappingProxyType):
        items = list(value.items())
        pairs = [*items[:8], *items[-8:]] if len(items) > LONG else items
        return iter([(str(key), part) for key, part in pairs])
    else:
        parts = list(value)
    return iter([(str(i), part) for i, part in enumerate(parts if len(parts) <= LONG else [*parts[:8], *parts[-8:]])])


def _of_object(value: Any) -> Members:
    """Attributes, children and class; of a module no parameters and buffers."""
    if isinstance(value, nn.Module):
        yield from value._modules.items()  # noqa: SLF001 - children by name, once each, those that are None too
        yield from ((name, hook) for hooks in _hooks(value) for name, hook in hooks)
    hidden = TORCHS if isinstance(value, nn.Module) else frozenset()
    torchs = isinstance(value, nn.Module) and type(value).__module__.startswith("torch.")  # whose own it is: views
    for name, part in list(getattr(value, "__dict__", {}).items()):
        if name not in hidden and not (torchs and name.startswith("_")):
            yield name, part
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            if hasattr(value, name) and not name.startswith("__"):
                yield name, getattr(value, name)
    yield f"({type(value).__name__})", type(value)


def _hooks(module: nn.Module) -> Iterator[list[tuple[str, Any]]]:
    for name in sorted(TORCHS):
        hooks = vars(module).get(name)
        if name.endswith("_hooks") and hooks:
            yield [(f"{name}[{i}]", hook) for i, hook in enumerate(hooks.values())]


def _is_others(thing: Any) -> bool:
    return (getattr(thing, "__module__", None) or "builtins").partition(".")[0] in OTHERS
