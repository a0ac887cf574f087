"""Whether what was seen on two sides is the same."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tolerance:
    """How many times torch.testing's own tolerance for a dtype is allowed."""

    times: float = 1.0

    def of(self, dtype: torch.dtype) -> dict[str, float]:
        if not (dtype.is_floating_point or dtype.is_complex):
            return {"rtol": 0.0, "atol": 0.0}
        rtol, atol = torch.testing._comparison.get_tolerances(dtype, rtol=None, atol=None)
        return {"rtol": self.times * rtol, "atol": self.times * atol}


class Most(float):
    """A number that ours may not exceed by more than a hundredth."""

    __slots__ = ()


def differs(theirs: Any, ours: Any, tolerance: Tolerance) -> str:
    """What differs, in words; nothing where ours shows what theirs shows, and perhaps more."""
    if isinstance(theirs, Tensor) and isinstance(ours, Tensor):
        return tensors(theirs, ours, tolerance)
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return dicts(theirs, ours, tolerance)
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        return first(zip(range(len(theirs)), theirs, ours, strict=True), tolerance)
    if isinstance(theirs, Most):
        return f"torch's {theirs:.3g}, ours {ours:.3g}" if ours > 1.01 * theirs else ""
    if number(theirs) and number(ours):
        return tensors(torch.tensor(theirs).double(), torch.tensor(ours).double(), tolerance)
    return "" if type(theirs) is type(ours) and theirs == ours else f"torch has {theirs!r:.60}, ours {ours!r:.60}"


def number(value: Any) -> bool:
    """0 and 0.0 are one number; True is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def dicts(theirs: dict[Any, Any], ours: dict[Any, Any], tolerance: Tolerance) -> str:
    """What torch has, but for None."""
    given = {key: value for key, value in theirs.items() if value is not None}
    missing = [key for key in given if key not in ours]
    return f"{missing} missing" if missing else first(((k, v, ours[k]) for k, v in given.items()), tolerance)


def first(entries: Iterable[tuple[Any, Any, Any]], tolerance: Tolerance) -> str:
    """The first entry that differs, by its key."""
    found = ((key, differs(a, b, tolerance)) for key, a, b in entries)
    return next((f"[{key!r}]{' ' * (said[0] != '[')}{said}" for key, said in found if said), "")


def tensors(theirs: Tensor, ours: Tensor, tolerance: Tolerance) -> str:
    """Shape, dtype and place, then the numbers; torch keeps a count on the CPU or on the GPU, as its flags have it."""
    for what in ("shape", "dtype", "device"):
        a, b = getattr(theirs, what), getattr(ours, what)
        if a != b and not (what == "device" and theirs.dim() == 0):
            return f"{what} {b}, torch's {a}"
    ours = ours.to(theirs.device)
    if theirs.is_meta or torch.allclose(theirs, ours, **tolerance.of(theirs.dtype), equal_nan=True):
        return ""
    far = (theirs - ours).abs()[~(theirs.isnan() & ours.isnan())]
    return f"{far.nan_to_num(torch.inf).max().item():.3g} apart of {theirs.abs().nan_to_num(0).max().item():.3g}"


def pairs(right: Any, found: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """Every tensor and number of the one, and its counterpart in the other."""
    if isinstance(right, Tensor):
        yield right.cpu(), found.cpu()
    elif number(right):
        yield torch.tensor(right).double(), torch.tensor(found).double()
    elif isinstance(right, dict):
        for key, value in right.items():
            yield from pairs(value, found[key])
    elif isinstance(right, (list, tuple)):
        for a, b in zip(right, found, strict=True):
            yield from pairs(a, b)


def nearer(right: list[Any], ours: list[Any], theirs: list[Any]) -> bool:
    """Tensor by tensor, ours has fewer numbers that are not finite than torch, or is no further from the right ones.

    But for a few roundings of the largest number: each update that is stored makes one.
    """
    for (a, b), (_, c) in zip(pairs(right, ours), pairs(right, theirs), strict=True):
        if a.numel() and a.is_floating_point():
            bad, far = missed(a, b)
            most, limit = missed(a, c)
            roundings = 4 * max(torch.finfo(b.dtype).eps, 1e-8) * a.abs().max()
            if bad > most or (bad == most and far > limit + roundings):
                return False
    return True


def missed(right: Tensor, found: Tensor) -> tuple[int, Tensor]:
    """How many numbers are not finite, and how far the others are at most."""
    far = (found.to(right.dtype) - right).abs()
    return int((~far.isfinite()).sum()), far.nan_to_num(0, 0).max()
