"""Orders that are functions, splits beside the validation split, and a validation split of which some is looked at."""

import json

import numpy as np
import pytest
import torch
from study_cases import finished, read
from torch import nn
from torch.utils.data import Subset, TensorDataset

from tapered import Workload, rules
from tapered.study.summary import summary
from tapered.training.advance import LOOP, Mode, advance, evaluate, evaluated
from tapered.training.living import UnsteadyError
from tapered.training.rows import start, tabulate
from tapered.workloads.own import StudyFileError

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True)
DATA = TensorDataset(X, Y)
WEIGHTS = torch.arange(40.0)
RULE = rules.SGD()


def problem(**fields):
    given = {"train": DATA, "valid": DATA, "batch_size": 8, "metrics": {"error": lambda o, t: (o - t).abs()[:, 0]}}
    return Workload("split", lambda: nn.Linear(4, 1), nn.functional.mse_loss, **{**given, **fields})


def weighted(seed, epoch):  # noqa: ARG001 - the draws follow them
    return torch.multinomial(WEIGHTS, 24, replacement=True)


def by_numpy(seed, epoch):
    return np.random.default_rng([seed, epoch]).integers(40, size=30)


@pytest.mark.parametrize("mode", [LOOP, Mode("rows", 8, "")], ids=lambda mode: mode.kind)
@pytest.mark.parametrize("order", [by_numpy, lambda *place: by_numpy(*place).tolist()])
def test_training_in_an_order_of_ones_own_is_a_plain_loop(mode, order):
    workload, steps = problem(order=order), 8
    assert workload.steps_per_epoch == 3
    path = tabulate(RULE, steps, lr=0.05)
    rows = advance(workload, start(workload, RULE, [2, 0]), [path] * 2, steps, mode=mode)
    model = workload.build(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for step in range(steps):
        indices = torch.from_numpy(by_numpy(2, step // 3))[step % 3 * 8 :][:8]
        optimizer.zero_grad()
        nn.functional.mse_loss(model(X[indices]), Y[indices]).backward()
        optimizer.step()
    torch.testing.assert_close(rows.params["weight"][0], model.weight.detach(), rtol=0, atol=1e-6)


def test_a_drawn_order_follows_seed_and_epoch_and_the_weights():
    workload = problem(order=weighted)
    torch.manual_seed(1)
    first = workload.batches(0, 0, 300)
    torch.manual_seed(2)
    assert torch.equal(first, problem(order=weighted).batches(0, 0, 300))
    assert not torch.equal(first[:3], first[3:6])
    assert not torch.equal(first[:3], workload.batches(1, 0, 3))
    counts = torch.bincount(first.flatten(), minlength=40) / first.numel()
    assert counts[0] == 0
    torch.testing.assert_close(counts, WEIGHTS / WEIGHTS.sum(), rtol=0, atol=0.02)
    assert workload.fingerprint() != problem().fingerprint()
    assert workload.fingerprint() == problem(order=weighted).fingerprint()


@pytest.mark.parametrize(
    ("order", "error", "message"),
    [
        (lambda *_: None, TypeError, "returned NoneType; expected the indices of an epoch"),
        (lambda *_: torch.rand(16), TypeError, "returned Tensor"),
        (lambda *_: torch.arange(40) > 3, TypeError, "returned Tensor"),
        (lambda *_: [[1, 2]], TypeError, "returned list"),
        (
            lambda *_: torch.arange(41),
            ValueError,
            "returned the index 40; expected indices of the 40 ",
        ),
        (lambda *_: [-1] * 8, ValueError, "returned the index -1"),
        (lambda *_: [], ValueError, "has 0 training examples an epoch and batch_size=8, less than one minibatch"),
        (np.random.default_rng(0).permutation(40).take, TypeError, "order"),
        (lambda *_: np.random.default_rng().permutation(40), UnsteadyError, "called twice returned other indices"),
        ("sorted", ValueError, "order='sorted'; expected one of shuffled, drawn, given, or a function"),
    ],
)
def test_orders_that_are_none_are_refused(order, error, message):
    with pytest.raises(error, match=message):
        problem(order=order)


def test_epochs_of_several_lengths_are_refused():
    workload = problem(order=lambda *place: range(16 + place[1]))
    assert workload.steps_per_epoch == 2
    with pytest.raises(ValueError, match=r"order\(0, 1\) returned 17 indices and order\(0, 0\) 16; expected as many"):
        workload.batch(0, 2)


def test_splits_beside_the_validation_split_are_evaluated_under_their_names():
    shifted = TensorDataset(X[:10] + 1, Y[:10])
    workload = problem(splits={"shifted": shifted, "one": [(X[0], Y[0])]}, test=DATA)
    rows = start(workload, RULE, [0, 1])
    assert workload.names == ("loss", "error", "shifted/loss", "shifted/error", "one/loss", "one/error")
    for mode in (LOOP, Mode("rows", 8, "")):
        for row, found in enumerate(evaluated(workload, rows, mode=mode)):
            assert tuple(found) == workload.names
            outputs = workload.build(row)(X[:10] + 1).detach()
            assert found["shifted/loss"] == pytest.approx((outputs - Y[:10]).square().mean().item(), rel=1e-5)
            assert found["shifted/error"] == pytest.approx((outputs - Y[:10]).abs().mean().item(), rel=1e-5)
            assert found["loss"] == pytest.approx(evaluate(workload, rows, "valid")[row]["loss"], rel=1e-6)
            assert set(evaluate(workload, rows, "test")[row]) == {"loss", "error"}
    other = problem(splits={"shifted": TensorDataset(X[:10] + 2, Y[:10]), "one": [(X[0], Y[0])]}, test=DATA)
    changed = {name for name, text in other.fingerprints().items() if text != workload.fingerprints()[name]}
    assert changed == {"splits.shifted"}


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"splits": DATA}, TypeError, "splits=TensorDataset; expected names and datasets"),
        ({"splits": {"valid": DATA}}, ValueError, "the split 'valid' in splits"),
        ({"splits": {3: DATA}}, ValueError, "the split 3 in splits"),
        ({"splits": {"a": []}}, ValueError, "empty a split"),
        ({"splits": {"a": DATA}, "metrics": {"a/loss": len}}, ValueError, "two numbers under the name 'a/loss'"),
        ({"valid_size": 0}, ValueError, "valid_size=0; expected how many of the 40 examples of valid"),
        ({"valid_size": 41}, ValueError, "valid_size=41"),
        ({"valid_size": True}, ValueError, "valid_size=True"),
    ],
)
def test_splits_and_sizes_that_are_none_are_refused(fields, error, message):
    with pytest.raises(error, match=message):
        problem(**fields)


