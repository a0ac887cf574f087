"""What a step is made of: against numpy from the papers, exact sums, bounds, and training that does not notice."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_cases import CASES, PEERED, hyper_at, problem
from torch import nn

import tapered
from tapered import optim, rules, schedules, tensorflow1
from tapered.attach import attach
from tapered.cli.main import main
from tapered.explain import QUANTILES, explain_run, explain_step, fields, paragraph, recording, split
from tapered.explain.live import TORCH
from tapered.explain.measure import Given, measure
from tapered.explain.run import looks
from tapered.training.advance import advance
from tapered.training.rows import start, tabulate
from tapered.training.workload import quadratic
from tapered.workloads import bmi

STEPS = 300


def fed(steps=STEPS, size=40, seed=0):
    """Gradients of many sizes; every fifth entry's come rarely, the last is always 0."""
    random = np.random.default_rng(seed)
    grads = random.normal(size=(steps, size)) * np.logspace(-6, 1, size)
    grads[:, ::5] *= random.random((steps, (size + 4) // 5)) < 0.02
    grads[:, -1] = 0
    return random.normal(size=size), grads


def rms(x):
    return np.sqrt(np.mean(np.square(x)))


def recorded(make, weights, grads, **options):
    """What the recorder saw while an optimizer was fed these gradients, and the weights before each step."""
    weight = nn.Parameter(torch.tensor(weights))
    optimizer, before = make([weight]), []
    with recording(optimizer, **options) as recorder:
        for grad in grads:
            weight.grad = torch.tensor(grad)
            before.append(weight.detach().numpy().copy())
            optimizer.step()
    return recorder.explanation.series[0], np.array([*before, weight.detach().numpy()])


RATE = schedules.exponential_decay(0.15, 20, 0.7)
ADAMS = {
    "ours": lambda eps, wd: lambda params: tapered.AdamW(params, lr=RATE, eps=eps, weight_decay=wd),
    "torch": lambda eps, wd: lambda params: torch.optim.AdamW(params, lr=0.15, eps=eps, weight_decay=wd),
    "torch fused": lambda eps, wd: (
        lambda params: torch.optim.AdamW(params, lr=0.15, eps=eps, weight_decay=wd, fused=True)
    ),
}


@pytest.mark.parametrize("eps", [1e-8, 1e-3, 1e3])
@pytest.mark.parametrize("kind", ADAMS)
def test_adam_against_numpy(kind, eps):
    weights, grads = fed()
    series, before = recorded(ADAMS[kind](eps, 0.1), weights, grads)
    assert [point.step for point in series.points] == list(range(256)[::2]) + list(range(256, STEPS, 2))
    m = v = np.zeros_like(weights)
    seen = {point.step: point for point in series.points}
    for step, g in enumerate(grads):
        t, lr = step + 1, 0.15 * (0.7 ** (step / 20) if kind == "ours" else 1)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        if step not in seen:
            continue
        point, close = seen[step], lambda x: pytest.approx(x, rel=1e-9)
        step_of = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + eps)
        factor = math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        term, decay = point.terms
        assert (point.lr, term.rate, term.factor) == (close(lr), close(lr), close(factor))
        assert (decay.name, decay.rate, decay.factor, decay.length) == (
            "weight_decay", close(0.1 * lr), 1, close(0.1 * lr * rms(before[step]))
        )  # fmt: skip
        assert term.direction == close(rms(step_of) / factor)
        assert term.length == close(lr * rms(step_of))
        assert point.corrections == (("c1", close(1 - 0.9**t)), ("c2", close(1 - 0.999**t)))
        assert (point.gradient, point.param) == (close(rms(g)), close(rms(before[step])))
        assert point.update == close(rms(before[step + 1] - before[step]))
        assert point.relative == close(point.update / rms(before[step]))
        assert point.ratios == close(tuple(np.quantile(np.abs(step_of), QUANTILES)))
        assert point.largest == close(np.abs(step_of).max())
        root = np.sqrt(v / (1 - 0.999**t))
        assert (point.root, point.eps_share) == (close(rms(root)), np.mean(eps >= root))


def test_rmsprop_adagrad_and_sgd_against_numpy():
    weights, grads = fed()
    tf = lambda params: tensorflow1.RMSPropOptimizer(params, RATE, 0.9, 0.5, epsilon=1e-4)  # noqa: E731
    series, _ = recorded(tf, weights, grads, limit=STEPS)
    s, b = np.ones_like(weights), np.zeros_like(weights)
    for step, (g, point) in enumerate(zip(grads, series.points, strict=True)):
        lr = 0.15 * 0.7 ** (step / 20)
        s = 0.9 * s + 0.1 * g**2
        d = g / np.sqrt(s + 1e-4)
        gradient, momentum = point.terms
        assert (gradient.rate, gradient.factor, gradient.direction) == pytest.approx((lr, 1, rms(d)), rel=1e-9)
        assert (momentum.rate, momentum.factor, momentum.direction) == pytest.approx((1, 0.5, rms(b)), rel=1e-9)
        b = 0.5 * b + lr * d
        assert (point.largest, point.eps_share) == (pytest.approx(np.abs(b).max() / lr), np.mean(s <= 1e-4))
    series, _ = recorded(lambda p: torch.optim.Adagrad(p, lr=0.1, lr_decay=0.05), weights, grads, limit=STEPS)
    for step, point in enumerate(series.points):
        total = np.sqrt(np.square(grads[: step + 1]).sum(0))
        assert point.term("step").factor == pytest.approx(1 / (1 + 0.05 * step))
        assert point.term("step").direction == pytest.approx(rms(grads[step] / (total + 1e-10)))
    series, _ = recorded(lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.4), weights, grads, every=3)
    b = grads[0]
    for step in range(STEPS):
        b = b if step == 0 else 0.9 * b + 0.6 * grads[step]
        if step % 3 == 0:
            assert series.points[step // 3].step == step
            assert series.points[step // 3].update == pytest.approx(0.1 * rms(b))
            assert (series.points[step // 3].root, series.points[step // 3].eps_share) == (None, None)


def points_of(case, dtype=torch.float64):
    """A rule's points along the case's gradients, and each step's change of the parameter."""
    param, grads = problem(dtype)
    state = case.rule.init(param)
    for step, grad in enumerate(grads):
        hyper = {name: float(value) for name, value in hyper_at(case, step).items()}
        point = measure(case.rule, step, [Given(param, grad, state, step + 1)], hyper)
        t = torch.tensor(step + 1.0, dtype=torch.float64)
        delta, state = rules.update(case.rule, param, grad, state, hyper_at(case, step), t)
        yield point, delta
        param = param + delta


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_every_rule_s_terms_and_splits(case, dtype, rounding):
    found = list(points_of(case, dtype))
    for point, delta in found:
        assert point.update == pytest.approx(rms(delta.double().numpy()), rel=rounding, abs=1e-300)
        if point.bound is not None:
            assert point.largest <= point.bound.strict * (1 + 1e-5)
    series = tapered.explain.Series("all", case.rule, tuple(point for point, _ in found))
    for name in series.terms:
        for _, change in series.splits(name):
            if change is not None:
                assert change.whole == math.fsum((change.direction, change.schedule, change.correction))
                assert change.whole == pytest.approx(change.measured, abs=10 * rounding)
    text = paragraph(tapered.explain.Explanation((series,)))
    assert "nan" not in text
    assert text.count(". ") >= 4


OUTSIDE = [case for case in CASES if "eps" in case.rule.hypers and case.rule.hypers["eps"] and case.name != "adadelta"]


@pytest.mark.parametrize("case", [case for case in OUTSIDE if case.name != "adamax"], ids=str)
def test_eps_rules_where_it_halves_the_direction(case):
    """root / (root + eps) <= 1/2 where eps >= root; inside the root it is sqrt(s / (s + eps)) <= sqrt(1/2)."""
    param, grads = problem()
    worst = math.sqrt(0.5) if getattr(case.rule, "epsilon", "") == "inside" else 0.5
    state, shares = case.rule.init(param), set()
    for step, grad in enumerate(grads):
        t = torch.tensor(step + 1.0, dtype=torch.float64)
        hyper = hyper_at(case, step) | {"eps": torch.tensor(1.0, dtype=torch.float64)}
        if "momentum" in hyper:  # a buffer would hold earlier directions
            hyper["momentum"] = torch.tensor(0.0, dtype=torch.float64)
        with_eps, new = case.rule.terms(param, grad, state, case.rule.scalars(hyper, t))
        hyper_0 = {**hyper, "eps": torch.tensor(0.0, dtype=torch.float64)}
        without, _ = case.rule.terms(param, grad, state, case.rule.scalars(hyper_0, t))
        name = next(iter(with_eps))
        point = measure(case.rule, step, [Given(param, grad, state, step + 1)], {n: float(v) for n, v in hyper.items()})
        state = new
        if point.eps_share is None:  # RAdam before it is ripe
            assert torch.equal(with_eps[name].direction, without[name].direction)
            continue
        share = float(((with_eps[name].direction / without[name].direction) <= worst).double().mean())
        assert point.eps_share == pytest.approx(share)
        shares.add(share)
    assert 0 < max(shares) < 1


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    lr=st.floats(1e-6, 10),
    beta1=st.floats(0, 0.99),
    beta2=st.floats(0.5, 0.99999),
    decay=st.floats(0.8, 1.1),
    scale=st.floats(1e-5, 1e5),
)
def test_the_split_sums_exactly(seed, lr, beta1, beta2, decay, scale):
    weights, grads = fed(20, 8, seed)
    rate = schedules.exponential_decay(lr, 1, decay)
    series, before = recorded(lambda p: tapered.Adam(p, lr=rate, betas=(beta1, beta2)), weights, scale * grads)
    lengths = [rms(b - a) for a, b in pairwise(before)]
    for step, change in series.splits("step"):
        if change is None:
            continue
        parts = [change.schedule, change.correction, change.direction]
        assert {math.fsum(np.roll(parts, k)) for k in range(3)} == {change.whole}
        assert change.whole == pytest.approx(change.measured, abs=1e-11)
        assert change.schedule == pytest.approx((step - change.since) * math.log(decay), abs=1e-9)
        # the weights are near 1, so that their differences carry the step only down to 1e-16
        if min(lengths[step], lengths[change.since]) > 1e-8:
            assert change.whole == pytest.approx(math.log(lengths[step] / lengths[change.since]), abs=1e-6)
    # changes telescope: from the reference to k and from k to j is from the reference to j
    points = [point for point in series.points if split(point, point, "step") is not None]
    for a, b, c in zip(points, points[1:], points[2:], strict=False):
        there = split(b, a, "step").whole + split(c, b, "step").whole
        assert there == pytest.approx(split(c, a, "step").whole, abs=1e-12)


def test_bounds_are_reached_but_not_passed():
    def largest(grads, **options):
        make = lambda p: tapered.Adam(p, lr=0.1, eps=1e-300, **options)  # noqa: E731
        series, _ = recorded(make, np.ones(1), grads, every=len(grads) - 1)
        return series.points[-1]

    # Kingma and Ba's sparse case: zero at all steps but this one
    sparse = largest(np.append(np.zeros(9_999), 5.0)[:, None])
    assert sparse.bound.paper == pytest.approx(0.1 / math.sqrt(0.001))
    assert sparse.largest == pytest.approx(3.1623, rel=1e-4)
    # where Cauchy-Schwarz is an equality: g_i proportional to (beta1 / beta2)^(t - i)
    worst = largest(((0.9 / 0.999) ** np.arange(400)[::-1])[:, None])
    assert worst.largest == pytest.approx(worst.bound.strict, rel=1e-9)
    assert worst.largest > 1.2 * worst.bound.paper  # the paper's is approximate, as it says
    # 1 - beta1 below sqrt(1 - beta2)
    assert largest(np.ones((5, 1)), betas=(0.99, 0.99)).bound.paper == 1
    moving = largest(np.ones((5, 1)), betas=(schedules.linear(0.9, 0.5, steps=9), 0.999))
    assert moving.bound is None


def network():
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Tanh(), nn.Linear(8, 1))


LIVE = {
    **{f"torch {case}": (lambda p, c=case: c.peer(p, lr=0.01, **c.peer_options)) for case in PEERED},
    "ours": lambda p: tapered.Adam(p, lr=RATE),
    "ours schedule-free": lambda p: tapered.ScheduleFreeAdamW(p, lr=RATE),
    "ours lion": lambda p: tapered.Lion(p, lr=RATE, weight_decay=0.1),
    "ours tensorflow": lambda p: tensorflow1.RMSPropOptimizer(p, RATE, momentum=0.9),
    "ours hat": lambda p: tensorflow1.AdamOptimizer(p, RATE),
    "torch fused": lambda p: torch.optim.Adam(p, lr=0.01, fused=True),
    "torch maximize": lambda p: torch.optim.AdamW(p, lr=0.01, maximize=True),
    "torch tensor rate": lambda p: torch.optim.Adam(p, lr=torch.tensor(0.01)),
}


def trained(make, *, record, closure=False, steps=20):
    torch.manual_seed(0)
    model = network()
    parts = [{"params": model[0].parameters()}, {"params": [*model[1].parameters(), *model[4].parameters()]}]
    optimizer, explanation = make(parts), None

    def loss():
        optimizer.zero_grad()
        value = model(torch.randn(16, 3)).square().mean() + model[0].weight.sum()
        value.backward()
        return value

    def go():
        for _ in range(steps):
            if closure:
                optimizer.step(loss)
            else:
                loss()
                optimizer.step()

    if record:
        with recording(optimizer, every=2, limit=4) as recorder:
            go()
        explanation = recorder.explanation
    else:
        go()
    kept = [t for state in optimizer.state.values() for t in state.values() if isinstance(t, torch.Tensor)]
    return [*model.state_dict().values(), *kept, torch.get_rng_state()], explanation


@pytest.mark.parametrize("closure", [False, True])
@pytest.mark.parametrize("name", LIVE)
def test_training_does_not_notice(name, closure):
    plain, _ = trained(LIVE[name], record=False, closure=closure)
    watched, explanation = trained(LIVE[name], record=True, closure=closure)
    assert len(plain) == len(watched)
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))
    assert [series.name for series in explanation.series] == ["0", "1"]
    for series in explanation.series:
        assert [point.step for point in series.points] == [0, 8, 16]  # every 2, then 4, then 8
    assert "nan" not in paragraph(explanation)


