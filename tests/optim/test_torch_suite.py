"""tapered's optimizers against torch's by torch's own tests; all runs by benchmarks/clients/torch_suite.py."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch_suite
from torch_templates import template
from torch_templates.allowed import ALLOWED
from torch_templates.compare import Tolerance, differs, nearer
from torch_templates.database import WAYS
from torch_templates.judge import Verdict
from torch_templates.template import TEMPLATES, Run, thinned

import tapered

FEW = {"compiled": 1, "compiled_sets": 1, "every_size": 20, "sparse_valley": 8}  # slow ones; 50 of the others
CHOSEN: dict[str, list[Run]] = {}
for chosen in thinned(torch_suite.runs("cpu"), 50):
    CHOSEN.setdefault(chosen.template.name, []).append(chosen)


@pytest.mark.parametrize("name", CHOSEN)
def test_template(name) -> None:
    tally = torch_suite.tallied(CHOSEN[name][: FEW.get(name)])
    assert [f"{run}: {verdict}" for run, verdict in tally.unlisted] == []


def test_some_runs_are_of_every_template_optimizer_and_way() -> None:
    run = [run for runs in CHOSEN.values() for run in runs]
    assert {entry.template.name for entry in run} == {name for name, one in TEMPLATES.items() if not one.device}
    assert {entry.optimizer for entry in run} == set(torch_suite.OURS)
    assert {entry.way for entry in run} == set(WAYS)


# an optimizer in tapered's place, wrong in one way, and what the suite makes of it


class Right(torch.optim.SGD):
    """torch's own."""


class TooFar(torch.optim.SGD):
    """A step a thousandth too long."""

    def step(self, closure=None) -> Any:
        with torch.no_grad():
            for param in (p for group in self.param_groups for p in group["params"] if p.grad is not None):
                param.grad = 1.001 * param.grad
        return super().step(closure)


class Accident(torch.optim.SGD):
    """It looks up what is not there."""

    def step(self, closure=None) -> Any:  # noqa: ARG002
        return {}["step"]


class BlindKernel(torch.optim.SGD):
    """torch's fused kernel, whatever the layout."""

    def __init__(self, params, **options) -> None:
        super().__init__(params, **{**options, "fused": True})


class Beside(torch.optim.SGD):
    """A step that writes past its weights."""

    def step(self, closure=None) -> Any:
        super().step(closure)
        first = self.param_groups[0]["params"][0]
        torch.as_strided(first.detach(), (1,), (1,), 0).zero_()


class Unseen(torch.optim.SGD):
    """Weights that change behind autograd's back."""

    def step(self, closure=None) -> Any:  # noqa: ARG002
        for param in (p for group in self.param_groups for p in group["params"] if p.grad is not None):
            param.data = param.data - 1e-3 * param.grad


class Lax(torch.optim.SGD):
    """It takes any rate."""

    def __init__(self, params, lr=1e-3, **options) -> None:
        super().__init__(params, lr=abs(lr), **options)


class Mislaid(torch.optim.SGD):
    """It shows another rate than the one that it uses."""

    def step(self, closure=None) -> Any:
        for group in self.param_groups:
            group["lr"] = 1e-3
        super().step(closure)
        for group in self.param_groups:
            group["lr"] = 2e-3


class Forgetful(torch.optim.SGD):
    """Its state is lost on loading."""

    def load_state_dict(self, state_dict) -> None:
        super().load_state_dict({**state_dict, "state": {}})


class Deaf(torch.optim.SGD):
    """It calls no hooks."""

    def register_step_pre_hook(self, hook) -> Any:
        return super().register_step_pre_hook(lambda *_: hook and None)


def one(name: str, given: str, variant: str = "", way: str = "default") -> Run:
    return Run(TEMPLATES[name], "SGD", given, way, TEMPLATES[name].dtypes[0], variant, "cpu")


