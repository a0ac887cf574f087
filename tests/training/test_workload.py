import hashlib

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from tapered.draws import generator_seed, seeded
from tapered.training.workload import Workload, quadratic
from tapered.workloads import bmi
from tapered.workloads.bmi import population


def made(**changes):
    x, y = torch.randn(10, 2), torch.zeros(10, 1)
    given = {
        "name": "mine",
        "model": lambda: nn.Linear(2, 1),
        "loss": nn.functional.mse_loss,
        "train": TensorDataset(x, y),
        "valid": TensorDataset(x, y),
        "batch_size": 4,
    }
    return Workload(**{**given, **changes})


class Pairs(Dataset):
    """A user's dataset: items by index, a length, nothing else."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], int(self.y[i])


class Stream(IterableDataset):
    def __iter__(self):
        return iter([(1, 2)])


def test_seed_is_the_stated_hash():
    digest = hashlib.blake2b(b"step/3/7", digest_size=8).digest()
    assert generator_seed(3, "step", 7) == int.from_bytes(digest, "big") >> 1


def test_seeds_do_not_collide():
    seeds = {generator_seed(s, p, k) for s in range(20) for p in ("model", "epoch", "step") for k in range(50)}
    assert len(seeds) == 20 * 3 * 50


def test_an_epoch_is_a_permutation_without_its_partial_batch():
    problem = made()
    epochs = [torch.cat([problem.batch(5, step) for step in (2 * e, 2 * e + 1)]).tolist() for e in range(4)]
    assert problem.steps_per_epoch == 2
    for epoch in epochs:
        assert len(set(epoch)) == 8
        assert set(epoch) <= set(range(10))
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_batches_depend_on_seed_and_step_only():
    problem = quadratic()
    first = [problem.batch(0, step) for step in (7, 300, 7)]
    torch.manual_seed(99)
    assert torch.equal(first[0], first[2])
    assert torch.equal(first[1], quadratic().batch(0, 300))
    assert not torch.equal(first[0], problem.batch(1, 7))


def test_initial_weights_depend_on_the_seed_only():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    a, b, c = (bmi().build(seed)[0].weight for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(torch.get_rng_state(), before)


def test_seeded_restores_the_callers_generator():
    torch.manual_seed(1)
    expected = torch.randn(3)
    torch.manual_seed(1)
    with seeded(0, "step", 1):
        inside = torch.randn(3)
    with seeded(0, "step", 1):
        assert torch.equal(inside, torch.randn(3))
    assert torch.equal(torch.randn(3), expected)


def test_a_users_dataset_gives_the_same_minibatch():
    x, y = torch.randn(10, 2), torch.arange(10)
    indices = torch.tensor([3, 1, 9])
    fetched = [made(train=data).fetch("train", indices) for data in (Pairs(x, y), TensorDataset(x, y))]
    for a, b in zip(*fetched, strict=True):
        assert torch.equal(a, b)


def test_epochs_become_steps():
    assert bmi().epochs_to_steps(5) == 1250
    assert bmi().epochs_to_steps(0.5) == 125
    assert bmi().epochs_to_steps(1e-9) == 1


@pytest.mark.parametrize("epochs", [0, -1, float("nan"), float("inf")])
def test_bad_epochs_are_refused(epochs):
    with pytest.raises(ValueError, match="epochs="):
        bmi().epochs_to_steps(epochs)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"name": ""}, TypeError, "name=''"),
        ({"name": 3}, TypeError, "name=3"),
        ({"model": nn.Linear(2, 1)}, TypeError, "lambda: Linear"),
        ({"model": "mlp"}, TypeError, "model='mlp'"),
        ({"loss": None}, TypeError, "loss=None"),
        ({"batch_size": 0}, ValueError, "batch_size=0"),
        ({"batch_size": 2.0}, ValueError, r"batch_size=2\.0"),
        ({"batch_size": True}, ValueError, "batch_size=True"),
        ({"batch_size": 11}, ValueError, "10 training examples and batch_size=11"),
        ({"train": Stream()}, ValueError, """order='shuffled' of the Stream.*expected order="given\""""),
        ({"train": [1, 2, 3, 4, 5]}, TypeError, r"pair \(input, target\)"),
        ({"valid": []}, ValueError, "empty valid split"),
        ({"test": 3}, TypeError, "test=int"),
        ({"metrics": {"loss": len}}, TypeError, r"metrics\['loss'\]"),
        ({"metrics": {"accuracy": 1}}, TypeError, r"metrics\['accuracy'\]=1"),
    ],
)
def test_bad_workloads_are_refused(changes, error, message):
    with pytest.raises(error, match=message):
        made(**changes)


