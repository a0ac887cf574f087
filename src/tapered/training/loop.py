"""One run after another as ordinary PyTorch: any model, and what rows are measured against."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from tapered.draws import kept, reseed
from tapered.rules import recomputed
from tapered.rules.kernels import exact
from tapered.training import trees
from tapered.training.compiled import called, told
from tapered.training.devices import ahead
from tapered.training.evaluation import measured
from tapered.training.extras import pack, unpack
from tapered.training.items import Batch, purpose, updates
from tapered.training.living import GENERATOR, SHARED, Marks, UnsteadyError, differing, marks
from tapered.training.losses import keep
from tapered.training.measures import shares_of
from tapered.training.objective import forward
from tapered.training.precision import Scaling, cast
from tapered.training.recipe import Recipe
from tapered.training.rows import OnStep, Path, Rows
from tapered.training.updating import Update
from tapered.training.workload import Workload


def advance(workload: Workload, rows: Rows, paths: Sequence[Path], to_step: int, on_step: OnStep | None) -> Rows:
    """Train each row by itself; where `on_step` asks to stop, the rows stay where they are."""
    stopped, done = False, []
    for place, path in enumerate(paths):
        row = rows.take([place])
        if not stopped and row.diverged[0] is None and row.steps[0] < to_step:
            row, stopped = _train(workload, row, path, to_step, on_step)
        done.append(row)
    return Rows.joined(done)


def evaluate(workload: Workload, rows: Rows, split: str, places: Tensor | None = None) -> list[dict[str, float]]:
    """The loss and every metric of each row on a split, or on some places of it."""
    return [_evaluate(workload, rows.take([place]), split, places) for place in range(len(rows))]


def _train(workload: Workload, row: Rows, path: Path, to_step: int, on_step: OnStep | None) -> tuple[Rows, bool]:
    model = _load(workload, row.seeds[0], row).train()
    held = marks(model)
    params = {name: p for name, p in model.named_parameters() if p.requires_grad}
    state = {name: {key: value[0] for key, value in part.items()} for name, part in row.state.items()}
    # views of one vector, which kernels count up in one operation
    counts = dict(zip(row.counts, torch.cat(list(row.counts.values())).unbind(), strict=True))
    through = called(workload, model)
    scaling = _scaling(workload, model, row)
    begin = row.steps[0] - (scaling.skipped if scaling else 0)
    update = Update(workload.recipe, path, slice(begin, to_step), params, state, counts)
    losses, step, diverged, stopped = list(row.losses[0]), row.steps[0], None, False
    latest: float | Tensor = row.latest[0]
    at_once, waiting = ahead(workload.recipe.place), list[Tensor]()
    with kept(), told(workload), closing(updates(workload, row.seeds, step, to_step)) as batches:
        while step < to_step and diverged is None and not stopped:
            try:
                value = step_of(workload, through, row.seeds[0], step, next(batches), scaling, read=at_once == 1)
            except Exception:  # of a model that has diverged, perhaps, and was not looked at since
                diverged = _looked(losses, waiting, step) if waiting else None
                if diverged is None:
                    raise
                break
            if isinstance(value, Tensor):  # on its way to be computed, while the next step is begun
                waiting.append(value)
                update() if scaling is None else scaling.made(update)
                step += 1
                diverged = _looked(losses, waiting, step) if len(waiting) == at_once else None
            elif isfinite(value):
                keep(losses, step, value)
                update() if scaling is None else scaling.made(update)
                step += 1
            else:
                diverged = step
            latest = value
            stopped = on_step is not None and bool(on_step(1))
        if waiting:
            diverged = _looked(losses, waiting, step)
    step = step if diverged is None else diverged
    found = replace(
        row,
        steps=(step,),
        losses=(tuple(losses),),
        latest=(float(latest),),
        diverged=(diverged,),
        scaler=scaling.state() if scaling else {},
    )
    trained = _holding(found, model, state, counts)
    _check_shapes(workload, row, trained)
    if diverged is None and step > row.steps[0] and marks(model) != held:
        _check_nothing_lost(workload, model, trained, held)
    return trained, stopped


def _holding(
    row: Rows, model: nn.Module, state: Mapping[str, Mapping[str, Tensor]], counts: Mapping[str, Tensor]
) -> Rows:
    """The row with what a model and its update hold."""
    return replace(
        row,
        params={name: p.detach()[None] for name, p in model.named_parameters()},
        buffers={name: b.detach().clone()[None] for name, b in model.named_buffers()},
        state={name: {key: value[None] for key, value in part.items()} for name, part in state.items()},
        counts={name: count.clone()[None] for name, count in counts.items()},
        extra=(pack(model),),
    )


def _looked(losses: list[tuple[int, float]], waiting: list[Tensor], step: int) -> int | None:
    """Keep the losses of the steps before this one, which are read at once; the first that is not finite, if any."""
    first = step - len(waiting)
    values = torch.stack(waiting).tolist()
    waiting.clear()
    for k, value in enumerate(values):
        if not isfinite(value):
            return first + k
        keep(losses, first + k, value)
    return None


def _check_shapes(workload: Workload, before: Rows, after: Rows) -> None:
    """A fresh model must have a place for all that this one has come to hold."""
    for kind, mine, theirs in (("parameter", before.params, after.params), ("buffer", before.buffers, after.buffers)):
        for name in {**mine, **theirs}:
            was, now = (_describe(part[name][0]) if name in part else "none" for part in (mine, theirs))
            if was != now:
                raise UnsteadyError(
                    f"workload {workload.name!r}: {kind} {name!r} became {now} in training and was {was}, so that a "
                    f"model built anew, as after every save, has no place for it; give it its shape in __init__"
                )


def _check_nothing_lost(workload: Workload, model: nn.Module, row: Rows, held: Marks) -> None:
    """What a model remembers of its minibatch alone is no loss: a fresh one comes to hold the same at the next step.

    So both make that step. Where loss, gradients and all that they remember agree, they go on alike for good.
    """
    now = marks(model)
    ends = []
    with kept():
        for one in (model, _load(workload, row.seeds[0], row).train()):
            loss = step_of(workload, one, row.seeds[0], row.steps[0], scaling=_scaling(workload, one, row))
            ends.append((marks([loss, *(p.grad for p in one.parameters())]), marks(one)))
    if ends[0] != ends[1]:
        place = (differing(ends[0][1], ends[1][1]) or differing(held, now))[0]
        name = [part for part in re.split("[.:]", place) if not part.isdecimal()][-1:]
        fix = f"keep it as a tensor by register_buffer({', '.join(map(repr, name))}, ...) or give the module "
        raise UnsteadyError(
            f"the {type(model).__name__} of workload {workload.name!r} remembers {place!r} from one step to the next, "
            f"which is no parameter and no buffer, so that every save, fork and evaluation would lose it; "
            + (SHARED if now.get(place, "").startswith(GENERATOR) else f"{fix}get_extra_state and set_extra_state")
        )


def _scaling(workload: Workload, model: nn.Module, row: Rows) -> Scaling | None:
    """Float16's scaler where the row stands; None in another precision."""
    if not row.scaler:
        return None
    trained = [p for p in model.parameters() if p.requires_grad]
    return Scaling(workload.recipe, trained, {name: value[0] for name, value in row.scaler.items()})


