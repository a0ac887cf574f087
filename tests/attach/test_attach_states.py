"""States loaded in any order: the right rate at the next update, or a refusal there that says why."""

import copy
import itertools
import json
import logging
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from saving import filed
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

import tapered
from tapered import schedules
from tapered.attach import Clock, attach, clock_of

RATE = schedules.cosine_decay(0.1, decay_steps=20)
OTHER = schedules.linear(0.1, 0.0, steps=30)
SEVEN = 7
MAKERS = {
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "tensor": lambda p: torch.optim.Adam(p, lr=torch.tensor(0.1)),
    "fused": lambda p: torch.optim.AdamW(p, lr=0.1, fused=True),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "tapered": lambda p: tapered.Adam(p, lr=0.1),
}


class Run:
    """A model of one tensor, its optimizer and its clock."""

    def __init__(self, make="adam", lr=RATE, **options) -> None:
        self.param = nn.Parameter(torch.linspace(-1, 1, 4))
        self.optimizer = MAKERS[make]([self.param])
        self.clock = attach(self.optimizer, lr=lr, **options) if lr is not None else None

    def steps(self, count: int) -> "Run":
        for _ in range(count):
            self.optimizer.zero_grad()
            (self.param**2).sum().backward()
            self.optimizer.step()
        return self

    def saved(self) -> dict:
        """As a file would bring it back."""
        clock = None if self.clock is None else self.clock.state_dict()
        return filed({"o": self.optimizer.state_dict(), "c": clock, "p": self.param.detach()})

    @property
    def rate(self) -> float:
        """Of the last update."""
        return self.clock.last_lr[0]


def matches(rate: float, wanted: float) -> bool:
    """Bit for bit where the rate is a float; in the tensor's precision else."""
    return rate in (wanted, float(torch.tensor(wanted)))


ORDERS = [o for n in range(3) for o in itertools.permutations(["attach", "o", "c"], n + 1) if "attach" in o]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("order", [o for o in ORDERS if "c" not in o or o.index("c") > o.index("attach")], ids="-".join)
def test_every_order(make, order) -> None:
    through = Run(make).steps(SEVEN)
    state = through.saved()
    run = Run(make, lr=None)
    with torch.no_grad():
        run.param.copy_(state["p"])
    for action in order:
        if action == "attach":
            run.clock = attach(run.optimizer, lr=RATE)
        elif action == "o":
            run.optimizer.load_state_dict(copy.deepcopy(state["o"]))
        else:
            run.clock.load_state_dict(state["c"])
    if "o" in order:
        through.steps(5)
        run.steps(1)
        assert matches(run.rate, RATE(SEVEN))
        assert run.clock.report.startswith("step 7: lr 0.0793893 -> 0.0726995 (group 0): resumed")
        run.steps(4)
        assert torch.equal(run.param, through.param)
        assert run.clock.step == through.clock.step == 12
        assert json.dumps(run.clock.state_dict()) == json.dumps(through.clock.state_dict())
    elif "c" in order:
        with pytest.raises(
            ValueError, match="the clock stands at step 7, but the optimizer's state went through 0 upd"
        ):
            run.steps(1)
        assert torch.equal(run.param, state["p"])
    else:
        run.steps(1)
        assert matches(run.rate, RATE(0))


class History:
    """A run under random actions; what the optimizer's state and the clock went through is kept by hand."""

    def __init__(self, make: str) -> None:
        self.make, self.saves = make, [(0, Run(make).saved())]
        self.fresh(0)

    def fresh(self, _: int) -> None:
        self.run, self.made, self.stands, self.on_purpose = Run(self.make), 0, 0, False

    def steps(self, count: int) -> None:
        if self.made != self.stands:
            shown = f"the clock stands at step {self.stands}, but the optimizer's state went through {self.made} upd"
            with pytest.raises(ValueError, match=shown):
                self.run.steps(1)
            return
        for _ in range(count):
            self.run.steps(1)
            assert matches(self.run.rate, RATE(self.made))
            self.made = self.stands = self.made + 1
        self.on_purpose = False

    def save(self, _: int) -> None:
        if self.made == self.stands:
            self.saves.append((self.made, self.run.saved()))

    def clock(self, number: int) -> None:
        self.stands, state = self.saves[number % len(self.saves)]
        self.run.clock.load_state_dict(state["c"])
        self.on_purpose = True

    def optimizer(self, number: int) -> None:
        self.made, state = self.saves[number % len(self.saves)]
        self.run.optimizer.load_state_dict(copy.deepcopy(state["o"]))
        if not self.on_purpose:
            self.stands = self.made

    def both(self, number: int) -> None:
        self.optimizer(number)
        self.clock(number)

    def other_way(self, number: int) -> None:
        self.clock(number)
        self.optimizer(number)


