"""Resume, saved, replace, extend: the same words and the same numbers for a clock and for tapered's own optimizers."""

import copy
import logging
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from saving import filed
from torch import nn

import tapered
from tapered import schedules
from tapered.attach import attach, clock_of, of_base
from tapered.optim.policies import Reload
from tapered.schedules.changes import extended

COSINE = schedules.cosine_decay(0.1, decay_steps=10)
LINEAR = schedules.linear(0.2, 0.0, steps=20)
WSD = 0.1 * schedules.warmup(4).then(schedules.hold(10)).then(schedules.cooldown(6))


class Attached:
    """torch's Adam with a clock."""

    def __init__(self, **hypers) -> None:
        self.param = nn.Parameter(torch.linspace(-1, 1, 4))
        self.optimizer = torch.optim.Adam([self.param], lr=0.1)
        self.verbs = attach(self.optimizer, **hypers)

    def steps(self, count: int):
        for _ in range(count):
            self.optimizer.zero_grad()
            (self.param**2).sum().backward()
            self.optimizer.step()
        return self

    def load(self, other: "Attached", **reload) -> None:
        self.optimizer.load_state_dict(filed(other.optimizer.state_dict()))
        self.verbs.load_state_dict(filed(other.verbs.state_dict()), **reload)

    @property
    def rate(self) -> float:
        """Of the last update."""
        return self.verbs.last_lr[0]

    def text(self, name: str = "lr") -> str:
        return str(self.verbs.schedules[0][name])


class Own(Attached):
    """tapered's Adam with the schedule as an argument."""

    def __init__(self, **hypers) -> None:
        self.param = nn.Parameter(torch.linspace(-1, 1, 4))
        self.verbs = self.optimizer = tapered.Adam([self.param], **hypers)

    def load(self, other: "Own", **reload) -> None:
        self.optimizer.load_state_dict(filed(other.optimizer.state_dict()), **reload)

    def text(self, name: str = "lr") -> str:
        return str(self.optimizer.param_groups[0]["schedules"][name])


BOTH = pytest.mark.parametrize("kind", [Attached, Own])


@BOTH
def test_resume_refuses_what_differs(kind) -> None:
    run, other = kind(lr=COSINE).steps(4), kind(lr=LINEAR)
    with pytest.raises(ValueError, match=re.escape(f"`lr` in group 0 differs: saved {COSINE}, this one's {LINEAR}; ")):
        other.load(run)
    same = kind(lr=COSINE)
    same.load(run)
    assert same.steps(1).rate == COSINE(4)
    assert same.verbs.report.startswith("step 4: lr 0.0793893 -> 0.0654508 (group 0): resumed")


@BOTH
def test_saved(kind) -> None:
    run, other = kind(lr=COSINE).steps(4), kind(lr=LINEAR)
    other.load(run, policy="saved")
    assert other.steps(1).rate == COSINE(4)
    assert other.text() == str(COSINE)


@BOTH
@pytest.mark.parametrize(("counted", "first"), [("now", LINEAR(0)), ("start", LINEAR(4))])
def test_replaced_by_loading(kind, counted, first) -> None:
    run, other = kind(lr=COSINE).steps(4), kind(lr=LINEAR)
    other.load(run, policy="replace", counted=counted)
    assert other.steps(1).rate == first
    assert other.steps(1).rate == (LINEAR(1) if counted == "now" else LINEAR(5))
    assert other.verbs.report == f"step 4: lr 0.0793893 -> {first:.6g} (group 0): " + other.verbs.report.split(": ")[-1]
    again = kind(lr=schedules.parse(other.text()))
    again.load(other)
    assert again.steps(1).rate == (LINEAR(2) if counted == "now" else LINEAR(6))


@BOTH
@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ("stretch", lambda k: COSINE._values(np.array([4 + (k - 4) * 6 / 16] * 2))[0]),
        ("hold", lambda k: COSINE(max(k - 10, 4))),
    ],
)
def test_extended_by_loading(kind, how, wanted) -> None:
    run, other = kind(lr=COSINE).steps(4), kind(lr=schedules.cosine_decay(0.1, decay_steps=20))
    other.load(run, policy="extend", how=how)
    assert [other.steps(1).rate for _ in range(18)] == [
        pytest.approx(wanted(min(k, 20)), abs=1e-18) for k in range(4, 22)
    ]
    assert other.rate == COSINE(10)


