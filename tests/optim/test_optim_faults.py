"""Bad input to the optimizers: a clear refusal, before anything has changed."""

import re

import numpy as np
import pytest
import torch
from torch import nn

import tapered
from tapered import schedules
from tapered.optim import Optimizer
from tapered.optim.multipliers import TaperedWarning
from tapered.tensorflow1 import AdagradOptimizer

NAN, INF = float("nan"), float("inf")
ALL = [
    tapered.Adam, tapered.AdamW, tapered.NAdam, tapered.RAdam, tapered.Adamax, tapered.RMSprop, tapered.Adagrad,
    tapered.Adadelta, tapered.SGD, tapered.Lion, tapered.ScheduleFreeAdamW,
]  # fmt: skip


def params() -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2, 2))]


@pytest.mark.parametrize("ours", ALL)
@pytest.mark.parametrize(
    ("lr", "error", "shown"),
    [
        (-1, ValueError, "got -1 for `lr` in group 0; expected a finite number in [0, inf) or a schedule; try lr=1e-3"),
        (NAN, ValueError, "got nan for `lr` in group 0"),
        (torch.tensor(-1.0), ValueError, "got -1.0 for `lr` in group 0"),
        (torch.tensor(NAN), ValueError, "got nan for `lr` in group 0"),
        (INF, ValueError, "got inf for `lr` in group 0"),
        (float("1e400"), ValueError, "got inf for `lr` in group 0"),
        (10**400, ValueError, "00000 for `lr` in group 0; expected a finite number in [0, inf)"),
        ("0.1", TypeError, "got '0.1' (str) for `lr` in group 0"),
        ("cosine", TypeError, "try lr=1e-3, or parse('cosine', {'steps': 2000})"),
        (float, TypeError, "try lr=1e-3, or from_function(...)"),
        (None, TypeError, "got None (NoneType) for `lr` in group 0"),
        (1j, TypeError, "got 1j (complex) for `lr` in group 0"),
        (True, TypeError, "got True (bool) for `lr` in group 0"),
        (torch.tensor([0.1, 0.2]), ValueError, "got a torch.float32 tensor of shape (2,) for `lr` in group 0"),
        (0.1 * schedules.linear(1.0, -1.0, steps=4).delayed(0).clamp(-1.0, -0.5), ValueError, "got -0.05"),
    ],
)
def test_rates(ours: type[Optimizer], lr, error, shown) -> None:
    with pytest.raises(error, match=re.escape(shown)):
        ours(params(), lr=lr)


@pytest.mark.parametrize("lr", [np.float32(0.5), np.int64(1), torch.tensor(0.5), 0])
def test_numbers_of_other_kinds_are_numbers(lr) -> None:
    assert tapered.SGD(params(), lr=lr).param_groups[0]["lr"] == lr


@pytest.mark.parametrize(
    ("options", "error", "shown"),
    [
        ({"betas": (1, 0.9)}, ValueError, "got 1 for `beta1` in group 0; expected a finite number in [0, 1)"),
        ({"betas": (0.9, 1.0)}, ValueError, "got 1.0 for `beta2` in group 0"),
        ({"betas": (0.9, NAN)}, ValueError, "got nan for `beta2`"),
        (
            {"betas": (0.9,)},
            ValueError,
            "got (0.9,) for `betas` in group 0, 1 values; expected 2; try betas=(0.9, 0.999)",
        ),
        ({"betas": (0.9, 0.9, 0.9)}, ValueError, "3 values; expected 2"),
        ({"betas": None}, TypeError, "got None for `betas` in group 0; expected a pair"),
        ({"betas": 0.9}, TypeError, "got 0.9 for `betas` in group 0; expected a pair"),
        ({"eps": -1}, ValueError, "got -1 for `eps` in group 0; expected a finite number in (0, inf)"),
        ({"eps": NAN}, ValueError, "got nan for `eps`"),
        ({"eps": INF}, ValueError, "got inf for `eps`"),
        ({"eps": 0}, ValueError, "got 0 for `eps`"),
        ({"weight_decay": -1}, ValueError, "got -1 for `weight_decay` in group 0"),
        ({"weight_decay": NAN}, ValueError, "got nan for `weight_decay`"),
        ({"weight_decay": INF}, ValueError, "got inf for `weight_decay`"),
        ({"amsgrad": 1}, TypeError, "got 1 for `amsgrad` in group 0; expected True or False"),
        ({"foreach": True}, ValueError, "got foreach=True"),
        ({"capturable": True}, ValueError, "got capturable=True"),
        ({"differentiable": True}, ValueError, "got differentiable=True"),
        ({"fused": True, "compile": True}, ValueError, "got fused=True and compile=True; choose one"),
    ],
)
def test_other_numbers(options, error, shown) -> None:
    with pytest.raises(error, match=re.escape(shown)):
        tapered.Adam(params(), **options)


