"""Rows of items that are dicts and tuples of tensors: the numbers of the loop and of the same data as two tensors."""

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from tapered import Workload, rules
from tapered.schedules import exponential_decay
from tapered.training import modes
from tapered.training.advance import Mode, advance, evaluate
from tapered.training.rows import start, tabulate

MODES = [Mode("loop", 1, "tried"), Mode("rows", 8, "tried"), Mode("rows compiled", 8, "tried")]
X = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
Y = torch.stack([X[:, 0].sin() + X[:, 4], X[:, 1].exp()], dim=1)  # what is looked for, and what it weighs


class Items(Dataset):
    """A dict of parts of a row, one of them nested, whose names come in any order; two numbers beside it."""

    def __init__(self, *extra) -> None:
        self.extra = extra

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, i):
        parts = {"a": X[i, :2], "b": X[i, 2:4], "rest": {"c": X[i, 4:]}}
        turned = {"b": parts["b"], "a": parts["a"], "rest": parts["rest"]}
        return (turned if i % 2 else parts, *self.extra), (Y[i, 0], Y[i, 1].item())


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, inputs):
        if isinstance(inputs, (tuple, list)):
            (parts, *_) = inputs
            inputs = torch.cat([parts["a"], parts["b"], parts["rest"]["c"]], dim=-1)
        return self.layers(inputs).squeeze(-1)


def loss(outputs, targets):
    y, weights = targets if isinstance(targets, (tuple, list)) else targets.unbind(-1)
    return (weights * (outputs - y) ** 2).mean()


def problem(data) -> Workload:
    return Workload("parts", Model, loss, data, data, batch_size=8)


def trained(data, mode, covered):
    rule, workload = rules.SGD(momentum=True), problem(data)
    path = tabulate(rule, covered, lr=exponential_decay(0.05, 1, 0.9), momentum=0.9)
    rows = advance(workload, start(workload, rule, [0, 1, 2]), [path] * 3, 8, mode=mode)
    return rows, evaluate(workload, rows, "valid", mode=mode)


@pytest.mark.parametrize(
    ("mode", "covered"),
    [(MODES[1], 8), (MODES[1], 300), (MODES[2], 8)],
    ids=["rows", "rows traced", "rows compiled"],
)
def test_parts_give_the_numbers_of_one_tensor(mode, covered):
    plain, expected = trained(TensorDataset(X, Y), MODES[0], covered)
    rows, values = trained(Items(), mode, covered)
    for name, tensor in plain.params.items():
        torch.testing.assert_close(rows.params[name], tensor, rtol=1e-5, atol=1e-6)
    for row, value in enumerate(values):
        assert value["loss"] == pytest.approx(expected[row]["loss"], rel=1e-5)
        assert [x for _, x in rows.losses[row]] == pytest.approx([x for _, x in plain.losses[row]], rel=1e-5)


def test_parts_can_be_asked_to_be_stacked():
    assert modes.fixed(problem(Items()), rules.SGD(), "rows", rows=64, steps=20).mode.kind == "rows"


def test_a_text_among_the_parts_is_no_tensor():
    with pytest.raises(modes.ModeError, match="its input holds a str, and rows take tensors, or dicts and tuples of"):
        modes.fixed(problem(Items("name")), rules.SGD(), "rows", rows=64, steps=20)