def step_of(
    workload: Workload,
    model: nn.Module,
    seed: int,
    step: int,
    batches: Sequence[Batch] | None = None,
    scaling: Scaling | None = None,
    *,
    read: bool = True,
) -> float | Tensor:
    """The loss of a step, the mean over its minibatches, and the gradients that its update uses; no update is made.

    Where it is not finite there are none. Unless it is to be read it stays where it is computed, a float64 tensor, and
    there are gradients whatever it is. The minibatches are fetched where they are not given.
    """
    if batches is None:
        batches = next(updates(workload, [seed], step, step + 1))
    reseed(seed, "step", step)
    shares = [1.0] if len(batches) == 1 else shares_of(workload, batches)
    total: float | Tensor = 0.0
    for (inputs, targets), share in zip(batches, shares, strict=True):
        with cast(workload.recipe):
            loss = _loss(workload, forward(workload, model, inputs), targets, step)
        total = total + share * (loss.item() if read else exact(loss.detach()).reshape(()))
        if read and not isfinite(total):
            return total
        if share:  # of a minibatch that weighs nothing there may be no gradient
            part = loss if share == 1 else share * loss
            (part if scaling is None else scaling.scaled(part)).backward()  # type: ignore[no-untyped-call]  # torch's
    if scaling is not None:
        scaling.unscale()
    _clip(workload.recipe, model)
    return total


