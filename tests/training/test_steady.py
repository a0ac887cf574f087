"""What numbers would depend on beside seed and step is named; what a model keeps rightly goes with its run."""

import itertools
import os
import random
import time

import numpy as np
import pytest
import torch
from study_cases import arm_text, finished, read, stopped_again_and_again
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from tapered import Workload, rules
from tapered.cli.main import main
from tapered.draws import Standing
from tapered.study import open_store, train_runs, verify
from tapered.training import steady
from tapered.training.advance import LOOP, Mode, advance, evaluate
from tapered.training.living import UnsteadyError, differing, marks
from tapered.training.probe import Probe
from tapered.training.rows import start, tabulate

X = torch.randn(48, 2, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True)
RULE = rules.Adam()
ROWS = Mode("rows", 8, "")


def workload(model=None, loss=nn.functional.mse_loss, train=None, **fields):
    fields.setdefault("valid", TensorDataset(X, Y))
    return Workload("mine", model or Net, loss, train or TensorDataset(X, Y), batch_size=8, **fields)


class Net(nn.Module):
    """A linear layer whose output is scaled by what a subclass remembers."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)
        self.begin()

    def begin(self):
        pass

    def scale(self):
        return 1.0

    def forward(self, x):
        return self.layer(x) * self.scale()


class Counter(Net):
    def begin(self):
        self.calls = 0

    def scale(self):
        self.calls += self.training
        return min(1.0, self.calls / 50)


class Inside(Net):
    def begin(self):
        self.inner = nn.Sequential(nn.Identity(), Counter())

    def scale(self):
        return self.inner[1].scale()


class OnClass(Net):
    calls = 0

    def scale(self):
        OnClass.calls += 1
        return min(1.0, self.calls / 50)


TOTAL = 0


class Global(Net):
    def scale(self):
        global TOTAL  # noqa: PLW0603 - what is tested
        TOTAL += 1
        return min(1.0, TOTAL / 50)


class Growing(Net):
    def begin(self):
        self.history = {"scales": []}

    def scale(self):
        self.history["scales"].append(1.0)
        return 1.0


class Hooked(Net):
    def begin(self):
        seen = [0]

        def hook(module, inputs, outputs):  # noqa: ARG001 - torch's signature
            seen[0] += 1
            return outputs * min(1.0, seen[0] / 50)

        self.layer.register_forward_hook(hook)


class Initialized(Net):
    """As ActNorm: its first minibatch sets a buffer, and a Python flag says that it is set."""

    def begin(self):
        self.done = False
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, x):
        if not self.done:
            self.mean.copy_(x.mean(0))
            self.done = True
        return self.layer(x - self.mean)


class OwnGenerator(Net):
    def begin(self):
        self.rng = np.random.default_rng(0)

    def scale(self):
        return self.rng.uniform(0.5, 1.5)


class Iterated(Net):
    def begin(self):
        self.clock = itertools.count()

    def scale(self):
        return min(1.0, next(self.clock) / 50)


class GrowingBuffer(Net):
    def begin(self):
        self.register_buffer("queue", torch.ones(1))

    def scale(self):
        self.queue = torch.cat([self.queue, self.queue[-1:]])
        return self.queue.mean()


class Late(Net):
    def scale(self):
        if not hasattr(self, "gain"):
            self.gain = nn.Parameter(torch.ones(1))
        return self.gain


LOST = {
    Counter: r"Counter of workload 'mine' remembers 'calls' .* register_buffer\('calls', \.\.\.\) or .*get_extra_state",
    Inside: r"'inner\.1\.calls' .* register_buffer\('calls'",
    OnClass: r"'\(OnClass\)\.calls'",
    Global: r"scale\.test_steady:TOTAL'",
    Growing: r"'history\.scales'",
    Hooked: r"'layer\._forward_hooks\[0\]\.seen\.0' .* register_buffer\('seen'",
    Initialized: r"'done' .* register_buffer\('done'",
    OwnGenerator: r"'rng' .* draw from torch's, numpy.random's or Python's shared generator",
    Iterated: r"'clock'",
    GrowingBuffer: r"buffer 'queue' became a tensor of shape \(\d+,\) in training and was a tensor of shape \(1,\)",
    Late: r"parameter 'gain' became a tensor of shape \(1,\) in training and was none",
}


@pytest.mark.parametrize("model", LOST, ids=lambda model: model.__name__)
def test_what_a_model_remembers_is_refused_where_it_would_be_lost(model):
    problem = workload(model)
    begun = start(problem, RULE, [0])
    with pytest.raises(UnsteadyError, match=LOST[model]):
        advance(problem, begun, [tabulate(RULE, 30, lr=0.1)], 30)
    with pytest.raises(UnsteadyError, match=LOST[model]):
        steady.check(problem)


@pytest.mark.parametrize("model", [m for m in LOST if m not in (GrowingBuffer, Late)], ids=lambda model: model.__name__)
def test_rows_refuse_what_a_model_remembers(model):
    problem = workload(model)
    paths = [tabulate(RULE, 4, lr=0.1)] * 8
    with pytest.raises(UnsteadyError, match=r'the model remembers .* mode = "loop"'):
        advance(problem, start(problem, RULE, range(8)), paths, 4, mode=ROWS)
    assert Probe(problem, RULE).fault().startswith("the model remembers '")


class Annealed(Net):
    """The same counter where torch keeps it."""

    def begin(self):
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def scale(self):
        if self.training:
            self.calls += 1
        return (self.calls / 50).clamp(max=1)


class Assigned(Annealed):
    def scale(self):
        if self.training:
            self.calls = self.calls + 1
        return (self.calls / 50).clamp(max=1)


class Extra(Counter):
    def get_extra_state(self):
        return {"calls": self.calls, "as": (torch.tensor([self.calls]), None, "text")}

    def set_extra_state(self, state):
        self.calls = int(state["as"][0])


class Masked(Net):
    mask = None

    def begin(self):
        self.layer = nn.Sequential(nn.Linear(2, 1, bias=False), nn.BatchNorm1d(1))

    def scale(self):
        self.last = self.layer[0].weight.sum()  # of this minibatch alone
        self.mask = torch.ones(1) if self.mask is None else self.mask
        return self.mask


class Normed(Net):
    def begin(self):
        self.layer = nn.utils.parametrizations.spectral_norm(nn.Linear(2, 1))


class Tied(Net):
    def begin(self):
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.layer(self.second(self.first(x)))


KEPT = [Net, Annealed, Assigned, Extra, Masked, Normed, Tied]


def by_hand(problem, steps):
    """One model that lives from the first step to the last."""
    model = problem.build(0).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for step in range(steps):
        inputs, targets = problem.train[problem.batch(0, step)]
        optimizer.zero_grad()
        problem.loss(model(inputs), targets).backward()
        optimizer.step()
    return model


@pytest.mark.parametrize("model", KEPT, ids=lambda model: model.__name__)
def test_a_run_in_parts_is_the_model_that_lived(model):
    problem = workload(model)
    steady.check(problem)
    path, rows = [tabulate(RULE, 30, lr=0.1)], start(problem, RULE, [0])
    for stop in (7, 8, 30):
        rows = advance(problem, rows, path, stop)
        evaluate(problem, rows, "valid")
    alive = by_hand(problem, 30)
    for name, p in (*alive.named_parameters(), *alive.named_buffers()):
        torch.testing.assert_close({**rows.params, **rows.buffers}[name][0], p.detach(), rtol=0, atol=1e-6)
    with torch.no_grad():
        wanted = problem.loss(alive.eval()(X), Y).item()
    assert evaluate(problem, rows, "valid")[0]["loss"] == pytest.approx(wanted, rel=1e-5)


class Recurrent(Net):
    def begin(self):
        self.layer = nn.Sequential(nn.Linear(2, 4), nn.GRU(4, 4))
        self.head = nn.Linear(4, 1)

    def forward(self, x):
        return self.head(self.layer(x[None])[0][0])


class Viewed(Masked):
    """Keeps a mask, and a tensor of its minibatch, as auxiliary losses are."""

    def begin(self):
        self.layer = nn.Sequential(nn.Linear(2, 1))


@pytest.mark.parametrize("model", [Net, Annealed, Assigned, Tied, Recurrent, Viewed], ids=lambda model: model.__name__)
def test_buffers_follow_in_rows_too(model):
    problem = workload(model)
    paths = [tabulate(RULE, 30, lr=0.1)] * 8
    together = advance(problem, start(problem, RULE, range(8)), paths, 30, mode=ROWS)
    alone = advance(problem, start(problem, RULE, range(8)), paths, 30, mode=LOOP)
    for name in (*alone.params, *alone.buffers):
        mine, theirs = ({**rows.params, **rows.buffers}[name] for rows in (together, alone))
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)


def test_an_extra_state_is_the_loops_and_holds_plain_values_only():
    assert Probe(workload(Extra), RULE).fault().startswith("the model keeps a state of its own (Extra.get_extra_state)")

    class Odd(Extra):
        def get_extra_state(self):
            return {"calls": object()}

    with pytest.raises(TypeError, match=r"`get_extra_state//calls` holds a object"):
        start(workload(Odd), RULE, [0])


# everything that is not a function of seed and step, where it is


class Items(Dataset):
    def __init__(self, draw):
        self.draw = draw

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return X[i] + self.draw(i), Y[i]


def own_numpy():
    rng = np.random.default_rng(0)
    return lambda _: float(rng.normal())


def own_torch():
    generator = torch.Generator()
    return lambda _: torch.randn(2, generator=generator)


def before():
    last = {"at": 0}

    def draw(i):
        last["at"], found = i, last["at"]
        return float(found)

    return draw


UNSEEDED = {
    "numpy": own_numpy,
    "torch": own_torch,
    "system": lambda: lambda _: int.from_bytes(os.urandom(4)) / 2**32,
    "clock": lambda: lambda _: time.perf_counter() % 1,
    "order": before,
    "private": lambda: lambda _, own=random.Random(): own.random(),  # noqa: B008 - one for all
}


@pytest.mark.parametrize("split", ["train", "valid", "test"])
@pytest.mark.parametrize("draw", UNSEEDED)
def test_items_that_no_seed_makes_are_named(draw, split):
    problem = workload(**{split: Items(UNSEEDED[draw]())})
    standing = Standing.now()
    with pytest.raises(UnsteadyError, match=rf"item \d+ of the {split} split, fetched twice with one seed, differs"):
        steady.check(problem)
    assert standing.drawn() is None


@pytest.mark.parametrize("draw", ["numpy", "system", "clock"])
def test_models_losses_and_metrics_that_no_seed_makes_are_named(draw):
    def scaled(made):
        return lambda outputs, targets: (outputs - targets).square().mean() * (1 + abs(made(0)))

    class Noisy(Net):
        def scale(self):
            return 1 + UNSEEDED[draw]()(0) if draw != "numpy" else float(np.random.default_rng().normal())

    def weights():
        made, own = Net(), np.random.default_rng()
        made.layer.weight.data *= float(own.normal())
        return made

    with pytest.raises(UnsteadyError, match=r"model\(\) built twice with one seed differs in 'layer.weight'"):
        steady.check(workload(weights))
    with pytest.raises(UnsteadyError, match=r"\(the model's output differs\)"):
        steady.check(workload(Noisy))
    with pytest.raises(UnsteadyError, match=r"\(the loss differs\)|drew from '.*rng', a generator of its own"):
        steady.check(workload(loss=scaled(UNSEEDED[draw]())))
    with pytest.raises(UnsteadyError, match=r"'?error'? on the valid split|drew from '.*rng', a generator of its own"):
        steady.check(workload(metrics={"error": scaled(UNSEEDED[draw]())}))


class CountingLoss:
    def __init__(self):
        self.calls = 0

    def __call__(self, outputs, targets):
        self.calls += 1
        return (outputs - targets).square().mean() * (1.0 if self.calls < 1000 else 2.0)


class LastLoss(CountingLoss):
    def __call__(self, outputs, targets):
        self.last = (outputs - targets).square().mean()
        return self.last


class CountingItems(Items):
    def __getitem__(self, i):
        self.fetched = getattr(self, "fetched", 0) + 1
        return X[i], Y[i]


class CachedItems(Items):
    def __getitem__(self, i):
        return self.__dict__.setdefault("cache", {}).setdefault(i, (X[i], Y[i]))


def test_counters_in_losses_and_datasets_are_named_and_caches_are_not():
    with pytest.raises(UnsteadyError, match="the loss remembers 'calls' from call to call"):
        steady.check(workload(loss=CountingLoss()))
    with pytest.raises(UnsteadyError, match="the train split remembers 'fetched' from item to item"):
        steady.check(workload(train=CountingItems(None)))
    steady.check(workload(loss=LastLoss(), train=CachedItems(None)))


@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=lambda mode: mode.kind)
def test_a_generator_of_ones_own_that_draws_later_is_refused_then(mode):
    class Later(Items):
        rng = np.random.default_rng(0)

        def __getitem__(self, i):
            return X[i] + (float(self.rng.normal()) if i == 37 else 0.0), Y[i]

    problem = workload(train=Later(None))
    steady.check(problem)  # none of the items that it looks at
    paths = [tabulate(RULE, 6, lr=0.1)] * 8
    with pytest.raises(UnsteadyError, match=r"Later drew from .*rng', a generator of its own"):
        advance(problem, start(problem, RULE, range(8)), paths, 6, mode=mode)


def test_what_raises_is_left_to_training():
    def loss(*_):
        raise KeyError("mine")

    steady.check(workload(loss=loss))


def test_marks_tell_places_and_change_nothing():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model[0].table = {"a": [1, {2.0}], "b": np.arange(3)}
    before = marks(model)
    model(torch.ones(3, 2))  # BatchNorm's buffers are a run's own
    assert differing(before, marks(model)) == []
    model[0].table["a"][1].add(3.0)
    model[0].table["b"][1] = 7
    assert differing(before, marks(model))[:2] == ["0.table.b", "0.table.a.1"]


STUDY = (
    """
