"""Trees of plain values and tensors to JSON and a flat table of tensors, and back.

    {"lr": nan, "m": tensor, 3: (1, 2)}  ─►  {"~dict": [["lr", {"~float": "nan"}], ["m", {"~tensor": "part/m"}], ...]}
                                             {"part/m": tensor}

JSON has no NaN, no tuple and no key but text; those are written as an object with one key that begins with "~". Two
places that hold the same view of the same memory name one tensor.
"""

import math
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tapered.files.errors import CheckpointError, DamagedError

# what safetensors writes under every release that is allowed here; other types travel as their bytes
NATIVE = {
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool,
}  # fmt: skip
SEQUENCES: Mapping[str, type] = {"~tuple": tuple, "~set": set, "~frozenset": frozenset}
DEPTH = 100  # of trees; deeper ones could be written, and not be read by Python, whose stack is short
BITS = 14_280  # of an int: 4,299 digits; Python reads no longer one
TAGS: dict[type, str] = {tuple: "~tuple", torch.Size: "~tuple", set: "~set", frozenset: "~frozenset"}


class Encoder:
    """Collects the tensors of one checkpoint while its trees are written."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._known: dict[tuple[Any, ...], str] = {}
        self._depth = 0
        self._alive: list[Tensor] = []  # memory that is freed meanwhile could be another tensor's next

    def encode(self, value: Any, path: str) -> Any:
        """The JSON of a tree.

        Raises:
            CheckpointError: with the path and type of what is neither a tensor nor a plain value.
        """
        if type(value) is int and value.bit_length() > BITS:
            raise CheckpointError(f"`{path:.200}` is a number of more than {BITS} bits; give it as text or a tensor")
        if value is None or type(value) in (bool, str, int):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"~float": repr(value)}
        with self._deeper(path):
            return self._nested(value, path)

    @contextmanager
    def _deeper(self, path: str) -> Iterator[None]:
        if self._depth >= DEPTH:
            raise CheckpointError(
                f"`{path:.200}` is nested more than {DEPTH} levels deep, or holds itself; give a flatter tree"
            )
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def _nested(self, value: Any, path: str) -> Any:
        if type(value) is list:
            return [self.encode(item, f"{path}/{i}") for i, item in enumerate(value)]
        if type(value) in TAGS:
            return {TAGS[type(value)]: [self.encode(item, f"{path}/{i}") for i, item in enumerate(value)]}
        if isinstance(value, (dict, Mapping)):
            return self._mapping(value, path)
        if isinstance(value, Tensor):
            return self._tensor(value, path)
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc" and in_torch(value.dtype):
            array = np.asarray(value)
            return {"~array": self._tensor(torch.from_numpy(np.array(array, array.dtype.newbyteorder("="))), path)}
        if type(value) is complex:
            return {"~complex": [self.encode(part, path) for part in (value.real, value.imag)]}
        raise CheckpointError(
            f"`{path}` holds {_described(value)}; a checkpoint takes tensors and plain values (numbers, text, None, "
            f"lists, tuples, dicts of them); leave it out, or give its state_dict()"
        )

    def _mapping(self, value: Mapping[Any, Any], path: str) -> Any:
        plain = all(type(key) is str and not key.startswith("~") for key in value)
        if plain and type(value) is not Counter:
            return {key: self.encode(item, f"{path}/{key}") for key, item in value.items()}
        pairs = [[self.encode(key, path), self.encode(item, f"{path}/{key}")] for key, item in value.items()]
        return {"~counter" if type(value) is Counter else "~dict": pairs}

    def _tensor(self, value: Tensor, path: str) -> dict[str, Any]:
        if type(value) not in (Tensor, nn.Parameter, nn.Buffer) or value.layout != torch.strided or value.is_meta:
            raise CheckpointError(
                f"`{path}` is {_described(value)} ({value.layout}, on {value.device}); a checkpoint takes dense "
                f"tensors that hold numbers; try .to_dense(), .full_tensor() or .dequantize() before"
            )
        value = value.detach()
        key = (value.device, value.data_ptr(), tuple(value.shape), value.stride(), value.dtype)
        name = self._known.get(key) if value.numel() else None
        if name is None:
            # as safetensors takes it: text that UTF-8 has, and not its own key
            name = path if path.isprintable() and path != "__metadata__" else ascii(path)
            while name in self.tensors:
                name += "~"
            self.tensors[name] = value
            self._known[key] = name
            self._alive.append(value)
        found: dict[str, Any] = {"~tensor": name}
        if value.dtype not in NATIVE:
            found |= {"dtype": str(value.dtype).removeprefix("torch."), "shape": list(value.shape)}
        if permuted(value):
            found["stride"] = list(value.stride())
        return found


def in_torch(dtype: np.dtype[Any]) -> bool:
    """Whether torch has it; numpy's long double it has not."""
    try:
        torch.from_numpy(np.empty(0, dtype.newbyteorder("=")))
    except TypeError:
        return False
    return True


