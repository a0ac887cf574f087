"""A clock beside torch's own optimizers: the right value at every applied update, and only there."""

import copy
import pickle
import re

import pytest
import torch
from torch import nn

import tapered
from tapered import schedules
from tapered.attach import Clock, as_lr_scheduler, attach, clock_of, of_base

RATE = schedules.cosine_decay(0.1, decay_steps=20)
DECAY = 0.1 * schedules.linear(1.0, 0.0, steps=10)
NAN, INF = float("nan"), float("inf")


def weights(count: int = 1) -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(2, 2)) for _ in range(count)]


def step(optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    sum((p**2).sum() for group in optimizer.param_groups for p in group["params"]).backward()
    optimizer.step()


def adam(**options) -> tuple[torch.optim.Optimizer, Clock]:
    optimizer = torch.optim.Adam(weights(), lr=0.1)
    return optimizer, attach(optimizer, **(options or {"lr": RATE}))


MAKERS = [
    lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9),
    lambda p, lr: torch.optim.SGD(p, lr=lr),
    lambda p, lr: torch.optim.Adam(p, lr=lr, foreach=False),
    lambda p, lr: torch.optim.AdamW(p, lr=lr, fused=True),
    lambda p, lr: torch.optim.AdamW(p, lr=lr),
    lambda p, lr: torch.optim.RMSprop(p, lr=lr),
    lambda p, lr: torch.optim.Adagrad(p, lr=lr),
    lambda p, lr: torch.optim.NAdam(p, lr=lr),
    lambda p, lr: torch.optim.Rprop(p, lr=lr),
    lambda p, lr: torch.optim.ASGD(p, lr=lr),
    lambda p, lr: torch.optim.Adafactor(p, lr=lr),
    lambda p, lr: torch.optim.Muon(p, lr=lr),
    lambda p, lr: tapered.Adam(p, lr=lr),
]


@pytest.mark.parametrize("make", MAKERS)
def test_the_same_weights_as_a_rate_written_by_hand(make) -> None:
    """The oracle is the same optimizer, its rate assigned from the closed form before each step."""
    torch.manual_seed(0)
    ours, theirs = weights(2), weights(2)
    followed, by_hand = make(ours, 0.1), make(theirs, 0.1)
    clock = attach(followed, lr=RATE)
    for k in range(8):
        by_hand.param_groups[0]["lr"] = RATE(k)
        step(by_hand)
        step(followed)
        assert clock.step == k + 1
        assert (followed.param_groups[0]["lr"], clock.last_lr) == (RATE(k + 1), (RATE(k),))
        assert followed.param_groups[0]["initial_lr"] == 0.1
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_every_hyper_and_group() -> None:
    first, second, third = weights(3)
    optimizer = torch.optim.AdamW(
        [{"params": [first]}, {"params": [second], "name": "head"}, {"params": [third], "weight_decay": 0.0}], lr=0.1
    )
    clock = attach(
        optimizer,
        lr=RATE,
        betas=(schedules.linear(0.9, 0.5, steps=4), None),
        groups={"head": {"lr": DECAY, "beta2": 0.99}, 0: {"weight_decay": DECAY}},
    )
    for k in range(5):
        shown = [(g["lr"], g["betas"], g["weight_decay"]) for g in optimizer.param_groups]
        step(optimizer)
        beta1 = schedules.linear(0.9, 0.5, steps=4)(k)
        assert shown == [
            (RATE(k), (beta1, 0.999), DECAY(k)),
            (DECAY(k), (beta1, 0.99), 0.01),
            (RATE(k), (beta1, 0.999), 0.0),
        ]
    assert clock.rates == (RATE(5), DECAY(5), RATE(5))
    assert clock.last_lr == (RATE(4), DECAY(4), RATE(4))
    assert clock.schedules[1]["beta2"] == schedules.constant(0.99)


