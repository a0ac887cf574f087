"""The optimizers of histories, each with a shadow: torch's plain loop, or where there is none, a rule in float64."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

import tapered
from tapered import rules, tensorflow1

SHAPES = ("plain", "flat", "dot", "table", "turned", "block", "channels last", "sliced", "nothing")
FLAT = ("plain", "flat", "table")  # what torch's fused kernels are right for
GRADS = ("like", "dense", "turned", "sliced", "spread")


class ByRule(torch.optim.Optimizer):
    """A rule on float64 weights, one parameter after another."""

    def __init__(self, params: Any, lr: float, rule: rules.Rule, **hypers: Any) -> None:
        super().__init__(params, {"lr": lr, **rule.hypers, **hypers})
        self.rule = rule

    def hyper(self, group: dict) -> dict[str, torch.Tensor]:
        values = {name: group[name] for name in ("lr", *self.rule.hypers)}
        if "betas" in group:
            values["beta1"], values["beta2"] = group["betas"]
        return {name: torch.tensor(float(value), dtype=torch.float64) for name, value in values.items()}

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for param in (p for p in group["params"] if p.grad is not None):
                state = self.state[param]
                if "updates" not in state:
                    state.update(updates=0, **self.rule.init(param.detach()))
                state["updates"] += 1
                kept = {name: state[name] for name in self.rule.init(param.detach())}
                hyper, t = self.hyper(group), torch.tensor(float(state["updates"]), dtype=torch.float64)
                delta, new = rules.update(self.rule, param.detach(), param.grad, kept, hyper, t)
                param.add_(delta)
                state.update(new)


class Adagrad(torch.optim.Adagrad):
    """torch's makes its state at construction, and fails at the first gradient of a group that comes late."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for param in (p for p in group["params"] if "eps" in self.defaults and hasattr(self, "state")):
            start = group["initial_accumulator_value"]
            self.state[param].update(step=torch.tensor(0.0), sum=torch.full_like(param, start))


@dataclass(frozen=True, repr=False)
class Kind:
    """What is under test, and its shadow; both are called with groups, a rate and options."""

    name: str
    make: Callable[..., torch.optim.Optimizer]
    shadow: Callable[..., torch.optim.Optimizer]
    options: tuple[dict[str, Any], ...] = ({},)
    others: tuple[str, ...] = ()  # hypers beside lr that may follow a schedule
    shapes: tuple[str, ...] = SHAPES
    grads: tuple[str, ...] = GRADS
    clock: bool = False  # the rate is written by `attach`
    torchs: bool = True  # its shadow is torch's, whose states and group keys are its own

    def __repr__(self) -> str:
        return f"{'attach ' if self.clock else ''}{self.name}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002, FBT001  # hypothesis's call
        printer.text(repr(self))


DECAY, BETA, MOMENTUM = {"weight_decay": 0.1}, {"betas": (0.5, 0.9)}, {"momentum": 0.9}
ADAMS: dict[str, tuple[dict[str, Any], ...]] = {
    "Adam": (
        {},
        {"amsgrad": True},
        DECAY | {"eps": 1e-3},
        {"maximize": True},
        {"decoupled_weight_decay": True} | DECAY,
    ),
    "AdamW": ({}, BETA, {"amsgrad": True} | DECAY),
    "NAdam": ({}, DECAY | {"decoupled_weight_decay": True}, {"momentum_decay": 0.1}),
    "RAdam": ({}, DECAY | {"decoupled_weight_decay": True}, BETA),
    "Adamax": ({}, DECAY, {"maximize": True}),
}
SUMS: dict[str, tuple[dict[str, Any], ...]] = {
    "RMSprop": ({}, {"centered": True}, MOMENTUM, MOMENTUM | {"centered": True} | DECAY),
    "Adagrad": ({}, {"lr_decay": 0.1}, {"initial_accumulator_value": 0.5}, DECAY),
    "Adadelta": ({}, DECAY, {"rho": 0.5}),
}
SGD = ({}, MOMENTUM, MOMENTUM | {"nesterov": True}, MOMENTUM | {"dampening": 0.5}, DECAY, MOMENTUM | DECAY)
OTHERS = dict.fromkeys(ADAMS, ("weight_decay", "beta1")) | {"SGD": ("weight_decay", "momentum")}
LOOP = {"foreach": False}
FUSED = ("Adam", "AdamW", "SGD", "Adagrad")
UNFUSED = {name: {"fused": False} for name in FUSED}


