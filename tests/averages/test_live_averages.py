"""Live averages against torch's AveragedModel, float64 and their definitions; counted, lent, resumed, refused."""

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

import tapered
from tapered.attach import attach
from tapered.averages import live
from tapered.checkpoint import resume, save
from tapered.files.errors import CheckpointError
from tapered.guards import guard

EMA = {"kind": "ema", "decay": 0.8}
SWA = {"kind": "swa", "start": 3, "every": 2}
LAWA = {"kind": "lawa", "latest": 3, "every": 2}
KINDS = pytest.mark.parametrize("kind", [EMA, SWA, LAWA], ids=["ema", "swa", "lawa"])
INPUTS = torch.randn(12, 4, generator=torch.Generator().manual_seed(1))
RATE = tapered.cosine_decay(0.1, decay_steps=20)


def build(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).to(dtype)


def attached(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    attach(optimizer, lr=RATE)
    return optimizer


MAKES = {
    "tapered": lambda m: tapered.AdamW(m.parameters(), lr=RATE),
    "groups": lambda m: tapered.Adam(
        [{"params": m[0].parameters(), "lr": 0.01}, {"params": m[2].parameters()}], lr=RATE
    ),
    "foreach": lambda m: torch.optim.AdamW(m.parameters(), lr=0.05, foreach=True),
    "fused": lambda m: torch.optim.Adam(m.parameters(), lr=0.05, fused=True),
    "attached": attached,
    "sgd": lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
}


def backward(model, step):
    for p in model.parameters():
        p.grad = None
    (model(INPUTS[step % 12].to(next(model.parameters()).dtype)) - step % 3).square().sum().backward()


def train(model, optimizer, first, last):
    for step in range(first, last):
        backward(model, step)
        optimizer.step()
        yield step + 1


def run(model, optimizer, first, last):
    for _ in train(model, optimizer, first, last):
        pass


def read(average, model):
    with average.readout():
        return [p.detach().clone() for p in model.parameters()]


def same(ours, theirs):
    return all(map(torch.equal, ours, theirs))


class Mean:
    """LAWA by its definition."""

    def __init__(self, _, latest=3):
        self.latest, self.models = latest, []

    def update_parameters(self, model):
        self.models = [*self.models, copy.deepcopy(model)][-self.latest :]

    def parameters(self):
        return [torch.stack(each).mean(0) for each in zip(*(m.parameters() for m in self.models), strict=True)]


ORACLES = {
    "ema": (lambda m: AveragedModel(m, multi_avg_fn=get_ema_multi_avg_fn(0.8)), range(1, 99)),
    "swa": (AveragedModel, range(3, 99, 2)),
    "lawa": (Mean, range(2, 99, 2)),
}


@KINDS
@pytest.mark.parametrize("name", MAKES)
def test_an_average_is_torchs(kind, name):
    model = build()
    plain = build()
    optimizer, other = MAKES[name](model), MAKES[name](plain)
    average = tapered.average(optimizer, **kind)
    make, taken = ORACLES[kind["kind"]]
    oracle = make(plain)
    run(plain, other, 0, 0)
    for step, _ in zip(train(model, optimizer, 0, 15), train(plain, other, 0, 15), strict=True):
        if step in taken:
            oracle.update_parameters(plain)
    assert same(model.parameters(), plain.parameters())  # training notices nothing
    torch.testing.assert_close(read(average, model), [p.detach() for p in oracle.parameters()], rtol=1e-6, atol=1e-7)
    assert same(model.parameters(), plain.parameters())
    assert (average.updates, average.taken) == (15, len([step for step in taken if step <= 15]))


def climbing(**kind):
    """A weight that is the number of updates."""
    weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    return weight, optimizer, tapered.average(optimizer, **kind)


def climb(weight, optimizer, steps):
    for _ in range(steps):
        weight.grad = -torch.ones_like(weight)
        optimizer.step()


@pytest.mark.parametrize("steps", [1, 2, 7, 30])
def test_closed_forms_in_float64(steps, monkeypatch):
    monkeypatch.setattr(live, "CHUNK", 4)  # so that values are made ahead more than once
    k = np.arange(1, steps + 1, dtype=np.float64)
    ramped = 1.0
    for n in k[1:]:
        keep = min(0.9, (1 + n) / (10 + n))
        ramped = keep * ramped + (1 - keep) * n
    wanted = {
        "ema": ({"kind": "ema", "decay": 0.9, "ramp": "(1+t)/(10+t)"}, ramped),
        "swa": ({"kind": "swa", "start": 1}, (steps + 1) / 2),
        "share": ({"kind": "swa", "start": 0.5, "steps": 2 * steps}, steps),
        "lawa": ({"kind": "lawa", "latest": 4, "every": 1}, k[-4:].mean()),
    }
    for kind, value in wanted.values():
        weight, optimizer, average = climbing(**kind)
        climb(weight, optimizer, steps)
        with average.readout():
            assert weight.item() == pytest.approx(value, rel=1e-12)


# what counts


def test_a_step_that_is_no_update_is_not_counted():
    model = build()
    optimizer = MAKES["fused"](model)
    guard(optimizer, "skip", most=5)
    average = tapered.average(optimizer, **EMA)
    optimizer.step()  # no gradients
    run(model, optimizer, 0, 2)
    backward(model, 2)
    model[0].weight.grad[0] = float("nan")
    optimizer.step()  # the guard leaves it out
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for factor in (1.0, float("inf"), 1.0):
        optimizer.zero_grad()
        scaler.scale(model(INPUTS[0]).sum() * factor).backward()
        scaler.step(optimizer)
        scaler.update()
    for step in (4, 5):  # two minibatches of one update
        backward(model, step)
    optimizer.step()
    assert average.updates == 5


@pytest.mark.parametrize("early", [True, False], ids=["guard first", "average first"])
def test_a_closure_is_one_update_and_none_where_a_guard_leaves_it_out(early):
    model = build()
    optimizer = MAKES["sgd"](model)
    guarded = (lambda: guard(optimizer, "skip")) if early else (lambda: None)
    guarded()
    average = tapered.average(optimizer, **EMA)
    early or guard(optimizer, "skip")
    for factor in (1.0, float("nan"), 1.0):

        def closure(factor=factor):
            optimizer.zero_grad()
            loss = (model(INPUTS) * factor).square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)
    assert average.updates == 2