def test_each_groups_own_base() -> None:
    first, second = weights(2)
    optimizer = torch.optim.SGD([{"params": [first]}, {"params": [second], "lr": 0.01}], lr=0.1)
    with pytest.raises(ValueError, match=re.escape("group 0 was made with 0.1 and group 1 with 0.01; try lr=of_base(")):
        attach(optimizer, lr=RATE)
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.01]
    attach(optimizer, lr=of_base(DECAY))
    for k in range(3):
        assert [g["lr"] for g in optimizer.param_groups] == [(0.1 * DECAY)(k), (0.01 * DECAY)(k)]
        step(optimizer)


def test_a_group_added_late_follows() -> None:
    optimizer, clock = adam()
    step(optimizer)
    step(optimizer)
    optimizer.add_param_group({"params": weights()})
    step(optimizer)
    assert clock.last_lr == (RATE(2), RATE(2))
    assert optimizer.param_groups[1]["initial_lr"] == 0.1
    optimizer.add_param_group({"params": weights(), "lr": 0.5})
    step(optimizer)
    step(optimizer)
    assert clock.last_lr == pytest.approx((RATE(4), RATE(4), 0.5 * RATE(4) / RATE(3)), rel=1e-15)
    del optimizer.param_groups[1:]
    with pytest.raises(ValueError, match="got 1 groups at step 5, of 3 that the clock wrote before"):
        step(optimizer)
    assert clock.step == 5


def test_a_group_with_a_rate_of_its_own_before_the_first_update_is_refused() -> None:
    optimizer, clock = adam()
    optimizer.add_param_group({"params": weights(), "lr": 0.5})
    before = [p.detach().clone() for g in optimizer.param_groups for p in g["params"]]
    with pytest.raises(ValueError, match=re.escape("got lr=0.5 for group 1, which was added before")):
        step(optimizer)
    assert all(torch.equal(a, p) for a, p in zip(before, (q for g in optimizer.param_groups for q in g["params"])))  # noqa: B905  # of equal length
    assert clock.step == 0
    clock.replace(groups={1: {"lr": 0.5}})  # as the refusal says
    step(optimizer)
    assert clock.last_lr == (RATE(0), 0.5)


def test_it_is_refused_also_where_no_group_follows_what_was_asked_for_all() -> None:
    optimizer, clock = adam()
    clock.replace(groups={0: {"lr": RATE}}, counted="start")
    optimizer.add_param_group({"params": weights(), "lr": 0.5})
    with pytest.raises(ValueError, match=re.escape("got lr=0.5 for group 1, which was added before")):
        step(optimizer)


@pytest.mark.parametrize("kind", [torch.optim.SGD, tapered.SGD])
@pytest.mark.parametrize("asked", [RATE, of_base(10 * RATE)])
@pytest.mark.parametrize("between", ["nothing", "a load", "a copy"])
def test_a_late_group_without_a_rate_beside_a_callers_tensor(kind, asked, between) -> None:
    """What it gets by default is not what the clock has made of that tensor since."""
    rate = torch.tensor(0.1, dtype=torch.float64)
    optimizer = kind(weights(), lr=rate)
    attach(optimizer, lr=asked)
    for _ in range(3):
        step(optimizer)
    assert optimizer.param_groups[0]["lr"] is rate
    if between == "a load":
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    if between == "a copy":
        optimizer = copy.deepcopy(optimizer)
    optimizer.add_param_group({"params": weights()})
    step(optimizer)
    optimizer.add_param_group({"params": weights()})
    step(optimizer)
    assert clock_of(optimizer).last_lr == pytest.approx([RATE(4)] * 3, rel=1e-14)
    assert len({id(group["lr"]) for group in optimizer.param_groups}) == 3


