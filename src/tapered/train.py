"""Training: rows advance along paths, from any step to any later one.

    start(workload, rule, seed) ─► Row ─┐
                                        ├─► advance(..., to_step) ─► Row ─► advance ─► ...
    schedules ─► Path ──────────────────┘

A row is a value: parameters, buffers, rule state and step count. ``advance`` reads rows and returns new ones, so that a
row can be kept, saved, or continued along several paths.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tapered.kernels import prepare
from tapered.rules import Rule, State
from tapered.workload import Workload, gather, generator_seed, seeded

LOSSES_KEPT = 256
EVALUATION_BATCH = 4096
OnStep = Callable[[int], bool | None]


@dataclass(frozen=True)
class Row:
    """The state of one run after ``step`` updates.

    Args:
        rule: The arithmetic that ``state`` belongs to.
        seed: What initial weights, minibatches and dropout follow.
        step: Completed updates.
        params: Parameter name -> tensor, as ``model.named_parameters()`` names them.
        buffers: Buffer name -> tensor, those that are not saved in a state dict included.
        state: Parameter name -> the rule's state tensors.
        counts: Parameter name -> completed updates of that parameter, float32, shape (). A parameter without a
            gradient is not updated, so its count may stay behind ``step``.
        losses: (step, training loss of that minibatch before the update): at most ``LOSSES_KEPT`` evenly spaced points.
        diverged: The step whose loss was not finite; None if there was none. A diverged row is a result: it keeps the
            state in which that loss was computed, and it is not trained any further.
    """

    rule: Rule
    seed: int
    step: int
    params: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    state: Mapping[str, State]
    counts: Mapping[str, Tensor]
    losses: tuple[tuple[int, float], ...] = ()
    diverged: int | None = None


@dataclass(frozen=True, eq=False)
class Path:
    """A rule and the value of each of its hypers at each step: name -> float64 array, index = step."""

    rule: Rule
    hypers: Mapping[str, NDArray[np.float64]]

    def __post_init__(self) -> None:
        """Refuse a path that lacks a hyper, has one too many, or has values that are not numbers."""
        wanted = {"lr", *self.rule.hypers}
        if set(self.hypers) != wanted:
            raise ValueError(
                f"a path for {self.rule} got hypers {sorted(self.hypers)}; expected {sorted(wanted)}; "
                f"try tabulate(rule, steps, lr=schedule), which fills in the defaults"
            )
        for name, values in self.hypers.items():
            bad = np.flatnonzero(~np.isfinite(values))
            if len(bad):
                raise ValueError(f"hyper {name!r} is {values[bad[0]]} at step {bad[0]}; expected finite numbers")

    @property
    def steps(self) -> int:
        """The steps it covers."""
        return min(len(values) for values in self.hypers.values())


def tabulate(rule: Rule, steps: int, **hypers: Any) -> Path:
    """The path of a rule over ``steps`` steps; each hyper a number or a schedule, defaults where left out.

    Raises:
        ValueError: If ``rule`` has no such hyper, ``lr`` is missing, or a value is not finite.

    >>> from tapered import rules
    >>> tabulate(rules.SGD(), 3, lr=0.5).hypers["lr"]
    array([0.5, 0.5, 0.5])
    """
    values = {**rule.hypers, **hypers}
    return Path(rule, {name: _table(value, steps) for name, value in values.items()})


def _table(value: Any, steps: int) -> NDArray[np.float64]:
    if hasattr(value, "table"):
        return np.asarray(value.table(steps), dtype=np.float64)
    return np.full(steps, float(value))


def start(workload: Workload, rule: Rule, seed: int) -> Row:
    """The row of ``seed`` before its first update.

    >>> from tapered import rules
    >>> from tapered.workload import quadratic
    >>> start(quadratic(), rules.Adam(), seed=0).step
    0
    """
    model = workload.build(seed)
    params = {name: p.detach().clone() for name, p in model.named_parameters()}
    return Row(
        rule=rule,
        seed=seed,
        step=0,
        params=params,
        buffers={name: b.detach().clone() for name, b in model.named_buffers()},
        state={name: rule.init(p) for name, p in params.items()},
        counts={name: torch.zeros(()) for name in params},
    )


def advance(
    workload: Workload,
    rows: Sequence[Row],
    paths: Sequence[Path],
    to_step: int,
    *,
    on_step: OnStep | None = None,
) -> list[Row]:
    """Train each row along its path until ``to_step`` updates are done.

    The rows given are not written. Advancing to 100 and then to 200 gives the same bits as advancing to 200. A row
    whose loss is not finite is marked and left; the others go on. Torch runs with deterministic algorithms meanwhile.

    Args:
        workload: What is trained.
        rows: Rows of this workload, at any steps.
        paths: One for each row, covering its steps.
        to_step: Completed updates to reach; a row that is there already is returned as it is.
        on_step: Called with the number of updates made since the last call, over all rows. If it returns True,
            training stops there and the rows are returned where they are.

    Raises:
        ValueError: If a path does not fit its row or ends before ``to_step``.
        TypeError: If the loss is not a scalar tensor.

    >>> from tapered import rules
    >>> from tapered.workload import quadratic
    >>> problem, rule = quadratic(), rules.SGD()
    >>> [row] = advance(problem, [start(problem, rule, seed=0)], [tabulate(rule, 50, lr=0.05)], 50)
    >>> row.step, evaluate(problem, row, "valid")["loss"] < 5
    (50, True)
    """
    _check(rows, paths, to_step)
    stop = _Stop(on_step)
    with _deterministic():
        return [
            row if stop.asked else _train(workload, row, path, to_step, stop)
            for row, path in zip(rows, paths, strict=True)
        ]


def evaluate(workload: Workload, row: Row, split: str) -> dict[str, float]:
    """The loss and every metric of a row on a split, each a mean over its examples, in evaluation mode.

    Rules that keep an average of the weights are evaluated at it (``rule.readout``).

    Raises:
        ValueError: If the workload has no such split.
    """
    dataset = workload.split(split)
    weights = {name: row.rule.readout(p, row.state[name]) for name, p in row.params.items()}
    model = _load(workload, replace(row, params=weights)).eval()
    functions = {"loss": workload.loss, **workload.metrics}
    sums = dict.fromkeys(functions, 0.0)
    size = len(dataset)  # type: ignore[arg-type]  # torch's Dataset declares no __len__
    with torch.no_grad(), seeded(row.seed, "evaluate", row.step):
        for indices in torch.split(torch.arange(size), EVALUATION_BATCH):
            inputs, targets = gather(dataset, indices)
            outputs = model(inputs)
            for name, function in functions.items():
                sums[name] += float(function(outputs, targets)) * len(indices)
    return {name: total / size for name, total in sums.items()}


class _Stop:
    """Whether the caller has asked to stop."""

    def __init__(self, on_step: OnStep | None) -> None:
        self.on_step = on_step
        self.asked = False

    def after(self, updates: int) -> bool:
        if self.on_step is not None and self.on_step(updates):
            self.asked = True
        return self.asked


def _check(rows: Sequence[Row], paths: Sequence[Path], to_step: int) -> None:
    if len(rows) != len(paths):
        raise ValueError(f"got {len(rows)} rows and {len(paths)} paths; expected one path for each row")
    for row, path in zip(rows, paths, strict=True):
        if row.rule != path.rule:
            raise ValueError(f"a row of {row.rule} got a path of {path.rule}; expected the same rule")
        if path.steps < to_step:
            raise ValueError(f"a path covers {path.steps} steps; expected at least to_step={to_step}")


def _train(workload: Workload, row: Row, path: Path, to_step: int, stop: _Stop) -> Row:
    """One row as ordinary PyTorch."""
    if row.diverged is not None or row.step >= to_step:
        return row
    model = _load(workload, row).train()
    params = {name: p for name, p in model.named_parameters() if p.requires_grad}
    state = {name: {key: value.clone() for key, value in part.items()} for name, part in row.state.items()}
    # views of one vector, which kernels count up in one operation
    counts = dict(zip(row.counts, torch.stack(list(row.counts.values())).unbind(), strict=True))
    update = _Update(path, params, state, counts)
    losses, step, diverged = list(row.losses), row.step, None
    with torch.random.fork_rng(devices=[]):
        while step < to_step and diverged is None:
            loss = _loss(workload, model, row.seed, step)
            value = loss.item()
            if isfinite(value):
                _keep(losses, step, value)
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                update(step)
                step += 1
            else:
                diverged = step
            if stop.after(1):
                break
    return replace(
        row,
        step=step,
        params={name: p.detach() for name, p in model.named_parameters()},
        buffers=dict(model.named_buffers()),
        state=state,
        counts={name: count.clone() for name, count in counts.items()},
        losses=tuple(losses),
        diverged=diverged,
    )


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
    """The rule on the parameters that have a gradient; prepared again only when that set changes."""

    def __init__(
        self, path: Path, params: dict[str, nn.Parameter], state: dict[str, State], counts: dict[str, Tensor]
    ) -> None:
        self.params, self.state, self.counts, self.rule = params, state, counts, path.rule
        columns = [values.tolist() for values in path.hypers.values()]
        self.hypers = [dict(zip(path.hypers, values, strict=True)) for values in zip(*columns, strict=False)]
        self.names: list[str] = []

    def __call__(self, step: int) -> None:
        names = [name for name, p in self.params.items() if p.grad is not None]
        if names != self.names:
            self.names = names
            params, states = [self.params[n].data for n in names], [self.state[n] for n in names]
            self.apply = prepare(self.rule, params, states, [self.counts[n] for n in names])
        self.apply([self.params[n].grad for n in names], self.hypers[step])  # type: ignore[misc]  # none is None
        for name in names:
            self.params[name].grad = None


def _load(workload: Workload, row: Row) -> nn.Module:
    """A fresh model with the row's parameters and buffers copied in."""
    model = workload.build(row.seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(row.params[name])
        for name, b in model.named_buffers():
            b.copy_(row.buffers[name])
    return model


def _keep(losses: list[tuple[int, float]], step: int, value: float) -> None:
    """Keep the losses at multiples of a stride, which doubles whenever ``LOSSES_KEPT`` points are full."""
    stride = losses[1][0] - losses[0][0] if len(losses) > 1 else 1
    if step % stride == 0:
        if len(losses) == LOSSES_KEPT:
            del losses[1::2]
            if step % (2 * stride):
                return
        losses.append((step, value))


@contextmanager
def _deterministic() -> Iterator[None]:
    """Torch's deterministic algorithms, and the caller's settings after."""
    memory: Any = torch.utils.deterministic
    before, fill = torch.get_deterministic_debug_mode(), memory.fill_uninitialized_memory
    # "error" is use_deterministic_algorithms(True) without its import of the compiler, which takes over a second
    torch.set_deterministic_debug_mode("error")
    memory.fill_uninitialized_memory = False  # it guards no result here and costs time
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
        memory.fill_uninitialized_memory = fill
