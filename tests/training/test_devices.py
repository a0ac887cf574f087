"""Training on a device: the same code on the processor under another name, which stands in for a GPU.

`torch.device("cpu:0")` is no `torch.device("cpu")`, and computes the same; so all that is done for a device is done,
and must give the bits that it gives without.
"""

import copy
import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from tapered import Workload, draws, kind, rules
from tapered.study.plan.facts import environment
from tapered.study.store.text import rows_to_tensors
from tapered.training import devices, loop, recipe, scalars, stack
from tapered.training.advance import Mode, advance, evaluate
from tapered.training.batches import Batches
from tapered.training.capacity import most_rows
from tapered.training.recipe import Recipe
from tapered.training.rows import mapped, start, tabulate
from tapered.training.updating import Update

LOOP, ROWS = Mode("loop", 1, "tried"), Mode("rows", 8, "tried")
STEPS = 16


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def standing_in(monkeypatch):
    """A GPU's place taken by the processor under another name: its generator, and what was moved there."""
    generator, moved = torch.Generator(), []
    monkeypatch.setattr(draws, "FOLLOWING", [])
    monkeypatch.setattr(kind, "USED", [])
    monkeypatch.setattr(devices, "there", lambda: ("cuda:0", "cpu"))
    monkeypatch.setattr(devices, "generator_of", lambda device: generator)  # noqa: ARG005
    monkeypatch.setattr(devices, "name_of", lambda device: f"{device}, a stand-in")
    monkeypatch.setattr(devices, "free_memory", lambda device: 2**30)  # noqa: ARG005
    monkeypatch.setattr(devices, "_copied", lambda tensor, device: moved.append(tensor.shape) or tensor.to(device))

    def found(word):
        if word == "cpu":
            return devices.CPU
        devices.begin(torch.device("cpu:0"))
        return torch.device("cpu:0")

    monkeypatch.setattr(recipe, "device_of", found)
    return generator, moved


def data(n=64):
    x = torch.randn(n, 6, generator=torch.Generator().manual_seed(1))
    return TensorDataset(x, x[:, :1].sin())


class Drawn(Dataset):
    """Items that are augmented, so that they are fetched one by one."""

    def __init__(self, whole):
        self.whole = whole

    def __len__(self):
        return len(self.whole)

    def __getitem__(self, i):
        x, y = self.whole[i]
        return x + 0.01 * torch.randn(6), y


def problem(device="cpu", *, dropout=False, drawn=False, norm=True, **recipe):
    layers = [
        nn.Linear(6, 8),
        *([nn.BatchNorm1d(8)] if norm else []),
        *([nn.Dropout(0.3)] if dropout else []),
        nn.Tanh(),
        nn.Linear(8, 1),
    ]
    splits = [Drawn(data()), Drawn(data(32))] if drawn else [data(), data(32)]
    return Workload(
        name="moved",
        model=lambda: copy.deepcopy(nn.Sequential(*layers)),
        loss=nn.functional.mse_loss,
        train=splits[0],
        valid=splits[1],
        batch_size=8,
        metrics={"error": lambda outputs, targets: (outputs - targets).abs().mean(-1)},
        recipe=Recipe(device=device, **recipe),
    )


def trained(of, mode=LOOP, steps=STEPS, rows=None, lr=0.05, **options):
    rule = rules.Adam()
    seeds = (0, 1) if mode is LOOP else (0, 1, 2)
    path = tabulate(rule, STEPS, lr=lr)
    return advance(of, rows or start(of, rule, seeds), [path] * len(seeds), steps, mode=mode, **options)


def same(a, b):
    mine, theirs = rows_to_tensors(a), rows_to_tensors(b)
    return (
        (a.steps, a.losses, a.diverged) == (b.steps, b.losses, b.diverged)
        and mine.keys() == theirs.keys()
        and all(torch.equal(mine[name], theirs[name]) for name in mine)
    )