name = "annealed"
workload = "annealed.py:problem"
steps = 24
seeds = 8
fresh = 0
extend = 0
evaluations = 3
baseline = "constant"
peaks = { low = 0.01, high = 0.02, count = 2 }
"""
    + arm_text("constant", "constant(1.0)", rule="Adam")
    + arm_text("cosine", "hold(16).then(cooldown(8))", rule="Adam")
)
FILE = """
import torch
from torch import nn
from torch.utils.data import TensorDataset
from tapered import Workload
x = torch.linspace(-1, 1, 64).view(32, 2)
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.calls = nn.Linear(2, 1), 0
    def forward(self, x):
        self.calls += self.training
        return self.layer(x) * min(1.0, self.calls / 20)
{extra}
data = TensorDataset(x, x.sum(1, keepdim=True))
problem = Workload("annealed", Net, nn.functional.mse_loss, data, data, batch_size=8)
"""
EXTRA = """
    def get_extra_state(self):
        return self.calls
    def set_extra_state(self, calls):
        self.calls = calls
"""


def test_a_study_keeps_an_extra_state_over_stops_and_forks(tmp_path):
    (tmp_path / "annealed.py").write_text(FILE.format(extra=EXTRA))
    found = read(tmp_path, STUDY)
    whole, _ = finished(found, tmp_path / "whole")
    parts, _, times = stopped_again_and_again(found, tmp_path / "parts", 31)
    assert times > 5
    assert [(run.key, run.curve) for run in parts] == [(run.key, run.curve) for run in whole]
    with open_store(found, tmp_path / "parts") as store:
        assert {mode.kind for mode in store.modes.values()} == {"loop"}
        assert verify(found, store, parts).difference == 0


def test_a_study_refuses_a_counter_before_it_trains(tmp_path):
    (tmp_path / "annealed.py").write_text(FILE.format(extra=""))
    found, seen = read(tmp_path, STUDY), []
    with open_store(found, tmp_path / "s") as store, pytest.raises(UnsteadyError, match="remembers 'calls'"):
        train_runs(found, store, progress=seen.append)
    assert seen == []


def test_a_run_refuses_a_counter_and_keeps_an_extra_state(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["run", "annealed.py:problem", "--lr=0.1", "--steps=12"]
    (tmp_path / "annealed.py").write_text(FILE.format(extra=""))
    assert main([*command, "--store=no"]) == 2
    assert "remembers 'calls' from one step to the next" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
    (tmp_path / "annealed.py").write_text(FILE.format(extra=EXTRA))
    found = []
    for every in (1, 5, 12):
        assert main([*command, f"--store=s{every}", f"--save-every={every}", "--json"]) == 0
        found.append(capsys.readouterr().out.partition('"step"')[2])
    assert len(set(found)) == 1