@pytest.mark.parametrize(
    ("ours", "options", "shown"),
    [
        (tapered.SGD, {"momentum": -0.1}, "got -0.1 for `momentum`"),
        (tapered.SGD, {"dampening": NAN}, "got nan for `dampening`"),
        (tapered.SGD, {"nesterov": True}, "got nesterov=True with momentum=0.0"),
        (tapered.SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "and dampening=0.1"),
        (tapered.RMSprop, {"alpha": 1.5}, "got 1.5 for `alpha` in group 0; expected a finite number in [0, 1]"),
        (tapered.Adadelta, {"rho": -0.1}, "got -0.1 for `rho`"),
        (tapered.Adagrad, {"lr_decay": -1}, "got -1 for `lr_decay`"),
        (tapered.Adagrad, {"initial_accumulator_value": -1}, "got -1 for `initial_accumulator_value`"),
        (tapered.NAdam, {"momentum_decay": -1}, "got -1 for `momentum_decay`"),
        (tapered.ScheduleFreeAdamW, {"betas": (0.0, 0.9)}, "got 0.0 for `beta1` in group 0"),
        (AdagradOptimizer, {"learning_rate": 1, "initial_accumulator_value": 0.0}, "got 0.0 for `initial_acc"),
    ],
)  # fmt: skip
def test_numbers_of_other_rules(ours, options, shown) -> None:
    with pytest.raises(ValueError, match=re.escape(shown)):
        ours(params(), **options)


def test_a_schedule_where_a_number_is_used_once() -> None:
    with pytest.raises(TypeError, match="got a schedule for `initial_accumulator_value`"):
        tapered.Adagrad(params(), initial_accumulator_value=schedules.constant(0.1))


@pytest.mark.parametrize(
    ("override", "shown"),
    [
        ({"lr": NAN}, "got nan for `lr` in group 1"),
        ({"lr": -5}, "got -5 for `lr` in group 1"),
        ({"betas": (2, 2)}, "got 2 for `beta1` in group 1"),
        ({"foreach": True}, "got foreach=True in group 1"),
        ({"capturable": True}, "got capturable=True in group 1"),
        ({"differentiable": True}, "got differentiable=True in group 1"),
    ],
)
def test_groups(override, shown) -> None:
    first, second = params()
    with pytest.raises(ValueError, match=re.escape(shown)):
        tapered.Adam([{"params": [first]}, {"params": [second], **override}])


@pytest.mark.parametrize(("key", "meant"), [("Lr", "lr"), ("weight_deacy", "weight_decay"), ("beta", "betas")])
def test_keys_of_others_are_kept_and_misspelt_ones_said(key, meant) -> None:
    with pytest.warns(TaperedWarning, match=f"got the key '{key}' in group 0, .* did you mean `{meant}`"):
        tapered.Adam([{"params": params(), key: 0.5}])
    optimizer = tapered.Adam([{"params": params(), "temperature": 0.1, "max_lr": 1.0, "swa_lr": None}])
    assert {**optimizer.param_groups[0], "temperature": 0.1, "max_lr": 1.0, "swa_lr": None} == optimizer.param_groups[0]


