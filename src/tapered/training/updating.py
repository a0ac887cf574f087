"""One update of a row trained by itself: the rule on each group of parameters, step after step."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from tapered.rules import State
from tapered.rules.following import apart
from tapered.rules.kernels import prepare
from tapered.training.recipe import Recipe
from tapered.training.rows import Path
from tapered.training.shares import shares


class Update:
    """The rule on the parameters that have a gradient, step after step, at the hypers of their groups."""

    def __init__(
        self,
        recipe: Recipe,
        path: Path,
        span: slice,
        params: dict[str, nn.Parameter],
        state: dict[str, State],
        counts: dict[str, Tensor],
    ) -> None:
        self.parts = [
            _Part(path, share.of(path.hypers), span, {name: params[name] for name in share.names}, state, counts)
            for share in shares(recipe, params)
        ]

    def __call__(self) -> None:
        """Update every parameter that has a gradient, and forget the gradients."""
        for part in self.parts:
            part()


class _Part:
    """The parameters of one group; prepared anew only when those that have a gradient change."""

    def __init__(
        self,
        path: Path,
        tables: Mapping[str, Any],
        span: slice,
        params: dict[str, nn.Parameter],
        state: dict[str, State],
        counts: dict[str, Tensor],
    ) -> None:
        self.params, self.counts = params, counts
        self.rule, self.state, self.move = apart(path.rule, params, {name: state[name] for name in params})
        columns = [values[span].tolist() for values in tables.values()]
        self.hypers = iter([dict(zip(tables, values, strict=True)) for values in zip(*columns, strict=True)])
        self.names: list[str] = []

    def __call__(self) -> None:
        names, hypers = [name for name, p in self.params.items() if p.grad is not None], next(self.hypers)
        if names != self.names:
            self.names = names
            params, states = [self.params[n].data for n in names], [self.state[n] for n in names]
            self.apply = prepare(self.rule, params, states, [self.counts[n] for n in names])
        if names:
            self.apply([self.params[n].grad for n in names], hypers)  # type: ignore[misc]  # none is None
        self.move(hypers)
        for name in names:
            self.params[name].grad = None