def permuted(value: Tensor) -> bool:
    """Dense, but in another order of memory: channels_last, a transposed matrix. Fused kernels read memory's order."""
    return not value.is_contiguous() and torch.empty_like(value, device="meta").stride() == value.stride()


def plain(value: Tensor) -> Tensor:
    """A tensor as safetensors takes it: a copy of its own, on the CPU, contiguous, of a native type."""
    value = value.resolve_conj().resolve_neg().to("cpu").clone(memory_format=torch.contiguous_format)
    return value if value.dtype in NATIVE else value.reshape(-1).view(torch.uint8)


def decode(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree that was written.

    Raises:
        DamagedError: the JSON names a tensor that is not there, or is not what `Encoder` writes.
    """
    if isinstance(value, list):
        return [decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    tag = next(iter(value), "")
    if not tag.startswith("~"):
        return {key: decode(item, tensors) for key, item in value.items()}
    try:
        return _tagged(tag, value, tensors)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, IndexError) as error:
        raise DamagedError(f"its state is not what was written ({type(error).__name__}: {error})") from error


def _tagged(tag: str, value: dict[str, Any], tensors: Mapping[str, Tensor]) -> Any:
    held = value[tag]
    if tag == "~float":
        return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[held]
    if tag in SEQUENCES:
        return SEQUENCES[tag](decode(item, tensors) for item in held)
    if tag in ("~dict", "~counter"):
        pairs = [(decode(key, tensors), decode(item, tensors)) for key, item in held]
        return Counter(dict(pairs)) if tag == "~counter" else dict(pairs)
    if tag == "~complex":
        return complex(*(decode(part, tensors) for part in held))
    if tag == "~array":
        array = decode(held, tensors).numpy()
        return array[()] if array.ndim == 0 else array
    if tag == "~tensor":
        return _restored(tensors[held], value)
    raise KeyError(tag)


def _restored(tensor: Tensor, entry: Mapping[str, Any]) -> Tensor:
    if "dtype" in entry:
        dtype = getattr(torch, entry["dtype"])
        tensor = torch.empty(0, dtype=dtype) if not tensor.numel() else tensor.view(dtype)
        tensor = tensor.reshape(entry["shape"])
    if "stride" in entry:
        layout = torch.empty_strided(tensor.shape, entry["stride"], dtype=tensor.dtype, device="meta")
        if not permuted(layout):  # numbers outside a tensor's own memory
            raise ValueError(f"stride {entry['stride']}")
        return torch.empty_strided(tensor.shape, entry["stride"], dtype=tensor.dtype).copy_(tensor)
    return tensor


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every tensor and plain value of a tree with its path."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{path}/{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from leaves(item, f"{path}/{i}" if path else str(i))
    else:
        yield path, value


def copied(value: Any) -> Any:
    """A tree whose tensors are copies."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, OrderedDict):  # a module's, which carries versions beside
        found = OrderedDict((key, copied(item)) for key, item in value.items())
        vars(found).update(vars(value))
        return found
    if isinstance(value, dict):
        return type(value)({key: copied(item) for key, item in value.items()})
    if type(value) in (list, tuple):
        return type(value)(copied(item) for item in value)
    return value


def same(one: Any, other: Any) -> bool:
    """Whether two leaves are the same bits; NaN is NaN."""
    if isinstance(one, (Tensor, np.ndarray, np.generic)) or isinstance(other, (Tensor, np.ndarray, np.generic)):
        one, other = torch.as_tensor(one).detach().cpu(), torch.as_tensor(other).detach().cpu()
        return (one.shape, one.dtype) == (other.shape, other.dtype) and bool(
            torch.equal(plain(one).reshape(-1).view(torch.uint8), plain(other).reshape(-1).view(torch.uint8))
        )
    return bool(one == other) or (isinstance(one, float) and isinstance(other, float) and one != one and other != other)  # noqa: PLR0124 - NaN


def _described(value: Any) -> str:
    text = repr(value) if not isinstance(value, Tensor) else ""
    return f"a {type(value).__name__}" + (f", {text:.60}" if text else "")
