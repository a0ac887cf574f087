"""Rows as one program: parameters stacked, the model under `vmap`, the rule under `vmap`, each row at its own rate.

    gather (row, batch) -> vmap(grad_and_value(loss)) -> vmap(rule) -> written in place

Chunks of one width go through one program, the last one padded; a row's bits depend on neither its place nor its
neighbours. Compiled, the whole update is one graph.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from tapered import rules
from tapered.draws import undrawn
from tapered.rules import Rule, State
from tapered.rules.kernels import real, wide
from tapered.training import program, scalars, trees
from tapered.training.batches import Batches
from tapered.training.devices import CPU
from tapered.training.evaluation import measured
from tapered.training.gradients import accumulated, clipped
from tapered.training.losses import kept
from tapered.training.precision import cast_rows
from tapered.training.program import Step, Tensors
from tapered.training.rows import OnStep, Path, Rows
from tapered.training.shares import shares
from tapered.training.sharing import Reading, shared
from tapered.training.trees import Rebuild, taken_apart
from tapered.training.workload import Workload

How = Literal["plain", "traced", "compiled"]
# steps of a run from which on tracing, which takes as long as some hundred, is worth it; the bits are the same
TRACED = 256
EVALUATED = 32  # rows whose outputs are computed at once on the processor: what a cache holds of a small model's
BLOCK = 128  # steps whose minibatches and scalars are laid out at once


def advance(
    workload: Workload,
    rows: Rows,
    paths: Sequence[Path],
    to_step: int,
    on_step: OnStep | None,
    *,
    width: int,
    compiled: bool,
) -> Rows:
    """Train all rows, a chunk of `width` at a time; where `on_step` asks to stop, the rows stay where they are."""
    behind = [i for i in range(len(rows)) if rows.diverged[i] is None and rows.steps[i] < to_step]
    chunks = [
        group[at : at + width]
        for step in sorted({rows.steps[i] for i in behind})
        for group in [[i for i in behind if rows.steps[i] == step]]
        for at in range(0, len(group), width)
    ]
    done, places, stopped = [rows], list(range(len(rows))), False
    for chunk in chunks:
        if stopped:
            break
        begin = sum(len(part) for part in done)
        trained, stopped = _advance(workload, rows, paths, chunk, to_step, on_step, width, compiled)
        done.append(trained)
        for place, i in enumerate(chunk):
            places[i] = begin + place
    return Rows.joined(done).take(places)


def _advance(
    workload: Workload,
    rows: Rows,
    paths: Sequence[Path],
    chunk: list[int],
    to_step: int,
    on_step: OnStep | None,
    width: int,
    compiled: bool,  # noqa: FBT001 - private
) -> tuple[Rows, bool]:
    if not compiled:
        width = _padded(workload, len(chunk), width)
    padded = chunk + [chunk[0]] * (width - len(chunk))
    part = rows.take(padded)
    long = max(paths[i].steps for i in chunk) > TRACED  # however often the run is stopped, evaluated and gone on with
    how: How = "compiled" if compiled else "traced" if long else "plain"
    update = _over(make(workload, rows.rule, 0 if how == "plain" else width, how), part)
    memory, stopped = shared(workload), False
    while part.steps[0] < to_step and not stopped and any(d is None for d in part.diverged[: len(chunk)]):
        first, last = part.steps[0], min(part.steps[0] + BLOCK, to_step)
        laid_out = scalars.laid_out(workload, rows.rule, [paths[i] for i in padded], first, last, part.params)
        batches = Batches(workload, part.seeds, first, last)
        at = laid_out.unbind()
        losses: list[Tensor] = []
        while first + len(losses) < last and not stopped:
            k = len(losses)
            inputs, targets, indices = batches()
            with undrawn() if how == "plain" else nullcontext():  # of a graph no code of the model's is left
                losses.append(update(inputs, targets, indices, at[k]))
            if not memory.called:
                memory.check()
            stopped = on_step is not None and bool(on_step(len(chunk)))
        part = _after(part, torch.stack(losses).cpu().double().numpy())
    memory.check()
    return part.take(range(len(chunk))), stopped


def _over(update: Step, part: Rows) -> Callable[..., Tensor]:
    """Updates of these rows, whose tensors they write."""
    held = part.params, part.buffers, part.state
    return update.over(*held) if isinstance(update, program.Replayed) else partial(update, *held)


def operations(workload: Workload, rows: Rows, paths: Sequence[Path]) -> int:
    """How many operations the graph of one update has, as it is traced; the rows are left as they are."""
    known = make(workload, rows.rule, len(rows), "traced")
    if isinstance(known, program.Replayed) and (graph := known.traced_already()):
        return len(graph.graph.nodes)
    step = rows.steps[0]
    at = scalars.laid_out(workload, rows.rule, paths, step, step + 1, rows.params)[0]
    inputs, targets, indices = Batches(workload, rows.seeds, step, step + 1)()
    update = make(workload, rows.rule, 0, "plain")
    graph = program.traced(update, (rows.params, rows.buffers, rows.state, inputs, targets, indices, at))
    return len(graph.graph.nodes)


def _padded(workload: Workload, rows: int, width: int) -> int:
    """The width at which so many rows go through.

    On the processor the next multiple of 8: from there on a row has the same bits at any. On a device always the
    mode's, as libraries take other kernels there for more products at once.
    """
    return -(-rows // 8) * 8 if workload.recipe.place == CPU else width


def _after(part: Rows, losses: np.ndarray[Any, Any]) -> Rows:
    """The rows with these losses, (steps, rows), entered."""
    first, made = part.steps[0], len(losses)
    finite = np.isfinite(losses)
    diverged = list(part.diverged)
    for row in np.flatnonzero(~finite.all(0)):
        if diverged[row] is None:
            diverged[row] = first + int(np.argmin(finite[:, row]))
    lengths = [made if stop is None else max(stop - first, 0) for stop in diverged]
    losses_kept = kept(part.losses, first, lengths, losses)
    steps = tuple(first + made if stop is None else stop for stop in diverged)
    if len(set(steps)) > 1:  # a diverged row is carried along to the end of its chunk
        steps = tuple(first + made for _ in steps)
    counts = {name: count + made for name, count in part.counts.items()}
    latest = tuple(losses[-1].tolist())
    return replace(part, steps=steps, diverged=tuple(diverged), losses=losses_kept, latest=latest, counts=counts)


def _wide(tensor: Tensor) -> Tensor:
    """A tensor as its update is computed in, as the loop does it."""
    return wide(real(tensor))


@lru_cache(maxsize=8)
def make(workload: Workload, rule: Rule, width: int, how: How) -> Step:  # noqa: ARG001 - width is the cache's key
    """The program that updates `width` rows once, in place, and returns their losses; kept: compiling takes long."""
    reading, trained = Reading(workload, shared(workload).model), shared(workload).trained
    groups = list(enumerate(shares(workload.recipe, trained)))
    names = scalars.names(workload, rule)

    def loss(params: dict[str, Tensor], others: dict[str, Tensor], inputs: Any, targets: Any) -> tuple[Tensor, Any]:
        given = {name: tensor.clone() if name in others else tensor for name, tensor in {**params, **others}.items()}
        with cast_rows(workload.recipe):
            outputs, written = functional_call(reading, {f"model.{name}": given[name] for name in given}, (inputs,))
            return workload.loss(outputs, targets), written

    # of an objective there are no targets
    gradient = vmap(grad_and_value(loss, has_aux=True), in_dims=(0, 0, 0, None if workload.objective else 0))

    def one(param: Tensor, grad: Tensor, state: State, of: Tensors) -> tuple[Tensor, State]:
        return rules.added(*rule.terms(param, grad, state, of))

    def step(
        params: Tensors,
        buffers: Tensors,
        state: Mapping[str, State],
        inputs: Any,
        targets: Any,
        indices: Tensor,
        at_step: Tensor,
    ) -> Tensor:
        mine = {name: params[name] for name in trained}
        others = {**{name: params[name] for name in params if name not in mine}, **buffers}
        parts = torch.split(indices, workload.batch_size, dim=1)
        at_once = [(trees.row(inputs, part), trees.row(targets, part)) for part in parts]
        grads, losses, written = accumulated(gradient, workload, mine, others, at_once)
        clipped(workload.recipe, grads)
        values = dict(zip(names, at_step.unbind(), strict=True))
        for i, share in groups:
            here = {name: value for (group, name), value in values.items() if group == i}
            for name in share.names:
                at, old = _wide(params[name]), {key: _wide(tensor) for key, tensor in state[name].items()}
                of = {key: value.to(at.dtype) for key, value in here.items()}
                delta, new = vmap(one)(at, _wide(grads[name]), old, of)
                real(params[name]).add_(delta)  # rounded once, where it is stored
                for key, value in new.items():
                    real(state[name][key]).copy_(value)
        for name, buffer in buffers.items():
            buffer.copy_(written[name])
        return losses

    stacked = _as_rows(step)
    return stacked if how == "plain" else program.replayed(stacked, compiled=how == "compiled")


def _as_rows(function: Callable[..., Any]) -> Callable[..., Any]:
    """Without gradients, and with attention as plain products: torch's fused ones do not go under vmap."""

    def call(*arguments: Any) -> Any:
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
                return function(*arguments)
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)

    return call


