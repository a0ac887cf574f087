"""One table of rules, each with torch's optimizer of the same arithmetic where there is one; laws are run over it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from tapered import rules


@dataclass(frozen=True)
class Case:
    name: str
    rule: rules.Rule
    hyper: Mapping[str, float] = field(default_factory=dict)
    peer: type[torch.optim.Optimizer] | None = None
    peer_options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def peered(
    name: str, rule: rules.Rule, peer: type[torch.optim.Optimizer], structure: Any = None, **hyper: float
) -> Case:
    betas = {"betas": (hyper["beta1"], hyper["beta2"])} if "beta1" in hyper else {}
    numbers = {k: v for k, v in hyper.items() if k not in ("beta1", "beta2")}
    return Case(name, rule, hyper, peer, {**(structure or {}), **numbers, **betas})


optim = torch.optim
DECOUPLED = {"decoupled_weight_decay": True}
PEERED = [
    peered("adam", rules.Adam(), optim.Adam),
    peered("adam-l2", rules.Adam(), optim.Adam, weight_decay=0.1, beta1=0.8, beta2=0.99, eps=1e-3),
    peered("amsgrad", rules.Adam(amsgrad=True), optim.Adam, {"amsgrad": True}, weight_decay=0.01),
    peered("adamw", rules.Adam(decay="decoupled"), optim.AdamW, weight_decay=0.1),
    peered("nadam", rules.NAdam(), optim.NAdam, weight_decay=0.01, momentum_decay=0.01),
    peered("nadamw", rules.NAdam(decay="decoupled"), optim.NAdam, DECOUPLED, weight_decay=0.1),
    peered("radam", rules.RAdam(), optim.RAdam, weight_decay=0.01),
    peered("radamw", rules.RAdam(decay="decoupled"), optim.RAdam, DECOUPLED, weight_decay=0.1, beta2=0.9, beta1=0.9),
    peered("adamax", rules.Adamax(), optim.Adamax, weight_decay=0.01),
    peered("rmsprop", rules.RMSprop(), optim.RMSprop, weight_decay=0.01),
    peered("rmsprop-momentum", rules.RMSprop(momentum=True), optim.RMSprop, momentum=0.9, alpha=0.9),
    peered(
        "rmsprop-centered", rules.RMSprop(centered=True, momentum=True), optim.RMSprop, {"centered": True}, momentum=0.5
    ),
    peered("adagrad", rules.Adagrad(), optim.Adagrad, weight_decay=0.01, lr_decay=0.05),
    peered("adagrad-start", rules.Adagrad(start=0.1), optim.Adagrad, {"initial_accumulator_value": 0.1}),
    peered("adadelta", rules.Adadelta(), optim.Adadelta, weight_decay=0.01, rho=0.8),
    peered("sgd", rules.SGD(), optim.SGD, weight_decay=0.01),
    peered("sgd-momentum", rules.SGD(momentum=True), optim.SGD, momentum=0.9, dampening=0.3),
    peered("sgd-nesterov", rules.SGD(momentum=True, nesterov=True), optim.SGD, {"nesterov": True}, momentum=0.9),
]
CASES = [
    *PEERED,
    Case("adam-hat", rules.Adam(epsilon="hat"), {"eps": 1e-3}),
    Case(
        "rmsprop-tensorflow",
        rules.RMSprop(centered=True, momentum=True, epsilon="inside", start=1.0, rate_in_momentum=True),
        {"momentum": 0.9},
    ),
    Case("adagrad-tensorflow", rules.Adagrad(start=0.1, eps=False)),
    Case("sgd-keras", rules.SGD(momentum=True, rate_in_momentum=True), {"momentum": 0.9}),
    Case("sgd-keras-nesterov", rules.SGD(momentum=True, nesterov=True, rate_in_momentum=True), {"momentum": 0.9}),
    Case("lion", rules.Lion(), {"weight_decay": 0.1}),
    Case("schedule-free", rules.ScheduleFreeAdamW(), {"weight_decay": 0.1, "r": 1.0}),
    Case("averaged", rules.Averaged(rules.Adam()), {"newest": 0.25}),
    Case("latest", rules.Latest(rules.SGD(momentum=True), latest=3), {"momentum": 0.9, "taken": 2.0}),
]
STEPS, SIZE = 60, 12


def rate(step: int) -> float:
    """A rate that moves, so that a rule which captured it once would be caught."""
    return 0.02 * 0.97**step * (1 + step % 3)


def problem(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Parameters away from 0, and gradients whose entries are 1e-3 to 1e3 in size."""
    generator = torch.Generator().manual_seed(0)
    param = torch.randn(SIZE, generator=generator, dtype=torch.float64) + 8
    scale = torch.logspace(-3, 3, SIZE, dtype=torch.float64)
    grads = [torch.randn(SIZE, generator=generator, dtype=torch.float64) * scale for _ in range(STEPS)]
    return param.to(dtype), [grad.to(dtype) for grad in grads]


def hyper_at(case: Case, step: int) -> dict[str, torch.Tensor]:
    values = {**case.rule.hypers, **case.hyper, "lr": rate(step)}
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}


def trajectory(case: Case, dtype: torch.dtype = torch.float64) -> Iterator[tuple[torch.Tensor, rules.State]]:
    """The parameter and state after every step, by the pure rule."""
    param, grads = problem(dtype)
    state = case.rule.init(param)
    for step, grad in enumerate(grads):
        t = torch.tensor(step + 1.0, dtype=torch.float64)
        delta, state = rules.update(case.rule, param, grad, state, hyper_at(case, step), t)
        param = param + delta
        yield param, state
