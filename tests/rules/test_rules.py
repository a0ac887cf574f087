"""Every rule against torch or a float64 numpy oracle, and the laws that all rules keep."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rule_cases import CASES, PEERED, SIZE, STEPS, Case, hyper_at, problem, rate, trajectory

from tapered import rules


@pytest.fixture
def scalars_in_double() -> Iterator[None]:
    """torch keeps mu_product in the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def peer_trajectory(case: Case, dtype: torch.dtype) -> list[torch.Tensor]:
    start, grads = problem(dtype)
    param = torch.nn.Parameter(start)
    assert case.peer is not None
    peer = case.peer([param], foreach=False, **case.peer_options)
    path = []
    for step, grad in enumerate(grads):
        peer.param_groups[0]["lr"] = rate(step)
        param.grad = grad
        peer.step()
        path.append(param.detach().clone())
    return path


@pytest.mark.parametrize("case", PEERED, ids=str)
@pytest.mark.usefixtures("scalars_in_double")
def test_equals_torch_in_double(case: Case) -> None:
    for (ours, _), theirs in zip(trajectory(case), peer_trajectory(case, torch.float64), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=0)


@pytest.mark.parametrize("case", PEERED, ids=str)
def test_equals_torch_in_single(case: Case) -> None:
    for (ours, _), theirs in zip(trajectory(case, torch.float32), peer_trajectory(case, torch.float32), strict=True):
        # a few entries cross 0, where an error relative to the entry itself means nothing
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def numbers(case: Case) -> tuple[np.ndarray, list[np.ndarray], dict[str, float]]:
    param, grads = problem()
    return param.numpy(), [g.numpy() for g in grads], {**case.rule.hypers, **case.hyper}


def lion(case: Case) -> list[np.ndarray]:
    """Chen et al. 2023, Algorithm 2."""
    theta, grads, h = numbers(case)
    m, path = np.zeros(SIZE), []
    for step, g in enumerate(grads):
        c = h["beta1"] * m + (1 - h["beta1"]) * g
        theta = theta - rate(step) * (np.sign(c) + h["weight_decay"] * theta)
        m = h["beta2"] * m + (1 - h["beta2"]) * g
        path.append(theta)
    return path


def schedule_free(case: Case) -> list[np.ndarray]:
    """Defazio et al. 2024, Algorithm 1, with x kept; the weights of the authors' code: t^r times the largest rate^2."""
    y, grads, h = numbers(case)
    x, z, v, total, largest, path = y, y, np.zeros(SIZE), 0.0, 0.0, []
    for step, g in enumerate(grads):
        t, lr = step + 1, rate(step)
        v = h["beta2"] * v + (1 - h["beta2"]) * g**2
        z = z - lr * g / (np.sqrt(v / (1 - h["beta2"] ** t)) + h["eps"]) - lr * h["weight_decay"] * y
        largest = max(largest, lr)
        weight = t ** h["r"] * largest**2
        total += weight
        x = x + weight / total * (z - x)
        y = (1 - h["beta1"]) * z + h["beta1"] * x
        path.append(y)
    return path


def keras_sgd(case: Case) -> list[np.ndarray]:
    """Keras 3 SGD: v = momentum v - lr g; p += v, or p += momentum v - lr g with Nesterov."""
    p, grads, h = numbers(case)
    v, path = np.zeros(SIZE), []
    for step, g in enumerate(grads):
        v = h["momentum"] * v - rate(step) * g
        p = p + (h["momentum"] * v - rate(step) * g if case.rule.nesterov else v)
        path.append(p)
    return path


@pytest.mark.parametrize(
    ("name", "oracle"),
    [("lion", lion), ("schedule-free", schedule_free), ("sgd-keras", keras_sgd), ("sgd-keras-nesterov", keras_sgd)],
)
def test_equals_the_paper(name: str, oracle) -> None:
    case = next(case for case in CASES if case.name == name)
    for (ours, _), theirs in zip(trajectory(case), oracle(case), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-9)


def test_schedule_free_reads_out_the_average() -> None:
    case = next(case for case in CASES if case.name == "schedule-free")
    start, _ = problem()
    x, total = start, 0.0
    for step, (y, state) in enumerate(trajectory(case)):
        weight = (step + 1) * max(rate(k) for k in range(step + 1)) ** 2
        total += weight
        x = x + weight / total * (state["z"] - x)
        torch.testing.assert_close(case.rule.readout(y, state), x, rtol=1e-9, atol=0)


def test_schedule_free_follows_a_moving_beta1() -> None:
    """x must be read with the beta1 that made y: the average of the z alone does not depend on beta1's path."""
    rule, (y, grads) = rules.ScheduleFreeAdamW(), problem()
    state, x, total = rule.init(y), y, 0.0
    for step, grad in enumerate(grads):
        hyper = hyper_at(Case("", rule, {"beta1": 0.5 + 0.4 * (step % 2)}), step)
        delta, state = rules.update(rule, y, grad, state, hyper, torch.tensor(step + 1.0).double())
        y = y + delta
        weight = float(state["lr_max"]) ** 2
        total += weight
        x = x + weight / total * (state["z"] - x)
        torch.testing.assert_close(rule.readout(y, state), x, rtol=1e-9, atol=0)