NET, LAYOUT = one("all_ways_alike", "momentum"), "every second, gradient every second"
CAUGHT = {
    "right": (Right, NET, "equal", ""),
    "too far": (TooFar, NET, "different", "after update 0: [0]"),
    "accident": (Accident, NET, "crash", "KeyError: 'step'"),
    "layout": (BlindKernel, one("every_layout", "default", "contiguous, gradient transposed"), "different", "weights"),
    "memory": (BlindKernel, one("every_layout", "default", LAYOUT), "different", "weights"),
    "beside": (Beside, one("every_layout", "default", LAYOUT), "different", "memory around stays"),
    "unseen": (Unseen, one("seen_by_autograd", "default"), "different", "versions move: [0] torch has True"),
    "lax": (Lax, one("odd_options", "lr", "arguments"), "different", "ours goes on: ValueError: Invalid learning rate"),
    "forgetful": (Forgetful, one("repeatable", "momentum", "plain to plain"), "different", "after update 0"),
    "deaf": (Deaf, one("step_hooks", "default", "pre, with gradients"), "different", "calls: 1 apart"),
    "mislaid": (Mislaid, NET, "different", "rate after update 0: [0] 0.001 apart"),
    "refused": (tapered.SGD, one("all_ways_alike", "momentum", way="foreach=True"), "refused", "got foreach=True"),
}


@pytest.mark.parametrize("name", CAUGHT)
def test_what_is_wrong_is_caught(name, monkeypatch) -> None:
    kind, run, word, said = CAUGHT[name]
    monkeypatch.setattr(template, "kinds", lambda _name: (torch.optim.SGD, kind))
    verdict, tally = run.judged(), torch_suite.Tally()
    tally.add(run, verdict)
    assert verdict.word == word
    assert said in verdict.said
    assert bool(tally.unlisted) == (word in ("different", "crash"))


def test_what_is_not_on_the_list_fails() -> None:
    run = one("all_ways_alike", "momentum")
    for verdict in (Verdict("crash", "KeyError"), Verdict("different", "apart of"), Verdict("refused", "no")):
        tally = torch_suite.Tally()
        tally.add(run, verdict)
        assert tally.unlisted == [(run, verdict)]


@pytest.mark.parametrize(
    ("dtype", "near", "listed"), [("bfloat16", True, 1), ("bfloat16", False, 0), ("float32", True, 0)]
)
def test_sixteen_bits_may_be_as_far_off_as_torchs(dtype, near, listed) -> None:
    run, tally = replace(NET, dtype=getattr(torch, dtype)), torch_suite.Tally()
    tally.add(run, Verdict("different", "0.1 apart of 1", nearer=near))
    assert len(tally.unlisted) == 1 - listed


def test_the_list_is_of_what_happens() -> None:
    assert all(entry.word in ("refused", "different") and entry.reason.endswith(".") for entry in ALLOWED)
    assert len(torch_suite.unused(torch_suite.Tally(), "cpu")) == sum(entry.expected("cpu") for entry in ALLOWED) > 0


def test_what_is_the_same() -> None:
    a, exact = torch.tensor([1.0, torch.nan]), Tolerance()
    assert differs({"x": a, "none": None}, {"x": a.clone(), "more": 1}, exact) == ""
    assert differs([a, 0], [a.clone(), 0.0], exact) == ""
    assert differs({"x": a}, {}, exact) == "['x'] missing"
    assert differs([a, [a]], [a, [a + 1]], exact).startswith("[1][0] 1 apart")
    assert differs(a, a.double(), exact) == "dtype torch.float64, torch's torch.float32"
    assert differs(True, 1, exact) == "torch has True, ours 1"
    assert differs(a, a + 1e-4, exact)
    assert differs(a, a + 1e-6, exact) == ""


def test_nearer_to_the_right_numbers() -> None:
    right, near, far = torch.tensor([1.0, 3.0]).double(), torch.tensor([1.0, 3.0]), torch.tensor([1.0, 3.1])
    lost = torch.tensor([1.0, torch.nan])
    for ours, theirs in ((near, far), (far, lost), (near, near)):
        assert nearer([right], [ours], [theirs])
    for ours, theirs in ((far, near), (lost, far)):
        assert not nearer([right], [ours], [theirs])


def test_torchs_table_leaves_this_process_as_it_was() -> None:
    assert not torch.backends.flags_frozen()
