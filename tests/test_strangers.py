"""attach on optimizers of other packages, where they are installed: benchmarks/strangers.py, for a few of each."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tapered.attach import attach, clock_of
from tapered.schedules import constant, linear

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
import strangers
from strangers_found import PACKAGES, Maker, of_torch

NAMES = {
    "Adafactor", "Adam", "Adam foreach", "Adam fused", "AdamW tensor lr", "LBFGS", "Muon", "Rprop", "SGD",
    "SGD fused", "SGD momentum",
}  # fmt: skip
TORCH = {maker.name: maker for maker in of_torch() if maker.name in NAMES}
STRANGERS = {
    "pytorch_optimizer": ["adabelief", "adai", "came", "muon", "prodigy", "ranger21", "soap"],
    "bitsandbytes.optim": ["Adam", "AdamW8bit", "Lion"],
    "torchao.optim": ["AdamW8bit"],
    "schedulefree": ["AdamWScheduleFree", "SGDScheduleFree"],
}


@pytest.mark.parametrize("name", TORCH)
def test_torchs(name) -> None:
    assert strangers.judge(TORCH[name]) == ("right", "")


def installed(package: str) -> Iterator[Maker]:
    return PACKAGES[package](package, pytest.importorskip(package, exc_type=ImportError))


@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize("package", STRANGERS)
def test_strangers(package) -> None:
    found = {maker.name: strangers.judge(maker) for maker in installed(package) if maker.name in STRANGERS[package]}
    assert found == dict.fromkeys(STRANGERS[package], ("right", ""))


class HalfAWrapper(torch.optim.Optimizer):
    """As pytorch_optimizer's Lookahead: it takes hooks on its steps, and none on its states."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer, self.param_groups, self.state = optimizer, optimizer.param_groups, optimizer.state
        self._optimizer_step_pre_hooks, self._optimizer_step_post_hooks = {}, {}


def test_a_wrapper_that_takes_some_hooks_is_refused_whole() -> None:
    inner = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    wrapper = HalfAWrapper(inner)
    with pytest.raises(TypeError, match=re.escape("a wrapper that takes no hooks; try attach on its .optimizer")):
        attach(wrapper, lr=constant(0.2))
    assert (wrapper._optimizer_step_pre_hooks, inner.param_groups[0]["lr"]) == ({}, 0.1)


class StateAtOnce(torch.optim.SGD):
    """As pytorch_optimizer's SPAM and SARA: it has a state before any update."""

    def __init__(self, params, lr) -> None:
        super().__init__(params, lr=lr)
        for param in self.param_groups[0]["params"]:
            self.state[param]["seed"] = torch.zeros(2)


def test_a_new_optimizer_with_a_state_is_told_its_step() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    optimizer = StateAtOnce([weight], lr=0.1)
    attach(optimizer, lr=linear(0.1, 0.0, steps=10))
    with pytest.raises(ValueError, match="step=0 for a new optimizer that makes its state at once"):
        optimizer.step()
    assert torch.equal(weight, torch.ones(2))
    clock_of(optimizer).detach()
    clock = attach(optimizer, lr=linear(0.1, 0.0, steps=10), step=0)
    optimizer.step()
    optimizer.step()
    assert (clock.step, optimizer.param_groups[0]["lr"]) == (2, linear(0.1, 0.0, steps=10)(1))