class Halfway(torch.optim.Optimizer):
    """An optimizer around another that moves the weights once more after its step, as Lookahead does."""

    def __init__(self, inner):
        super().__init__(inner.param_groups, {})
        self.optimizer, self.param_groups = inner, inner.param_groups

    def step(self, closure=None):
        before = [p.detach().clone() for g in self.param_groups for p in g["params"]]
        self.optimizer.step(closure)
        with torch.no_grad():
            for p, was in zip((p for g in self.param_groups for p in g["params"]), before, strict=True):
                p.lerp_(was, 0.5)


@pytest.mark.parametrize("given", ["outer", "inner"])
def test_weights_are_taken_when_the_outer_step_is_done(given):
    model = build()
    inner = MAKES["sgd"](model)
    outer = Halfway(inner)
    average = tapered.average(outer, "lawa", latest=1, every=1)
    run(model, outer if given == "outer" else inner, 0, 3)
    assert same(read(average, model), model.parameters())


def test_a_model_alone_is_told():
    model = build()
    optimizer = MAKES["sgd"](model)
    average, oracle = tapered.average(model, **EMA), AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.8))
    for _ in train(model, optimizer, 0, 5):
        average.update()
        oracle.update_parameters(model)
    torch.testing.assert_close(read(average, model), [p.detach() for p in oracle.parameters()])
    with pytest.raises(TypeError, match="counts by itself"):
        tapered.average(optimizer, **EMA).update()


# lent


@pytest.fixture
def lent():
    model = build()
    optimizer = MAKES["tapered"](model)
    average = tapered.average(optimizer, **EMA, model=model)
    run(model, optimizer, 0, 4)
    return model, optimizer, average


def test_what_must_not_be_done_within_is_refused_and_the_weights_are_back(lent, tmp_path):
    model, optimizer, average = lent
    own = [p.detach().clone() for p in model.parameters()]
    backward(model, 4)
    calls = {
        "step": optimizer.step,
        "the optimizer's state_dict": optimizer.state_dict,
        "state_dict": average.state_dict,
        "load_state_dict": lambda: average.load_state_dict({}),
        "restart": average.restart,
    }
    for name, call in calls.items():
        with pytest.raises(RuntimeError, match=rf"^{name} within average\.readout"), average.readout():
            call()
        assert same(own, model.parameters())
    with pytest.raises(CheckpointError, match=r"within average\.readout"), average.readout():
        save(tmp_path / "run", 4, model=model, optimizer=optimizer, average=average)
    assert not same(own, read(average, model))
    with pytest.raises(KeyError), average.readout():
        raise KeyError
    assert same(own, model.parameters())
    run(model, optimizer, 4, 6)
    assert average.updates == 6