def beside(name: str, options: tuple[dict[str, Any], ...]) -> Kind:
    """tapered's, with torch's of the same name as its shadow."""
    theirs = partial(Adagrad if name == "Adagrad" else getattr(torch.optim, name), **LOOP, **UNFUSED.get(name, {}))
    rule = ({"fused": False},) if name in FUSED else ()
    return Kind(name, getattr(tapered, name), theirs, (*options, *rule), OTHERS.get(name, ("weight_decay",)))


def by_rule(make: Callable[..., Any], rule: rules.Rule, others: tuple[str, ...] = (), **hypers: Any) -> Kind:
    return Kind(make.__name__, make, partial(ByRule, rule=rule, **hypers), others=others, torchs=False)


def under_clock(name: str, options: tuple[dict[str, Any], ...], **found: Any) -> Kind:
    """torch's own with a clock; the shadow is the same one without."""
    make = getattr(torch.optim, name)
    return Kind(name, make, make, options, clock=True, **{"others": OTHERS.get(name, ()), **found})


def hidden(name: str, options: dict[str, Any]) -> Kind:
    """tapered's with a number as its rate, and a clock on it."""
    return Kind(f"tapered {name}", getattr(tapered, name), partial(getattr(torch.optim, name), **LOOP), (options,),
                OTHERS[name], clock=True)  # fmt: skip


BETAS = {"betas": (0.9, 0.999)}
OWN = (
    *(beside(name, options) for name, options in (ADAMS | SUMS | {"SGD": SGD}).items()),
    by_rule(tapered.Lion, rules.Lion(), ("weight_decay", "beta1"), betas=(0.9, 0.99)),
    by_rule(tapered.ScheduleFreeAdamW, rules.ScheduleFreeAdamW(), ("weight_decay",), **BETAS),
    by_rule(tensorflow1.AdamOptimizer, rules.Adam(epsilon="hat"), ("beta1",), **BETAS),
    by_rule(
        tensorflow1.RMSPropOptimizer,
        rules.RMSprop(momentum=True, epsilon="inside", start=1.0, rate_in_momentum=True),
        ("momentum",),
        alpha=0.9,
        eps=1e-10,
    ),
    by_rule(tensorflow1.AdagradOptimizer, rules.Adagrad(start=0.1, eps=False)),
    by_rule(tensorflow1.AdadeltaOptimizer, rules.Adadelta(), rho=0.95, eps=1e-8),
    by_rule(tensorflow1.GradientDescentOptimizer, rules.SGD()),
    Kind(
        "MomentumOptimizer", tensorflow1.MomentumOptimizer, partial(ByRule, rule=rules.SGD(momentum=True)), (MOMENTUM,),
        ("momentum",), torchs=False,
    ),
)  # fmt: skip
ATTACHED = (
    *(under_clock(name, (*options, {"foreach": True})) for name, options in (ADAMS | SUMS | {"SGD": SGD}).items()),
    *(under_clock(name, ({"fused": True},), others=(), shapes=FLAT, grads=("like",)) for name in FUSED),
    under_clock("ASGD", ({}, {"t0": 3, "lambd": 0.1})),
    under_clock("Rprop", ({},)),
    under_clock("Adafactor", ({}, DECAY), shapes=SHAPES[:-1]),
    under_clock("Muon", ({},), others=("weight_decay", "momentum"), shapes=("table", "turned")),
    under_clock("SparseAdam", ({}, BETA), others=("beta1",), shapes=("table",), grads=("sparse",)),
    hidden("Adam", {"amsgrad": True}),
    hidden("SGD", MOMENTUM),
)
