"""Parameters and gradients of every layout, files, and what can be compared of an optimizer before and after."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

torch.sparse.check_sparse_tensor_invariants.disable()  # else torch warns once that it does not check
SIZES: dict[str, tuple[int, ...]] = {
    "plain": (3,), "flat": (40,), "dot": (), "table": (4, 5), "turned": (4, 5), "block": (2, 3, 2, 2),
    "channels last": (2, 3, 2, 2), "sliced": (3, 4), "nothing": (0,),
}  # fmt: skip


def laid(values: Tensor, layout: str) -> Tensor:
    """The same values in other strides."""
    if layout in ("turned", "channels last"):
        return values.transpose(0, -1).contiguous().transpose(0, -1) if layout == "turned" else values.contiguous(
            memory_format=torch.channels_last
        )  # fmt: skip
    if layout == "sliced":
        wide = torch.full((*values.shape[:-1], 2 * values.shape[-1]), 7.0, dtype=values.dtype)
        wide[..., ::2] = values
        return wide[..., ::2]
    return values.contiguous()


def parameter(shape: str, dtype: torch.dtype, source: torch.Generator) -> nn.Parameter:
    return nn.Parameter(laid(torch.randn(SIZES[shape], generator=source).to(dtype), shape))


def whole(param: nn.Parameter) -> bool:
    """What lies between the elements of a sliced parameter is as it was."""
    if param.dim() != 2 or param.stride() != (8, 2):
        return True
    wide = torch.as_strided(param.detach(), (3, 7), (8, 1))
    return bool((wide[:, 1::2] == 7).all())


def gradient(param: Tensor, how: str, source: torch.Generator) -> Tensor:
    """Of the parameter's layout, or of another one; all alike, all zero, sparse."""
    values = torch.randn(param.shape, generator=source).to(param.dtype)
    if how == "like":
        return torch.empty_like(param).copy_(values)
    if how == "turned":
        return laid(values, "turned" if param.dim() > 1 else "plain")
    if how == "sliced":
        return laid(values, "sliced" if param.dim() else "plain")
    if how == "spread":
        return torch.randn((), generator=source).to(param.dtype).expand(param.shape)
    if how == "sparse":
        values[::2] = 0
        return values.to_sparse(1)
    return torch.zeros_like(param) if how == "zero" else values


def kept(value: Any) -> Any:
    """A copy to compare with."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {key: kept(entry) for key, entry in value.items()}
    return tuple(map(kept, value)) if isinstance(value, (list, tuple)) else value


def same(a: Any, b: Any) -> bool:
    """Bit for bit."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        dense = [t.to_dense() if isinstance(t, Tensor) and t.is_sparse else t for t in (a, b)]
        return all(isinstance(t, Tensor) for t in dense) and a.dtype == b.dtype and torch.equal(*dense)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def plain(value: Any) -> bool:
    """Tensors and plain values alone, which others may save."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and plain(entry) for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(plain, value))
    return value is None or isinstance(value, (Tensor, str, bool, int, float))