CASES = {
    "loop": (LOOP, {"dropout": True}),
    "loop, items drawn": (LOOP, {"drawn": True}),
    "loop, accumulated and clipped": (LOOP, {"accumulate": 2, "clip_norm": 0.5}),
    "loop, float16": (LOOP, {"precision": "float16"}),
    "loop, bfloat16": (LOOP, {"params": "bfloat16"}),
    "rows": (ROWS, {}),
    "rows, items drawn": (ROWS, {"drawn": True}),
    "rows, accumulated": (ROWS, {"accumulate": 2}),
    "rows, bfloat16": (ROWS, {"precision": "bfloat16", "norm": False}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_device_that_computes_the_same_gives_the_same(standing_in, case):
    mode, options = CASES[case]
    torch.manual_seed(5)
    here = problem(**options)
    there = replace(here, recipe=replace(here.recipe, device="cuda"))
    mine, theirs = trained(here, mode), trained(there, mode)
    for a, b in zip(mine.losses, theirs.losses, strict=True):
        assert [loss for _, loss in a] == pytest.approx([loss for _, loss in b], rel=1e-6)  # a mean of two is float32's
    if "accumulate" not in options:
        assert same(mine, theirs)
    assert evaluate(here, mine, "valid", mode=mode) == evaluate(there, theirs, "valid", mode=mode)
    assert standing_in[1] != []


@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=lambda mode: mode.kind)
def test_data_that_does_not_fit_is_copied_batch_by_batch(standing_in, monkeypatch, mode):
    here, there = problem(), problem("cuda")
    lying = trained(there, mode)
    assert there.lying("train") is not None
    monkeypatch.setattr(devices, "free_memory", lambda device: 64)  # noqa: ARG005
    far = problem("cuda")
    far = replace(far, model=there.model)
    assert far.lying("train") is None
    standing_in[1].clear()
    assert same(trained(far, mode), lying)
    assert {shape[0] for shape in standing_in[1]} == {8}
    assert here.lying("train") is None


@pytest.mark.parametrize("at_once", [1, 7, 64])
@pytest.mark.usefixtures("standing_in")
def test_losses_are_looked_at_later_and_nothing_else_changes(monkeypatch, at_once):
    here, seen = problem(), []
    monkeypatch.setattr(devices, "AHEAD", at_once)
    there = replace(here, recipe=Recipe(device="cuda"))
    assert same(trained(here), trained(there))
    stop_at = 9
    partly = trained(there, on_step=lambda made: seen.append(made) or sum(seen) >= stop_at)
    assert partly.steps == (stop_at, 0)
    assert same(trained(there, rows=partly), trained(here))


@pytest.mark.parametrize(("mode", "at"), [*((LOOP, at) for at in (0, 5, 6, 7, 15)), (ROWS, 6)])
@pytest.mark.usefixtures("standing_in")
def test_where_a_run_diverges_is_exact(monkeypatch, mode, at):
    monkeypatch.setattr(devices, "AHEAD", 7)
    here = replace(problem(), order="given")
    x, y = data().tensors
    lost = [int(i) for i in here.batch(0, at)]
    y = y.clone()
    y[lost[3]] = float("inf")
    here = replace(here, train=TensorDataset(x, y))
    first = next(step for step in range(STEPS) if lost[3] in here.batch(0, step).tolist())
    there = replace(here, recipe=Recipe(device="cuda"))
    mine, theirs = trained(here, mode), trained(there, mode)
    assert mine.diverged == theirs.diverged == (first,) * len(mine)
    assert mine.losses == theirs.losses
    if mode is LOOP:
        assert mine.steps == theirs.steps == (first,) * len(mine)


@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=lambda mode: mode.kind)
@pytest.mark.parametrize("first", ["cpu", "cuda"])
def test_runs_go_from_device_to_device(standing_in, mode, first):  # noqa: ARG001
    here = problem()
    there = replace(here, recipe=Recipe(device="cuda"))
    begin, end = (here, there) if first == "cpu" else (there, here)
    half = trained(begin, mode, steps=STEPS // 2)
    assert same(trained(end, mode, rows=half), trained(here, mode))
    assert here.fingerprint() == there.fingerprint()


def test_a_devices_draws_follow_seed_and_step_and_are_given_back(standing_in):
    generator, _ = standing_in
    assert Recipe(device="cuda").place.type == "cpu"
    assert [generator] == draws.FOLLOWING
    Recipe(device="cuda:0").place  # noqa: B018 - a second one is told of it once more
    assert [generator] == draws.FOLLOWING
    generator.manual_seed(77)
    before = generator.get_state()
    numbers = []
    for _ in range(2):
        with draws.seeded(3, "step", 9):
            numbers.append(torch.rand(4, generator=generator))
        assert torch.equal(generator.get_state(), before)
    assert torch.equal(*numbers)
    with draws.seeded(3, "step", 10):
        assert not torch.equal(torch.rand(4, generator=generator), numbers[0])
    with pytest.raises(draws.DrawError), draws.undrawn():
        torch.rand(1, generator=generator)


def test_what_a_model_draws_on_a_device_is_resumed(standing_in):
    generator, _ = standing_in

    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 1)

        def forward(self, x):
            return self.layer(x + torch.randn(x.shape, generator=generator))

    of = replace(problem("cuda"), model=Noisy)
    whole = trained(of)
    for cut in (1, 11):
        assert same(trained(of, rows=trained(of, steps=cut)), whole)


