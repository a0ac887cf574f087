"""Averages of the weights against torch's AveragedModel in a plain loop, in every mode; training notices none."""

import copy
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from models import perceptron
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from tapered import Workload, rules
from tapered.training.advance import LOOP, Mode, advance, evaluate
from tapered.training.averages import Average
from tapered.training.formulas import values_of
from tapered.training.probe import Probe
from tapered.training.rows import Path, Rows, start, tabulate

STEPS = 24
ROWS = Mode("rows", 8, "a test")
COMPILED = Mode("rows compiled", 8, "a test")
TRAINERS = {
    "adam": (rules.Adam(), lambda p: torch.optim.Adam(p, lr=0.01), {}),
    "adamw": (rules.Adam(decay="decoupled"), lambda p: torch.optim.AdamW(p, lr=0.01), {"weight_decay": 0.01}),
    "sgd": (
        rules.SGD(momentum=True, nesterov=True),
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
        {"momentum": 0.9},
    ),
    "rmsprop": (rules.RMSprop(), lambda p: torch.optim.RMSprop(p, lr=0.01), {}),
}


def ramped(step: int) -> float:
    return min(0.99, (1 + step) / (10 + step))


class Mean:
    """The mean of the latest models, by a list of them."""

    def __init__(self, latest: int) -> None:
        self.latest, self.models = latest, []

    def update_parameters(self, model: nn.Module) -> None:
        self.models = [*self.models, copy.deepcopy(model)][-self.latest :]

    def parameters(self):
        return [torch.stack(each).mean(0) for each in zip(*(m.parameters() for m in self.models), strict=True)]


class Ramped:
    """An exponential average in float64, element by element, whose first is a copy."""

    def __init__(self) -> None:
        self.average, self.count = [], 0

    def update_parameters(self, model: nn.Module) -> None:
        self.count += 1
        now, d = [p.detach().double() for p in model.parameters()], ramped(self.count)
        self.average = [d * a + (1 - d) * w for a, w in zip(self.average, now, strict=True)] if self.average else now

    def parameters(self):
        return self.average


KINDS = {
    "ema": (
        Average("ema", decay=0.9),
        lambda m: AveragedModel(m, multi_avg_fn=get_ema_multi_avg_fn(0.9)),
        range(1, 25),
    ),
    "ramp": (Average("ema", decay=0.99, ramp="(1+t)/(10+t)"), lambda _: Ramped(), range(1, 25)),
    "late": (
        Average("ema", decay=0.5, start=0.25, every=3),
        lambda m: AveragedModel(m, multi_avg_fn=get_ema_multi_avg_fn(0.5)),
        range(6, 25, 3),
    ),
    "swa": (Average("swa", start=0.5, every=4), AveragedModel, (12, 16, 20, 24)),
    "polyak": (Average("swa", start=1), AveragedModel, range(1, 25)),
    "lawa": (Average("lawa", latest=3, every=4), lambda _: Mean(3), range(4, 25, 4)),
    "few": (Average("lawa", latest=9, every=0.25), lambda _: Mean(9), (6, 12, 18, 24)),
}


def plain_loop(workload: Workload, make, averaged, taken, steps: int = STEPS):
    """A model trained by an ordinary loop, and the average beside it."""
    model = workload.build(0).train()
    optimizer, average = make(model.parameters()), averaged(model)
    for step in range(steps):
        inputs, targets = workload.fetch("train", workload.batch(0, step))
        optimizer.zero_grad()
        workload.loss(model(inputs), targets).backward()
        optimizer.step()
        if step + 1 in taken:
            average.update_parameters(model)
    return model, average


def readouts(rows: Rows, place: int = 0) -> list[torch.Tensor]:
    rows = rows.take([place])
    return [
        rows.rule.readout(p[0], {key: tensor[0] for key, tensor in rows.state[name].items()})
        for name, p in rows.params.items()
    ]


def trained(workload: Workload, path: Path, mode: Mode = LOOP, steps: int = STEPS, count: int = 8) -> Rows:
    count = 1 if mode.kind == "loop" else count
    return advance(workload, start(workload, path.rule, [0] * count), [path] * count, steps, mode=mode)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TRAINERS)
@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=["loop", "rows"])
def test_an_average_is_torchs_in_a_plain_loop(kind: str, name: str, mode: Mode) -> None:
    workload, (rule, make, hypers), (average, averaged, taken) = perceptron(), TRAINERS[name], KINDS[kind]
    _, theirs = plain_loop(workload, make, averaged, taken)
    rows = trained(workload, average.over(tabulate(rule, STEPS, lr=0.01, **hypers)), mode)
    for ours, expected in zip(readouts(rows, len(rows) - 1), theirs.parameters(), strict=True):
        assert torch.allclose(ours.double(), expected.detach().double(), atol=1e-5, rtol=0)


