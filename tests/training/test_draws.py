# ruff: noqa: NPY002 - numpy's shared generator is what is tested
"""Everything random follows seed, purpose and step: Python's, numpy's and torch's draws, in every mode."""

import random

import numpy as np
import pytest
import torch
from study_cases import arm_text, finished, read
from torch import nn
from torch.utils.data import Dataset, TensorDataset, default_collate

from tapered import Workload, rules
from tapered.draws import DrawError, Standing, generator_seed, seeded
from tapered.study import open_store, verify
from tapered.training import fingerprint, sharing, stack
from tapered.training.advance import LOOP, Mode, advance, evaluate
from tapered.training.probe import Probe
from tapered.training.rows import start, tabulate
from tapered.workloads.find import workload_of

ROWS, COMPILED = Mode("rows", 8, ""), Mode("rows compiled", 8, "")
MODES = [LOOP, ROWS, COMPILED]
X = torch.randn(48, 4, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True)
RULE, RATE, STEPS = rules.SGD(), 0.05, 6
SEEDS = [3, 1, 3, 0, 1, 2, 5, 4]


class Augmenting(Dataset):
    """Draws from all three generators for each item, as crops, flips and noise of several libraries do."""

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return X[i] * random.choice([0.5, 1.5]) + float(np.random.normal()) + 0.1 * torch.randn(4), Y[i]


class Drawing(nn.Module):
    """Weights from numpy, noise in its forward from Python and torch."""

    def __init__(self, noise=1.0):
        super().__init__()
        self.noise = noise
        self.layer = nn.Linear(4, 1)
        self.layer.weight = nn.Parameter(torch.from_numpy(np.random.normal(size=(1, 4))).float())

    def forward(self, x):
        if not self.noise:
            return self.layer(x)
        return self.layer(x) + self.noise * random.random() * torch.rand(len(x), 1)


def drawing_loss(outputs, targets):
    return (outputs - targets).square().mean() * np.random.uniform(0.5, 1.5)


def workload(model=lambda: Drawing(0.0), loss=nn.functional.mse_loss, train=None, valid=None, **fields):
    return Workload(
        "drawn", model, loss, train or TensorDataset(X, Y), valid or TensorDataset(X, Y), batch_size=8, **fields
    )


def reseed_all(seed, purpose, step):
    number = generator_seed(seed, purpose, step)
    torch.manual_seed(number)
    np.random.seed(number % 2**32)
    random.seed(number)


def by_hand(problem, seed, steps=STEPS):
    """A plain loop: each item under its own seed, then the step's: forward, backward, step."""
    reseed_all(seed, "model", 0)
    model = problem.model().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    for step in range(steps):
        indices = problem.batch(seed, step).tolist()
        items = []
        for place, i in enumerate(indices):
            reseed_all(seed, f"item/{place}", step)
            items.append(problem.train[i])
        inputs, targets = default_collate(items)
        reseed_all(seed, "step", step)
        optimizer.zero_grad()
        problem.loss(model(inputs), targets).backward()
        optimizer.step()
    return model


def trained(problem, mode, seeds=SEEDS, steps=STEPS):
    path = tabulate(RULE, steps, lr=RATE)
    return advance(problem, start(problem, RULE, seeds), [path] * len(seeds), steps, mode=mode)


def stands():
    return [random.random(), np.random.random(), torch.rand(()).item()]


def test_three_generators_are_seeded_and_put_back_even_after_an_error():
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = stands()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    with seeded(4, "step", 7):
        inside = stands()
    with pytest.raises(KeyError), seeded(4, "step", 7):
        raise KeyError
    assert stands() == expected
    number = generator_seed(4, "step", 7)
    oracle = [random.Random(number).random(), np.random.RandomState(number % 2**32).random()]
    assert inside == [*oracle, torch.rand((), generator=torch.Generator().manual_seed(number)).item()]


