"""What training frameworks do to optimizers and schedulers, done by hand; the benchmark that runs the frameworks."""

import copy
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

import tapered
from tapered import cosine_decay, warmup
from tapered.attach import as_lr_scheduler, attach, clock_of

BENCHMARKS = Path(__file__).parents[2] / "benchmarks" / "clients"
PEAK = 1e-2
RATE = cosine_decay(PEAK, decay_steps=40)
X = torch.randn(16, 4, generator=torch.Generator().manual_seed(1))


def torchs(params, lr=PEAK):
    return torch.optim.AdamW(params, lr=lr, fused=True)


def attached(params):
    optimizer = torchs(params)
    attach(optimizer, lr=RATE)
    return optimizer


def scheduled(params):
    return tapered.AdamW(params, lr=RATE)


def number(params):
    return tapered.AdamW(params, lr=PEAK)


FOLLOWING = pytest.mark.parametrize("kind", [scheduled, attached], ids=["tapered", "attached"])
ALIKE = pytest.mark.parametrize(("kind", "by_hand"), [(scheduled, True), (attached, True), (number, False)])


def build(kind):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    return model, kind(model.parameters())


def train(model, optimizer, steps, first=None):
    """`first`, where it is given, is the step whose rate is written by hand before each update."""
    for step in range(steps):
        if first is not None:
            for group in optimizer.param_groups:
                group["lr"] = RATE(first + step)
        optimizer.zero_grad()
        model(X).square().mean().backward()
        optimizer.step()


def same(one, other) -> bool:
    return all(map(torch.equal, one.parameters(), other.parameters()))


def against_torch(kind, by_hand, between) -> None:
    """`between` is done to the optimizer at step 10 of 20; the weights are those of torch's with the rates by hand."""
    ends = []
    for made, hand in ((kind, False), (torchs, by_hand)):
        model, optimizer = build(made)
        train(model, optimizer, 10, 0 if hand else None)
        between(optimizer)
        train(model, optimizer, 10, 10 if hand else None)
        ends.append(model)
    assert same(*ends)


@ALIKE
def test_a_state_that_is_dropped_begins_anew_and_the_schedule_goes_on(kind, by_hand) -> None:
    """fastai's clear_state at each freeze and unfreeze."""

    def clear(optimizer) -> None:
        optimizer.state = defaultdict(dict, {})

    against_torch(kind, by_hand, clear)


@ALIKE
def test_groups_taken_out_and_added_again_are_the_same_groups(kind, by_hand) -> None:
    """composer's, after it has sharded a model."""

    def again(optimizer) -> None:
        groups = [dict(group) for group in optimizer.param_groups]
        optimizer.param_groups.clear()
        for group in groups:
            optimizer.add_param_group(group)

    against_torch(kind, by_hand, again)


@ALIKE
def test_parameters_given_as_another_list(kind, by_hand) -> None:
    """accelerate's, composer's and fastai's."""

    def listed(optimizer) -> None:
        for group in optimizer.param_groups:
            group["params"] = list(group["params"])

    against_torch(kind, by_hand, listed)


@pytest.mark.parametrize("rate", [RATE, warmup(5) * RATE], ids=["falling", "from 0"])
@FOLLOWING
def test_groups_of_the_past_put_into_a_new_optimizer_before_its_state_is_loaded(kind, rate, monkeypatch) -> None:
    """Lightning's BaseFinetuning: the dicts are those of the moment at which each group was first seen."""
    monkeypatch.setitem(globals(), "RATE", rate)

    def start():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        return model, kind(model[2].parameters())

    def kept(model, group):
        names = {weight: name for name, weight in model.named_parameters()}
        return {**group, "params": [names[weight] for weight in group["params"]]}

    model, optimizer = start()
    seen = [kept(model, optimizer.param_groups[0])]
    train(model, optimizer, 10)
    optimizer.add_param_group({"params": list(model[0].parameters()), "lr": optimizer.param_groups[0]["lr"] / 10})
    seen.append(kept(model, optimizer.param_groups[1]))
    train(model, optimizer, 5)
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    train(model, optimizer, 10)
    assert (clock_of(optimizer) or optimizer).last_lr == pytest.approx((RATE(24), RATE(24) / 10))

    again, resumed = start()
    weights = dict(again.named_parameters())
    resumed.param_groups = [{**group, "params": [weights[name] for name in group["params"]]} for group in seen]
    again.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    train(again, resumed, 10)
    assert same(again, model)
    assert [group["lr"] for group in resumed.param_groups] == [group["lr"] for group in optimizer.param_groups]


class Wrapper:
    """Lightning's and Fabric's: of the optimizer's class, without its attributes."""

    def __init__(self, optimizer) -> None:
        self._optimizer = optimizer
        self.__class__ = type("Wrapped", (Wrapper, type(optimizer)), {})

    def __getattr__(self, name):
        return getattr(self._optimizer, name)


def test_through_a_wrapper_without_attributes_of_its_own() -> None:
    model, optimizer = build(scheduled)
    train(model, optimizer, 3)
    wrapped = Wrapper(optimizer)
    assert (wrapped.steps, wrapped.last_lr, wrapped.schedules) == (3, (RATE(2),), ({"lr": RATE},))
    wrapped.replace(lr=tapered.constant(5e-3))
    train(model, optimizer, 1)
    assert optimizer.last_lr == (5e-3,)
    wrapped.replace(lr=RATE, counted="start")
    wrapped.extend(80, how="hold")
    train(model, optimizer, 1)
    assert optimizer.steps == wrapped.steps == 5
    assert optimizer.schedules == wrapped.schedules != ({"lr": RATE},)


