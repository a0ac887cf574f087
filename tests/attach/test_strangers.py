"""attach on optimizers of other packages, where they are installed; more by benchmarks/clients/strangers.py."""

import re
from collections import OrderedDict
from collections.abc import Iterator

import pytest
import strangers
import torch
from strangers_found import PACKAGES, Maker, of_torch

from tapered.attach import attach, clock_of
from tapered.schedules import linear

NAMES = {
    "Adafactor", "Adam", "Adam foreach", "Adam fused", "AdamW tensor lr", "LBFGS", "Muon", "Rprop", "SGD",
    "SGD fused", "SGD momentum",
}  # fmt: skip
TORCH = {maker.name: maker for maker in of_torch() if maker.name in NAMES}
STRANGERS = {
    "pytorch_optimizer": [
        "adabelief", "adai", "came", "muon", "prodigy", "ranger21", "soap", "bsam step(closure)", "ScheduleFreeWrapper",
        "GSAM set_closure, step()", "LookSAM step(closure)", "WSAM first_step, second_step",
    ],
    "bitsandbytes.optim": ["Adam", "AdamW8bit", "Lion"],
    "torchao.optim": ["AdamW8bit"],
    "schedulefree": ["AdamWScheduleFree", "SGDScheduleFree"],
}  # fmt: skip


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
        self._optimizer_step_pre_hooks, self._optimizer_step_post_hooks = OrderedDict(), OrderedDict()

    @torch.optim.Optimizer.profile_hook_step
    def step(self, closure=None):
        self.optimizer.step(closure)
        self.read = [group["lr"] for group in self.param_groups]  # as Schedule-Free's wrapper does


def test_a_wrapper_that_takes_hooks_on_its_steps_counts_those_of_what_it_wraps() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    wrapper = HalfAWrapper(torch.optim.SGD([weight], lr=0.1))
    rate = linear(0.1, 0.0, steps=10)
    clock = attach(wrapper, lr=rate)
    for k in range(3):
        weight.grad = torch.ones(2)
        wrapper.step()
        assert (clock.step, clock.last_lr, wrapper.read) == (k + 1, (rate(k),), [rate(k)])
        assert (wrapper.param_groups[0]["lr"], clock_of(wrapper)) == (rate(k + 1), clock)
    assert wrapper.optimizer.state_dict()["param_groups"][0]["clock"]["step"] == 3
    clock.detach()
    assert wrapper.param_groups[0]["lr"] == 0.1


class Sam(torch.optim.Optimizer):
    """As SAM: the update is made by a base optimizer within `second_step`, and the rate is read after it."""

    def __init__(self, params, base, **options) -> None:
        super().__init__(params, options)
        self.base_optimizer = base(self.param_groups, **options)
        self.param_groups, self.read = self.base_optimizer.param_groups, []

    def first_step(self) -> None:
        """Climb."""

    def second_step(self) -> None:
        self.base_optimizer.step()
        self.read.append(self.param_groups[0]["lr"])

    def step(self, closure):
        self.first_step()
        loss = closure()
        self.second_step()
        return loss

    def load_state_dict(self, state_dict) -> None:
        super().load_state_dict(state_dict)
        self.base_optimizer.param_groups = self.param_groups


@pytest.mark.parametrize("by_closure", [False, True])
def test_the_updates_of_a_base_optimizer_are_counted(by_closure) -> None:
    weight, rate = torch.nn.Parameter(torch.ones(2)), linear(0.1, 0.0, steps=10)
    sam = Sam([weight], torch.optim.SGD, lr=0.1)
    clock = attach(sam, lr=rate)
    for k in range(4):
        weight.grad = torch.ones(2)
        if by_closure:
            sam.step(lambda: 0.0)
        else:
            sam.first_step()
            sam.second_step()
        assert (clock.step, clock.last_lr, sam.param_groups[0]["lr"]) == (k + 1, (rate(k),), rate(k + 1))
    assert sam.read == [rate(k) for k in range(4)]
    again = Sam([weight], torch.optim.SGD, lr=0.1)
    its = attach(again, lr=rate)
    again.load_state_dict(sam.state_dict())
    assert (its.step, again.base_optimizer.param_groups[0]["lr"]) == (4, rate(4))
    clock.detach()
    assert "second_step" not in vars(sam)


class Steps(torch.optim.SGD):
    """As BSAM: steps of its own and no base optimizer."""

    def first_step(self) -> None:
        """Climb."""

    def step(self, closure=None):
        self.first_step()
        return super().step(closure)


def test_steps_that_no_hook_sees_are_refused() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = Steps([weight], lr=0.1)
    clock = attach(optimizer, lr=linear(0.1, 0.0, steps=10))
    weight.grad = torch.ones(2)
    optimizer.step()
    with pytest.raises(ValueError, match=re.escape("drive it by optimizer.step(closure)")):
        optimizer.first_step()
    assert clock.step == 1

    def interrupted() -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(interrupted)
    with pytest.raises(ValueError, match=re.escape("drive it by optimizer.step(closure)")):
        optimizer.first_step()
    assert clock.step == 1
    optimizer.fused_backward = None
    with pytest.raises(ValueError, match=re.escape("write optimizer.fused_backward(loss, lr=schedule(k)) at update k")):
        attach(optimizer, lr=0.1)


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
    assert (clock.step, clock.last_lr) == (2, (linear(0.1, 0.0, steps=10)(1),))