def test_some_of_the_validation_split_is_the_same_for_everyone():
    some, pairs = problem(valid_size=10), list(zip(X, Y, strict=True))
    assert len(some.valid) == 10
    places = [int((x == X).all(1).nonzero()) for x in some.valid.tensors[0]]
    assert places == sorted(set(places)) != list(range(10))
    listed = problem(valid=pairs, valid_size=10)
    assert isinstance(listed.valid, Subset)
    assert listed.valid.indices == places
    rows = start(some, RULE, [0])
    found = evaluate(some, rows, "valid")[0]["loss"]
    assert found == pytest.approx((some.build(0)(X[places]) - Y[places]).square().mean().item(), rel=1e-6)
    assert evaluate(listed, rows, "valid")[0]["loss"] == pytest.approx(found, rel=1e-6)
    assert some.fingerprint() != problem().fingerprint()


FILE = """
import torch
from torch import nn
from torch.utils.data import TensorDataset
from tapered import Workload
x = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
data, other = TensorDataset(x, x[:, :1]), TensorDataset(x + 1, x[:, :1])
problem = Workload("mine", lambda: nn.Linear(4, 1), nn.functional.mse_loss, data, data, data, batch_size=8,
                   splits={"shifted": other}, valid_size=16)
"""
STUDY = """
name = "split"
workload = "mine.py:problem"
metric = "shifted/loss"
steps = 6
seeds = 2
evaluations = 2
mode = "loop"
baseline = "constant"
peaks = { low = 1e-2, high = 1e-1, count = 2 }
extend = 0
[[arms]]
name = "constant"
rule = "SGD"
lr = "constant(1.0)"
[[arms]]
name = "falling"
rule = "SGD"
lr = "linear(1.0, 0.0, steps)"
"""


def test_a_study_may_go_by_a_split_beside_the_validation_split(tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    runs, result = finished(read(tmp_path, STUDY), tmp_path / "s")
    assert set(runs[0].curve[0][1]) == {"loss", "shifted/loss"}
    assert '"shifted/loss"' in json.dumps(summary(result))
    best = min(peak.mean for peak in result.arms[0].peaks)
    ends = [run.curve[-1][1]["shifted/loss"] for run in runs if run.arm == "constant"]
    assert best == pytest.approx(min(sum(ends[:2]), sum(ends[2:])) / 2)
    with pytest.raises(StudyFileError, match=r"metric='shifted/los' is unknown .*shifted/loss"):
        read(tmp_path, STUDY.replace('"shifted/loss"', '"shifted/los"'))