def test_compiled_rows_average_as_the_loop_does() -> None:
    workload = perceptron()
    for average in (Average("ema", decay=0.9), Average("lawa", latest=3, every=4)):
        path = average.over(tabulate(rules.Adam(), STEPS, lr=0.01))
        for ours, loops in zip(
            readouts(trained(workload, path, COMPILED)), readouts(trained(workload, path)), strict=True
        ):
            assert torch.allclose(ours, loops, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=["loop", "rows"])
def test_training_does_not_notice(kind: str, mode: Mode) -> None:
    workload, alone = perceptron(), tabulate(rules.Adam(), STEPS, lr=0.01)
    ours, plain = trained(workload, KINDS[kind][0].over(alone), mode), trained(workload, alone, mode)
    assert all(torch.equal(ours.params[name], p) for name, p in plain.params.items())
    assert ours.losses == plain.losses


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=["loop", "rows"])
def test_stopped_and_forked_is_from_scratch_bit_for_bit(kind: str, mode: Mode) -> None:
    workload, average, late = perceptron(), KINDS[kind][0], np.full(STEPS, 0.01)
    late[14:] = 0.002
    path = average.over(tabulate(rules.Adam(), STEPS, lr=0.01))
    other = Path(path.rule, {**path.hypers, "lr": late})
    half = trained(workload, path, mode, 14)
    forked = advance(workload, half.take([0, 0]), [path, other], STEPS, mode=mode)
    for place, mine in enumerate((path, other)):
        scratch = trained(workload, mine, mode)
        for name, part in scratch.state.items():
            assert all(torch.equal(forked.state[name][key][place], tensor[0]) for key, tensor in part.items())
    points = evaluate(workload, forked, "valid", mode=mode)
    assert points[0] == evaluate(workload, trained(workload, path, mode), "valid", mode=mode)[0] != points[1]


@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=["loop", "rows"])
def test_the_average_is_evaluated_and_before_it_the_weights(mode: Mode) -> None:
    workload, alone = perceptron(), tabulate(rules.Adam(), STEPS, lr=0.01)
    path = Average("swa", start=20).over(alone)
    early, plain = trained(workload, path, mode, 19), trained(workload, alone, mode, 19)
    assert evaluate(workload, early, "valid", mode=mode) == evaluate(workload, plain, "valid", mode=mode)
    _, theirs = plain_loop(workload, TRAINERS["adam"][1], AveragedModel, range(20, 25))
    expected = cross_entropy(theirs(workload.valid.tensors[0]), workload.valid.tensors[1]).item()
    found = evaluate(workload, trained(workload, path, mode), "valid", mode=mode)[0]["loss"]
    assert found == pytest.approx(expected, abs=1e-6)
    assert found != pytest.approx(evaluate(workload, trained(workload, alone, mode), "valid")[0]["loss"], abs=1e-4)


