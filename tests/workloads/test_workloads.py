"""The generated workloads against float64 numpy and closed forms."""

import numpy as np
import pytest
import torch
from study_cases import planned
from torch import nn

from tapered import inverse_sqrt, rules
from tapered.training.advance import LOOP, Mode, advance, evaluate
from tapered.training.probe import Probe
from tapered.training.rows import start, tabulate
from tapered.training.workload import Workload
from tapered.workloads import WORKLOADS, counterexample, noisy_quadratic, online, separable, surface
from tapered.workloads.online import regret_bound
from tapered.workloads.own import StudyFileError
from tapered.workloads.quadratics import adam_floor, expected_loss, sgd_floor
from tapered.workloads.surfaces import SURFACES

ROWS = Mode("rows", 8, "")
SMALL = {  # name -> options under which rows are tried in a moment
    "characters": {"text": "topics", "batch_size": 2, "width": 16, "heads": 2},
    "fashion_mnist": None,  # tests/test_workloads_data.py
    "photo": None,
    "separable": {"examples": 20},
}


def trained(problem, rule, steps, rate, *, seeds=2, mode=ROWS, **hypers):
    rows = start(problem, rule, range(seeds))
    return advance(problem, rows, [tabulate(rule, steps, lr=rate, **hypers)] * seeds, steps, mode=mode)


def study(name, options, metric="loss"):
    return (
        f'name = "s"\nworkload = "{name}"\nworkload_options = {options}\nsteps = 5\nmetric = "{metric}"\n'
        'baseline = "a"\npeaks = { low = 0.1, high = 0.1, count = 1 }\n'
        '[[arms]]\nname = "a"\nrule = "SGD"\nlr = "constant(1.0)"\n'
    )


@pytest.mark.parametrize("name", [name for name in WORKLOADS if SMALL.get(name, {}) is not None])
def test_every_workload_is_fixed_and_stacks(name):
    problem, again = (WORKLOADS[name](**SMALL.get(name, {})) for _ in range(2))
    assert isinstance(problem, Workload)
    assert problem.fingerprint() == again.fingerprint()
    assert problem.name in (name, "rosenbrock")
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in problem.train.tensors)
    assert all(p.dtype == torch.float32 for p in problem.build(0).parameters())
    assert Probe(problem, rules.Adam()).fault() is None