def test_a_device_is_named_where_numbers_are(standing_in):  # noqa: ARG001
    assert "device" not in {**kind.here(), **environment()}
    before = kind.here()
    assert Recipe(device="cuda").place
    assert kind.here()["device"] == environment()["device"] == "cpu:0, a stand-in"
    assert kind.differing(before, kind.here()) == ["device not known then, cpu:0, a stand-in now"]
    assert kind.read(kind.text(kind.here())) == kind.here()


def test_rows_are_as_many_as_the_devices_memory_holds(standing_in, monkeypatch):  # noqa: ARG001
    there = problem("cuda")
    most = {}
    for free in (2**22, 2**23):
        monkeypatch.setattr(devices, "free_memory", lambda device, free=free: free)  # noqa: ARG005
        most[free] = most_rows(there, rules.Adam())
    assert 0 < most[2**22] < most[2**23] <= 2 * most[2**22] + 8


def test_metrics_that_keep_tensors_are_moved(standing_in):  # noqa: ARG001
    class Kept(nn.Module):
        def __init__(self):
            super().__init__()
            self.moved_to, self.total = None, 0.0

        def to(self, device):
            self.moved_to = device
            return self

        def update(self, outputs, targets):  # noqa: ARG002
            self.total += self.moved_to == torch.device("cpu:0")

        def compute(self):
            return self.total

    of = replace(problem("cuda"), metrics={"kept": Kept()})
    assert evaluate(of, start(of, rules.SGD(), [0]), "valid")[0]["kept"] == 1


def test_what_is_not_here_is_refused_in_one_sentence(monkeypatch):
    devices.device_of.cache_clear()
    monkeypatch.setattr(devices, "there", lambda: ("cuda:0", "cpu"))
    calls = itertools.count()
    with pytest.raises(devices.DeviceError) as raised:
        replace(problem(), model=lambda: next(calls), recipe=Recipe(device="cuda:1"))
    assert str(raised.value) == 'got device="cuda:1", which is not here; torch finds cuda:0, cpu; try device="auto"'
    assert next(calls) == 0
    with pytest.raises(devices.DeviceError, match='got device="mps"'):
        devices.device_of("mps")
    devices.device_of.cache_clear()


