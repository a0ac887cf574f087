"""The range test: its rows against a plain loop, its rules against their definitions, everything as before after it."""

import itertools
import json
import math
import random
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import tapered
from tapered import rules, tensorflow1
from tapered.attach import attach
from tapered.cli.main import main
from tapered.range_test import Curve, ramp, ramp_model, range_test, save, svg, terminal, told, unchanged
from tapered.range_test.curve import minimum, smooth, steep, valley
from tapered.schedules import exponential_decay, linear
from tapered.training.advance import Mode
from tapered.training.workload import quadratic


def sgd_losses(rates, seed=0):
    """The quadratic's minibatch losses and final excess under gradient descent, in numpy; a rate for each step."""
    problem = quadratic()
    h, w = np.logspace(0, 1, 4), problem.build(seed).w.detach().double().numpy()
    losses = []
    for step, rate in enumerate(rates):
        x = problem.train.tensors[0][problem.batch(seed, step)].double().numpy()
        losses.append((h * (w - x) ** 2).sum(1).mean() / 2)
        w = w - rate * h * (w - x.mean(0))
    return losses, (h * w**2).sum() / 2


@pytest.mark.parametrize("mode", [Mode("loop", 1, "a test"), Mode("rows", 8, "a test")])
def test_rows_against_numpy(mode):
    curve = range_test(quadratic(), rules.SGD(), low=1e-3, high=1, points=10, steps=15, seed=4, mode=mode)
    assert curve.rates == pytest.approx(tuple(np.logspace(-3, 0, 10)), rel=1e-10)
    assert curve.start == pytest.approx(sgd_losses([], 4)[1], rel=1e-5)
    assert curve.losses == pytest.approx([sgd_losses([rate] * 15, 4)[1] for rate in curve.rates], rel=1e-3)


def test_a_ramp_against_numpy():
    curve = ramp(quadratic(), rules.SGD(), low=1e-4, high=0.3, points=200, seed=2)
    rates = 1e-4 * 3000 ** (np.arange(200) / 199)
    losses, _ = sgd_losses(rates, 2)
    assert curve.rates == pytest.approx(tuple(rates[: len(curve.rates)]), rel=1e-10)
    assert len(curve.losses) > 128  # more than a row keeps by itself
    assert curve.losses == pytest.approx(tuple(losses[: len(curve.losses)]), rel=1e-3)
    assert curve.start == curve.losses[0]
    # fastai: v <- 0.98 v + 0.02 loss, divided by 1 - 0.98^n
    weights = 0.02 * 0.98 ** np.arange(60)[::-1]
    assert curve.smoothed[59] == pytest.approx((weights * curve.losses[:60]).sum() / weights.sum())


def test_a_ramp_ends_where_it_diverges():
    curve = ramp(quadratic(), rules.SGD(), low=1e-3, high=10, points=100)
    assert len(curve.rates) < 100
    assert curve.smoothed[-1] > 4 * min(curve.smoothed)
    assert curve.smoothed[-2] <= 4 * min(curve.smoothed[:-1])
    # a single step from fine to not finite
    curve = ramp(quadratic(), rules.SGD(), low=1e-3, high=1e38, points=5)
    assert math.isinf(curve.losses[-1]) or curve.smoothed[-1] > 4 * min(curve.smoothed)


def subsequence(losses):
    """The longest falling subsequence by trying all: (length, first index at which one of that length ends)."""
    best = (1, 0)
    for length in range(2, len(losses) + 1):
        ends = [
            places[-1]
            for places in itertools.combinations(range(len(losses)), length)
            if all(losses[a] > losses[b] for a, b in itertools.pairwise(places))
        ]
        if ends:
            best = (length, min(ends))
    return best


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 8), min_size=3, max_size=10))
def test_the_rules_are_their_definitions(losses):
    rates = tuple(10.0 ** (0.5 * i - 4) for i in range(len(losses)))
    slopes = [(b - a) / (0.5 * math.log(10)) for a, b in itertools.pairwise(losses)]
    found = steep(rates, losses)  # of equal slopes any: which is lowest is a matter of the logarithm's last bit
    assert (slopes[rates.index(found)] if found else None) == (pytest.approx(min(slopes)) if min(slopes) < 0 else None)
    assert minimum(rates, losses) == rates[losses.index(min(losses))] / 10
    length, end = subsequence(losses)
    sections = length / 3
    place = max(end - length + int(sections) + int(sections / 2), 0)
    assert valley(rates, losses) == (rates[place] if length > 1 else None)