class Halves(nn.Module):
    """A branch that every other forward leaves out, as the step in its buffer says."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(2, 2), nn.Linear(2, 2)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.calls += 1
        return self.one(x) + self.other(x) if int(self.calls) % 2 else self.one(x)


def test_a_weight_without_a_gradient_is_averaged_too() -> None:
    workload = replace(perceptron(), model=Halves)
    average, averaged, taken = KINDS["ema"]
    _, theirs = plain_loop(workload, TRAINERS["sgd"][1], averaged, taken)
    rule, _, hypers = TRAINERS["sgd"]
    rows = trained(workload, average.over(tabulate(rule, STEPS, lr=0.01, **hypers)))
    assert rows.counts["other.weight"].item() == STEPS / 2
    for ours, expected in zip(readouts(rows), theirs.module.parameters(), strict=True):
        assert torch.allclose(ours, expected, atol=1e-5, rtol=0)


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.0), nn.Linear(8, 2))


@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=["loop", "rows"])
def test_batchnorms_statistics_are_recomputed_as_update_bn_does(mode: Mode) -> None:
    workload = replace(perceptron(), model=normed)
    average, averaged, taken = KINDS["ema"]
    model, theirs = plain_loop(workload, TRAINERS["sgd"][1], averaged, taken)
    inputs, targets = workload.valid.tensors
    found = {}
    for how in ("trained", "recomputed"):
        path = replace(average, batch_norm=how).over(tabulate(TRAINERS["sgd"][0], STEPS, lr=0.01, momentum=0.9))
        rows = trained(workload, path, mode)
        found[how] = evaluate(workload, rows, "valid", mode=mode)[0]["loss"]
        assert torch.allclose(rows.buffers["1.running_mean"][0], model[1].running_mean, atol=1e-5)
    theirs.module[1].load_state_dict(
        {**theirs.module[1].state_dict(), **{k: v for k, v in model[1].state_dict().items() if "running" in k}}
    )
    expected = cross_entropy(theirs.eval()(inputs), targets).item()
    assert found["trained"] == pytest.approx(expected, abs=1e-5)
    epoch = [workload.fetch("train", workload.batch(0, k))[0] for k in range(workload.steps_per_epoch)]
    update_bn(epoch, theirs)
    expected = cross_entropy(theirs.eval()(inputs), targets).item()
    assert found["recomputed"] == pytest.approx(expected, abs=1e-5) != pytest.approx(found["trained"], abs=1e-4)


def test_rows_that_recompute_statistics_are_no_reason_for_the_loop() -> None:
    workload = replace(perceptron(), model=normed)
    assert Probe(workload, rules.Averaged(rules.Adam(), "recomputed")).fault() is None


@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=["loop", "rows"])
def test_weights_of_16_bits_have_an_average_of_32(mode: Mode) -> None:
    """After many steps at a decay of 0.999 one of 16 bits would stand still; here it follows the weights' own mean."""
    x = torch.zeros(16, 4)

    def model() -> nn.Module:
        return nn.Linear(4, 1, bias=False).to(torch.bfloat16)

    workload = Workload(
        name="falling",
        model=model,
        loss=lambda outputs, _: (outputs * 0 + 1).mean(),
        train=torch.utils.data.TensorDataset(x.bfloat16(), x),
        valid=torch.utils.data.TensorDataset(x.bfloat16(), x),
        batch_size=16,
    )
    path = Average("ema", decay=0.999).over(tabulate(rules.SGD(), 60, lr=0.0))
    rows = start(workload, path.rule, [0] * 8)
    rows.state["weight"]["average"].add_(0.25)
    moved = Path(path.rule, {**path.hypers, "newest": np.full(60, 0.001)})
    count = 1 if mode is LOOP else 8
    after = advance(workload, rows.take(range(count)), [moved] * count, 60, mode=mode)
    average = after.state["weight"]["average"][0]
    assert average.dtype == torch.float32
    expected = rows.params["weight"][0].double() + 0.25 * 0.999**60
    assert torch.allclose(average.double(), expected, atol=1e-5)
    assert readouts(after)[0].dtype == torch.bfloat16


def test_a_formula_is_what_numpy_makes_of_it() -> None:
    t = np.arange(1.0, 50.0)
    cases = {
        "(1+t)/(10+t)": (1 + t) / (10 + t),
        "1 - (1 + t/100)**-0.75": 1 - (1 + t / 100) ** -0.75,
        "-t*-0.5": 0.5 * t,
        "0.5": np.full(49, 0.5),
        "2**-t": 2.0**-t,
    }
    for text, expected in cases.items():
        assert np.allclose(values_of(text, t), expected, rtol=1e-15, atol=0), text
    assert np.isinf(values_of("9**9**9**9", t)).all()  # at once


BAD_FORMULAS = [
    "", "steps/2", "t.real", "__import__('os')", "t if t else 1", "max(t, 1)", "t // 2", "'t'", "True*t", "[t]",
    "t;t", "1 +", "(" * 90 + "t" + ")" * 90 + "x", "1" * 310, "t+" * 120 + "t", "lambda: t", "t\0", "1j*t",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_FORMULAS)
def test_what_is_no_formula_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        values_of(text, np.arange(1.0, 3.0))
    with pytest.raises(ValueError, match="ramp"):
        Average("ema", decay=0.9, ramp=text)


