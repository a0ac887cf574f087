"""Rates as they were used: told after each update, whoever wrote them, at the number of updates made."""

import copy

import pytest
import torch

from tapered import SGD, linear
from tapered.attach import attach
from tapered.loggers import log_to


def used(optimizer, weight, log, steps):
    """Each update's rate, measured: the gradient is 1, so that the weight moves by it."""
    found = []
    for _ in range(steps):
        before, weight.grad = weight.item(), torch.ones_like(weight)
        optimizer.step()
        found.append(before - weight.item())
        log(loss=before)
    return found


def told_of(told, name):
    return [(step, values[name]) for step, values in told if name in values]


def tapered_own(weight):
    return SGD([weight], lr=linear(0.5, steps=8)), lambda: None


def torch_under_its_scheduler(weight):
    optimizer = torch.optim.SGD([weight], lr=0.5)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1 - k / 8).step


def torch_with_a_clock(weight):
    optimizer = torch.optim.SGD([weight], lr=0.5)
    attach(optimizer, lr=linear(0.5, steps=8))
    return optimizer, lambda: None


@pytest.mark.parametrize("make", [tapered_own, torch_under_its_scheduler, torch_with_a_clock])
def test_the_rate_that_an_update_used_is_told_of_it(make):
    weight, told = torch.nn.Parameter(torch.zeros((), dtype=torch.float64)), []
    optimizer, schedule = make(weight)
    with log_to(lambda *said: told.append(said), optimizer=optimizer) as log:
        rates = []
        for _ in range(5):
            rates += used(optimizer, weight, log, 1)
            schedule()
    assert [step for step, _ in told_of(told, "lr/0")] == [1, 2, 3, 4, 5]
    assert [rate for _, rate in told_of(told, "lr/0")] == pytest.approx(rates)
    assert rates == pytest.approx([0.5 * (1 - k / 8) for k in range(5)])
    assert [step for step, _ in told_of(told, "train/loss")] == [1, 2, 3, 4, 5]


def test_a_clock_that_is_attached_later_is_told_of_without_a_shift():
    weight, told = torch.nn.Parameter(torch.zeros((), dtype=torch.float64)), []
    optimizer = torch.optim.SGD([weight], lr=0.25)
    with log_to(lambda *said: told.append(said), optimizer=optimizer) as log:
        first = used(optimizer, weight, log, 2)
        attach(optimizer, lr=linear(0.5, steps=8), step=2)
        rates = first + used(optimizer, weight, log, 3)
    assert [(step, pytest.approx(rate)) for step, rate in told_of(told, "lr/0")] == [*enumerate(rates, 1)]
    assert rates[1:4] == pytest.approx([0.25, 0.5 * (1 - 2 / 8), 0.5 * (1 - 3 / 8)])


def test_groups_are_told_by_name_or_place_every_so_often():
    one, two, told = (*(torch.nn.Parameter(torch.zeros(())) for _ in range(2)), [])
    groups = [{"params": [one], "lr": linear(0.5, steps=8)}, {"params": [two], "lr": 0.125, "name": "head"}]
    optimizer = SGD(groups, lr=0.1)
    with log_to(lambda *said: told.append(said), optimizer=optimizer, every=2):
        for _ in range(5):
            one.grad = two.grad = torch.ones(())
            optimizer.step()
    assert told == [(2, {"lr/0": 0.4375, "lr/head": 0.125}), (4, {"lr/0": 0.3125, "lr/head": 0.125})]


def test_what_is_no_update_is_not_told_and_a_loaded_count_goes_on():
    weight, told = torch.nn.Parameter(torch.zeros(())), []
    optimizer = torch.optim.Adam([weight], lr=0.5)
    attach(optimizer, lr=linear(0.5, steps=8))
    with log_to(lambda *said: told.append(said), optimizer=optimizer) as log:
        optimizer.step()  # without a gradient
        used(optimizer, weight, log, 2)
        state = copy.deepcopy(optimizer.state_dict())
        used(optimizer, weight, log, 1)
        optimizer.load_state_dict(state)
        used(optimizer, weight, log, 1)
    assert [step for step, _ in told_of(told, "lr/0")] == [1, 2, 3, 3]
    weight.grad = torch.ones(())
    optimizer.step()  # after its end
    assert len(told_of(told, "lr/0")) == 4


def test_an_optimizer_that_made_updates_before_is_counted_on():
    weight, told = torch.nn.Parameter(torch.zeros(())), []
    optimizer = torch.optim.Adam([weight], lr=0.5)
    for _ in range(3):
        weight.grad = torch.ones(())
        optimizer.step()
    with log_to(lambda *said: told.append(said), optimizer=optimizer) as log:
        used(optimizer, weight, log, 1)
    assert told_of(told, "lr/0") == [(4, 0.5)]