def curve_of(losses, kind="rows", start=1.0, low=1e-5, high=1.0):
    rates = tuple(np.geomspace(low, high, len(losses)).tolist())
    return Curve(kind, rates, tuple(losses), tuple(losses), start, 20)


def test_warnings_in_plain_words():
    flat = curve_of([1.0, 0.9999, 0.9998, 0.9999, 1.0])
    assert [found.rate for found in flat.suggestions] == [None] * 3
    assert flat.disagreement is None
    assert flat.warnings[0].startswith("The curve is flat: no rate lowered the loss by 1% of 1")
    at_once = curve_of([7.0, math.inf, 3.0, math.inf])
    assert at_once.warnings == ("The loss diverged at or near the lowest rate 1e-05: try a lower one.",)
    assert [found.rate for found in at_once.suggestions] == [None] * 3
    assert "try lower ones" in curve_of([0.3, 0.5, 0.7, 0.9, 5.0]).warnings[0]
    assert "none was too high" in curve_of([1.0, 0.99, 0.9, 0.7, 0.2]).warnings[0]
    good = curve_of([1.0, 0.99, 0.9, 0.7, 0.2, 0.3, 9.0, math.inf])
    assert good.used == slice(0, 6)
    assert {found.name: found.rate for found in good.suggestions} == {
        "steep": pytest.approx(good.rates[3]),
        "valley": pytest.approx(good.rates[0]),  # 5 points that end at index 4: 4 - 5 + 1 + 0
        "minimum": pytest.approx(good.rates[4] / 10),
    }
    assert good.disagreement == pytest.approx(good.rates[3] / good.rates[0])
    assert good.warnings[-1] == (
        "The rules disagree by a factor of 139: this curve does not settle the rate. For a study: peaks = { "
        "low = 1e-05, high = 0.19, count = 10 }, from the lowest of them to where the loss diverged."
    )
    assert good.span == (1e-5, 0.19)
    assert curve_of([1.0, 0.99, 0.9, 0.7, 0.2]).span == (1e-5, 1.0)  # none diverged: the highest tried
    assert flat.span is None
    # a loss that is negative, as of a density, is no divergence
    falling = curve_of([-1.0, -1.1, -2.0, -3.0, -2.5], start=-1.0)
    assert not falling.flat
    assert falling.used == slice(0, 5)
    # of a ramp the first tenth and the last 5 are not read
    assert curve_of([1.0] * 5 + [0.5] * 40 + [9.0] * 5, "ramp").used == slice(5, 45)
    assert "diverged at or near" in curve_of([1.0, 5.0, 30.0], "ramp").warnings[0]


def test_a_negative_loss_does_not_end_a_ramp():
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)

    def loss(model, _):
        return -3 - model.weight.square().clamp(max=1).sum()

    curve = ramp_model(model, optimizer, loss, [0], low=1e-6, high=1e-3, points=40)
    assert len(curve.rates) == 40


