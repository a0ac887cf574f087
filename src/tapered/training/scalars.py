"""What a rule needs at each step and row besides tensors: rates, moments' factors, their corrections; as one tensor.

paths ─► laid_out: (steps, names, rows) ─► of a step: (names, rows)
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tapered.rules import Rule
from tapered.rules.kernels import real, wide
from tapered.training.rows import Path, Tensors
from tapered.training.shares import shares
from tapered.training.sharing import shared
from tapered.training.workload import Workload


def laid_out(workload: Workload, rule: Rule, paths: Sequence[Path], first: int, last: int, params: Tensors) -> Tensor:
    """What the rule needs at each step and row: (steps, `names`, rows), made in float64 and rounded once.

    One tensor, as a graph takes half a microsecond for each that it is given.
    """
    tables = {name: _together([path.hypers[name] for path in paths], first, last) for name in paths[0].hypers}
    t = torch.arange(first + 1, last + 1, dtype=torch.float64)[:, None]
    shape = last - first, len(paths)
    found = [value.expand(shape) for value in _named(workload, rule, tables, t).values()]
    return torch.stack(found, 1).to(_finest(params)).to(workload.recipe.place)


def names(workload: Workload, rule: Rule) -> list[tuple[int, str]]:
    """The group of parameters and the name of each scalar, as they are laid out."""
    any_hypers = {name: np.ones((1, 1)) for name in ("lr", *rule.hypers)}
    return list(_named(workload, rule, any_hypers, torch.ones(1, 1, dtype=torch.float64)))


def _together(tables: Sequence[np.ndarray[Any, Any]], first: int, last: int) -> np.ndarray[Any, Any]:
    """The values of rows at these steps, (steps, rows); (steps, 1) where all have the same table, as most hypers do."""
    alike = all(table is tables[0] for table in tables)
    return np.stack([table[first:last] for table in (tables[:1] if alike else tables)], axis=1)


def _named(
    workload: Workload, rule: Rule, tables: Mapping[str, np.ndarray[Any, Any]], t: Tensor
) -> dict[tuple[int, str], Tensor]:
    """A rule's scalars by the group of parameters, of which each has its own, and their name; in this order."""
    found = {
        (i, name): value
        for i, share in enumerate(shares(workload.recipe, shared(workload).trained))
        for name, value in rule.scalars(
            {key: torch.from_numpy(table) for key, table in share.of(tables).items()}, t
        ).items()
    }
    return dict(sorted(found.items()))


def _finest(params: Tensors) -> torch.dtype:
    """Of scalars: single precision, which every parameter of up to 32 bits is updated in, else double."""
    found = (wide(real(param[:0])).dtype for param in params.values())
    return max(found, key=lambda dtype: dtype.itemsize, default=torch.float32)