LINEAR = nn.Linear(2, 2)
SPENT = iter([])


@pytest.mark.parametrize(
    ("given", "error", "shown"),
    [
        ([], ValueError, "got no parameters for `params`: an empty list"),
        (SPENT, ValueError, "a generator used up; try params=list(model.parameters())"),
        (None, TypeError, "got None for `params`; try params=model.parameters()"),
        (LINEAR, TypeError, "got a Linear for `params`; try params=model.parameters()"),
        (set(LINEAR.parameters()), TypeError, "got a set for `params`: its order changes between runs"),
        ([{"params": set(LINEAR.parameters())}], TypeError, "got a set for `params` in group 0"),
        ([{"lr": 0.1}], TypeError, "got None for `params` in group 0"),
        ([nn.Parameter(torch.ones(2, device="meta"))], ValueError, "is on the meta device and holds no numbers"),
        ([torch.ones(2, requires_grad=True) * 2], ValueError, "is computed from other tensors"),
        ([torch.eye(2).to_sparse().requires_grad_()], ValueError, "is sparse; try param.to_dense()"),
        ([LINEAR.weight, LINEAR.weight], ValueError, "stands twice in group 0"),
        ([{"params": [LINEAR.weight]}, {"params": [LINEAR.weight]}], ValueError, "in group 1 and in an earlier one"),
        ([1.0], TypeError, "got float for `params[0]` in group 0; expected a tensor"),
        ([{"params": LINEAR.weight}, LINEAR.bias], TypeError, "for group 1; expected a dict"),
    ],
)  # fmt: skip
def test_parameters(given, error, shown) -> None:
    with pytest.raises(error, match=re.escape(shown)):
        tapered.Adam(given)


def running(**options) -> tuple[Optimizer, list[torch.Tensor]]:
    weights = params()
    optimizer = tapered.Adam([{"params": [w]} for w in weights], **options)
    for _ in range(3):
        optimizer.minimize(sum((w**2).sum() for w in weights))
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    return optimizer, weights


def unchanged(optimizer: Optimizer, weights: list[torch.Tensor], error: type[Exception], shown: str) -> None:
    before = [w.detach().clone() for w in weights], optimizer.steps, [g["lr"] for g in optimizer.param_groups]
    moments = [s["exp_avg"].clone() for s in optimizer.state.values()]
    with pytest.raises(error, match=re.escape(shown)):
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(weights, before[0], strict=True))
    assert all(torch.equal(s["exp_avg"], m) for s, m in zip(optimizer.state.values(), moments, strict=True))
    assert optimizer.steps == before[1] == 3


@pytest.mark.parametrize("lr", [NAN, -1, INF, "0.1", torch.tensor(NAN)])
def test_a_rate_assigned_later(lr) -> None:
    optimizer, weights = running(lr=0.1)
    optimizer.param_groups[1]["lr"] = lr
    unchanged(optimizer, weights, (ValueError, TypeError), "for `lr` in group 1; expected a finite number")


def test_a_scheduled_rate_overwritten_or_scheduled_twice() -> None:
    optimizer, weights = running(lr=0.1 * schedules.exponential_decay(decay_steps=1, decay_rate=0.5))
    optimizer.param_groups[1]["lr"] = 0.07
    unchanged(optimizer, weights, ValueError, "`lr` in group 1 was set to 0.07 from outside at step 3, but it follows")
    optimizer = tapered.Adam(params(), lr=0.1 * schedules.exponential_decay(decay_steps=1, decay_rate=0.5))
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    optimizer.param_groups[0]["params"][0].grad = torch.ones(3)
    optimizer.step()
    scheduler.step()
    with pytest.raises(
        ValueError, match=re.escape("leave the schedule alone (code that insists on a scheduler takes as_lr_scheduler(")
    ):
        optimizer.step()