class Odd(nn.Module):
    """Dropout, BatchNorm, a frozen part, a buffer that forward replaces, one that is not saved."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))
        self.frozen = nn.BatchNorm1d(3).eval()
        self.register_buffer("seen", torch.zeros(3), persistent=False)
        self.layers[0].bias.requires_grad_(False)

    def forward(self, x):
        self.seen = self.seen + x.mean(0)
        return self.layers(self.frozen(x))


RATE = exponential_decay(0.15, 10, 0.5)
OPTIMIZERS = {
    "torch Adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "torch fused": lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
    "torch SGD": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
    "torch tensor rate": lambda p: torch.optim.Adam(p, lr=torch.tensor(0.01), capturable=False),
    "torch Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01),
    "torch NAdam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "scheduled": lambda p: tapered.Adam(p, lr=RATE, betas=(linear(0.9, 0.5, steps=9), 0.99)),
    "ours": lambda p: tapered.SGD(p, lr=0.01, momentum=0.9),
    "ours schedule-free": lambda p: tapered.ScheduleFreeAdamW(p, lr=RATE),
    "ours tensorflow": lambda p: tensorflow1.RMSPropOptimizer(p, RATE, momentum=0.9),
}


def made(kind, steps):
    """A model and its optimizer after some steps, the last one's gradients still there, and a step function."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - the shared one
    random.seed(0)
    model = Odd()
    model.train()
    model.frozen.eval()
    parts = [{"params": [p]} for p in model.parameters() if p.requires_grad]
    optimizer = OPTIMIZERS[kind](parts)

    def step():
        optimizer.zero_grad()
        x = torch.randn(8, 3) + random.random() + np.random.rand()  # noqa: NPY002 - the shared one
        model(x).square().mean().backward()
        optimizer.step()

    for _ in range(steps):
        step()
    return model, optimizer, step


def snapshot(model, optimizer):
    """Everything that there is to see, tensors as copies."""
    tensors = [*model.parameters(), *model.buffers()]
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    state = [{k: v.clone() if torch.is_tensor(v) else v for k, v in part.items()} for part in optimizer.state.values()]
    groups = [
        {k: v.clone() if torch.is_tensor(v) else v for k, v in g.items() if k != "params"}
        for g in optimizer.param_groups
    ]
    modes = [module.training for module in model.modules()]
    numpy = np.random.get_state()  # noqa: NPY002 - the shared one
    generators = [torch.get_rng_state(), random.getstate(), numpy[1].tolist(), numpy[2]]
    return [t.detach().clone() for t in tensors], grads, state, groups, modes, generators, len(optimizer.state)


def same(a, b):
    if torch.is_tensor(a):
        return torch.is_tensor(b) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def objective(model, batch):
    noise = random.random() + np.random.rand()  # noqa: NPY002 - the shared one
    return (model(batch[0] + noise) - batch[1]).square().mean()


DATA = TensorDataset(torch.randn(64, 3, generator=torch.Generator().manual_seed(1)), torch.zeros(64, 1))


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_everything_is_as_before(kind, steps):
    model, optimizer, step = made(kind, steps)
    before, objects = snapshot(model, optimizer), [id(t) for t in (*model.parameters(), *model.buffers())]
    attributes = set(vars(optimizer))
    generator = torch.Generator().manual_seed(7)
    loader = DataLoader(DATA, batch_size=8, shuffle=True, generator=generator)
    stood = generator.get_state()
    curve = ramp_model(model, optimizer, objective, loader, low=1e-5, high=3, points=30)
    assert len(curve.rates) >= 5  # it took some steps
    assert same(snapshot(model, optimizer), before)
    assert [id(t) for t in (*model.parameters(), *model.buffers())] == objects
    assert torch.equal(generator.get_state(), stood)
    assert set(vars(optimizer)) == attributes
    # and it goes on as if nothing had been
    twin, other, twin_step = made(kind, steps)
    for _ in range(3):
        twin_step()
    there = snapshot(twin, other)
    made(kind, steps)  # the generators as they stood
    for _ in range(3):
        step()
    assert same(snapshot(model, optimizer), there)