NAMES = ["steps", "save", "clock", "optimizer", "both", "other_way", "fresh"]


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 4)), max_size=14), st.sampled_from([*MAKERS]))
def test_any_history(actions, make) -> None:
    """No step is ever made at a rate that is not the schedule's at the optimizer's own count; what fits loads."""
    history = History(make)
    for action, number in [*actions, ("both", 1), ("steps", 2)]:
        getattr(history, action)(number)
        assert history.run.clock.step == history.stands


def test_an_optimizers_state_without_its_clock() -> None:
    """As torch wrote it: with a scheduler of torch's, or none."""
    for make, shown in (
        ("adam", "the clock stands at step 0, but the optimizer's state went through 7 updates"),
        ("momentum", "the optimizer has a state of earlier updates that does not say how many"),
    ):
        state = Run(make, lr=None).steps(SEVEN).saved()["o"]
        late, early = Run(make, lr=None), Run(make)
        late.optimizer.load_state_dict(copy.deepcopy(state))
        late.clock = attach(late.optimizer, lr=RATE)
        early.optimizer.load_state_dict(copy.deepcopy(state))
        for run in (late, early):
            with pytest.raises(ValueError, match=re.escape(shown)):
                run.steps(1)
        said = Run(make, lr=None)
        said.optimizer.load_state_dict(copy.deepcopy(state))
        said.clock = attach(said.optimizer, lr=RATE, step=SEVEN)
        assert matches(said.steps(1).rate, RATE(SEVEN))
        begun = Run(make, lr=None)
        begun.optimizer.load_state_dict(copy.deepcopy(state))
        begun.clock = attach(begun.optimizer, lr=RATE, step=0)
        assert matches(begun.steps(1).rate, RATE(0))
        again = Run(make)
        again.optimizer.load_state_dict(begun.saved()["o"])  # its own count, not Adam's
        assert matches(again.steps(1).rate, RATE(1))


def test_a_state_that_shows_another_rate() -> None:
    """Plain SGD counts nothing and has no state: only its rate tells."""
    torchs = Run("sgd", lr=None)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(torchs.optimizer, 0.5)
    torchs.steps(2)
    scheduler.step()
    run = Run("sgd")
    run.optimizer.load_state_dict(torchs.saved()["o"])
    shown = "was loaded without its clock, and at step 0 its lr 0.05 in group 0 is not what its schedules give"
    with pytest.raises(ValueError, match=re.escape(shown)):
        run.steps(1)


def test_a_state_that_went_on_without_its_clock() -> None:
    state = Run().steps(SEVEN).saved()["o"]
    without = Run(lr=None)
    without.optimizer.load_state_dict(state)
    without.steps(2)
    run = Run()
    run.optimizer.load_state_dict(without.saved()["o"])
    with pytest.raises(
        ValueError, match="left at step 7, where the optimizer's state counted 7 updates; it counts 9 now"
    ):
        run.steps(1)


def test_another_schedule_is_refused_by_name() -> None:
    state = Run().steps(SEVEN).saved()
    shown = re.escape("`lr` in group 0 differs: ")
    run = Run(lr=OTHER)
    run.optimizer.load_state_dict(copy.deepcopy(state["o"]))
    with pytest.raises(ValueError, match=shown + re.escape(f"the loaded state followed {RATE} up to step 7")):
        run.steps(1)
    with pytest.raises(ValueError, match=shown + re.escape(f"saved {RATE}, this one's {OTHER}; say which holds")):
        run.clock.load_state_dict(state["c"])
    run.clock.replace(lr=OTHER, counted="start")
    assert run.steps(1).rate == OTHER(SEVEN)
    late = Run(lr=None)
    late.optimizer.load_state_dict(copy.deepcopy(state["o"]))
    late.clock = attach(late.optimizer, lr=OTHER)
    with pytest.raises(ValueError, match=shown):
        late.steps(1)
    more = Run(weight_decay=OTHER)
    with pytest.raises(ValueError, match=re.escape("group 0 had schedules of ['lr'], here of ['lr', 'weight_decay']")):
        more.clock.load_state_dict(state["c"])
    assert more.clock.step == 0