@pytest.mark.parametrize(
    ("draw", "who"),
    [(random.random, "Python's random"), (np.random.random, "numpy.random"), (lambda: torch.rand(1), "torch")],
)
def test_whoever_drew_is_named(draw, who):
    before = Standing.now()
    assert before.drawn() is None
    draw()
    assert before.drawn() == who
    before.put_back()
    assert before.drawn() is None


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.kind)
def test_a_dataset_that_draws_is_what_a_plain_loop_gives(mode):
    problem = workload(train=Augmenting())
    rows = trained(problem, mode)
    for row in (0, 1, 5):
        model = by_hand(problem, SEEDS[row])
        torch.testing.assert_close(rows.params["layer.weight"][row], model.layer.weight.detach(), rtol=0, atol=2e-6)
    assert torch.equal(rows.params["layer.weight"][0], rows.params["layer.weight"][2])  # one seed


def test_models_and_losses_that_draw_are_what_a_plain_loop_gives():
    problem = workload(Drawing, drawing_loss, Augmenting())
    path = tabulate(RULE, STEPS, lr=RATE)
    rows = advance(problem, start(problem, RULE, [2]), [path], 4)
    random.seed(9), np.random.seed(9), torch.manual_seed(9)  # what the process draws between is none of the run's
    rows = advance(problem, rows, [path], STEPS)
    model = by_hand(problem, 2)
    assert torch.equal(rows.params["layer.weight"][0], model.layer.weight)
    assert torch.equal(rows.params["layer.bias"][0], model.layer.bias)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.kind)
def test_training_and_evaluation_leave_the_callers_generators(mode):
    problem = workload(train=Augmenting(), valid=Augmenting())
    before = Standing.now()
    rows = trained(problem, mode, steps=2)
    evaluate(problem, rows, "valid", mode=mode)
    assert before.drawn() is None


def jitter(outputs, targets):
    return (outputs - targets).abs().mean() + np.random.normal()


@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=lambda mode: mode.kind)
@pytest.mark.parametrize("chunk", [4096, 7])
def test_items_drawn_in_evaluation_follow_seed_and_step_alone(mode, chunk):
    problem = workload(valid=Augmenting(), eval_batch_size=chunk)
    rows = trained(problem, LOOP)
    found = [m["loss"] for m in evaluate(problem, rows, "valid", mode=mode)]
    for row in (0, 1):
        items = []
        for i in range(len(problem.valid)):
            reseed_all(SEEDS[row], f"valid/{i}", STEPS)
            items.append(problem.valid[i])
        inputs, targets = default_collate(items)
        outputs = inputs @ rows.params["layer.weight"][row].T + rows.params["layer.bias"][row]
        assert found[row] == pytest.approx((outputs - targets).square().mean().item(), rel=1e-6)
    assert found[0] == found[2]
    assert len(set(found)) == len(set(SEEDS))


def test_metrics_that_draw_are_the_same_in_every_mode():
    problem = workload(metrics={"jitter": jitter})
    rows = trained(problem, LOOP)
    alone, together = (evaluate(problem, rows, "valid", mode=mode) for mode in (LOOP, ROWS))
    assert [m["jitter"] for m in alone] == pytest.approx([m["jitter"] for m in together], rel=1e-5)
    assert alone[0] != alone[1]


def test_a_tensor_dataset_with_items_of_its_own_is_asked_for_them():
    class Doubled(TensorDataset):
        def __getitem__(self, i):
            x, y = super().__getitem__(i)
            return 2 * x, y

    mine, plain = workload(train=Doubled(X, Y)), workload(train=TensorDataset(2 * X, Y))
    for mode in (LOOP, ROWS):
        mine_rows, plain_rows = trained(mine, mode), trained(plain, mode)
        assert torch.equal(mine_rows.params["layer.weight"], plain_rows.params["layer.weight"])
    assert mine.fingerprint() != workload(train=TensorDataset(X, Y)).fingerprint()


class Rarely(nn.Module):
    """Draws at its n-th call and no other, where nothing can see it coming."""

    def __init__(self, draw, after):
        super().__init__()
        self.layer, self.draw, self.left = nn.Linear(4, 1), draw, iter(range(after))

    def forward(self, x):
        return self.layer(x) + (0.0 if next(self.left, None) is not None else self.draw())