@pytest.mark.parametrize("kind", ["torch Adam", "scheduled"])
def test_also_when_it_raises(kind):
    model, optimizer, _ = made(kind, 3)
    before, calls = snapshot(model, optimizer), itertools.count()

    def breaks(model, batch):
        if next(calls) == 5:
            raise KeyboardInterrupt
        return objective(model, batch)

    with pytest.raises(KeyboardInterrupt):
        ramp_model(model, optimizer, breaks, DataLoader(DATA, batch_size=8))
    assert same(snapshot(model, optimizer), before)
    with pytest.raises(TypeError, match=r"loss\(model, batch\) returned float; expected a scalar tensor"):
        ramp_model(model, optimizer, lambda *_: 1.0, DataLoader(DATA, batch_size=8))
    assert same(snapshot(model, optimizer), before)
    batches = iter([DATA[:8]] * 8)
    with pytest.raises(ValueError, match="got 8 batches in `batches` before they ended"):
        ramp_model(model, optimizer, objective, batches)
    assert same(snapshot(model, optimizer), before)
    with pytest.raises(ValueError, match="expected 0 < low < high"):
        ramp_model(model, optimizer, objective, [], low=1, high=1)


def test_gradients_that_are_there_are_kept_even_if_added_to():
    model, optimizer, _ = made("torch Adam", 1)
    kept = [p.grad for p in model.parameters()]
    before, groups = snapshot(model, optimizer), len(optimizer.param_groups)
    with unchanged(model, optimizer):
        model(torch.randn(8, 3)).sum().backward()  # without zero_grad
        optimizer.step()
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
        optimizer.param_groups[0]["betas"] = (0.5, 0.5)
        model.eval()
    assert same(snapshot(model, optimizer), before)
    assert all(a is b for a, b in zip(kept, (p.grad for p in model.parameters()), strict=True))
    assert len(optimizer.param_groups) == groups


def test_generators_of_one_s_own():
    model, optimizer, _ = made("torch SGD", 0)
    own = [torch.Generator(), np.random.default_rng(0), np.random.RandomState(0), random.Random(0)]

    def draws():
        return [torch.rand(1, generator=own[0]).item(), own[1].random(), own[2].rand(), own[3].random()]

    with unchanged(model, optimizer, *own):
        first = draws()
        draws()
    assert draws() == first


def test_a_clock_and_a_scheduler_beside_it_do_not_notice():
    model, optimizer, step = made("torch Adam", 0)
    clock = attach(optimizer, lr=RATE)
    step()
    curve = ramp_model(model, optimizer, objective, DataLoader(DATA, batch_size=8), low=1e-5, high=1e-3, points=12)
    assert len(set(curve.losses)) == 12
    assert (clock.step, optimizer.param_groups[0]["lr"], clock.last_lr) == (1, RATE(1), (0.15,) * 7)
    step()
    assert (clock.step, clock.last_lr[0]) == (2, RATE(1))
    model, optimizer, step = made("torch Adam", 0)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    step()
    ramp_model(model, optimizer, objective, DataLoader(DATA, batch_size=8), points=12)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.005


def test_the_rate_of_a_ramp_is_in_force():
    """One weight under gradient descent on w: it moves by the rate itself."""
    weight, seen = nn.Linear(1, 1, bias=False), []
    with torch.no_grad():
        weight.weight.zero_()
    for optimizer in (
        tapered.SGD(weight.parameters(), lr=RATE),
        tapered.SGD(weight.parameters(), lr=0.3),
        torch.optim.SGD(weight.parameters(), lr=torch.tensor(0.3, dtype=torch.float64)),
    ):
        seen.clear()

        def loss(model, _):
            seen.append(model.weight.item())
            return 100 + model.weight.sum()

        before = optimizer.state_dict()["param_groups"]
        curve = ramp_model(weight, optimizer, loss, [0], low=1e-3, high=1, points=20)
        assert optimizer.state_dict()["param_groups"] == before
        assert -np.diff(seen) == pytest.approx(curve.rates[:-1], rel=1e-4)


def test_what_cannot_be_tested_is_refused():
    problem = quadratic()
    for wrong, said in (
        ({"low": 0}, "got low=0 and high=10.0; expected 0 < low < high"),
        ({"high": math.inf}, "high=inf"),
        ({"points": 3}, "got points=3; expected a whole number of at least 4"),
        ({"steps": 0}, "got steps=0; expected a whole number of at least 1"),
        ({"split": "exam"}, "has no split 'exam'"),
        ({"momentun": 0.9}, "got hypers"),
    ):
        with pytest.raises(ValueError, match=said):
            range_test(problem, rules.SGD(), **wrong)