def test_what_was_set_on_purpose_holds_up_to_the_next_update() -> None:
    """Over any state of that moment that is loaded before it; after it a state of another schedule is refused again."""
    run = Run().steps(SEVEN)
    foreign = run.saved()["o"]
    foreign["param_groups"][0]["clock"]["schedules"]["lr"] = str(OTHER)
    run.optimizer.load_state_dict(copy.deepcopy(foreign))
    run.clock.replace(lr=RATE, counted="start")
    run.optimizer.load_state_dict(copy.deepcopy(foreign))
    assert run.steps(1).rate == RATE(SEVEN)
    foreign = run.saved()["o"]
    foreign["param_groups"][0]["clock"]["schedules"]["lr"] = str(OTHER)
    run.optimizer.load_state_dict(foreign)
    with pytest.raises(ValueError, match="`lr` in group 0 differs: the loaded state followed"):
        run.steps(1)


def damaged(**changes) -> dict:
    return {**Run().steps(2).clock.state_dict(), **changes}


BASE = {"schedules": {"lr": str(RATE)}, "base": {"lr": 0.1}}


@pytest.mark.parametrize(
    ("state", "error", "shown"),
    [
        ({}, ValueError, "got []; expected a clock's state with format, step and groups"),
        (None, ValueError, "got NoneType; expected a clock's state"),
        ({"last_epoch": 7, "base_lrs": [0.1]}, ValueError, "got ['base_lrs', 'last_epoch']; expected"),
        (damaged(format=2), ValueError, "format 2; this version of tapered reads format 1"),
        (damaged(step=-5), ValueError, "got -5 for `step`"),
        (damaged(step=1.5), TypeError, "got 1.5 for `step`"),
        (damaged(step=float("nan")), TypeError, "got nan for `step`"),
        (damaged(groups=[]), ValueError, "a clock's state of 0 groups; this optimizer has 1"),
        (damaged(groups=[BASE, BASE]), ValueError, "a clock's state of 2 groups"),
        (damaged(groups=[7]), ValueError, "got None for `schedules` of group 0"),
        (damaged(groups=[{**BASE, "base": {"lr": "0.1"}}]), ValueError, "for `base` of group 0; expected a float"),
        (damaged(groups=[{**BASE, "schedules": {"lr": "open('x')"}}]), ValueError, "`lr` in group 0 differs"),
    ],
)
def test_a_state_that_is_none(state, error, shown) -> None:
    run = Run().steps(1)
    with pytest.raises(error, match=re.escape(shown)):
        run.clock.load_state_dict(state)
    goes_on_once_it_holds_a_state(run)


def goes_on_once_it_holds_a_state(run: Run) -> None:
    """A framework may swallow a refusal (fastai does), so the next step refuses too."""
    before = run.param.detach().clone()
    with pytest.raises(ValueError, match="the state that was to be loaded was refused"):
        run.steps(1)
    assert torch.equal(run.param, before)
    run.optimizer.load_state_dict(run.optimizer.state_dict())
    assert run.steps(1).rate == RATE(1)
    assert run.clock.step == 2


def test_a_schedule_that_no_text_brings_back() -> None:
    rate = schedules.from_function(lambda k: 0.1 / (k + 1))
    state = Run(lr=rate).steps(3).saved()
    run = Run(lr=rate)
    run.optimizer.load_state_dict(state["o"])
    run.clock.load_state_dict(state["c"])
    assert run.steps(1).rate == rate(3)