def test_a_study_names_a_workload_and_its_options(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(study("noisy_quadratic", "{ dimensions = 3, condition = 10.0, sigma = 0.0 }"))
    workload = planned(str(path)).workload
    assert workload.build(0).w.shape == (3,)
    assert workload.train.tensors[0].abs().max() == 0
    path.write_text(study("counterexample", "{ C = 5, stochastic = true }", "average regret"))
    assert planned(str(path)).workload.train.tensors[0].max() == 5
    path.write_text(study("digit", "{}"))
    with pytest.raises(StudyFileError, match='try "digits"'):
        planned(str(path))
    path.write_text(study("surface", '{ name = "bealle" }'))
    with pytest.raises(StudyFileError, match=r"name='bealle'; expected one of rosenbrock, beale"):
        planned(str(path))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: noisy_quadratic(dimensions=0), "dimensions=0"),
        (lambda: noisy_quadratic(dimensions=1), "condition of at least 1"),
        (lambda: noisy_quadratic(condition=0.5), r"condition=0\.5"),
        (lambda: noisy_quadratic(sigma=float("nan")), "sigma=nan"),
        (lambda: surface("saddle"), "name='saddle'"),
        (lambda: online(mean=1.5), r"mean=1\.5"),
        (lambda: counterexample(C=2), "C=2"),
        (lambda: separable(p=0.5), r"p=0\.5"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("order", ["drawn", "given"])
def test_orders_of_an_epoch(order):
    x = torch.arange(10)
    data = torch.utils.data.TensorDataset(x, x)
    problem = Workload("w", lambda: nn.Linear(1, 1), nn.functional.mse_loss, data, data, batch_size=5, order=order)
    many = problem.batches(3, 0, 2000)
    if order == "given":
        assert torch.equal(many, x.view(2, 5).repeat(1000, 1))
        return
    assert any(len(set(row.tolist())) < 5 for row in many)  # with replacement
    counts = np.bincount(many.flatten(), minlength=10)
    assert (np.abs(counts - 1000) < 5 * 30).all()  # a count's standard deviation is 30
    assert torch.equal(many[7], problem.batch(3, 7))
    assert not torch.equal(many, problem.batches(4, 0, 2000))


def test_another_order_is_refused_and_changes_the_fingerprint():
    data = torch.utils.data.TensorDataset(torch.zeros(4, 1), torch.zeros(4, 1))
    made = [
        Workload("w", lambda: nn.Linear(1, 1), nn.functional.mse_loss, data, data, batch_size=2, order=order)
        for order in ("shuffled", "drawn", "given")
    ]
    assert len({problem.fingerprint() for problem in made}) == 3
    with pytest.raises(ValueError, match="order='random'"):
        Workload("w", nn.Identity, nn.functional.mse_loss, data, data, batch_size=2, order="random")


def test_noise_has_exactly_the_stated_moments_and_follows_seed_and_step():
    problem = noisy_quadratic(dimensions=5, sigma=0.3, batch_size=2)
    x = problem.train.tensors[0].double().numpy()
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-8)
    np.testing.assert_allclose(x.std(0), 0.3, rtol=1e-6)
    first = trained(problem, rules.SGD(), 20, 0.001, seeds=1)
    other = trained(problem, rules.SGD(), 20, 0.0005, seeds=1)
    assert torch.equal(problem.batches(0, 0, 20), noisy_quadratic(dimensions=5).batches(0, 0, 40).view(20, 2))
    assert first.losses[0][0] == other.losses[0][0]  # one seed: the same weights and noise at any rate


def test_quadratic_gradient_and_loss_against_numpy():
    problem = noisy_quadratic(dimensions=3, condition=100.0, batch_size=4)
    model, h = problem.build(4), np.array([1.0, 10.0, 100.0])
    x, target = problem.fetch("train", problem.batch(4, 11))
    problem.loss(model(x), target).backward()
    w = model.w.detach().double().numpy()
    np.testing.assert_allclose(model.w.grad, h * (w - x.double().numpy().mean(0)), rtol=1e-4, atol=1e-4)
    assert evaluate(problem, start(problem, rules.SGD(), [4]), "valid")[0]["loss"] == pytest.approx(h @ w**2 / 2)


def test_expected_loss_is_the_mean_of_simulated_runs():
    """4,000 runs in float64, noise from numpy, one starting point, a rate that decays."""
    rng, h, start_at = np.random.default_rng(0), np.geomspace(1, 50, 4), np.array([1.0, -2.0, 0.5, 1.5])
    rates = 0.03 / np.sqrt(np.arange(1, 61))
    w, losses = np.tile(start_at, (4000, 1)), []
    for rate in rates:
        w = w - rate * h * (w - 0.7 * rng.standard_normal(w.shape) / 2)  # a mean of four samples
        losses.append((h * w**2).sum(1) / 2)
    wanted = expected_loss(rates, start_at, condition=50.0, sigma=0.7, batch_size=4)
    assert wanted[0] == pytest.approx(h @ start_at**2 / 2)
    error = np.std(losses, axis=1) / 4000**0.5
    assert (np.abs(np.mean(losses, axis=1) - wanted[1:]) < 4.5 * error + 1e-9).all()


def test_trained_rows_have_the_expected_loss():
    size = {"dimensions": 3, "condition": 20.0}
    problem = noisy_quadratic(**size)
    rows = trained(problem, rules.SGD(), 60, 0.02, seeds=256, mode=Mode("rows", 256, ""))
    found = [metrics["loss"] for metrics in evaluate(problem, rows, "valid", mode=Mode("rows", 256, ""))]
    begun = [problem.build(seed).w.detach().double().numpy() for seed in range(256)]
    wanted = np.mean([expected_loss([0.02] * 60, w, condition=20.0)[-1] for w in begun])
    assert abs(np.mean(found) - wanted) < 4 * np.std(found) / 16