@pytest.mark.parametrize(("model", "message"), [(lambda: 3, "returned int"), (nn.ReLU, "nothing to train")])
def test_a_model_that_is_none_is_refused(model, message):
    with pytest.raises(TypeError, match=message):
        made(model=model).build(0)


def test_unknown_and_missing_splits_are_refused():
    for name in ("training", "test"):
        with pytest.raises(ValueError, match=f"no split '{name}'"):
            made().split(name)


def test_fingerprint_follows_data_batch_size_and_weights():
    x, y = torch.randn(10, 2), torch.zeros(10, 1)
    problem = made(train=TensorDataset(x, y))
    moved = x.clone()
    moved[9, 1] += 1e-6
    others = [
        made(train=TensorDataset(moved, y)),
        made(train=TensorDataset(x, y), batch_size=5),
        made(train=TensorDataset(x, y), model=lambda: nn.Linear(2, 1, bias=False)),
        made(train=Pairs(x, y)),
    ]
    prints = {p.fingerprint() for p in (problem, *others)}
    assert len(prints) == 5
    assert made(train=TensorDataset(x, y), valid=problem.valid).fingerprint() == problem.fingerprint()


def test_quadratic_loss_and_gradient_in_closed_form():
    problem = quadratic(dimensions=3, condition=100.0)
    model = problem.build(4)
    h, w = np.array([1.0, 10.0, 100.0]), model.w.detach().double().numpy()
    x, target = problem.fetch("train", problem.batch(4, 11))
    loss = problem.loss(model(x), target)
    loss.backward()
    assert loss.item() == pytest.approx(0.5 * (h * (w - x.double().numpy()) ** 2).sum(1).mean(), rel=1e-5)
    np.testing.assert_allclose(model.w.grad, h * (w - x.double().numpy().mean(0)), rtol=1e-4, atol=1e-4)
    assert problem.train.tensors[0].mean(0).abs().max() < 1e-6


def test_bmi_is_the_stated_population():
    height, weight = (values.numpy() for values in population(200_000, seed=1))
    assert height.mean() == pytest.approx(170, abs=0.1)
    assert weight.mean() == pytest.approx(78, abs=0.1)
    assert height.std() == pytest.approx(10, rel=0.01)
    assert weight.std() == pytest.approx(14, rel=0.01)
    assert np.corrcoef(height, weight)[0, 1] == pytest.approx(0.45, abs=0.01)


def test_bmi_split_labels_and_features():
    problem = bmi()
    height, weight = (values.numpy() for values in population())
    labels = torch.cat([getattr(problem, split).tensors[1] for split in ("train", "valid", "test")])
    assert [len(getattr(problem, split)) for split in ("train", "valid", "test")] == [8000, 1000, 1000]
    np.testing.assert_array_equal(labels, weight / (height / 100) ** 2 > 27)
    features = problem.train.tensors[0]
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(features.std(0), 1, atol=1e-6)
    expected = (height[8000:9000] - height[:8000].mean()) / height[:8000].std(ddof=1)
    np.testing.assert_allclose(problem.valid.tensors[0][:, 0], expected, atol=1e-5)


def test_bmi_losses_against_numpy():
    outputs, targets = torch.randn(6, 2), torch.tensor([0, 1, 1, 0, 1, 0])
    z, onehot = outputs.double().numpy(), np.eye(2)[targets]
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    assert bmi().loss(outputs, targets).item() == pytest.approx(-np.log((p * onehot).sum(1)).mean(), rel=1e-5)
    assert bmi("mse").loss(outputs, targets).item() == pytest.approx(((p - onehot) ** 2).mean(), rel=1e-5)
    accuracy = bmi().metrics["accuracy"](outputs, targets)
    assert accuracy.double().mean() == np.mean(z.argmax(1) == targets.numpy())


def test_bmi_refuses_another_loss():
    with pytest.raises(ValueError, match="loss='mae'"):
        bmi("mae")