class PastTheHooks(torch.optim.Adam):
    """As bitsandbytes', its load_state_dict is its own and calls no hooks."""

    def load_state_dict(self, state_dict) -> None:
        groups = [
            {**saved, "params": own["params"]}
            for saved, own in zip(state_dict["param_groups"], self.param_groups, strict=True)
        ]
        params = [param for group in groups for param in group["params"]]
        self.__setstate__({"state": {params[i]: s for i, s in state_dict["state"].items()}, "param_groups": groups})


@pytest.mark.parametrize("order", ["o", "oc", "co"])
def test_an_optimizer_that_loads_past_the_hooks(order, monkeypatch) -> None:
    monkeypatch.setitem(MAKERS, "adam", lambda p: PastTheHooks(p, lr=0.1))
    through = Run().steps(SEVEN)
    state, run = through.saved(), Run()
    with torch.no_grad():
        run.param.copy_(through.param)
    for part in order:
        (run.optimizer if part == "o" else run.clock).load_state_dict(state[part])
    assert run.steps(2).rate == RATE(8)
    assert torch.equal(run.param, through.steps(2).param)
    assert "clock" not in run.optimizer.param_groups[0]
    other = Run(lr=OTHER)
    other.optimizer.load_state_dict(through.saved()["o"])
    with pytest.raises(ValueError, match="`lr` in group 0 differs: the loaded state followed"):
        other.steps(1)


def test_a_state_with_nothing_in_it_is_none() -> None:
    """schedulefree's `train()` leaves an empty dict for each parameter."""
    run = Run("momentum", lr=None)
    run.optimizer.state[run.param]  # a defaultdict makes it
    run.clock = attach(run.optimizer, lr=RATE)
    assert run.steps(1).rate == RATE(0)


@pytest.mark.parametrize("clock", [7, {}, {"step": "7", "schedules": {}, "base": {}}])
def test_a_damaged_clock_in_an_optimizers_state(clock) -> None:
    state = Run().steps(2).saved()["o"]
    state["param_groups"][0]["clock"] = clock
    run = Run().steps(1)
    with pytest.raises((TypeError, ValueError), match=r"for `clock` of a saved group|got '7' for `step`"):
        run.optimizer.load_state_dict(state)
    goes_on_once_it_holds_a_state(run)


def test_a_state_that_torch_refuses() -> None:
    run = Run().steps(1)
    with pytest.raises(ValueError, match="different number of parameter groups"):
        run.optimizer.load_state_dict({"state": {}, "param_groups": []})
    goes_on_once_it_holds_a_state(run)


def test_groups_that_were_added_late() -> None:
    run = Run().steps(2)
    extra = nn.Parameter(torch.ones(3))
    run.optimizer.add_param_group({"params": [extra]})
    state = run.steps(2).saved()
    other = Run()
    with pytest.raises(ValueError, match="a clock's state of 2 groups; this optimizer has 1"):
        other.clock.load_state_dict(state["c"])
    other.optimizer.add_param_group({"params": [nn.Parameter(torch.ones(3))]})
    other.clock.load_state_dict(state["c"])
    other.optimizer.load_state_dict(state["o"])
    other.steps(1)
    assert other.clock.last_lr == (RATE(4), RATE(4))


def test_the_line_at_the_first_resumed_step(caplog) -> None:
    state = Run().steps(SEVEN).saved()
    run = Run()
    run.optimizer.load_state_dict(state["o"])
    run.clock.load_state_dict(state["c"])
    with caplog.at_level(logging.INFO, logger="tapered"):
        run.steps(3)
    line = "step 7: lr 0.0793893 -> 0.0726995 (group 0): resumed, the same schedule"
    assert [record.getMessage() for record in caplog.records] == [line]
    assert run.clock.report == line


def test_a_new_optimizers_own_state_is_no_resumption(caplog) -> None:
    """accelerate's prepare loads it back once."""
    run = Run()
    run.optimizer.load_state_dict(run.optimizer.state_dict())
    with caplog.at_level(logging.INFO, logger="tapered"):
        assert run.steps(1).rate == RATE(0)
    assert (run.clock.report, caplog.records) == ("", [])