def test_floors():
    size = {"dimensions": 4, "condition": 30.0, "sigma": 0.5, "batch_size": 2}
    noise = {key: size[key] for key in ("condition", "sigma", "batch_size")}
    assert sgd_floor(0.01, **size) == pytest.approx(expected_loss([0.01] * 20_000, np.zeros(4), **noise)[-1])
    assert sgd_floor(2 / 30, **size) == float("inf")
    assert sgd_floor(0.01, **{**size, "sigma": 0.0}) == 0
    decays = 0.05 * (1 - np.arange(4000) / 4000)
    assert expected_loss(decays, np.ones(4), **noise)[-1] < 0.02 * sgd_floor(0.05, **size)


def test_adams_floor_is_proportional_to_the_rate():
    size, rates, wide = {"dimensions": 4, "condition": 10.0}, (0.03, 0.06), Mode("rows", 64, "")
    problem, rows, found = noisy_quadratic(**size), start(noisy_quadratic(**size), rules.Adam(), [*range(32)] * 2), []
    paths = [tabulate(rules.Adam(), 450, lr=rate) for rate in rates for _ in range(32)]
    for step in (250, 290, 330, 370, 410, 450):
        rows = advance(problem, rows, paths, step, mode=wide)
        found.append([metrics["loss"] for metrics in evaluate(problem, rows, "valid", mode=wide)])
    # four standard errors of 32 seeds: their noise is another one on each kind of processor
    for rate, mean in zip(rates, np.mean(found, 0).reshape(2, 32).mean(1), strict=True):
        assert mean == pytest.approx(adam_floor(rate, **size), rel=0.25)


def test_without_noise_gradient_descent_is_the_closed_form():
    problem = noisy_quadratic(dimensions=4, condition=10.0, sigma=0.0)
    w, h = problem.build(0).w.detach().double().numpy(), np.geomspace(1, 10, 4)
    rows = trained(problem, rules.SGD(), 30, 0.1)
    np.testing.assert_allclose(rows.params["w"][0], (1 - 0.1 * h) ** 30 * w, rtol=1e-4, atol=1e-7)