def test_what_moves_the_counter_and_what_does_not() -> None:
    optimizer, clock = adam()
    optimizer.zero_grad()
    optimizer.step()  # no gradient
    assert (clock.step, optimizer.param_groups[0]["lr"]) == (0, RATE(0))
    param = optimizer.param_groups[0]["params"][0]
    for _ in range(3):  # accumulation
        (param**2).sum().backward()
    optimizer.step()
    assert clock.step == 1
    calls = []

    def closure() -> torch.Tensor:
        calls.append(optimizer.param_groups[0]["lr"])
        optimizer.zero_grad()
        loss = (param**4).sum()
        loss.backward()
        return loss

    assert isinstance(optimizer.step(closure), torch.Tensor)
    assert isinstance(optimizer.step(closure=closure), torch.Tensor)
    assert (clock.step, calls) == (3, [RATE(1), RATE(2)])
    optimizer.zero_grad()
    optimizer.step(lambda: 0.0)  # a closure that leaves no gradient
    assert clock.step == 3


def test_a_closure_that_is_asked_many_times() -> None:
    param = weights()[0]
    optimizer = torch.optim.LBFGS([param], lr=0.1)
    clock, calls = attach(optimizer, lr=RATE), []

    def closure() -> torch.Tensor:
        calls.append(optimizer.param_groups[0]["lr"])
        optimizer.zero_grad()
        loss = (param**4).sum()
        loss.backward()
        return loss

    for k in range(3):
        optimizer.step(closure)
        assert optimizer.param_groups[0]["lr"] == RATE(k + 1)
    assert clock.step == 3
    assert len(calls) > 10


@pytest.mark.parametrize("options", [{}, {"fused": True}, {"foreach": True}])
def test_a_step_that_a_grad_scaler_skips(options) -> None:
    param = weights()[0]
    optimizer = torch.optim.Adam([param], lr=0.1, **options)
    assert getattr(optimizer, "_step_supports_amp_scaling", False) == ("fused" in options)
    clock, scaler = attach(optimizer, lr=RATE), torch.amp.GradScaler("cpu", init_scale=4.0)
    steps = []
    for k in range(6):
        optimizer.zero_grad()
        scaler.scale((param**2).sum() * (INF if k in (2, 3) else 1.0)).backward()
        scaler.step(optimizer)
        scaler.update()
        steps.append(clock.step)
        assert optimizer.param_groups[0]["lr"] == RATE(clock.step)
    assert steps == [1, 2, 2, 2, 3, 4]
    assert int(optimizer.state[param]["step"]) == 4


def test_a_step_that_fails_does_not_count() -> None:
    optimizer, clock = adam()
    step(optimizer)

    def closure() -> float:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        optimizer.step(closure)
    assert clock.step == 1
    step(optimizer)
    assert (clock.step, optimizer.param_groups[0]["lr"]) == (2, RATE(2))


class Parent(torch.optim.SGD):
    def step(self, closure=None):
        return super().step(closure)


class Child(Parent):
    def step(self, closure=None):
        return super().step(closure)


def test_a_class_that_calls_its_parents_step_counts_once() -> None:
    Parent(weights(), lr=0.1)  # torch hooks each class's step when one is made, so both steps below are hooked
    optimizer = Child(weights(), lr=0.1)
    clock = attach(optimizer, lr=RATE)
    step(optimizer)
    step(optimizer)
    assert (clock.step, optimizer.param_groups[0]["lr"]) == (2, RATE(2))


def test_a_callers_tensor_is_filled_in_place() -> None:
    rate = torch.tensor(0.1)
    first, second = weights(2)
    optimizer = torch.optim.Adam([{"params": [first]}, {"params": [second]}], lr=rate)
    attach(optimizer, lr=RATE)
    for k in range(3):
        step(optimizer)
        assert rate == torch.tensor(RATE(k + 1))
        assert all(group["lr"] is rate for group in optimizer.param_groups)
    assert isinstance(optimizer.param_groups[0]["initial_lr"], float)