REFUSED = [
    ({"kind": "emma", "decay": 0.9}, "kind='emma' is no average; try \"ema\""),
    ({"kind": "ema"}, "ema needs decay; try decay = 0.999"),
    ({"kind": "ema", "decay": 1.0}, "decay=1.0 is no number in"),
    ({"kind": "ema", "decay": -0.1}, "decay=-0.1 is no number in"),
    ({"kind": "ema", "decay": float("nan")}, "decay=nan is no number in"),
    ({"kind": "ema", "decay": True}, "decay=True is no number in"),
    ({"kind": "ema", "decay": "0.9"}, "decay='0.9' is no number in"),
    ({"kind": "ema", "decay": 0.9, "latest": 3}, "latest is nothing that ema takes; leave it out"),
    ({"kind": "ema", "decay": 0.9, "start": 0}, "start=0 is neither a whole number of updates"),
    ({"kind": "ema", "decay": 0.9, "every": 2.5}, "every=2.5 is neither a whole number of updates"),
    ({"kind": "ema", "decay": 0.9, "every": float("inf")}, "every=inf is neither"),
    ({"kind": "ema", "decay": 0.9, "ramp": "t - 2"}, "is -1 at t=1; expected at least 0"),
    ({"kind": "ema", "decay": 0.9, "ramp": "(t-2)/(t-2)"}, "is nan at t=2; expected at least 0"),
    ({"kind": "ema", "decay": 0.9, "ramp": 0.5}, "ramp=0.5 is no text"),
    ({"kind": "ema", "decay": 0.9, "batch_norm": "new"}, "batch_norm='new' is neither"),
    ({"kind": "swa"}, "swa needs start; try start = 0.75"),
    ({"kind": "swa", "start": 0.5, "decay": 0.9}, "decay is nothing that swa takes"),
    ({"kind": "lawa", "latest": 5}, "lawa needs every; try every = 100"),
    ({"kind": "lawa", "every": 5}, "lawa needs latest; try latest = 5"),
    ({"kind": "lawa", "latest": 0, "every": 5}, "latest=0 is no whole number from 1 to 1,000"),
    ({"kind": "lawa", "latest": 2.0, "every": 5}, "latest=2.0 is no whole number"),
    ({"kind": "none", "start": 5}, "start is nothing that none takes"),
    ({"decay": 0.9}, 'is no average; try { kind = "ema", decay = 0.999 }'),
    ("ema", 'is no average; try { kind = "ema", decay = 0.999 }'),
    ({"kind": "ema", "deacy": 0.9}, "'deacy' is no field of an average; try \"decay\""),
]


@pytest.mark.parametrize(("given", "message"), REFUSED, ids=str)
def test_what_is_no_average_is_refused_with_the_field(given: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Average.read(given)


def test_a_ramp_that_fails_late_is_refused_before_training() -> None:
    average = Average("ema", decay=0.9, ramp="2000 - t")
    with pytest.raises(ValueError, match="is -1 at t=2001; expected at least 0"):
        average.over(tabulate(rules.SGD(), 3000, lr=0.1))


def test_nothing_taken_in_a_run_is_refused() -> None:
    with pytest.raises(ValueError, match=r"after update 5,000, and the run makes 2,000; try start = 1000"):
        Average("swa", start=5000).settled(2000)
    assert Average("swa", start=0.0001).settled(100).start == 1
    assert Average("none").settled(3) == Average("none")


def test_no_average_is_kept_of_an_average() -> None:
    for rule in (rules.ScheduleFreeAdamW(), rules.Restarted(rules.ScheduleFreeAdamW())):
        with pytest.raises(ValueError, match="ScheduleFreeAdamW keeps an average of its own"):
            rules.Averaged(rule)
    with pytest.raises(ValueError, match="Averaged keeps an average of its own"):
        rules.Latest(rules.Averaged(rules.SGD()))
    for latest in (0, True, 2.0):
        with pytest.raises(ValueError, match="expected a whole number of weights"):
            rules.Latest(rules.SGD(), latest=latest)
    with pytest.raises(ValueError, match='expected "trained" or "recomputed"'):
        rules.Averaged(rules.SGD(), batch_norm="both")
    with pytest.raises(ValueError, match=r"got newest=1.5 at step 0; expected a finite number in \[0, 1\]"):
        tabulate(rules.Averaged(rules.SGD()), 3, lr=0.1, newest=1.5)


@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=["loop", "rows"])
def test_a_rule_that_starts_anew_keeps_its_average(mode: Mode) -> None:
    workload, rule = perceptron(), rules.Restarted(rules.Adam())
    begun = np.where(np.arange(STEPS) < 12, 0.0, 12.0)
    alone = tabulate(rule, STEPS, lr=0.01)
    path = KINDS["ema"][0].over(Path(rule, {**alone.hypers, "begun": begun}))
    expected = None
    for step in range(1, STEPS + 1):
        weights = trained(workload, Path(rule, {**alone.hypers, "begun": begun}), mode, step).params
        now = {name: p[0].double() for name, p in weights.items()}
        expected = now if expected is None else {name: 0.9 * a + 0.1 * now[name] for name, a in expected.items()}
    for ours, name in zip(readouts(trained(workload, path, mode)), expected, strict=True):
        assert torch.allclose(ours.double(), expected[name], atol=1e-6)