def test_weights_that_are_changed_within_are_put_back_and_said(lent):
    model, _, average = lent
    own = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(RuntimeError, match="were changed within readout"), average.readout():
        model.load_state_dict(build().state_dict())
    assert same(own, model.parameters())


def test_a_block_within_a_block_changes_nothing(lent):
    model, _, average = lent
    whole = read(average, model)
    with average.readout():
        assert same(read(average, model), whole)
        assert same(model.parameters(), whole)


def test_autocast_does_not_go_on_with_the_weights_of_before(lent):
    model, _, average = lent
    with torch.autocast("cpu", dtype=torch.bfloat16):
        before = model(INPUTS)
        with average.readout():
            within = model(INPUTS)
        again = model(INPUTS)
    assert not torch.equal(before, within)
    assert torch.equal(before, again)


def test_before_any_weights_are_taken_the_models_own_are_read():
    model = build()
    optimizer = MAKES["sgd"](model)
    average = tapered.average(optimizer, "swa", start=9)
    run(model, optimizer, 0, 3)
    assert same(read(average, model), model.parameters())
    assert average.state_dict()["weights"] == {}


def test_16_bits_are_averaged_in_float32():
    model = build(torch.bfloat16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    average = tapered.average(optimizer, "swa", start=1)
    taken = [[p.detach().double() for p in model.parameters()] for _ in train(model, optimizer, 0, 9)]
    wanted = [torch.stack(each).mean(0).to(torch.bfloat16) for each in zip(*taken, strict=True)]
    assert {t["average"].dtype for t in average.state_dict()["weights"].values()} == {torch.float32}
    assert same(read(average, model), wanted)


def test_tied_weights_are_averaged_once():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    model[1].weight = model[0].weight
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    average = tapered.average(optimizer, **EMA, model=model)
    assert [*average._params] == ["0.weight"]
    oracle = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.8))
    for _ in train(model, optimizer, 0, 4):
        oracle.update_parameters(model)
    torch.testing.assert_close(read(average, model), [p.detach() for p in oracle.parameters()])


@KINDS
def test_what_joins_later_has_stood_still_until_then(kind):
    """So the average is that of the whole model, from the beginning."""
    model = build()
    make, taken = ORACLES[kind["kind"]]
    oracle = make(model)
    optimizer = tapered.Adam(model[2].parameters(), lr=0.05)
    average = tapered.average(optimizer, **kind, model=model)
    for step in train(model, optimizer, 0, 12):
        if step in taken:
            oracle.update_parameters(model)
        if step == 6:
            optimizer.add_param_group({"params": list(model[0].parameters())})
        if step > 5:
            theirs = [p.detach() for p in oracle.parameters()]
            torch.testing.assert_close(read(average, model), theirs, rtol=1e-5, atol=1e-6)


def test_a_group_that_is_taken_out_leaves_the_rest_averaged():
    model = build()
    optimizer = MAKES["groups"](model)
    average = tapered.average(optimizer, **EMA, model=model)
    run(model, optimizer, 0, 3)
    whole = read(average, model)
    optimizer.param_groups.pop()
    assert same(read(average, model)[:2], whole[:2])
    run(model, optimizer, 3, 5)
    assert average.updates == 5


def test_a_saved_average_is_read_out_of_a_model_alone(lent):
    model, _, average = lent
    again = build()
    alone = tapered.average(again, **EMA)
    alone.load_state_dict(average.state_dict())
    assert same(read(alone, again), read(average, model))


# buffers


def normed():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))


def normed_run(model, optimizer, steps=5):
    for step in range(steps):
        torch.manual_seed(step)
        optimizer.zero_grad()
        model(INPUTS).square().sum().backward()
        optimizer.step()
        yield