TEXTBOOK = {
    "rosenbrock": lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2,
    "beale": lambda x, y: (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2,
    "himmelblau": lambda x, y: (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2,
    "ackley": lambda x, y: (
        -20 * np.exp(-0.2 * np.sqrt((x**2 + y**2) / 2))
        - np.exp((np.cos(2 * np.pi * x) + np.cos(2 * np.pi * y)) / 2) + np.e + 20
    ),
}  # fmt: skip
KNOWN = {"rosenbrock": (0, 0, 1), "beale": (0, 0, 14.203125), "himmelblau": (0, 0, 170), "ackley": (1, 1, 3.6253849384)}


@pytest.mark.parametrize("name", SURFACES)
def test_surfaces_are_the_textbooks(name):
    found, rng = SURFACES[name], np.random.default_rng(1)
    x, y = rng.uniform(-4, 4, (2, 200))
    values = found.function(torch.from_numpy(x), torch.from_numpy(y)).numpy()
    np.testing.assert_allclose(values, TEXTBOOK[name](x, y), rtol=1e-10)
    assert (values > 0).all()
    x, y, value = KNOWN[name]
    assert found.function(torch.tensor([float(x)]), torch.tensor([float(y)])).item() == pytest.approx(value, rel=1e-6)
    for minimum in found.minima:
        point = torch.tensor(minimum, dtype=torch.float64).unsqueeze(1).requires_grad_()
        value = found.function(*point).sum()
        (gradient,) = torch.autograd.grad(value, point)
        assert value.item() == pytest.approx(0, abs=1e-15)
        assert gradient.abs().max() < 1e-9


@pytest.mark.parametrize("name", SURFACES)
def test_a_seed_is_a_start_in_the_region_and_training_goes_down(name):
    problem, found = surface(name), SURFACES[name]
    points = torch.stack([problem.build(seed).w.detach() for seed in range(50)])
    low, high = torch.tensor(found.low), torch.tensor(found.high)
    assert ((low <= points) & (points <= high)).all()
    assert ((points.amax(0) - points.amin(0)) > 0.8 * (high - low)).all()
    begun = evaluate(problem, start(problem, rules.Adam(), range(8)), "valid")
    ended = evaluate(problem, trained(problem, rules.Adam(), 300, 0.02, seeds=8), "valid")
    assert all(after["loss"] < before["loss"] for before, after in zip(begun, ended, strict=True))
    nearest = min(np.hypot(*(points[0].numpy() - m)) for m in np.array(found.minima))
    assert begun[0]["distance"] == pytest.approx(nearest, rel=1e-5)


class Paper:
    """Reddi et al.'s algorithms on [-1, 1], float64: v without momentum, the maximum for AMSGrad, a projection."""

    def __init__(self, x, beta2, *, amsgrad, corrected):
        self.x, self.beta2, self.amsgrad, self.corrected = x, beta2, amsgrad, corrected
        self.v = self.most = self.paid = self.slopes = 0.0

    def play(self, slopes, alpha):
        for t, c in enumerate(slopes, 1):
            self.paid, self.slopes = self.paid + c * self.x, self.slopes + c
            self.v = self.beta2 * self.v + (1 - self.beta2) * c * c
            self.most = max(self.most, self.v)
            rate = alpha / t**0.5 * ((1 - self.beta2**t) ** 0.5 if self.corrected else 1)
            self.x = float(np.clip(self.x - rate * c / (self.most if self.amsgrad else self.v) ** 0.5, -1, 1))
        return self.x, (self.paid + abs(self.slopes)) / len(slopes)


@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=["loop", "rows"])
@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_the_counterexample_is_the_papers_projected_algorithm(amsgrad, stochastic, mode):
    problem, T, C = counterexample(stochastic=stochastic), 600, 3.0
    betas = {"beta1": 0.0, "beta2": 1 / (1 + C * C)}
    rows = trained(problem, rules.Adam(amsgrad=amsgrad), T, inverse_sqrt(0.5), mode=mode, **betas)
    metrics = evaluate(problem, rows, "valid", mode=mode)
    for seed in range(2):
        slopes = problem.train.tensors[0][problem.batches(seed, 0, T)[:, 0]].double().flatten().tolist()
        paper = Paper(problem.build(seed).w.item(), 1 / (1 + C * C), amsgrad=amsgrad, corrected=True)
        x, regret = paper.play(slopes, 0.5)
        assert metrics[seed]["loss"] == pytest.approx((C - 2) / 3 * x, abs=1e-4)
        assert metrics[seed]["average regret"] == pytest.approx(regret, abs=1e-4)


def test_adam_goes_to_the_worst_point_and_amsgrad_to_the_best():
    """As the theorem has it, whose algorithm corrects no bias; the first slopes are its f_1, f_2, f_3."""
    problem = counterexample()
    slopes = problem.train.tensors[0][problem.batches(0, 0, 1500)[:, 0]].flatten().tolist()
    assert slopes[:6] == [3, -1, -1, 3, -1, -1]
    ends = {}
    for amsgrad in (False, True):
        ends[amsgrad] = [Paper(x, 0.1, amsgrad=amsgrad, corrected=False).play(slopes, 0.5) for x in (-1.0, 1.0)]
        betas = {"beta1": 0.0, "beta2": 0.1}
        rows = trained(problem, rules.Adam(amsgrad=amsgrad), 1500, inverse_sqrt(0.5), seeds=1, mode=LOOP, **betas)
        for found in evaluate(problem, rows, "valid"):
            assert found["distance"] == pytest.approx(1 + ends[amsgrad][0][0], abs=1e-2)
    assert all(x == pytest.approx(1, abs=1e-2) and regret > 0.6 for x, regret in ends[False])
    assert all(x == pytest.approx(-1, abs=2e-2) and regret < 0.06 for x, regret in ends[True])


@pytest.mark.parametrize("mode", [LOOP, ROWS], ids=["loop", "rows"])
def test_online_regret_against_a_replay(mode):
    """Projected gradient descent in float64 over the same z, the best fixed point found by summing all of them."""
    problem, T, alpha = online(dimensions=3, mean=1.0), 400, 2.0
    rows = trained(problem, rules.SGD(), T, inverse_sqrt(alpha), mode=mode)
    found = evaluate(problem, rows, "valid", mode=mode)
    pool = problem.train.tensors[0].double().numpy()
    for seed in range(2):
        z = pool[problem.batches(seed, 0, T)[:, 0]]
        x, paid, hits = problem.build(seed).w.detach().double().numpy(), 0.0, 0
        for t, here in enumerate(z, 1):
            paid += ((x - here) ** 2).sum() / 2
            moved = x - alpha / t**0.5 * (x - here)
            x, hits = np.clip(moved, -1, 1), hits + (np.abs(moved) > 1).any()
        regret = (paid - ((z.mean(0) - z) ** 2).sum() / 2) / T
        assert hits > 0, "the box was never reached"
        assert found[seed]["average regret"] == pytest.approx(regret, rel=1e-4, abs=1e-5)
        assert found[seed]["distance"] == pytest.approx(np.linalg.norm(x - z.mean(0)), rel=1e-3)
        assert 0 < regret < regret_bound(T, alpha, diameter=2 * 3**0.5, gradient=2 * 3**0.5)
    assert np.abs(pool).max() <= 1
    assert pool.mean() == pytest.approx(0.5, abs=0.02)


def test_evaluating_does_not_play():
    problem = online(dimensions=2)
    rows = trained(problem, rules.SGD(), 10, 0.1)
    assert evaluate(problem, rows, "valid") == evaluate(problem, rows, "valid")
    assert rows.buffers["steps"].tolist() == [10, 10]


def test_wilsons_features():
    problem = separable(examples=10, p=0.7)
    x, y = (tensor.double().numpy() for tensor in problem.train.tensors)
    assert x.shape == (10, 3 + 5 * 410)
    assert (y == 1).sum() == 7
    for i in range(10):
        wanted = np.zeros(x.shape[1])
        wanted[:3] = y[i], 1, 1
        wanted[3 + 5 * i : 3 + 5 * i + (1 if y[i] > 0 else 5)] = 1
        np.testing.assert_array_equal(x[i], wanted)
    used = [np.flatnonzero(split.tensors[0].any(0))[3:] for split in (problem.train, problem.valid, problem.test)]
    assert len(set().union(*used)) == sum(len(places) for places in used)


def test_least_norm_is_right_and_the_sign_solution_is_always_positive():
    problem = separable(examples=30)
    x, y = (tensor.double().numpy() for tensor in problem.train.tensors)
    new, labels = (tensor.double().numpy() for tensor in problem.test.tensors)
    least = np.linalg.pinv(x) @ y
    sign = np.sign(x.T @ y)
    scale = (x @ sign * y)[0]
    np.testing.assert_allclose(x @ sign / scale, y)  # it fits the training data as well
    assert (np.sign(new @ least) == labels).all()
    assert (new @ sign > 0).all()
    descended = trained(problem, rules.SGD(), 150, 0.5, seeds=1, mode=LOOP)
    adaptive = trained(problem, rules.Adam(), 150, 0.05, seeds=1, mode=LOOP)
    np.testing.assert_allclose(descended.params["w"][0], least, atol=1e-4)
    moved = adaptive.params["w"][0].double().numpy()
    np.testing.assert_allclose(moved / np.abs(moved).max(), sign, atol=0.02)
    assert evaluate(problem, descended, "test")[0]["accuracy"] == 1
    assert evaluate(problem, adaptive, "test")[0]["accuracy"] == pytest.approx(0.6)
    assert evaluate(problem, adaptive, "train")[0]["accuracy"] == 1