@pytest.mark.parametrize("value", [NAN, INF, -1.0, None, "x"])
def test_a_function_that_breaks_at_its_step(value) -> None:
    rate = schedules.from_function(lambda step: value if step == 3 else 0.1)
    optimizer, weights = running(lr=rate)
    unchanged(optimizer, weights, (ValueError, TypeError), "step 3")


def test_a_schedule_that_overflows_later_runs_until_then() -> None:
    rate = schedules.exponential_decay(1.0, decay_steps=1, decay_rate=1e100)
    optimizer = tapered.Adam(weights := params(), lr=rate)
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    for _ in range(4):
        optimizer.step()
    with pytest.raises(ValueError, match="inf at step 4"):
        optimizer.step()


def test_sparse_gradients() -> None:
    optimizer, weights = running()
    weights[1].grad = torch.eye(2).to_sparse()
    unchanged(optimizer, weights, ValueError, "in group 1 has a sparse gradient, which Adam does not take; try nn.Emb")
    for ours, shown in (
        (tapered.Adam, "attach(torch.optim.SparseAdam("),
        (tapered.RMSprop, "or tapered.SGD or tapered."),
    ):
        weight = nn.Parameter(torch.ones(3, 2))
        weight.grad = torch.eye(3, 2).to_sparse()
        with pytest.raises(ValueError, match=re.escape(shown)):
            ours([weight]).step()
    for ours in (tapered.SGD, tapered.Adagrad):
        with pytest.raises(ValueError, match=re.escape("and weight_decay=0.1, which would move every row")):
            ours([weight], weight_decay=0.1).step()


def test_a_bad_late_group_is_not_added() -> None:
    optimizer, _ = running()
    for group, error in (
        ({"params": None, "lr": 0.1}, TypeError),
        ({"params": params(), "lr": NAN}, ValueError),
        ([], TypeError),
    ):
        with pytest.raises(error, match="group 2"):
            optimizer.add_param_group(group)
    assert len(optimizer.param_groups) == 2


def saved(**options) -> dict:
    return running(**options)[0].state_dict()


def damaged(change) -> dict:
    state = saved(lr=0.1)
    change(state)
    return state


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ({}, "expected state and param_groups"),
        (damaged(lambda s: s["param_groups"].pop()), "of groups with [1] parameters; this optimizer's have [1, 1]"),
        (damaged(lambda s: s["param_groups"][0].pop("eps")), "got a saved group 0 without ['eps']"),
        (damaged(lambda s: s["param_groups"][1].update(lr=NAN)), "got nan for `lr` in group 1"),
        (damaged(lambda s: s["param_groups"][1].update(step=-5)), "got -5 for `step` in the saved state"),
        (damaged(lambda s: s["param_groups"][1].update(step="x")), "got 'x' for `step` in the saved state; expected a"),
        (damaged(lambda s: s["param_groups"][1].update(step=2.5)), "got 2.5 for `step` in the saved state"),
        (damaged(lambda s: s["param_groups"][1]["schedules"].update(rho="0.1")), "got `schedules` of ['rho'] in the"),
        (damaged(lambda s: s["state"][1].pop("step")), "parameters [1] have no `step` in the saved state, the others"),
        (damaged(lambda s: s["state"][1].update(step=torch.tensor(-5.0))), "got tensor(-5.) for `step` in the saved"),
        (damaged(lambda s: s["state"][1].update(step=torch.ones(2))), "got tensor([1., 1.]) for `step` in the saved"),
        (damaged(lambda s: s["state"][1].pop("exp_avg")), "1 in group 1 has the saved state ['exp_avg_sq', 'step']"),
        (damaged(lambda s: s["state"][1].update(exp_avg=torch.ones(5))), "has the saved shape (5,); expected (2, 2)"),
        (damaged(lambda s: s["state"][1]["exp_avg"].fill_(NAN)), "`exp_avg` of parameter 1 in group 1 holds"),
        (damaged(lambda s: s["state"][1]["exp_avg_sq"].fill_(-1)), "`exp_avg_sq` of parameter 1 in group 1 holds"),
        (damaged(lambda s: s.update(state={})), "got a state of 3 completed updates with an empty `state`"),
        (saved(lr=schedules.constant(0.1)), "`lr` in group 0 differs: saved constant(0.1), this optimizer's 0.1"),
    ],
)  # fmt: skip
def test_states_that_do_not_fit(state, shown) -> None:
    optimizer, weights = running(lr=0.1)
    before = optimizer.state_dict()
    tensors = {k: v.clone() for k, v in before["state"][1].items()}
    with pytest.raises(ValueError, match=re.escape(shown)):
        optimizer.load_state_dict(state)
    assert optimizer.state_dict()["param_groups"] == before["param_groups"]
    assert all(torch.equal(optimizer.state[weights[1]][k], v) for k, v in tensors.items())
    unchanged(
        optimizer, weights, ValueError, "the state that was to be loaded was refused"
    )  # a framework may swallow it
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.step()