@pytest.mark.parametrize("buffers", ["trained", "averaged"])
def test_buffers_are_torchs(buffers):
    model = normed()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    average = tapered.average(optimizer, **EMA, model=model, buffers=buffers)
    ema = get_ema_multi_avg_fn(0.8)
    oracle = AveragedModel(model, multi_avg_fn=ema, use_buffers=buffers == "averaged")
    for _ in normed_run(model, optimizer):
        oracle.update_parameters(model)
    own = copy.deepcopy(model.state_dict())
    with average.readout():
        found = copy.deepcopy(model.state_dict())
    counts = found.pop("1.num_batches_tracked")  # an integer, which stays the model's
    theirs = oracle.module.state_dict()
    torch.testing.assert_close(found, {name: theirs[name] for name in found})
    assert counts == own["1.num_batches_tracked"] == 5
    assert same(own.values(), model.state_dict().values())


def test_statistics_are_computed_anew_as_torch_does():
    model = normed()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    average = tapered.average(optimizer, **EMA, model=model, batch_norm="recomputed")
    oracle = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.8))
    for _ in normed_run(model, optimizer):
        oracle.update_parameters(model)
    model[2].eval()  # modes of single modules stay
    own, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    batches = [INPUTS[:6], (INPUTS[6:],)]
    update_bn(batches, oracle)
    standing = torch.get_rng_state()
    with average.readout(batches):
        torch.testing.assert_close(model.state_dict(), dict(oracle.module.state_dict()))
        assert [m.training for m in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), standing)
    assert same(own.values(), model.state_dict().values())
    assert model[1].momentum == 0.1
    with pytest.raises(ValueError, match="broken"), average.readout(_broken()):
        pass
    assert same(own.values(), model.state_dict().values())
    assert (model[1].momentum, [m.training for m in model.modules()]) == (0.1, modes)
    with pytest.raises(TypeError, match=r"needs; try average\.readout\(batches\)"), average.readout():
        pass


def _broken():
    yield INPUTS
    raise ValueError("broken")


# resumed


def parts(kind, name):
    model = build()
    optimizer = MAKES[name](model)
    return {"model": model, "optimizer": optimizer, "average": tapered.average(optimizer, **kind, model=model)}


def go(found, first, last):
    run(found["model"], found["optimizer"], first, last)
    return [*found["model"].parameters(), *read(found["average"], found["model"])]


@KINDS
@pytest.mark.parametrize("name", ["tapered", "attached", "fused"])
def test_resumed_at_every_step_the_bits_are_the_same(kind, name):
    whole = [p.detach().clone() for p in go(parts(kind, name), 0, 9)]
    for stop, order in zip(
        range(1, 9), [("model", "optimizer", "average"), ("average", "optimizer", "model")] * 4, strict=True
    ):
        first, file = parts(kind, name), io.BytesIO()
        run(first["model"], first["optimizer"], 0, stop)
        torch.save({key: part.state_dict() for key, part in first.items()}, file)
        file.seek(0)
        saved, again = torch.load(file, weights_only=True), parts(kind, name)
        for key in order:
            again[key].load_state_dict(saved[key])
        assert same(go(again, stop, 9), whole), (stop, order)


@KINDS
def test_resumed_from_checkpoints_the_bits_are_the_same(kind, tmp_path):
    whole = [p.detach().clone() for p in go(parts(kind, "tapered"), 0, 9)]
    first = parts(kind, "tapered")
    for step in train(first["model"], first["optimizer"], 0, 9):
        save(tmp_path / "run", step, keep=None, **first)
    for stop in (1, 2, 5, 8):
        again = parts(kind, "tapered")
        assert resume(tmp_path / "run", step=stop, partial=True, **again).step == stop
        assert same(go(again, stop, 9), whole), stop


def states(kind=EMA, name="tapered", steps=5):
    found = parts(kind, name)
    run(found["model"], found["optimizer"], 0, steps)
    return {key: copy.deepcopy(part.state_dict()) for key, part in found.items()}


@pytest.mark.parametrize("name", ["tapered", "attached", "fused"])
@pytest.mark.parametrize("only", ["optimizer", "average"])
def test_one_without_the_other_is_refused_before_the_next_update(name, only):
    saved, again = states(name=name), parts(EMA, name)
    again[only].load_state_dict(saved[only])
    own = [p.detach().clone() for p in again["model"].parameters()]
    with pytest.raises(ValueError, match=r"load both from one checkpoint|its clock"):
        run(again["model"], again["optimizer"], 5, 6)
    with pytest.raises(ValueError, match="load both from one checkpoint"), again["average"].readout():
        pass
    assert same(own, again["model"].parameters())
    again["average"].restart()
    run(again["model"], again["optimizer"], 5, 7)
    assert again["average"].updates == 2