def texts(drawn):
    return [text.text for text in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]


def test_pictures(tmp_path):
    good = curve_of([1.0, 0.99, 0.9, 0.7, 0.2, 0.3, 9.0, math.inf], "ramp")
    others = [
        curve_of([1.0] * 4),
        curve_of([math.inf] * 4, start=3.0),
        curve_of([1.0, 0.9, 0.5, 0.7], low=0.2, high=0.9),
        curve_of([math.inf, 1.0, 0.5, math.inf], start=math.nan),
        curve_of([-1.0, -5.0, 3.0, math.inf], start=-0.5),
        curve_of([math.inf], start=math.inf),
    ]
    for curve in (good, *others):
        assert ET.fromstring(svg(curve)).tag.endswith("svg")
        assert "nan" not in svg(curve)
        assert "inf" not in svg(curve).replace("finite", "")
        for width in (60, 78, 140):
            lines = terminal(curve, width).splitlines()
            assert len(lines) == 15
            assert max(map(len, lines)) <= width
    for name in ("one.svg", "two.svg"):
        save(good, tmp_path / name, "mine, SGD()")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    found = texts((tmp_path / "one.svg").read_text())
    assert found[0] == "mine, SGD()"
    assert {"rate", "loss"} <= {*found}
    assert texts(svg(others[1]))[0].startswith("Loss after")


def test_what_diverged_is_marked_and_not_drawn():
    """From the fifth rate on the loss is above half as much again as the start, 1.5."""
    losses = [1.0, 0.6, 0.3, 0.2, 39.6, 1.6, 218.0, math.inf, 1.4]
    curve = curve_of(losses)
    assert curve.lost == tuple(rate for rate, loss in zip(curve.rates, losses, strict=True) if loss > 1.5)
    lines = terminal(curve, 80).splitlines()
    assert lines[-3].count("x") == 4
    drawn = svg(curve)
    assert drawn.count("l6,6m0,-6l-6,6") == 4
    line = next(path for path in ET.fromstring(drawn).iter() if path.get("stroke") == "#0072B2").get("d")
    assert line.count("M") == 2
    assert told(curve) == [
        "Loss after 20 steps at each rate, all from the same weights",
        "x: diverged, a loss above 1.5 or not finite; the largest is 218",
    ]
    assert told(curve_of([1.0, 0.9, 0.5, 0.7]))[1:] == []
    ended = curve_of([1.0, *[0.1] * 300, *[1.4] * 100], "ramp")
    assert ended.lost == (ended.rates[-1],)


MOMENTUM = ("--choice", "momentum=true", "--hyper", "momentum=0.5")


def test_the_command(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    asked = ["range-test", "quadratic", "--rule", "SGD", "--low", "1e-3"]
    assert main([*asked, "--points", "16", *MOMENTUM, "--out", "a.svg"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "Largest suggestion over smallest" in out
    assert (tmp_path / "a.svg").exists()
    for more, kind, points in ((["--points", "9", "--steps", "5"], "rows", 9), (["--ramp"], "ramp", None)):
        assert main([*asked, *more, "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert (facts["kind"], len(facts["rates"])) == (kind, points or len(facts["losses"]))
        assert [found["name"] for found in facts["suggestions"]] == ["steep", "valley", "minimum"]
    assert main([*asked, "--out", "a.pdf"]) == 2
    assert "got 'a.pdf'; expected a path that ends in .svg; try a.svg" in capsys.readouterr().err
    assert main([*asked, "--hyper", "momentum=warmup(3)"]) == 2
    assert "expected a number for these few steps" in capsys.readouterr().err
    assert main([*asked, "--high", "1e-4"]) == 2
    assert "expected 0 < low < high" in capsys.readouterr().err


def test_the_average_is_that_of_fastai():
    losses, value = np.random.default_rng(0).random(50), 0.0
    for loss in losses:
        value = 0.98 * value + 0.02 * loss
    assert smooth(losses)[-1] == pytest.approx(value / (1 - 0.98**50))