def test_one_tensor_cannot_follow_two_schedules() -> None:
    rate = torch.tensor(0.1)
    first, second = weights(2)
    optimizer = torch.optim.Adam([{"params": [first]}, {"params": [second]}], lr=rate)
    with pytest.raises(
        ValueError, match=re.escape("groups 0 and 1 share one tensor as `lr`, and it cannot follow both")
    ):
        attach(optimizer, lr=RATE, groups={1: {"lr": DECAY}})
    assert (rate, clock_of(optimizer)) == (torch.tensor(0.1), None)
    other = torch.optim.Adam(weights(), lr=rate)
    attach(optimizer, lr=RATE)
    attach(other, lr=RATE)
    step(optimizer)
    with pytest.raises(ValueError, match=r"`lr` in group 0 was set to .* from outside at step 0"):
        step(other)


def test_one_graph_for_all_steps() -> None:
    torch._dynamo.reset()
    counts = torch._dynamo.utils.counters
    counts.clear()
    optimizer = torch.optim.Adam(weights(), lr=torch.tensor(0.1))
    clock = attach(optimizer, lr=RATE)
    compiled = torch.compile(optimizer.step, backend="eager")
    optimizer.param_groups[0]["params"][0].grad = torch.ones(2, 2)
    for k in range(6):
        compiled()
        assert float(optimizer.param_groups[0]["lr"]) == float(torch.tensor(RATE(k + 1)))
    assert clock.step == 6
    assert counts["stats"]["unique_graphs"] == 1


SCHEDULERS = [
    lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
    torch.optim.lr_scheduler.LinearLR,
    lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda _: 1.0),
]


@pytest.mark.parametrize("make", SCHEDULERS)
def test_a_torch_scheduler_on_top_is_refused(make) -> None:
    optimizer, clock = adam()
    step(optimizer)
    make(optimizer)
    before = optimizer.param_groups[0]["params"][0].detach().clone()
    with pytest.raises(ValueError, match=re.escape("a torch LRScheduler was made for this Adam and writes `lr`")):
        optimizer.step()
    assert torch.equal(optimizer.param_groups[0]["params"][0], before)
    assert clock.step == 1
    optimizer = torch.optim.Adam(weights(), lr=0.1)
    make(optimizer)
    with pytest.raises(ValueError, match="a torch LRScheduler was made for this Adam"):
        attach(optimizer, lr=RATE)


@pytest.mark.parametrize("given", [0.07, torch.tensor(0.07), NAN])
def test_a_value_written_by_hand_is_refused(given) -> None:
    optimizer, clock = adam()
    step(optimizer)
    optimizer.param_groups[0]["lr"] = given
    before = optimizer.param_groups[0]["params"][0].detach().clone()
    shown = "`lr` in group 0 was set to (0.07.*|nan) from outside at step 1, but it follows cosine_decay"
    with pytest.raises(ValueError, match=shown):
        step(optimizer)
    assert torch.equal(optimizer.param_groups[0]["params"][0], before)
    clock.replace(lr=0.07)
    step(optimizer)
    assert (clock.step, float(optimizer.param_groups[0]["lr"])) == (2, pytest.approx(0.07))


def test_a_tensor_written_by_hand_is_refused() -> None:
    optimizer = torch.optim.Adam(weights(), lr=torch.tensor(0.1))
    attach(optimizer, lr=RATE)
    step(optimizer)
    optimizer.param_groups[0]["lr"].fill_(RATE(1))  # what stands there already
    step(optimizer)
    optimizer.param_groups[0]["lr"].fill_(0.5)
    with pytest.raises(ValueError, match=r"`lr` in group 0 was set to 0\.5 from outside at step 2"):
        step(optimizer)