def test_numbers_are_taken_from_a_state_as_torch_takes_them() -> None:
    """Nothing follows a number, so a scheduler of others may have moved it, and a finder puts it back."""
    state = saved(lr=0.2, amsgrad=True, betas=(0.5, 0.9))
    optimizer, _ = running(lr=0.1)
    optimizer.load_state_dict(state)
    group = optimizer.param_groups[0]
    assert (group["lr"], group["betas"], group["amsgrad"]) == (0.2, (0.5, 0.9), True)
    optimizer.load_state_dict(saved(lr=0.1))
    optimizer.load_state_dict(state, policy="replace")
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_parameters_in_another_order() -> None:
    first, second = ([(name, nn.Parameter(torch.ones(3))) for name in order] for order in ("ab", "ba"))
    optimizer = tapered.Adam(first)
    optimizer.minimize(sum((w**2).sum() for _, w in first))
    with pytest.raises(ValueError, match=re.escape("group 0 has 'b' where the saved state has 'a'; state is")):
        tapered.Adam(second).load_state_dict(optimizer.state_dict())
    tapered.Adam(second[::-1]).load_state_dict(optimizer.state_dict())


def test_schedules_that_differ() -> None:
    rates = [schedules.exponential_decay(0.1, decay_steps=1, decay_rate=rate) for rate in (0.5, 0.9)]
    state = saved(lr=rates[0])
    optimizer = tapered.Adam([{"params": [w]} for w in params()], lr=rates[1])
    with pytest.raises(ValueError, match=re.escape(f"saved {rates[0]}, this one's {rates[1]}; say which holds")):
        optimizer.load_state_dict(state)
    optimizer.load_state_dict(state, policy="replace", counted="start")
    assert optimizer.param_groups[0]["lr"] == rates[1](3)
    optimizer.load_state_dict(state, policy="saved")
    assert (optimizer.param_groups[0]["lr"], optimizer.schedules[0]) == (rates[0](3), {"lr": rates[0]})
    assert optimizer.param_groups[0]["schedules"] == {"lr": str(rates[0])}


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_torch_state_that_counts_nothing(momentum) -> None:
    weight = nn.Parameter(torch.ones(2))
    theirs = torch.optim.SGD([weight], lr=0.1, momentum=momentum)
    weight.grad = torch.ones(2)
    theirs.step()
    ours = tapered.SGD([weight], lr=schedules.inverse_sqrt(0.1), momentum=momentum)
    state = theirs.state_dict()
    with pytest.raises(ValueError, match=re.escape("try state_dict['param_groups'][0]['step'] = completed updates")):
        ours.load_state_dict(state)
    state["param_groups"][0]["step"] = 1
    ours.load_state_dict(state)
    assert ours.steps == 1