def test_the_states_own_hooks_see_one_state() -> None:
    """The user's dict is as it was after loading, so that it loads twice."""
    state = Run().steps(SEVEN).saved()["o"]
    before = copy.deepcopy(state["param_groups"])
    for _ in range(2):
        run = Run()
        run.optimizer.load_state_dict(copy.deepcopy(state))
        assert state["param_groups"] == before
        assert "clock" not in run.optimizer.param_groups[0]
        assert matches(run.steps(1).rate, RATE(SEVEN))


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("first", [True, False])
def test_through_torch_distributed_checkpoint(make, first) -> None:
    """Its helpers make a state by a step at rate 0 with gradients of 0: no update, and nothing is written."""

    class Model(nn.Module):
        def __init__(self, run: Run) -> None:
            super().__init__()
            self.param = run.param

    plain, through = Run(make).steps(6), Run(make)
    if first:
        get_optimizer_state_dict(Model(through), through.optimizer)
    through.steps(4)
    through.optimizer.zero_grad()
    state = copy.deepcopy(get_optimizer_state_dict(Model(through), through.optimizer))
    run = Run(make)
    with torch.no_grad():
        run.param.copy_(through.param)
    set_optimizer_state_dict(Model(run), run.optimizer, state)
    run.steps(2)
    assert matches(run.rate, RATE(5))
    assert torch.equal(run.param, plain.param)
    assert run.clock.step == 6


@pytest.mark.parametrize("order", ["oc", "co"])
def test_flattened_by_torch_distributed_checkpoint(order) -> None:
    """The flat form loses what it does not know: the clock's own state brings it back."""

    class Model(nn.Module):
        def __init__(self, run: Run) -> None:
            super().__init__()
            self.param = run.param

    options = StateDictOptions(flatten_optimizer_state_dict=True)
    through = Run().steps(4)
    through.optimizer.zero_grad()
    state = copy.deepcopy(get_optimizer_state_dict(Model(through), through.optimizer, options=options))
    run = Run()
    if order == "oc":
        set_optimizer_state_dict(Model(run), run.optimizer, state, options=options)
        with pytest.raises(ValueError, match="the optimizer's state was loaded without its clock"):
            run.steps(1)
    run.clock.load_state_dict(through.clock.state_dict())
    if order == "co":
        set_optimizer_state_dict(Model(run), run.optimizer, state, options=options)
    assert run.steps(1).rate == RATE(4)


def test_tapereds_own_under_torch_distributed_checkpoint() -> None:
    """The step that makes its state neither counts nor is refused as a rate set from outside."""

    class Model(nn.Module):
        def __init__(self, param: nn.Parameter) -> None:
            super().__init__()
            self.param = param

    def made() -> tuple[nn.Parameter, tapered.Adam]:
        param = nn.Parameter(torch.linspace(-1, 1, 4))
        return param, tapered.Adam([param], lr=RATE)

    def steps(param: nn.Parameter, optimizer: tapered.Adam, count: int) -> None:
        for _ in range(count):
            optimizer.minimize((param**2).sum())
        optimizer.zero_grad()

    param, through = made()
    get_optimizer_state_dict(Model(param), through)
    assert (through.steps, int(through.state[param]["step"])) == (0, 0)
    steps(param, through, 4)
    state = copy.deepcopy(get_optimizer_state_dict(Model(param), through))
    other, run = made()
    with torch.no_grad():
        other.copy_(param)
    set_optimizer_state_dict(Model(other), run, state)
    steps(other, run, 2)
    steps(param, through, 2)
    assert torch.equal(param, other)
    assert (run.last_lr, run.param_groups[0]["lr"]) == ((RATE(5),), RATE(6))


def test_the_clock_is_found_again() -> None:
    run = Run()
    assert isinstance(clock_of(run.optimizer), Clock)
    run.clock.detach()
    assert clock_of(run.optimizer) is None


def test_two_states_of_different_schedules() -> None:
    """The optimizer's and the clock's, each right by itself."""
    one, two, run = Run().steps(3).saved(), Run(lr=OTHER).steps(3).saved(), Run()
    run.clock.load_state_dict(one["c"])
    run.optimizer.load_state_dict(two["o"])
    with pytest.raises(ValueError, match=r"the clock's that was loaded .*; load both from one checkpoint"):
        run.steps(1)
    run.optimizer.load_state_dict(one["o"])
    assert run.steps(1).rate == RATE(3)