def test_every_torch_optimizer_that_is_known_is_looked_at():
    assert {type(make([nn.Parameter(torch.ones(1))])) for make in LIVE.values()} >= set(TORCH)


@pytest.mark.parametrize("case", PEERED, ids=str)
def test_torch_s_own_update_is_what_is_measured(case):
    weights, grads = fed(40)
    series, before = recorded(lambda p: case.peer(p, lr=0.02, **case.peer_options), weights, grads)
    for point in series.points:
        moved = rms(before[point.step + 1] - before[point.step])
        assert point.update == pytest.approx(moved, rel=1e-7)  # torch keeps NAdam's product in float32


def test_steps_that_are_not_made_are_not_recorded():
    weight = nn.Parameter(torch.ones(2))
    other = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([{"params": [weight]}, {"params": [other]}], lr=0.1, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with recording(optimizer) as recorder:
        optimizer.step()  # no gradient anywhere
        for factor in (1.0, float("inf"), 1.0):
            optimizer.zero_grad()
            scaler.scale((weight * factor).sum()).backward()
            scaler.step(optimizer)
            scaler.update()
    seen, never = recorder.explanation.series
    assert [(point.step, point.gradient) for point in seen.points] == [(0, 1.0), (1, 1.0)]
    assert never.points == ()
    assert "Group 1: no parameter had a gradient, so nothing was updated." in paragraph(recorder.explanation)


@pytest.mark.parametrize("first", ["clock", "recorder"])
def test_an_attached_clock_s_rates_are_seen(first):
    """Whichever was there first: what it writes only after the look is known from its schedules."""
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([weight], lr=1.0)
    clock = attach(optimizer, lr=RATE) if first == "clock" else None
    with recording(optimizer) as recorder:
        clock = clock or attach(optimizer, lr=RATE)
        for _ in range(4):
            weight.grad = torch.ones(2)
            optimizer.step()
    assert [(point.step, point.lr) for point in recorder.explanation.series[0].points] == [
        (k, RATE(k)) for k in range(4)
    ]


def test_one_step_from_the_gradients_that_are_there():
    """As after a resume: the state is there, one more backward gives the gradient."""
    weights, grads = fed(12)
    series, _ = recorded(lambda p: tapered.AdamW(p, lr=RATE), weights, grads)
    weight = nn.Parameter(torch.tensor(weights))
    optimizer = tapered.AdamW([weight], lr=RATE)
    with pytest.raises(ValueError, match="no parameter has a gradient, and a step is made of one"):
        explain_step(optimizer)
    for step, grad in enumerate(grads):
        weight.grad = torch.tensor(grad)
        assert explain_step(optimizer).series[0].points == (series.points[step],)
        optimizer.step()
    assert "At step 11 the update's RMS is" in paragraph(
        tapered.explain.Explanation((tapered.explain.Series("0", series.rule, series.points[-1:]),))
    )


def test_edges():
    weights = np.array([0.0, 0.0])
    series, _ = recorded(lambda p: torch.optim.Adam(p, lr=0.1), weights, np.zeros((3, 2)))
    for point in series.points:
        assert (point.update, point.largest, point.eps_share, point.relative) == (0, 0, 1, math.inf)
    assert [change for _, change in series.splits("step")] == [None] * 3
    assert "No step was ever longer than 0" in paragraph(tapered.explain.Explanation((series,)))
    # a warmup's first rate is 0: nothing moves, but what the rate would have multiplied is known
    series, _ = recorded(lambda p: tapered.Adam(p, lr=schedules.linear(0.0, 1.0, steps=4)), weights, np.ones((3, 2)))
    assert (series.points[0].update, series.points[0].largest) == (0, pytest.approx(1))
    assert [change is None for _, change in series.splits("step")] == [True, False, False]
    assert series.splits("step")[1][1].since == 1
    # with the rate inside the buffer there is nothing to divide by
    make = lambda p: tensorflow1.RMSPropOptimizer(p, schedules.constant(0.0))  # noqa: E731
    assert math.isnan(recorded(make, weights, np.ones((1, 2)))[0].points[0].largest)
    # a gradient that is not finite is said, not repaired
    series, _ = recorded(lambda p: torch.optim.Adam(p, lr=0.1), weights, np.array([[1.0, 1.0], [math.nan, 1.0]]))
    assert math.isnan(series.points[1].gradient)
    assert series.splits("step")[1][1] is None
    with pytest.raises(ValueError, match="got since=7, which was not recorded in group 0; the nearest is 1"):
        series.splits("step", since=7)
    with pytest.raises(ValueError, match=r"got 'decay' for `term`; expected one of \['step'\]"):
        series.splits("decay")


def test_shapes_kinds_and_late_parameters():
    """Complex entries count as two, as torch updates them; 0-d and empty ones are entries like any other."""
    pair, number, empty = torch.tensor([3 + 4j, 0]), torch.tensor(2.0), torch.empty(0)
    params = [nn.Parameter(t) for t in (pair, number, empty)]
    optimizer = torch.optim.Adam(params, lr=0.1)
    with recording(optimizer) as recorder:
        for step in range(3):
            params[0].grad, params[2].grad = torch.tensor([1 - 2j, 5]), torch.empty(0)
            params[1].grad = torch.tensor(1.0) if step else None  # one count behind the others
            optimizer.step()
    first, second, _ = recorder.explanation.series[0].points
    assert first.param == pytest.approx(math.sqrt(25 / 4))
    assert first.gradient == pytest.approx(math.sqrt(30 / 4))
    factors = [math.sqrt(1 - 0.999**t) / (1 - 0.9**t) for t in (1, 2)]
    assert factors[1] < second.term("step").factor < factors[0]
    change = split(second, first, "step")
    assert change.whole == pytest.approx(change.measured, abs=1e-6)


def test_the_sample_of_a_large_group_is_spread_over_it(monkeypatch):
    monkeypatch.setattr("tapered.explain.measure.SAMPLE", 50)
    parts = [torch.arange(start, stop, dtype=torch.float64) ** 2 for start, stop in ((0, 37), (37, 38), (38, 199))]
    given = [Given(torch.ones_like(part), part, {}, 1) for part in parts]
    point = measure(rules.SGD(), 0, given, {**rules.SGD().hypers, "lr": 1.0})
    assert point.largest == 198**2
    assert point.ratios == pytest.approx(tuple(np.quantile(np.arange(0, 199, 4) ** 2, QUANTILES)))


def test_what_cannot_be_explained_is_refused():
    weight = nn.Parameter(torch.ones(2))
    with pytest.raises(TypeError, match="got LBFGS for `optimizer`, whose arithmetic is not known here"):
        recording(torch.optim.LBFGS([weight])).__enter__()

    class Mine(torch.optim.Adam):
        """May do anything."""

    with pytest.raises(TypeError, match="got Mine"):
        recording(Mine([weight])).__enter__()
    optimizer = optim.Adam([weight])
    with pytest.raises(ValueError, match="got 0 for `every`; expected a whole number of at least 1"):
        recording(optimizer, every=0).__enter__()
    with pytest.raises(ValueError, match="got 1 for `limit`; expected a whole number of at least 2"):
        recording(optimizer, limit=1).__enter__()
    table = nn.Embedding(3, 2, sparse=True)
    torch_s = torch.optim.SGD(table.parameters(), lr=0.1)
    table(torch.tensor([1])).sum().backward()
    with recording(torch_s), pytest.raises(ValueError, match="group 0 has a sparse gradient"):
        torch_s.step()
    with pytest.raises(ValueError, match="got 50 for `at`; expected completed updates, from 0 to 49"):
        explain_run(quadratic(), tabulate(rules.SGD(), 50, lr=0.1), at=[3, 50])
    assert not torch_s._optimizer_step_pre_hooks


def test_a_run_is_the_run_that_is_trained():
    workload, rule = quadratic(), rules.Adam(decay="decoupled")
    path = tabulate(rule, 60, lr=RATE, weight_decay=0.1)
    found = explain_run(workload, path, 3, at=[0, 7, 59], by_parameter=True)
    assert [series.name for series in found.series] == ["w"]
    for point in found.series[0].points:
        rows = [advance(workload, start(workload, rule, [3]), [path], step) for step in (point.step, point.step + 1)]
        before, after = (row.params["w"].double().numpy() for row in rows)
        assert (point.lr, point.param) == (RATE(point.step), pytest.approx(rms(before)))
        assert point.update == pytest.approx(rms(after - before), rel=1e-3)  # float32 weights near 1
    assert looks(1) == (0,)
    assert looks(5) == (0, 1, 2, 3, 4)


def test_a_run_that_diverges_is_explained_as_far_as_it_went():
    found = explain_run(quadratic(), tabulate(rules.SGD(), 2000, lr=30.0), at=[0, 5, 1000])
    assert [point.step for point in found.series[0].points] == [0, 5]
    assert 5 < found.diverged < 1000
    assert f"The loss was not finite at step {found.diverged}" in paragraph(found)


def test_the_question_bias_correction_does_not_decay():
    """Q6: the factor tends to 1; with a constant rate nothing decays, with exponential decay the schedule does."""
    constant = explain_run(bmi(), tabulate(rules.Adam(), 2000, lr=1e-3), at=looks(2000, 16))
    factors = [point.term("step").factor for point in constant.series[0].points]
    assert factors[0] == pytest.approx(math.sqrt(1e-3) / 0.1)
    assert factors[-1] == pytest.approx(math.sqrt(1 - 0.999**2000), rel=1e-6)
    assert 0.92 < factors[-1] < 1
    low = factors.index(min(factors))
    assert factors[low:] == sorted(factors[low:])
    text = paragraph(constant)
    assert "The schedule is constant at 0.001 and decays nothing." in text
    assert "it tends to 1" in text
    assert "corrects the start, and does not decay the rate" in text
    assert text.endswith("So nothing here falls with time by design; what else changed followed the gradients.")
    decayed = explain_run(bmi(), tabulate(rules.Adam(), 1000, lr=tapered.exponential_decay(0.15, 1, 0.9999)))
    text = paragraph(decayed)
    assert "The schedule falls from 0.15 at step 0 to 0.136 at step 999" in text
    assert text.endswith("So by design only the schedule falls with time; what else changed followed the gradients.")


def test_words_name_what_else_decays():
    def said(rule, **hypers):
        return paragraph(explain_run(quadratic(), tabulate(rule, 100, **hypers)))

    assert "only 1 / (the root of all past squares) falls" in said(rules.Adagrad(), lr=0.1)
    assert "1 / (the root of all past squares) and lr_decay fall" in said(rules.Adagrad(), lr=0.1, lr_decay=0.1)
    assert "earlier rates" in said(
        rules.SGD(momentum=True, rate_in_momentum=True), lr=schedules.linear(0.1, 0, steps=100), momentum=0.9
    )
    assert "nothing is divided by past gradients" in said(rules.SGD(), lr=0.1)
    assert "Weight decay is a term of its own" in said(rules.Adam(decay="decoupled"), lr=0.1, weight_decay=0.1)
    assert "The schedule stands at 0.099, the highest it has been" in said(
        rules.Adam(), lr=schedules.linear(0.0, 0.1, steps=100)
    )


def test_plain_values_for_json():
    found = explain_run(quadratic(), tabulate(rules.Adam(), 20, lr=schedules.linear(0.0, 0.1, steps=20)), at=[0, 5, 19])
    (group,) = json.loads(json.dumps(fields(found), allow_nan=False))["groups"]
    assert [point["step"] for point in group["points"]] == [0, 5, 19]
    assert group["splits"]["step"][0] is None
    whole = found.series[0].splits("step")[2][1].whole
    assert group["splits"]["step"][2]["whole"] == whole


def test_the_command(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    asked = ["explain", "bmi", "--lr", "exponential_decay(0.01, decay_steps=steps, decay_rate=0.1)", "--steps", "200"]
    assert main([*asked, "--choice", "decay=decoupled", "--hyper", "weight_decay=0.1"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "change of weight_decay" in out
    assert "only the schedule falls with time" in " ".join(out.split())
    assert main(["explain", "quadratic", "--rule", "SGD", "--steps", "30", "--every", "7", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [point["step"] for point in facts["groups"][0]["points"]] == [0, 7, 14, 21, 28, 29]
    assert facts["rule"].startswith("SGD(")
    assert "decays nothing" in facts["text"]
    for word, chosen in (("false", False), ("True", True)):
        assert main(["explain", "quadratic", "--steps", "5", "--choice", f"amsgrad={word}", "--json"]) == 0
        assert f"amsgrad={chosen}" in json.loads(capsys.readouterr().out)["rule"]
    for wrong, said in (
        (["bmmi"], "workload='bmmi' is unknown; try \"bmi\""),
        (["bmi", "--rule", "Adan"], "rule='Adan' is unknown; try \"Adam\""),
        (["bmi", "--lr", "exponential(1)"], "arm 'Adam': lr = 'exponential(1)'"),
        (["bmi", "--hyper", "beta3=1"], 'unknown to Adam; try "beta'),
        (["bmi", "--choice", "amsgrad"], "got --choice 'amsgrad'; expected name=value"),
        (["bmi", "--option", "batch_size=0"], "batch_size=0"),
        (["bmi", "--steps", "0"], "got --steps=0; expected a whole number of at least 1"),
    ):
        assert main(["explain", *wrong]) == 2
        assert said in capsys.readouterr().err


def test_the_command_on_a_run_that_was_saved(capsys, tmp_path):
    """Its steps from the checkpoint on are those of the run from the start; nothing in the folder changes."""
    lr = ["--lr", "exponential_decay(0.1, 10, 0.5)"]
    assert main(["run", "quadratic", *lr, "--steps", "20", "--store", str(tmp_path / "r")]) == 0
    capsys.readouterr()
    files = {path: path.read_bytes() for path in (tmp_path / "r").rglob("*") if path.is_file()}
    assert main(["explain", str(tmp_path / "r"), "--steps", "10", "--every", "3", "--json"]) == 0
    kept = json.loads(capsys.readouterr().out)
    assert main(["explain", "quadratic", *lr, "--steps", "30", "--every", "1", "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)["groups"][0]["points"]
    assert kept["groups"][0]["points"] == [whole[step] for step in (20, 23, 26, 29)]
    assert {path: path.read_bytes() for path in (tmp_path / "r").rglob("*") if path.is_file()} == files
    assert main(["explain", str(tmp_path / "r")]) == 0
    assert "At step 20 the update's RMS is" in " ".join(capsys.readouterr().out.split())
    assert main(["explain", str(tmp_path / "r"), "--rule", "SGD"]) == 2
    assert "got --rule for the run in" in capsys.readouterr().err
    assert main(["explain", str(tmp_path)]) == 3