def test_schedule_free_waits_while_the_rate_is_zero() -> None:
    rule, (y, grads) = rules.ScheduleFreeAdamW(), problem()
    hyper = hyper_at(Case("", rule), 0) | {"lr": torch.zeros((), dtype=torch.float64)}
    delta, state = rules.update(rule, y, grads[0], rule.init(y), hyper, torch.ones(()).double())
    assert torch.equal(delta, torch.zeros_like(y))
    assert float(state["weight_sum"]) == 0


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_pure_and_keeps_dtypes(case: Case, dtype: torch.dtype) -> None:
    param, grads = problem(dtype)
    state, hyper, t = case.rule.init(param), hyper_at(case, 0), torch.ones((), dtype=torch.float64)
    inputs = [param, grads[0], t, *state.values(), *hyper.values()]
    before = [(tensor._version, tensor.clone()) for tensor in inputs]
    delta, new = rules.update(case.rule, param, grads[0], state, hyper, t)
    for tensor, (version, value) in zip(inputs, before, strict=True):
        assert tensor._version == version
        assert torch.equal(tensor, value)
    assert delta.dtype == dtype
    assert {name: (s.dtype, s.shape) for name, s in new.items()} == {
        name: (s.dtype, s.shape) for name, s in state.items()
    }
    assert new.keys() == state.keys()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_terms_sum_to_delta(case: Case) -> None:
    *_, (param, state) = trajectory(case)
    grad, hyper, t = problem()[1][0], hyper_at(case, STEPS), torch.tensor(STEPS + 1.0).double()
    terms, _ = case.rule.terms(param, grad, state, case.rule.scalars(hyper, t))
    delta, _ = rules.update(case.rule, param, grad, state, hyper, t)
    total = None
    for term in terms.values():
        assert term.rate.shape == term.factor.shape == ()
        part = -(term.rate * term.factor) * term.direction
        total = part if total is None else total + part
    assert torch.equal(total, delta)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_vmap_equals_the_loop(case: Case) -> None:
    """Rows with their own parameters, gradients, rates, hypers and step counts."""
    params = torch.stack([problem()[0] + row for row in range(4)])
    grads = torch.stack(problem()[1][:4])
    states = [case.rule.init(param) for param in params]
    stacked = {name: torch.stack([state[name] for state in states]) for name in states[0]}
    hypers = [hyper_at(case, step) for step in range(4)]
    hyper = {name: torch.stack([h[name] for h in hypers]) for name in hypers[0]}
    t = torch.tensor([1.0, 2.0, 7.0, 50.0], dtype=torch.float64)

    def one(param, grad, state, hyper, t):
        return rules.update(case.rule, param, grad, state, hyper, t)

    delta, new = torch.vmap(one)(params, grads, stacked, hyper, t)
    for row in range(4):
        alone, state = one(params[row], grads[row], states[row], hypers[row], t[row])
        torch.testing.assert_close(delta[row], alone, rtol=1e-14, atol=0)
        for name, value in state.items():
            torch.testing.assert_close(new[name][row], value, rtol=1e-14, atol=0)


def test_vmap_keeps_single_precision() -> None:
    for case in CASES:
        params, grads = (torch.stack([t.float()] * 2) for t in (problem()[0], problem()[1][0]))
        state = {name: torch.stack([s] * 2) for name, s in case.rule.init(params[0]).items()}
        hyper = {name: torch.stack([h] * 2) for name, h in hyper_at(case, 0).items()}
        delta, _ = torch.vmap(lambda *args, rule=case.rule: rules.update(rule, *args))(
            params, grads, state, hyper, torch.ones(2, dtype=torch.float64)
        )
        assert delta.dtype == torch.float32, case


@pytest.mark.parametrize("case", CASES, ids=str)
def test_compiles_once_for_all_steps(case: Case) -> None:
    graphs = []

    def counting(graph: torch.fx.GraphModule, _: list[torch.Tensor]):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(rules.update, fullgraph=True, backend=counting)
    param, grads = problem()
    state = case.rule.init(param)
    for step, (expected, _) in zip(range(20), trajectory(case), strict=False):
        t = torch.tensor(step + 1.0, dtype=torch.float64)
        delta, state = compiled(case.rule, param, grads[step], state, hyper_at(case, step), t)
        param = param + delta
        torch.testing.assert_close(param, expected, rtol=1e-12, atol=0)
    assert len(graphs) == 1


@given(scale=st.floats(1e-6, 1e6), seed=st.integers(0, 100))
def test_adam_ignores_the_gradients_scale_without_eps(scale: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    param, grads = problem()[0], [torch.randn(SIZE, generator=generator).double() + 0.1 for _ in range(5)]
    for rule in (rules.Adam(), rules.Adam(amsgrad=True), rules.Adam(epsilon="hat"), rules.NAdam(), rules.Adamax()):
        case = Case("", rule, {"eps": 0.0})
        states = [rule.init(param), rule.init(param)]
        for step, grad in enumerate(grads):
            t, hyper, deltas = torch.tensor(step + 1.0).double(), hyper_at(case, step), []
            for which, factor in enumerate((1.0, scale)):
                delta, states[which] = rules.update(rule, param, factor * grad, states[which], hyper, t)
                deltas.append(delta)
            torch.testing.assert_close(deltas[0], deltas[1], rtol=1e-9, atol=0)