def test_a_value_out_of_range_is_refused_before_the_step() -> None:
    falls = schedules.from_function(lambda k: 0.1 if k < 2 else -0.1)
    optimizer, clock = adam(lr=falls)
    step(optimizer)
    step(optimizer)
    before = optimizer.param_groups[0]["params"][0].detach().clone()
    with pytest.raises(ValueError, match=re.escape("got -0.1 for `lr` in group 0 from its schedule from_function(")):
        step(optimizer)
    assert torch.equal(optimizer.param_groups[0]["params"][0], before)
    assert (clock.step, optimizer.param_groups[0]["lr"]) == (2, 0.1)


REFUSED = [
    ({"lr": NAN}, ValueError, "got nan for `lr` in group 0; expected a finite number in [0, inf)"),
    ({"lr": -1.0}, ValueError, "got -1.0 for `lr` in group 0"),
    ({"lr": INF}, ValueError, "got inf for `lr` in group 0"),
    ({"lr": "0.1"}, TypeError, "got '0.1' (str) for `lr` in group 0"),
    ({"lr": schedules.constant(-1.0)}, ValueError, "got -1.0 for `lr` in group 0 from its schedule constant(-1.0)"),
    ({"betas": (0.9, 1.0)}, ValueError, "got 1.0 for `beta2` in group 0; expected a finite number in [0, 1)"),
    ({"betas": 0.9}, TypeError, "got 0.9 for `betas` in group 0; expected 2 parts; try (schedule, None)"),
    ({"betas": (0.9,)}, TypeError, "expected 2 parts"),
    ({"weight_deacy": 0.1}, ValueError, "group 0 of this optimizer does not have; did you mean `weight_decay`"),
    ({"temperature": 0.1}, ValueError, "got a schedule for `temperature`, which group 0"),
    ({"amsgrad": RATE}, ValueError, "got a schedule for `amsgrad`"),
    ({"groups": {1: {"lr": RATE}}}, ValueError, "got schedules for the group 1; the groups here are [0]"),
    ({"groups": {"head": {"lr": RATE}}}, ValueError, "got schedules for the group 'head'"),
    ({"groups": {0: RATE}}, TypeError, "expected a dict; try {'lr': schedule}"),
    ({}, TypeError, "attach needs a schedule; try attach(optimizer, lr="),
    ({"lr": RATE, "step": -1}, ValueError, "got -1 for `step`"),
    ({"lr": RATE, "step": 1.5}, TypeError, "got 1.5 for `step`"),
]


@pytest.mark.parametrize(("asked", "error", "shown"), REFUSED)
def test_what_attach_refuses(asked, error, shown) -> None:
    optimizer = torch.optim.Adam(weights(), lr=0.1)
    before = copy.copy(optimizer.param_groups[0])
    with pytest.raises(error, match=re.escape(shown)):
        attach(optimizer, **asked)
    assert optimizer.param_groups[0] == before
    assert clock_of(optimizer) is None
    step(optimizer)