def _clip(recipe: Recipe, model: nn.Module) -> None:
    if recipe.clip_norm is None and recipe.clip_value is None:
        return
    trained = [p for p in model.parameters() if p.grad is not None]
    if recipe.clip_norm is not None:
        nn.utils.clip_grad_norm_(trained, recipe.clip_norm)
    if recipe.clip_value is not None:
        nn.utils.clip_grad_value_(trained, recipe.clip_value)


def _loss(workload: Workload, outputs: Any, targets: Any, step: int) -> Tensor:
    loss = workload.loss(outputs, targets)
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise TypeError(
            f"workload {workload.name!r}: {'loss' if workload.objective is None else 'objective'} returned "
            f"{_describe(loss)} at step {step}; expected a scalar tensor; try loss.mean()"
        )
    return loss


def _describe(value: object) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)


def _load(workload: Workload, seed: int, row: Rows) -> nn.Module:
    """A fresh model with the row's parameters and buffers copied in."""
    model = workload.build(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(row.params[name][0])
        for name, b in model.named_buffers():
            b.copy_(row.buffers[name][0])
    unpack(model, row.extra[0])
    return model


def _evaluate(workload: Workload, row: Rows, split: str, places: Tensor | None) -> dict[str, float]:
    seed, step = row.seeds[0], row.steps[0]
    state = {name: {key: value[0] for key, value in part.items()} for name, part in row.state.items()}
    weights = {name: row.rule.readout(p[0], state[name])[None] for name, p in row.params.items()}
    model = _load(workload, seed, replace(row, params=weights))
    through = called(workload, model)

    def outputs(inputs: Any, indices: Tensor, _: object) -> list[Any]:
        reseed(seed, purpose("", int(indices[0])), step)
        with torch.set_grad_enabled(workload.derivatives), cast(workload.recipe):
            found = forward(workload, through, inputs, evaluating=True)
        return [trees.detached(found) if workload.derivatives else found]

    with torch.no_grad(), kept(), told(workload):
        if recomputed(row.rule):
            with closing(updates(workload, [seed], 0, workload.steps_per_epoch)) as batches:
                update_bn(range(workload.steps_per_epoch), _Epoch(workload, model, seed, batches))
        through.eval()
        return measured(workload, split, outputs, [(seed, step)], 1, places)[0]


class _Epoch(nn.Module):
    """A model whose inputs are steps, each a minibatch of the seed's first epoch: what BatchNorm is to have seen."""

    def __init__(self, workload: Workload, model: nn.Module, seed: int, batches: Iterator[list[Batch]]) -> None:
        super().__init__()
        self.workload, self.model, self.seed, self.batches = workload, model, seed, batches

    def forward(self, step: int) -> None:
        found = next(self.batches)
        reseed(self.seed, "step", step)
        with torch.set_grad_enabled(self.workload.derivatives), cast(self.workload.recipe):
            for inputs, _ in found:
                forward(self.workload, self.model, inputs)


def gradients(workload: Workload, row: Rows) -> tuple[float, dict[str, Tensor]]:
    """The loss of a single row's next minibatch, and its gradients by parameter: what its next update would use."""
    model = _load(workload, row.seeds[0], row).train()
    with kept():
        loss = step_of(workload, model, row.seeds[0], row.steps[0], scaling=_scaling(workload, model, row))
    return float(loss), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