@pytest.mark.parametrize("kind", [torchs, number])
def test_a_finder_puts_back_what_it_found(kind) -> None:
    model, optimizer = build(kind)
    train(model, optimizer, 3)
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    for rate in (1e-5, 1e-3, 1e-1):
        optimizer.param_groups[0].update(lr=rate, initial_lr=rate)
        train(model, optimizer, 1)
    model.load_state_dict(before[0])
    optimizer.load_state_dict(before[1])
    train(model, optimizer, 3)
    whole, other = build(torchs)
    train(whole, other, 6)
    assert same(model, whole)
    assert optimizer.param_groups[0]["lr"] == PEAK


@FOLLOWING
def test_a_finder_on_a_schedule_is_refused_and_leaves_an_optimizer_that_goes_on(kind) -> None:
    model, optimizer = build(kind)
    train(model, optimizer, 3)
    before = copy.deepcopy(optimizer.state_dict())
    optimizer.param_groups[0]["lr"] = 1e-5
    with pytest.raises(ValueError, match="from outside"):
        train(model, optimizer, 1)
    optimizer.load_state_dict(before)
    train(model, optimizer, 1)
    assert (clock_of(optimizer) or optimizer).last_lr == (RATE(3),)


@FOLLOWING
def test_the_rates_that_a_scheduler_says_before_and_after_its_step(kind) -> None:
    """Trainer and skorch ask between the update and `scheduler.step()`, others after it, finders go back."""
    model, optimizer = build(kind)
    scheduler = as_lr_scheduler(optimizer)
    other, theirs = build(torchs)
    lambdas = LambdaLR(theirs, lambda k: RATE(k) / PEAK)
    before = copy.deepcopy([part.state_dict() for part in (model, optimizer, other, theirs, lambdas)])
    for steps in (5, 8):  # the second time from where it began, so that the count falls behind
        for _ in range(steps):
            assert scheduler.get_last_lr() == pytest.approx(lambdas.get_last_lr())
            train(model, optimizer, 1)
            train(other, theirs, 1)
            assert scheduler.get_last_lr() == pytest.approx(lambdas.get_last_lr())
            scheduler.step()
            lambdas.step()
        if steps == 5:
            for part, state in zip((model, optimizer, other, theirs, lambdas), before, strict=True):
                part.load_state_dict(state)
            scheduler.step()  # torch's says what it loaded; this one follows the optimizer
    assert same(model, other)


@FOLLOWING
def test_what_ignites_handler_does_to_a_scheduler(kind) -> None:
    model, optimizer = build(kind)
    scheduler = as_lr_scheduler(optimizer)
    used = []
    for _ in range(6):
        scheduler._get_lr_called_within_step = True
        (rate,) = scheduler.get_lr()
        scheduler._get_lr_called_within_step = False
        optimizer.param_groups[0]["lr"] = rate
        scheduler.last_epoch += 1
        train(model, optimizer, 1)
        used += (clock_of(optimizer) or optimizer).last_lr
    assert used == [RATE(k) for k in range(6)]
    assert scheduler.last_epoch == 6
    assert scheduler._last_lr == [RATE(5)]
    assert scheduler.base_lrs == [PEAK]


@FOLLOWING
def test_the_schedule_in_force_written_again_is_no_change(kind) -> None:
    """fastai's Learner writes its `lr` into the groups at each fit."""
    model, optimizer = build(kind)
    for _ in range(2):
        optimizer.param_groups[0]["lr"] = cosine_decay(PEAK, decay_steps=40)
        train(model, optimizer, 2)
    assert (clock_of(optimizer) or optimizer).last_lr == (RATE(3),)


def rows(*words: str) -> list[dict]:
    command = [sys.executable, str(BENCHMARKS / "clients.py"), "--json", *words]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=300).stdout)


def test_the_benchmark_kills_resumes_and_compares() -> None:
    """Of no framework, since the tests rely on none; `make clients` runs those."""
    found = rows("--only", "script", "--case", "LinearLR")
    assert [(row["case"], row["verdict"]) for row in found] == [
        ("LinearLR", "right"),
        ("LinearLR, tapered.checkpoint", "right"),
    ]
    assert all(row["used"] == row["logged"] == row["resumed"] == 0 and row["updates"] == 36 for row in found)


def test_the_benchmark_says_what_is_not_installed(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import clients

    assert [row.verdict for row in clients.rows_of("lightning", "no-such-package", "")] == ["not installed"]


def test_the_benchmark_sees_a_wrong_rate_and_a_wrong_weight(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from trainers.compare import Done, one
    from trainers.run import PEAK as TOP
    from trainers.run import STEPS, STOPPED_AFTER, shape

    rates = [[TOP * shape(k)] for k in range(STEPS)]

    def runs(used, weight=1.0):
        end = {"weight": torch.full((2,), weight)}
        shown = [*used[1:], [0.0]]
        return {
            "whole": Done(used, shown, used, None, end, None),
            "killed": Done(used[:STOPPED_AFTER], shown[:STOPPED_AFTER], [], None, None, None),
            "resumed": Done(used[12:], shown[12:], used[12:], None, end, None),
        }

    right = runs(rates)
    assert one("schedule", right, runs(rates)).verdict == "right"
    late = [*rates[:1], *rates[:-1]]
    assert one("schedule", right, runs(late)).verdict == "wrong: rates used, rates logged"
    assert one("schedule", right, runs(rates, 1.001)).verdict == "wrong: weights"
    assert one("LinearLR", right, runs(rates, 1.001)).verdict == "wrong: weights"
    forgot = runs(rates) | {"resumed": runs(rates, 1.001)["whole"]}
    assert "resumed" in one("schedule", right, forgot).verdict