@BOTH
def test_replaced_under_way(kind) -> None:
    run = kind(lr=COSINE, weight_decay=LINEAR).steps(3)
    run.verbs.replace(lr=LINEAR, counted="now")
    assert (run.rate, run.optimizer.param_groups[0]["lr"]) == (COSINE(2), LINEAR(0))
    assert run.steps(2).rate == LINEAR(1)
    assert run.optimizer.param_groups[0]["weight_decay"] == LINEAR(5)
    run.verbs.replace(lr=0.05)
    assert run.steps(3).rate == 0.05
    run.verbs.replace(lr=COSINE, counted="start", groups={0: {"betas": (0.8, LINEAR)}})
    assert run.steps(1).rate == COSINE(8)
    assert run.optimizer.param_groups[0]["betas"] == (0.8, LINEAR(9))
    assert run.verbs.report.startswith("step 8: lr 0.05 -> 0.00954915 (group 0)")


@BOTH
def test_extended_under_way(kind, caplog) -> None:
    run = kind(lr=COSINE, betas=(schedules.linear(0.9, 0.5, steps=2), 0.999)).steps(5)
    run.verbs.extend(20, how="stretch")
    assert run.text() == "cosine_decay(0.1, decay_steps=10).stretched(5, horizon=20)"
    assert run.text("beta1") == "linear(0.9, end=0.5, steps=2)"  # it had ended long before the run
    with caplog.at_level(logging.INFO, logger="tapered"):
        assert run.steps(1).rate == COSINE(5)
    assert len(caplog.records) == 1
    assert "lr 0.0654508 -> 0.05 (group 0)" in caplog.records[0].getMessage()
    assert run.steps(9).rate < COSINE(5)
    run.verbs.extend(30, how="hold")
    before = run.steps(1).rate
    assert [run.steps(1).rate for _ in range(10)] == [before] * 10
    assert run.steps(5).rate == COSINE(10)


@BOTH
@pytest.mark.parametrize(
    ("call", "shown"),
    [
        (lambda v: v.replace(lr=LINEAR), "try counted='now' (this step) or counted='start'"),
        (lambda v: v.replace(lr=LINEAR, counted="later"), "got counted='later'; expected one of 'now', 'start'"),
        (lambda v: v.replace(lr=-1.0), "got -1.0 for `lr` in group 0"),
        (lambda v: v.replace(lr=schedules.constant(-1.0)), "got -1.0 for `lr` in group 0 from its schedule"),
        (lambda v: v.replace(rate=0.1), "`rate`"),
        (lambda v: v.replace(groups={1: {"lr": 0.1}}), "the group 1"),
        (lambda v: v.extend(10, how="stretch"), "got horizon=10 at step 3 for cosine_decay(0.1, decay_steps=10)"),
        (lambda v: v.extend(20, how="keep"), "got how='keep'; expected"),
    ],
)
def test_what_the_verbs_refuse(kind, call, shown) -> None:
    run = kind(lr=COSINE).steps(3)
    with pytest.raises(ValueError, match=re.escape(shown) if "`rate`" not in shown else "rate"):
        call(run.verbs)
    assert run.steps(1).rate == COSINE(3)


@BOTH
@pytest.mark.parametrize(
    ("reload", "shown"),
    [
        ({"policy": "keep"}, "got policy='keep'; expected one of 'resume', 'saved', 'replace', 'extend'"),
        ({"policy": "extend"}, "got policy='extend' without how; try how='stretch'"),
        ({"policy": "replace"}, "it was not said what its step 0 is; try counted='now' (this step)"),
        ({"policy": "extend", "how": "hold"}, "got horizon=10 at step 4"),
    ],
)
def test_policies_that_are_not_told_enough(kind, reload, shown) -> None:
    run = kind(lr=LINEAR).steps(4)
    with pytest.raises(ValueError, match=re.escape(shown)):
        kind(lr=COSINE).load(run, **reload)


@BOTH
def test_nothing_to_extend(kind) -> None:
    run = kind(lr=schedules.constant(0.1)) if kind is Attached else kind(lr=0.1)
    with pytest.raises(ValueError, match="got horizon=10, but no schedule here ends"):
        run.verbs.extend(10, how="hold")
    ended = kind(lr=COSINE).steps(12)
    with pytest.raises(ValueError, match=re.escape("which ends at step 10; an extension needs step < 10 < horizon")):
        ended.verbs.extend(20, how="stretch")


