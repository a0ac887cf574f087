"""Rows of every precision beside plain torch loops: one update is one rounding, in whatever numbers a model counts.

In double precision nothing hides: what differs by more than 1e-12 is no rounding, whatever corners a network has.
"""

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from models import convolution, perceptron
from torch import nn
from torch.utils.data import TensorDataset

from tapered import Workload, rules
from tapered.schedules import exponential_decay
from tapered.training.advance import Mode, advance, evaluate
from tapered.training.rows import start, tabulate

LOOP, ROWS, COMPILED = Mode("loop", 1, "tried"), Mode("rows", 8, "tried"), Mode("rows compiled", 8, "tried")
SEEDS, DECAY = (0, 1), 0.9
RULES = {
    "Adam": (rules.Adam(), {}, lambda params: torch.optim.Adam(params, fused=not params[0].is_complex())),
    "AdamW": (rules.Adam(decay="decoupled"), {"weight_decay": 0.1}, lambda p: torch.optim.AdamW(p, weight_decay=0.1)),
    "SGD": (rules.SGD(momentum=True), {"momentum": 0.9}, lambda params: torch.optim.SGD(params, momentum=0.9)),
    "RMSprop": (rules.RMSprop(), {}, torch.optim.RMSprop),
}


def plain(problem, seed, make, peak, steps):
    """A loop as anybody writes it: the model that it ends with, and its losses."""
    model, losses = problem.build(seed), []
    optimizer = make(list(model.parameters()))
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = peak * DECAY**step
        inputs, targets = (tensor[problem.batch(seed, step)] for tensor in problem.train.tensors)
        loss = problem.loss(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses


def both(problem, name, mode, steps=12, peak=0.01):
    """Rows in a mode, and the plain loop of each."""
    rule, hypers, make = RULES[name]
    path = tabulate(rule, steps, lr=peak * exponential_decay(decay_steps=1, decay_rate=DECAY), **hypers)
    rows = advance(problem, start(problem, rule, SEEDS), [path] * len(SEEDS), steps, mode=mode)
    return rows, [plain(problem, seed, make, peak, steps) for seed in SEEDS]


def doubled(single: Workload) -> Workload:
    """A workload in double precision."""

    def split(data: TensorDataset) -> TensorDataset:
        return TensorDataset(data.tensors[0].double(), data.tensors[1])

    return replace(single, model=lambda: single.model().double(), train=split(single.train), valid=split(single.valid))


def corners() -> Workload:
    """Convolutions with ReLU and the largest of four, whose corners make single precision jump."""
    return doubled(convolution())


def small() -> Workload:
    """So that it compiles in a moment."""
    return doubled(perceptron())


class Complexes(nn.Module):
    """A complex layer, and the size of what it gives."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(3, 2, dtype=torch.complex128))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x @ self.w).abs()


def complexes() -> Workload:
    x = torch.randn(40, 3, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(x, x.abs()[:, :2])
    return Workload("complexes", Complexes, nn.functional.mse_loss, data, data, batch_size=8)


@pytest.mark.parametrize(
    ("make", "name", "mode"),
    [*product([corners, complexes], RULES, [LOOP, ROWS]), (small, "Adam", COMPILED)],
)
def test_in_double_precision_every_mode_is_the_plain_loop(make, name, mode):
    problem = make()
    rows, found = both(problem, name, mode)
    values = evaluate(problem, rows, "valid", mode=mode)
    for row, (model, losses) in enumerate(found):
        for key, param in model.named_parameters():
            torch.testing.assert_close(rows.params[key][row], param.detach(), rtol=1e-12, atol=1e-13)
        assert [loss for _, loss in rows.losses[row]] == pytest.approx(losses, rel=1e-12)
        inputs, targets = problem.valid.tensors
        assert values[row]["loss"] == pytest.approx(problem.loss(model(inputs), targets).item(), rel=1e-12)


class Numbers(nn.Module):
    """Two vectors of their own precision that look at no data: their gradients have the same bits everywhere."""

    def __init__(self, first: torch.dtype, second: torch.dtype) -> None:
        super().__init__()
        near = 1 + torch.randn(50) / 256  # the squares of their gradients vanish in 16 bits
        self.first = nn.Parameter(torch.cat([near, torch.randn(50)]).to(first))
        self.second = nn.Parameter(torch.randn(50).to(second))

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return (self.first.double() - 1).square().sum() + (self.second.double() + 1).square().sum()


@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=lambda mode: mode.kind)
@pytest.mark.parametrize("name", ["Adam", "SGD"])
@pytest.mark.parametrize(
    ("dtypes", "loss"),
    [
        ((torch.float64, torch.float32), torch.float64),
        ((torch.float32, torch.float64), torch.float32),
        ((torch.bfloat16, torch.float32), torch.float32),
        ((torch.float16, torch.float16), torch.float16),
        ((torch.bfloat16, torch.bfloat16), torch.bfloat16),
    ],
)
def test_each_parameter_is_updated_in_its_own_precision(dtypes, loss, name, mode):
    data = TensorDataset(torch.zeros(16, 1), torch.zeros(16, 1))
    problem = Workload("numbers", lambda: Numbers(*dtypes), lambda out, _: out.to(loss), data, data, batch_size=8)
    rows, found = both(problem, name, mode, peak=0.02)
    for row, (model, losses) in enumerate(found):
        for key, param in model.named_parameters():
            unit = torch.finfo(param.dtype).eps
            torch.testing.assert_close(rows.params[key][row], param.detach(), rtol=8 * unit, atol=8 * unit)
        coarse = max(torch.finfo(dtype).eps for dtype in (*dtypes, loss))
        assert [value for _, value in rows.losses[row]] == pytest.approx(losses, rel=8 * coarse)


def test_a_number_of_pythons_own_keeps_its_digits():
    data = TensorDataset(torch.zeros(16, 1), torch.zeros(16, 1))
    problem = Workload(
        "thirds",
        lambda: nn.Linear(1, 1),
        nn.functional.mse_loss,
        data,
        data,
        batch_size=8,
        metrics={"third": lambda *_: 1 / 3, "pi": lambda *_: [math.pi] * 16},
    )
    found = evaluate(problem, start(problem, rules.SGD(), [0]), "valid")[0]
    assert (found["third"], found["pi"]) == (1 / 3, pytest.approx(math.pi, rel=1e-15))