@pytest.mark.parametrize(
    ("draw", "who"),
    [(random.random, "Python's random"), (np.random.random, r"numpy\.random"), (lambda: torch.rand(1), "torch")],
)
def test_rows_refuse_a_draw_that_comes_after_any_probe(draw, who):
    problem = workload(lambda: Rarely(draw, 9))
    stack.make.cache_clear()
    sharing.shared.cache_clear()
    with pytest.raises(DrawError, match=rf'draws from {who}, and rows .* mode = "loop"$'):
        trained(problem, ROWS, steps=20)
    assert trained(workload(lambda: Rarely(draw, 9)), LOOP, [0], 20).steps == (20,)


@pytest.mark.parametrize("draw", [random.random, np.random.random, lambda: torch.rand(1)])
def test_a_graph_is_not_traced_of_a_model_that_draws(draw):
    problem = workload(lambda: Rarely(draw, 0))
    with pytest.raises(DrawError, match="each is to follow its own seed and step"):
        trained(problem, COMPILED, steps=2)
    assert Probe(problem, RULE).fault().startswith("the model draws random numbers, as dropout does")


STUDY = (
    """
name = "drawn"
workload = "drawn.py:problem"
steps = 12
seeds = 8
fresh = 0
extend = 0
evaluations = 2
baseline = "one"
peaks = { low = 0.01, high = 0.02, count = 2 }
"""
    + arm_text("one")
    + arm_text("other")
)
FILE = """
import random
import numpy as np, torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset
from tapered import Workload
x = torch.from_numpy(np.random.normal(size=(32, 4))).float()
y = x.sum(1, keepdim=True)
class Noisy(Dataset):
    def __len__(self): return 32
    def __getitem__(self, i): return x[i] + random.random() + float(np.random.normal()), y[i]
def model():
    made = nn.Linear(4, 1)
    made.weight.data = torch.from_numpy(np.random.normal(size=(1, 4))).float()
    return made
problem = Workload("drawn", model, nn.functional.mse_loss, Noisy(), Noisy(), batch_size=8)
"""


@pytest.mark.parametrize("kind", ["loop", "rows"])
def test_two_arms_of_one_schedule_are_equal_seed_by_seed_and_train_again_to_the_same_bits(tmp_path, kind, monkeypatch):
    (tmp_path / "drawn.py").write_text(FILE)
    monkeypatch.setattr(
        "tapered.training.probe.Probe.fault",
        lambda self: None if kind == "rows" else "asked for by the test",  # noqa: ARG005
    )
    monkeypatch.setattr("tapered.training.probe.Probe.seconds", lambda self, mode, rows: 1e-3 / mode.width)  # noqa: ARG005
    runs, _ = finished(read(tmp_path, STUDY), tmp_path / "s", shared=False)
    ends = {(run.arm, run.peak, run.seed): run.curve for run in runs}
    assert len(ends) == 32
    assert all(ends["one", peak, seed] == ends["other", peak, seed] for _, peak, seed in ends)
    random.seed(5), np.random.seed(5)
    again = read(tmp_path, STUDY)  # data and weights drawn by numpy are another process's too
    with open_store(again, tmp_path / "s") as store:
        assert {mode.kind for mode in store.modes.values()} == {kind}
        assert verify(again, store, runs).difference == 0


def test_what_a_file_draws_as_it_is_read_is_the_same_in_every_process(tmp_path):
    (tmp_path / "drawn.py").write_text(FILE)
    found = []
    for seed in (1, 2):
        random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
        before = Standing.now()
        found.append(workload_of("drawn.py:problem", {}, tmp_path)[0].fingerprint())
        assert before.drawn() is None
    assert found[0] == found[1]


def test_a_dataset_that_draws_is_told_from_the_same_items_drawn_otherwise():
    """What was begun when items drew one after another must not go on with those that draw by place."""

    class Items(Dataset):
        def __init__(self, draws):
            self.draws = draws

        def __len__(self):
            return 3

        def __getitem__(self, i):
            if self.draws and i == 1:
                np.random.rand()
            return i, i

    before = Standing.now()
    assert fingerprint.of_dataset(Items(draws=False)) == fingerprint.of_dataset([(i, i) for i in range(3)])
    assert fingerprint.of_dataset(Items(draws=True)) != fingerprint.of_dataset(Items(draws=False))
    assert before.drawn() is None