def late(run: Attached, **options) -> float:
    run.optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))], **options})
    run.steps(1)
    return run.verbs.last_lr[-1]


def test_a_late_group_follows_what_the_others_have_come_to() -> None:
    run = Attached(lr=COSINE).steps(3)
    run.verbs.replace(lr=LINEAR, counted="now")
    assert late(run) == run.rate == LINEAR(0)
    run.verbs.extend(40, how="hold")
    assert late(run) == run.rate == LINEAR(1)
    other = Attached(lr=WSD)
    other.verbs.load_state_dict(Attached(lr=LINEAR).verbs.state_dict(), policy="saved")
    assert late(other) == other.rate == LINEAR(0)
    named = Attached(groups={0: {"lr": WSD}}, weight_decay=LINEAR)
    named.verbs.replace(lr=COSINE)
    named.verbs.replace(lr=LINEAR)
    assert late(named) == named.rate == LINEAR(0)


def test_a_late_group_falls_in_proportion_from_the_rate_it_came_with() -> None:
    """Lightning's BaseFinetuning copies a rate that has decayed already."""
    run = Attached(lr=of_base(COSINE)).steps(2)
    assert late(run, lr=0.5) == pytest.approx(0.5, rel=1e-15)
    run.verbs.extend(20, how="stretch")
    run.steps(1)
    assert run.verbs.last_lr[1] / run.rate == pytest.approx(0.5 / (0.1 * COSINE(2)), rel=1e-14)
    now = run.optimizer.param_groups[0]["lr"]
    assert late(run, lr=now / 10) == pytest.approx(run.rate / 10, rel=1e-15)
    assert run.steps(3).verbs.last_lr[2] == pytest.approx(run.rate / 10, rel=1e-14)
    run.verbs.replace(lr=of_base(LINEAR), counted="now")
    assert [late(run), run.rate] == [pytest.approx(0.02), pytest.approx(0.02)]


@BOTH
def test_late_groups_have_one_answer(kind) -> None:
    """Of a clock and of tapered's own: none follows the others, a number falls with them, another is followed."""
    run = kind(lr=COSINE).steps(4)
    assert late(run) == run.rate == COSINE(4)
    assert late(run, lr=COSINE(5) / 10) == pytest.approx(COSINE(5) / 10, rel=1e-15)
    rates = run.steps(2).verbs.last_lr
    assert rates == pytest.approx((COSINE(7), COSINE(7), COSINE(7) / 10), rel=1e-14)
    run.optimizer.param_groups[2]["lr"] = 0.02  # BackboneFinetuning writes once an epoch
    assert run.steps(1).verbs.last_lr[2] == pytest.approx(0.02, rel=1e-15)
    assert run.steps(1).verbs.last_lr == pytest.approx((COSINE(9), COSINE(9), 0.02 * COSINE(9) / COSINE(8)), rel=1e-14)
    with pytest.raises(ValueError, match=r"that gives 0\.0 at step 10; give the group a schedule of its own"):
        late(run, lr=0.3)


@BOTH
@pytest.mark.parametrize("stepped", [0, 1])
def test_a_late_group_is_saved_and_goes_on(kind, stepped) -> None:
    run = kind(lr=COSINE).steps(4)
    extra = [nn.Parameter(torch.ones(2)) for _ in range(4)]
    for param, options in zip(extra, ({}, {"lr": 0.01}), strict=False):
        run.optimizer.add_param_group({"params": [param], **options})
    run.steps(stepped)
    assert len(run.verbs.schedules) == 3
    state = filed(run.optimizer.state_dict())
    again = kind(lr=COSINE)
    for param, options in zip(extra[2:], ({}, {"lr": 0.02}), strict=True):
        again.optimizer.add_param_group({"params": [param], **options})
    again.optimizer.load_state_dict(state)
    assert again.verbs.schedules == run.verbs.schedules
    for _ in range(3):
        assert again.steps(1).verbs.last_lr == run.steps(1).verbs.last_lr


KINDS = st.sampled_from([COSINE, LINEAR.until(15), WSD, schedules.one_cycle(0.1, total_steps=12), 0.3 * COSINE + 1e-3])