def test_the_first_that_is_here_is_taken(monkeypatch):
    begun = []
    monkeypatch.setattr(devices, "begin", begun.append)
    for here, expected in [(("cuda:0", "cuda:1", "cpu"), "cuda:0"), (("mps", "cpu"), "mps"), (("cpu",), "cpu")]:
        devices.device_of.cache_clear()
        monkeypatch.setattr(devices, "there", lambda here=here: here)
        assert devices.device_of("auto") == torch.device(expected)
    devices.device_of.cache_clear()
    assert begun == [torch.device("cuda:0"), torch.device("mps")]


@pytest.mark.parametrize("word", ["gpu", "cuda:", "cuda:one", "CPU", "", 0, None])
def test_words_that_are_no_devices_are_refused(word):
    with pytest.raises(ValueError, match="got device="):
        Recipe(device=word)


@pytest.mark.parametrize("begun", [False, True])
def test_cublas_is_told_in_time_or_it_is_said(monkeypatch, recwarn, begun):
    monkeypatch.delenv(devices.WORKSPACE, raising=False)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: begun)
    monkeypatch.setattr(devices, "generator_of", lambda device: torch.Generator())  # noqa: ARG005
    monkeypatch.setattr(devices, "name_of", str)
    monkeypatch.setattr(draws, "FOLLOWING", [])
    monkeypatch.setattr(kind, "USED", [])
    devices.begin(torch.device("cuda:0"))
    assert devices.os.environ[devices.WORKSPACE] == ":4096:8"
    assert [devices.WORKSPACE in str(warning.message) for warning in recwarn] == [True] * begun
    monkeypatch.delenv(devices.WORKSPACE)


@pytest.fixture
def elsewhere(standing_in, monkeypatch):  # noqa: ARG001
    """A device whose tensors meet no other's: torch's "meta", which computes shapes and refuses the processor's."""
    monkeypatch.setattr(devices, "_copied", lambda tensor, device: tensor.to(device))
    monkeypatch.setattr(recipe, "device_of", lambda word: torch.device("meta" if word == "cuda" else word))


@pytest.mark.parametrize("options", [{}, {"accumulate": 2, "clip_norm": 1.0}, {"drawn": True}], ids=str)
@pytest.mark.usefixtures("elsewhere")
def test_nothing_of_stacked_rows_is_left_on_the_processor(options):
    of, rule = problem("cuda", **options), rules.Adam()
    rows, path = start(of, rule, [0, 1] * 4), tabulate(rule, 8, lr=0.1)
    at_step = scalars.laid_out(of, rule, [path] * 8, 0, 4, rows.params)[1]
    batches = Batches(of, rows.seeds, 0, 4)
    batches()
    inputs, targets, indices = batches()
    update = stack.make(of, rule, 0, "plain")
    losses = update(rows.params, rows.buffers, rows.state, inputs, targets, indices, at_step)
    assert {tensor.device.type for tensor in (losses, inputs, targets, indices, at_step)} == {"meta"}
    assert {tensor.device.type for tensor in rows_tensors(rows)} == {"meta"}


@pytest.mark.parametrize("options", [{}, {"accumulate": 2, "clip_norm": 1.0, "params": "bfloat16"}, {"drawn": True}])
@pytest.mark.parametrize("free", [0, 2**30])
@pytest.mark.usefixtures("elsewhere")
def test_nothing_of_a_loops_step_is_left_on_the_processor(monkeypatch, options, free):
    monkeypatch.setattr(devices, "free_memory", lambda device: free)  # noqa: ARG005
    of, rule = problem("cuda", **options), rules.Adam()
    row = start(of, rule, [0])
    model = of.build(0).train()
    loss = loop.step_of(of, model, 0, 0, read=False)
    state = {name: {key: value[0] for key, value in part.items()} for name, part in row.state.items()}
    counts = {name: count[0] for name, count in row.counts.items()}
    Update(of.recipe, tabulate(rule, 8, lr=0.1), slice(0, 4), dict(model.named_parameters()), state, counts)()
    assert loss.device.type == "meta"
    assert {tensor.device.type for tensor in rows_tensors(row)} == {"meta"}


def rows_tensors(rows):
    found = []
    mapped(rows, found.append)
    return found