def test_a_group_that_joined_is_resumed_before_and_after_it_is_made_again():
    def made():
        model = build()
        optimizer = torch.optim.AdamW(model[2].parameters(), lr=0.05)
        return model, optimizer, tapered.average(optimizer, **EMA, model=model)

    def thaw(model, optimizer):
        optimizer.add_param_group({"params": list(model[0].parameters()), "lr": 0.01})

    model, optimizer, average = made()
    run(model, optimizer, 0, 3)
    thaw(model, optimizer)
    run(model, optimizer, 3, 5)
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict(), average.state_dict()))
    run(model, optimizer, 5, 8)
    whole = [*map(torch.clone, model.parameters()), *read(average, model)]
    for early in (True, False):
        model, optimizer, average = made()
        if early:
            average.load_state_dict(saved[2])
        thaw(model, optimizer)
        model.load_state_dict(saved[0])
        optimizer.load_state_dict(copy.deepcopy(saved[1]))  # torch goes on in the tensors that it is given
        if not early:
            average.load_state_dict(saved[2])
        run(model, optimizer, 5, 8)
        assert same([*model.parameters(), *read(average, model)], whole)
    model, optimizer, average = made()
    average.load_state_dict(saved[2])
    average._at = None
    with pytest.raises(ValueError, match=r"holds '0.bias', which is not there"):
        run(model, optimizer, 5, 6)


def changed(state, **fields):
    return {**state, **fields}


def test_what_does_not_fit_is_refused_and_nothing_goes_on():
    saved = states()["average"]
    again = parts(EMA, "tapered")
    average, before = again["average"], again["average"].state_dict()
    weights = dict(saved["weights"])
    for state, message in [
        ({}, "expected an average's state"),
        (changed(saved, format=2), "format 2"),
        (changed(saved, average={"kind": "ema", "decay": 0.9}), "the saved average is .* this one is"),
        (changed(saved, updates=-1), "expected 0 or more"),
        (changed(saved, updates=0), "is damaged"),
        (changed(saved, weights={}), "is damaged"),
        (changed(saved, weights={"0.weight": {"latest": torch.ones(1)}}), "is damaged"),
        (changed(saved, weights={**weights, "0.bias": {"average": torch.ones(3)}}), r"'0.bias' was saved as \(3,\)"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            average.load_state_dict(state)
        assert average.state_dict() == before
        with pytest.raises(ValueError, match="was refused"):
            run(again["model"], again["optimizer"], 0, 1)
    average.load_state_dict(before)
    run(again["model"], again["optimizer"], 0, 1)


OPTIMIZER = torch.optim.SGD(build().parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tapered.average([nn.Parameter(torch.ones(1))], "swa", start=1), "expected an optimizer or a model"),
        (lambda: tapered.average(OPTIMIZER, "none"), 'expected "ema", "swa" or "lawa"'),
        (lambda: tapered.average(OPTIMIZER, "ema"), "ema needs decay"),
        (lambda: tapered.average(OPTIMIZER, "swa", start=0.75), "share of a run whose length is not said"),
        (lambda: tapered.average(OPTIMIZER, "swa", start=0.75, steps=0), "got steps=0"),
        (lambda: tapered.average(OPTIMIZER, "swa", start=9, steps=8), "taken after update 9, and the run makes 8"),
        (lambda: tapered.average(OPTIMIZER, "ema", decay=0.9, batch_norm="recomputed"), "without the model"),
        (lambda: tapered.average(OPTIMIZER, "ema", decay=0.9, buffers="averaged"), "without the model"),
        (lambda: tapered.average(OPTIMIZER, "ema", decay=0.9, buffers="all"), "got buffers='all'"),
        (lambda: tapered.average(OPTIMIZER, "ema", decay=0.9, model=build()), "is no parameter of the Sequential"),
        (lambda: tapered.average(build(), "ema", decay=0.9, model=build()), "a model twice"),
        (
            lambda: tapered.average(tapered.ScheduleFreeAdamW(build().parameters(), lr=0.1), "ema", decay=0.9),
            "ScheduleFreeAdamW keeps an average of its own",
        ),
    ],
)
def test_what_cannot_be_averaged_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_detached_it_follows_no_more():
    model = build()
    optimizer = MAKES["sgd"](model)
    average = tapered.average(optimizer, **EMA)
    run(model, optimizer, 0, 2)
    average.detach()
    run(model, optimizer, 2, 4)
    assert average.updates == 2