@given(KINDS, st.integers(1, 9), st.integers(1, 40), st.sampled_from(["stretch", "hold"]))
def test_laws_of_an_extension(schedule, at, more, how) -> None:
    """The path so far, no jump, the old end at the new horizon; bits and text travel."""
    end = schedule.horizon
    longer = extended(schedule, at, end + more, how)
    assert longer.table(at + 1).tolist() == schedule.table(at + 1).tolist()
    assert longer.horizon == end + more
    assert longer(end + more) == longer(end + more + 100) == schedule(end)
    assert schedules.parse(str(longer)) == longer == schedules.from_dict(longer.to_dict())
    steepest = np.abs(np.diff(schedule.table(end + 2))).max()
    assert np.abs(np.diff(longer.table(end + more + 2))).max() <= steepest * (1 + 1e-9)
    if how == "hold":
        assert longer.table(end + more)[at + more :].tolist() == schedule.table(end)[at:].tolist()
    else:
        way = np.arange(at, end + more + 1, dtype=np.float64)
        inner = at + (way - at) * (end - at) / (end + more - at)
        fine = np.interp(inner, np.arange(end + 1), schedule.table(end + 1))
        assert np.abs(longer.table(end + more + 1)[at:] - fine).max() <= steepest


def test_marks_of_an_extension() -> None:
    assert WSD.held(8, steps=10).marks() == (
        (4, "warmup ends, hold begins"),
        (24, "hold ends, cooldown begins"),
        (30, "cooldown ends"),
    )
    assert WSD.stretched(10, horizon=30).marks()[1:] == ((18, "hold ends, cooldown begins"), (30, "cooldown ends"))


@pytest.mark.parametrize(
    ("call", "shown"),
    [
        (lambda: COSINE.stretched(10, 20), "stretched: at must be below the schedule's horizon, 10, got 10"),
        (lambda: COSINE.stretched(5, 5), "stretched: horizon must be above at, 5, got 5"),
        (lambda: schedules.constant(0.1).stretched(5, 9), "never ends, so it has no remainder to stretch"),
        (lambda: COSINE.held(5, 0), "held: steps must be a whole number of steps from 1 up, got 0"),
        (lambda: extended(schedules.constant(0.1), 5, 9, "hold"), "never ends, so there is nothing to extend"),
    ],
)
def test_extensions_that_are_none(call, shown) -> None:
    with pytest.raises(ValueError, match=re.escape(shown)):
        call()


def test_a_policy_keeps_what_is_the_same() -> None:
    """A schedule that no text brings back passes where it is the same function."""
    rate = schedules.from_function(lambda _: 0.1)
    assert Reload("extend", how="hold").chosen("`lr`", rate, str(rate), 3) is rate
    with pytest.raises(ValueError, match="`lr`: the saved schedule cannot be read back"):
        Reload("saved").chosen("`lr`", COSINE, str(rate), 3)


def test_two_late_groups_with_one_number() -> None:
    run = Attached(lr=COSINE).steps(1)
    late(run, lr=0.02)
    late(run, lr=0.02)
    assert run.verbs.last_lr[1:] == pytest.approx((0.02 * COSINE(2) / COSINE(1), 0.02), rel=1e-14)


@BOTH
@pytest.mark.parametrize("which", [{0}, {1}, {0, 1}])
@pytest.mark.parametrize("copied", [False, True])
def test_a_late_number_falls_with_the_others_whatever_was_replaced(kind, which, copied) -> None:
    """That another late group brought the same number, and was given something since, makes it no base of theirs."""
    run = kind(lr=COSINE).steps(1)
    late(run, lr=0.02)
    every = {"lr": COSINE} if len(which) == 2 else {"groups": {index: {"lr": COSINE} for index in which}}
    run.verbs.replace(counted="now", **every)
    if copied:
        run.optimizer = copy.deepcopy(run.optimizer)
        run.verbs, run.param = clock_of(run.optimizer) or run.optimizer, run.optimizer.param_groups[0]["params"][0]
    late(run, lr=0.02)
    others = COSINE if which == {1} else COSINE.delayed(2)
    assert run.steps(2).verbs.last_lr[2] == pytest.approx(0.02 * others(4) / others(2), rel=1e-14)


def test_a_late_number_that_a_group_with_a_schedule_of_its_own_was_made_with() -> None:
    first, second = (nn.Parameter(torch.ones(2)) for _ in range(2))
    run = Attached(lr=COSINE)
    run.optimizer = torch.optim.Adam([{"params": [run.param]}, {"params": [first], "lr": 0.02}], lr=0.1)
    run.verbs = attach(run.optimizer, lr=COSINE, groups={1: {"lr": 0.02}})
    run.steps(2)
    run.optimizer.add_param_group({"params": [second], "lr": 0.02})
    assert run.steps(2).verbs.last_lr == pytest.approx((COSINE(3), 0.02, 0.02 * COSINE(3) / COSINE(2)), rel=1e-14)


