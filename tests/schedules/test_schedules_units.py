"""Schedules that count epochs, samples or tokens: the same numbers, found by division and multiplication of ints."""

import math
import random

import pytest
import torch
from schedule_cases import CODED, WRITTEN
from torch.optim import lr_scheduler

from tapered.schedules import (
    cosine_decay,
    cosine_decay_restarts,
    exponential_decay,
    from_function,
    linear,
    parse,
    piecewise_constant,
    step_decay,
    warmup,
    warmup_stable_decay,
)
from tapered.schedules.changes import extended
from tapered.schedules.checks import LARGEST_STEP

every = pytest.mark.parametrize("schedule", [*WRITTEN, *CODED], ids=str)
FASTER = ("in_samples", "in_tokens")


@every
@pytest.mark.parametrize("epoch", [1, 2, 7, 50])
def test_an_epoch_s_rate_in_each_of_its_updates(schedule, epoch):
    found = schedule.in_epochs(epoch)
    assert found.table(130).tolist() == [schedule(step // epoch) for step in range(130)]
    assert found.horizon == (None if schedule.horizon is None else schedule.horizon * epoch)


@every
@pytest.mark.parametrize("method", FASTER)
@pytest.mark.parametrize("each", [1, 2, 7])
def test_samples_and_tokens_that_an_update_sees(schedule, method, each):
    found = getattr(schedule, method)(each)
    assert found.table(60).tolist() == [schedule(step * each) for step in range(60)]
    end = schedule.horizon
    assert found.horizon == (None if end is None else math.ceil(end / each))
    if end is not None:
        assert found(found.horizon) == found(found.horizon + 9) == schedule(end)


@pytest.mark.parametrize("epoch", [3, 7, 1251, 2**20 + 1, 94_906_267, 2**30])
def test_far_out_an_epoch_begins_where_it_does(epoch):
    """On either side of a boundary near 2**53, where a quotient has no digits to spare."""
    dice = random.Random(epoch)
    last = LARGEST_STEP // epoch
    for number in [last, *(dice.randint(1, last) for _ in range(200))]:
        switch = piecewise_constant((number,), (1.0, 0.5), switch="at").in_epochs(epoch)
        start = number * epoch
        assert (switch(start - 1), switch(start)) == (1.0, 0.5)
        assert switch.table(min(start + 1, LARGEST_STEP), start - 1).tolist()[0] == 1.0


@pytest.mark.parametrize("method", FASTER)
def test_far_out_tokens_are_counted_up_to_what_a_schedule_takes(method):
    each = 4_194_304
    for decay in (exponential_decay(0.1, 10**9, 0.9), cosine_decay_restarts(0.1, 10**9, t_mul=1.7, k_decay=1.3)):
        found = getattr(decay, method)(each)
        for step in (10**6, LARGEST_STEP // each - 1, LARGEST_STEP // each):
            assert found(step) == decay(step * each)
        assert found(LARGEST_STEP) == decay(LARGEST_STEP)


@pytest.mark.parametrize(
    ("make", "ours"),
    [
        (lambda of: lr_scheduler.StepLR(of, 3, 0.5), step_decay(0.1, step_size=3, gamma=0.5)),
        (lambda of: lr_scheduler.CosineAnnealingLR(of, 8), cosine_decay(0.1, decay_steps=8)),
        (lambda of: lr_scheduler.LinearLR(of, 0.25, 1.0, 4), 0.1 * linear(0.25, 1.0, 4)),
    ],
)
def test_a_torch_scheduler_that_is_stepped_once_an_epoch(make, ours):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler, rates, epoch = make(optimizer), [], 5
    for _ in range(8):
        for _ in range(epoch):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
        scheduler.step()
    assert ours.in_epochs(epoch).table(8 * epoch).tolist() == pytest.approx(rates, rel=1e-12)


def test_a_warmup_in_updates_over_a_decay_in_epochs():
    both = warmup(500) * cosine_decay(decay_steps=90).in_epochs(1251)
    assert str(both) == "warmup(500) * cosine_decay(decay_steps=90).in_epochs(1251)"
    assert both.horizon == 90 * 1251
    for step in (0, 250, 499, 500, 1250, 1251, 45 * 1251, 90 * 1251 - 1, 90 * 1251, 10**7):
        assert both(step) == warmup(500)(step) * cosine_decay(decay_steps=90)(step // 1251)
    later = warmup(500).then(cosine_decay(decay_steps=90).in_epochs(1251))
    assert later(500 + 1250) == 1.0 > later(500 + 1251)
    assert later.horizon == 500 + 90 * 1251


def test_marks_stand_where_the_pieces_meet():
    path = warmup_stable_decay(0.1, warmup_steps=5, stable_steps=80, decay_steps=15)
    assert [at for at, _ in path.in_epochs(1251).marks()] == [5 * 1251, 85 * 1251, 100 * 1251]
    assert [note for _, note in path.in_epochs(1251).marks()] == [note for _, note in path.marks()]
    assert path.in_samples(8).marks() == (
        (1, "warmup ends, hold begins"),
        (11, "hold ends, cooldown begins"),
        (13, "cooldown ends"),
    )
    assert path.in_tokens(1000).marks() == ((1, "warmup ends, hold begins, hold ends, cooldown begins, cooldown ends"),)
    assert "<svg" in path.in_epochs(1251)._repr_html_()


def test_one_unit_in_another_and_longer_runs():
    decay = cosine_decay(decay_steps=90)
    nested = decay.in_epochs(1251).in_samples(64)
    assert nested.table(300).tolist() == [decay(step * 64 // 1251) for step in range(300)]
    counted = decay.in_epochs(10)
    for how in ("stretch", "hold"):
        longer = extended(counted, 300, 1800, how)
        assert longer.horizon == 1800
        assert longer.table(301).tolist() == counted.table(301).tolist()
        assert longer(1800) == 0.0
        assert parse(str(longer)) == longer
    stretched = counted.stretched(300, 1500)  # twice as long: an epoch of what is left lasts twice as many updates
    assert [stretched(step) for step in (319, 320)] == [decay(30), decay(31)]
    coded = from_function(lambda epoch: 0.5**epoch).in_epochs(10).until(100)
    assert coded.stretched(50, 150)(79) == 0.5**6
    assert not coded.serialisable


@pytest.mark.parametrize(
    ("method", "field", "example"),
    [
        ("in_epochs", "steps_per_epoch", "schedule.in_epochs(1251)"),
        ("in_samples", "batch_size", "schedule.in_samples(256)"),
        ("in_tokens", "tokens_per_step", "schedule.in_tokens(524_288)"),
    ],
)
def test_no_number_of_updates(method, field, example):
    for wrong, error in ((0, ValueError), (-3, ValueError), (12.5, ValueError), ("8", TypeError), (None, TypeError),
                         (True, TypeError), (math.nan, ValueError), (2**60, ValueError)):  # fmt: skip
        with pytest.raises(error) as said:
            getattr(warmup(5), method)(wrong)
        assert str(said.value) == (
            f"{method}: {field} must be a whole number from 1 up, got {wrong!r}; write for example {example}"
        )
    assert getattr(warmup(5), method)(8.0) == getattr(warmup(5), method)(torch.tensor(8))