class Wrapper(torch.optim.Optimizer):
    """As accelerate's, it takes no hooks of its own."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer


def test_what_cannot_be_attached_to() -> None:
    optimizer, clock = adam()
    with pytest.raises(ValueError, match=re.escape("this Adam has a clock already; try clock.replace(")):
        attach(optimizer, lr=RATE)
    assert clock_of(optimizer) is clock
    with pytest.raises(TypeError, match=re.escape("got Wrapper, a wrapper that takes no hooks; try attach on its .op")):
        attach(Wrapper(optimizer), lr=RATE)
    with pytest.raises(TypeError, match=re.escape("expected a torch.optim.Optimizer")):
        attach(nn.Linear(1, 1), lr=RATE)
    with pytest.raises(ValueError, match=r"this Adam follows schedules of its own: \(\{'lr': cosine_decay"):
        attach(tapered.Adam(weights(), lr=RATE), lr=RATE)


def test_detached() -> None:
    optimizer = torch.optim.AdamW(weights(), lr=0.1)
    clock = attach(optimizer, lr=RATE, weight_decay=DECAY)
    keys = set(optimizer.param_groups[0]) - {"initial_lr"}
    step(optimizer)
    clock.detach()
    assert set(optimizer.param_groups[0]) == keys
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]) == (0.1, 0.01)
    step(optimizer)
    assert clock.step == 1
    assert "clock" not in optimizer.state_dict()["param_groups"][0]
    with pytest.raises(ValueError, match="this clock was detached"):
        clock.replace(lr=0.1)
    torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    del optimizer.step
    again = attach(optimizer, lr=RATE, step=2)
    step(optimizer)
    assert (again.step, again.last_lr, again.bases) == (3, (RATE(2),), [{"lr": 0.1}])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"])
def test_a_copy_has_a_clock_of_its_own(copied) -> None:
    optimizer, clock = adam()
    step(optimizer)
    clock.replace(lr=DECAY, counted="now")
    step(optimizer)
    other = copied(optimizer)
    its = clock_of(other)
    step(other)
    assert (its.step, clock.step, its.last_lr) == (3, 2, (DECAY(1),))
    step(optimizer)
    assert torch.equal(optimizer.param_groups[0]["params"][0], other.param_groups[0]["params"][0])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("before", [True, False])
def test_a_copy_refuses_what_its_original_does(copied, before) -> None:
    optimizer, _ = adam()
    other, _ = adam(lr=DECAY)
    step(optimizer)
    step(other)
    if before:
        optimizer.load_state_dict(other.state_dict())
        optimizer = copied(optimizer)
    else:
        optimizer = copied(optimizer)
        optimizer.load_state_dict(other.state_dict())
    with pytest.raises(ValueError, match="`lr` in group 0 differs: the loaded state followed"):
        step(optimizer)


def test_a_copy_knows_what_was_written_into_a_tensor() -> None:
    optimizer = torch.optim.Adam(weights(), lr=torch.tensor(0.1))
    clock = attach(optimizer, lr=RATE)
    clock.extend(30, how="stretch")
    step(optimizer)
    other = copy.deepcopy(optimizer)
    other.param_groups[0]["lr"].fill_(float(other.param_groups[0]["lr"]))
    assert clock_of(other).last_lr == clock.last_lr
    step(other)
    assert clock_of(other).step == 2


def test_for_code_that_insists_on_a_scheduler() -> None:
    optimizer, clock = adam()
    scheduler = as_lr_scheduler(optimizer)
    assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler)
    assert scheduler.optimizer is optimizer
    for k in range(4):
        step(optimizer)
        assert scheduler.get_last_lr() == [RATE(k)]  # as torch's before they are stepped
        for _ in range(k):
            scheduler.step()
        assert scheduler.get_last_lr() == [RATE(k + 1 if k else k)] == scheduler._last_lr
        scheduler.last_epoch, scheduler.base_lrs = 0, [1.0]  # ignite writes these
    assert (scheduler.last_epoch, scheduler.base_lrs) == (4, [0.1])
    state, kept = scheduler.state_dict(), copy.deepcopy(optimizer.state_dict())
    resumed, its = adam()
    other = as_lr_scheduler(its)
    resumed.load_state_dict(kept)
    other.load_state_dict(state)
    assert other.get_last_lr() == [RATE(4)]
    step(resumed)
    assert (other.get_last_lr(), other.get_lr()) == ([RATE(4)], [RATE(5)])
    with pytest.raises(ValueError, match="this SGD follows no schedule of tapered's; try as_lr_scheduler"):
        as_lr_scheduler(torch.optim.SGD(weights(), lr=0.1))
    assert clock.step == 4


def test_a_scheduler_for_tapereds_own() -> None:
    optimizer = tapered.Adam(weights(), lr=RATE)
    scheduler = as_lr_scheduler(optimizer)
    step(optimizer)
    scheduler.step()
    assert (scheduler.get_last_lr(), scheduler.last_epoch, scheduler.base_lrs) == ([RATE(1)], 1, [RATE(0)])
    scheduler.load_state_dict(scheduler.state_dict())
    other = as_lr_scheduler(tapered.Adam(weights(), lr=DECAY))
    with pytest.raises(ValueError, match="this optimizer's schedules are"):
        other.load_state_dict(scheduler.state_dict())


def test_rates_that_a_tensor_scheduler_shows_are_copies() -> None:
    optimizer = torch.optim.Adam(weights(), lr=torch.tensor(0.1))
    scheduler = as_lr_scheduler(attach(optimizer, lr=RATE))
    scheduler.get_last_lr()[0].fill_(7.0)
    assert float(optimizer.param_groups[0]["lr"]) == pytest.approx(0.1)


def warmed(steps: int = 3, lr=None):
    """An optimizer after ordinary steps, which take the short way."""
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([weight], lr=0.1)
    clock = attach(optimizer, lr=lr or schedules.linear(0.1, 0.0, steps=100))
    for _ in range(steps):
        weight.grad = torch.ones(2)
        optimizer.step()
    return weight, optimizer, clock


def test_once_warm_a_step_without_a_gradient_does_not_count() -> None:
    weight, optimizer, clock = warmed()
    weight.grad = None
    optimizer.step()
    assert (clock.step, clock.rates) == (3, (schedules.linear(0.1, 0.0, steps=100)(3),))


@pytest.mark.parametrize("named", [False, True])
def test_once_warm_a_closure_that_leaves_no_gradient_does_not_count(named) -> None:
    weight, optimizer, clock = warmed()

    def closure() -> float:
        weight.grad = None
        return 0.0

    optimizer.step(closure=closure) if named else optimizer.step(closure)
    assert clock.step == 3


def test_once_warm_a_state_of_another_moment_is_refused() -> None:
    other = warmed(5)[1].state_dict()
    for group in other["param_groups"]:
        del group["clock"]  # as a run without a clock saved it
    weight, optimizer, clock = warmed(3)
    optimizer.load_state_dict(other)
    before = weight.detach().clone()
    weight.grad = torch.ones(2)
    with pytest.raises(ValueError, match=r"without its clock|went through 5 updates"):
        optimizer.step()
    assert torch.equal(weight, before)
    assert clock.step == 3


def test_once_warm_a_value_out_of_range_is_refused_at_its_step() -> None:
    weight, optimizer, clock = warmed(5, schedules.linear(0.1, -0.1, steps=10))
    weight.grad = torch.ones(2)
    optimizer.step()
    with pytest.raises(ValueError, match=r"got -0\.0\d+ for `lr` in group 0 from its schedule .* at step 6"):
        optimizer.step()
    assert clock.step == 6


def test_a_rate_written_into_a_late_group_is_saved_whatever_was_read_before() -> None:
    rate = schedules.linear(1.0, steps=4)
    params = [torch.nn.Parameter(torch.ones(2)) for _ in range(3)]
    optimizer = torch.optim.SGD(params[:1], lr=1.0)
    clock = attach(optimizer, lr=rate)
    params[0].grad = torch.ones(2)
    optimizer.step()
    optimizer.add_param_group({"params": params[1:2], "lr": 0.02})
    assert clock.last_lr == (1.0, 0.02)  # a look: the group is known from now on
    optimizer.param_groups[1]["lr"] = 0.375
    saved = optimizer.state_dict()["param_groups"][1]
    assert saved["clock"]["schedules"] == {"lr": "0.5 * linear(steps=4)"}
    optimizer.add_param_group({"params": params[2:]})
    assert clock.schedules == ({"lr": rate}, {"lr": 0.5 * rate}, {"lr": rate})
    clock.replace(groups={1: {"lr": rate}}, counted="start")
    optimizer.param_groups[1]["lr"] = 0.05
    with pytest.raises(ValueError, match=r"`lr` in group 1 was set to 0\.05 from outside at step 1"):
        optimizer.step()
