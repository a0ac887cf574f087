"""One run after another as ordinary PyTorch: any model, and what rows are measured against."""

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite

import torch
from torch import Tensor, nn

from tapered.draws import generator_seed, seeded
from tapered.evaluation import measured
from tapered.kernels import prepare
from tapered.rows import OnStep, Path, Rows, keep
from tapered.rules import State
from tapered.workload import Workload, gather


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
    params = {name: p for name, p in model.named_parameters() if p.requires_grad}
    state = {name: {key: value[0] for key, value in part.items()} for name, part in row.state.items()}
    # views of one vector, which kernels count up in one operation
    counts = dict(zip(row.counts, torch.cat(list(row.counts.values())).unbind(), strict=True))
    update = _Update(path, slice(row.steps[0], to_step), params, state, counts)
    losses, step, diverged, stopped = list(row.losses[0]), row.steps[0], None, False
    with torch.random.fork_rng(devices=[]):
        while step < to_step and diverged is None and not stopped:
            loss = _loss(workload, model, row.seeds[0], step)
            value = loss.item()
            if isfinite(value):
                keep(losses, step, value)
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                update()
                step += 1
            else:
                diverged = step
            stopped = on_step is not None and bool(on_step(1))
    trained = replace(
        row,
        steps=(step,),
        params={name: p.detach()[None] for name, p in model.named_parameters()},
        buffers={name: b[None] for name, b in model.named_buffers()},
        state={name: {key: value[None] for key, value in part.items()} for name, part in state.items()},
        counts={name: count.clone()[None] for name, count in counts.items()},
        losses=(tuple(losses),),
        diverged=(diverged,),
    )
    return trained, stopped


def _loss(workload: Workload, model: nn.Module, seed: int, step: int) -> Tensor:
    # torch.manual_seed also looks for other devices and takes 100 times as long
    torch.default_generator.manual_seed(generator_seed(seed, "step", step))
    inputs, targets = gather(workload.train, workload.batch(seed, step))
    loss = workload.loss(model(inputs), targets)
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise TypeError(
            f"workload {workload.name!r}: loss returned {_describe(loss)} at step {step}; expected a scalar tensor; "
            f"try loss.mean()"
        )
    return loss


def _describe(value: object) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)


class _Update:
    """The rule on the parameters that have a gradient, step after step; prepared anew only when that set changes."""

    def __init__(
        self,
        path: Path,
        span: slice,
        params: dict[str, nn.Parameter],
        state: dict[str, State],
        counts: dict[str, Tensor],
    ) -> None:
        self.params, self.state, self.counts, self.rule = params, state, counts, path.rule
        columns = [values[span].tolist() for values in path.hypers.values()]
        self.hypers = iter([dict(zip(path.hypers, values, strict=True)) for values in zip(*columns, strict=True)])
        self.names: list[str] = []

    def __call__(self) -> None:
        names = [name for name, p in self.params.items() if p.grad is not None]
        if names != self.names:
            self.names = names
            params, states = [self.params[n].data for n in names], [self.state[n] for n in names]
            self.apply = prepare(self.rule, params, states, [self.counts[n] for n in names])
        self.apply([self.params[n].grad for n in names], next(self.hypers))  # type: ignore[misc]  # none is None
        for name in names:
            self.params[name].grad = None


def _load(workload: Workload, seed: int, row: Rows) -> nn.Module:
    """A fresh model with the row's parameters and buffers copied in."""
    model = workload.build(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(row.params[name][0])
        for name, b in model.named_buffers():
            b.copy_(row.buffers[name][0])
    return model


def _evaluate(workload: Workload, row: Rows, split: str, places: Tensor | None) -> dict[str, float]:
    state = {name: {key: value[0] for key, value in part.items()} for name, part in row.state.items()}
    weights = {name: row.rule.readout(p[0], state[name])[None] for name, p in row.params.items()}
    model = _load(workload, row.seeds[0], replace(row, params=weights)).eval()
    with torch.no_grad(), seeded(row.seeds[0], "evaluate", row.steps[0]):
        return measured(workload, split, lambda inputs: [model(inputs)], 1, places)[0]


def gradients(workload: Workload, row: Rows) -> tuple[float, dict[str, Tensor]]:
    """The loss of a single row's next minibatch, and its gradients by parameter: what its next update would use."""
    model = _load(workload, row.seeds[0], row).train()
    with torch.random.fork_rng(devices=[]):
        loss = _loss(workload, model, row.seeds[0], row.steps[0])
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return loss.item(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