def evaluate(
    workload: Workload, rows: Rows, split: str, width: int, places: Tensor | None = None
) -> list[dict[str, float]]:
    """The loss and every metric of each row on a split, or on some places of it."""
    found: list[dict[str, float]] = []
    for at in range(0, len(rows), width):
        chunk = list(range(at, min(at + width, len(rows))))
        padded = rows.take(chunk + [at] * (_padded(workload, len(chunk), width) - len(chunk)))
        found += _as_rows(_evaluate)(workload, padded, split, len(chunk), places)
    return found


def _evaluate(workload: Workload, rows: Rows, split: str, count: int, places: Tensor | None) -> list[dict[str, float]]:
    """Of the first so many rows; the others are padding."""
    reading = Reading(workload, workload.build(0).eval())
    weights = {name: vmap(rows.rule.readout)(p, rows.state[name]) for name, p in rows.params.items()}
    tensors = {f"model.{name}": tensor for name, tensor in {**weights, **rows.buffers}.items()}
    at_once = EVALUATED if workload.recipe.place == CPU else None

    def outputs(inputs: Any, _: Tensor, drawn: bool) -> list[Any]:  # noqa: FBT001 - as `items.evaluated` tells
        rebuilds: list[Rebuild] = []

        def one(mine: dict[str, Tensor], x: Any) -> list[Tensor]:
            with cast_rows(workload.recipe):
                parts, rebuild = taken_apart(functional_call(reading, mine, (x,))[0])
            rebuilds.append(rebuild)
            return parts

        with undrawn():
            stacked = vmap(one, in_dims=(0, 0 if drawn else None), chunk_size=at_once)(tensors, inputs)
        return [rebuilds[0]([tensor[row] for tensor in stacked]) for row in range(count)]

    return measured(workload, split, outputs, list(zip(rows.seeds, rows.steps, strict=True)), count, places)