def test_a_late_number_after_a_load_and_a_replacement() -> None:
    """As in the run that was not killed."""
    run, again = Attached(lr=COSINE).steps(1), Attached(lr=COSINE)
    late(run, lr=0.02)
    again.verbs.detach()
    again.optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))], "lr": 0.02})
    again.optimizer.load_state_dict(filed(run.optimizer.state_dict()))
    again.verbs = attach(again.optimizer, lr=COSINE)
    for one in (run, again):
        one.verbs.replace(lr=COSINE, counted="now")
        late(one, lr=0.02)
    assert run.verbs.last_lr == again.verbs.last_lr
    assert run.steps(1).verbs.last_lr == again.steps(1).verbs.last_lr


@pytest.mark.parametrize("order", ["o", "c o", "o c"])
def test_a_late_group_that_was_given_a_schedule_is_none_of_the_others_after_a_load(order) -> None:
    run, again = Attached(lr=COSINE), Attached(groups={0: {"lr": COSINE}}, lr=COSINE)
    run.verbs.replace(groups={0: {"lr": COSINE}}, counted="start")
    run.steps(1)
    late(run)
    run.verbs.replace(groups={1: {"lr": LINEAR}}, counted="start")
    again.optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))]})
    state = {"o": filed(run.optimizer.state_dict()), "c": filed(run.verbs.state_dict())}
    for part in order.split():
        (again.optimizer if part == "o" else again.verbs).load_state_dict(state[part])
    for one in (run, again):
        late(one)
    assert run.verbs.last_lr == again.verbs.last_lr == (COSINE(2), LINEAR(2), COSINE(2))


def test_a_late_group_of_a_state_that_was_loaded_before_attach() -> None:
    run = Attached(lr=COSINE).steps(1)
    late(run, lr=0.02)
    again = Attached(lr=COSINE)
    again.verbs.detach()
    again.optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))], "lr": 0.02})
    again.optimizer.load_state_dict(filed(run.optimizer.state_dict()))
    again.verbs = attach(again.optimizer, lr=COSINE)
    assert again.steps(1).verbs.last_lr == run.steps(1).verbs.last_lr
    again.optimizer.param_groups[1]["lr"] = 0.05
    assert again.steps(1).verbs.last_lr[1] == pytest.approx(0.05, rel=1e-15)


@BOTH
def test_a_late_group_without_a_rate_stays_strict_after_a_load(kind) -> None:
    run, again = (kind(lr=COSINE).steps(1) for _ in range(2))
    late(run)
    again.optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))]})
    again.optimizer.load_state_dict(filed(run.optimizer.state_dict()))
    again.optimizer.param_groups[1]["lr"] = 0.05
    with pytest.raises(ValueError, match=r"`lr` in group 1 was set to 0\.05 from outside"):
        again.steps(1)


@BOTH
def test_a_late_group_with_a_schedule(kind) -> None:
    run = kind(lr=COSINE).steps(2)
    run.optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))], "lr": LINEAR})
    state = filed(run.optimizer.state_dict())  # before anything has looked
    assert state["param_groups"][1]["lr"] == LINEAR(2)
    assert run.steps(2).verbs.last_lr == (COSINE(3), LINEAR(3))
    other = kind(lr=COSINE)
    other.optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))], "lr": COSINE})

    def resumed() -> None:
        other.optimizer.load_state_dict(state)
        other.steps(1)

    with pytest.raises(ValueError, match="`lr` in group 1 differs"):
        resumed()


@BOTH
def test_a_late_group_beside_a_function_goes_on(kind) -> None:
    """No text carries a function; the group that follows it in proportion finds it in the others."""

    def rate(step: int) -> float:
        return 0.1 / (1 + step)

    run, again = (kind(lr=schedules.from_function(rate)) for _ in range(2))
    run.steps(3)
    for one in (run, again):
        one.optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))], "lr": 0.01})
    run.steps(1)
    again.optimizer.load_state_dict(filed(run.optimizer.state_dict()))
    assert again.steps(1).verbs.last_lr == run.steps(1).verbs.last_lr
    assert run.verbs.last_lr == (rate(4), pytest.approx(0.01 * rate(4) / rate(3), rel=1e-14))
