"""The witness sees the rate of every update, and sets it, under whatever else a script does with its optimizer."""

import copy
import pickle

import pytest
import torch
from script_runs import STEPS, X, ask, by_hand, close, cosine, difference, loss_of, model, same, seen, update, witnessed
from torch.optim import lr_scheduler

import tapered
from tapered.attach import attach
from tapered.scripts import notes
from tapered.scripts.following import table

MAKERS = {
    "sgd": lambda net: torch.optim.SGD(net.parameters(), lr=0.05),
    "momentum": lambda net: torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, foreach=True),
    "adamw, fused": lambda net: torch.optim.AdamW(net.parameters(), lr=0.05, fused=True),
    "adamw, a tensor as rate": lambda net: torch.optim.AdamW(net.parameters(), lr=torch.tensor(0.05), foreach=False),
    "rmsprop": lambda net: torch.optim.RMSprop(net.parameters(), lr=0.05),
    "lbfgs": lambda net: torch.optim.LBFGS(net.parameters(), lr=0.05, max_iter=3),
    "tapered": lambda net: tapered.AdamW(net.parameters(), lr=0.05),
}
SCHEDULERS = {
    "lambda": lambda o: lr_scheduler.LambdaLR(o, lambda k: 0.9**k),
    "one cycle": lambda o: lr_scheduler.OneCycleLR(o, 0.2, total_steps=STEPS + 1, cycle_momentum=False),
    "cosine, chained": lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS),
    "exponential, chained": lambda o: lr_scheduler.ExponentialLR(o, 0.8),
    "multiplied": lambda o: lr_scheduler.MultiplicativeLR(o, lambda _: 0.7),
    "warm-up, then": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, total_iters=4), lr_scheduler.StepLR(o, 3)], [4]
    ),
}
each = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@each
def test_the_rates_of_a_scheduler_are_seen_and_nothing_else_changes(make, tmp_path) -> None:
    ends = []
    for watched in (False, True):
        run, net = ask(tmp_path / str(watched)), model()
        with witnessed(run) if watched else pytest.MonkeyPatch.context():
            optimizer = make(net)
            scheduler = lr_scheduler.LambdaLR(optimizer, lambda k: 0.9**k)
            for _ in range(STEPS):
                update(net, optimizer)
                scheduler.step()
        ends.append(net)
    assert same(*ends)
    start = float(torch.tensor(0.05)) if "tensor" in str(optimizer.param_groups[0]["lr"]) else 0.05
    assert seen(run.folder) == pytest.approx({k: start * 0.9**k for k in range(STEPS)}, rel=1e-6)
    assert str(difference(run)).startswith("update 0 was made at 0.05")


@pytest.mark.parametrize("schedule", SCHEDULERS.values(), ids=SCHEDULERS)
@each
def test_the_rate_that_is_asked_is_set_over_any_scheduler_which_goes_its_own_way(make, schedule, tmp_path) -> None:
    run, net = ask(tmp_path), model()
    paths = []
    for watched in (False, True):
        with witnessed(run, sets=True) if watched else pytest.MonkeyPatch.context():
            net = model()
            optimizer = make(net)
            scheduler = schedule(optimizer)
            paths.append([])
            for _ in range(STEPS):
                update(net, optimizer)
                scheduler.step()
                paths[-1].append(float(optimizer.param_groups[0]["lr"]))
    assert paths[0] == paths[1]
    assert difference(run) is None
    assert same(net, by_hand(make, cosine()))
    assert not notes.unseen(run.folder)


def test_a_rate_that_a_script_writes_itself_is_overruled_also_within_a_closure(tmp_path) -> None:
    run, net = ask(tmp_path), model()
    with witnessed(run, sets=True):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
        for k in range(STEPS):

            def closure(k=k):
                optimizer.zero_grad()
                loss = loss_of(net)
                loss.backward()
                optimizer.param_groups[0]["lr"] = 0.3 / (1 + k)
                return loss

            optimizer.step(closure)
            assert optimizer.param_groups[0]["lr"] == 0.3 / (1 + k)
    close(seen(tmp_path), cosine())
    assert same(net, by_hand(MAKERS["sgd"], cosine()))


def test_groups_keep_the_ratio_with_which_they_were_made_and_their_multiplier(tmp_path) -> None:
    def make(net):
        groups = [
            {"params": net[0].parameters()},
            {"params": [net[2].weight], "lr": 0.01},
            {"params": [net[2].bias], "lr_scale": 0.5},
        ]
        return torch.optim.AdamW(groups, lr=0.05)

    run, net = ask(tmp_path), model()
    with witnessed(run, sets=True):
        optimizer = make(net)
        scheduler = lr_scheduler.LambdaLR(optimizer, [lambda k: min(k / 5, 1), lambda _: 0.0, lambda _: 1.0])
        for _ in range(STEPS):
            update(net, optimizer)
            scheduler.step()
    assert difference(run) is None
    assert same(net, by_hand(make, cosine(), shares=[1, 0.01 / 0.05, 0.5]))


def test_a_first_group_that_is_frozen_or_scaled_is_not_the_one_that_is_seen(tmp_path) -> None:
    run, net = ask(tmp_path), model()
    with witnessed(run):
        optimizer = torch.optim.SGD(
            [{"params": [net[0].bias], "lr": 0.0}, {"params": [net[0].weight], "lr_scale": 0.1}], lr=0.1
        )
        for rate in cosine():
            optimizer.param_groups[1]["lr"] = rate * 0.1
            update(net, optimizer)
    assert difference(run) is None


def test_a_group_that_joins_late_keeps_the_ratio_at_which_it_joins(tmp_path) -> None:
    run, net = ask(tmp_path), model()
    with witnessed(run, sets=True):
        optimizer = torch.optim.SGD(net[0].parameters(), lr=0.05)
        scheduler = lr_scheduler.ExponentialLR(optimizer, 0.5)
        rates = []
        hook = lambda o, *_: rates.append([group["lr"] for group in o.param_groups])  # noqa: E731
        for k in range(STEPS):
            if k == 5:
                optimizer.add_param_group({"params": net[2].parameters(), "lr": optimizer.param_groups[0]["lr"] / 10})
                optimizer.register_step_pre_hook(hook)
            update(net, optimizer)
            if k < 5:
                scheduler.step()
    assert rates == [pytest.approx([rate, rate / 10]) for rate in cosine()[5:]]


def test_steps_without_gradients_and_those_that_a_scaler_skips_are_no_updates(tmp_path) -> None:
    for fused in (False, True):
        run, net = ask(tmp_path / str(fused)), model()
        with witnessed(run, sets=True):
            optimizer = torch.optim.AdamW(net.parameters(), lr=0.05, fused=fused)
            scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
            for k in range(STEPS + 4):
                optimizer.zero_grad()
                if k == 2:
                    optimizer.step()  # accumulates still
                    continue
                scaler.scale(loss_of(net)).backward()
                if k in (0, 5, 9):
                    net[0].weight.grad[0, 0] = torch.inf
                scaler.step(optimizer)
                scaler.update()
        close(seen(run.folder), cosine())


class Twice(torch.optim.AdamW):
    """Calls its parent's step, so that torch calls each hook twice."""

    def step(self, closure=None):
        return super().step(closure)


class Around(torch.optim.Optimizer):
    """SAM's kind: the updates are those of a base optimizer that shares its groups."""

    def __init__(self, params, **options) -> None:
        super().__init__(params, dict(options))
        self.base_optimizer = torch.optim.AdamW(self.param_groups, **options)
        self.param_groups = self.base_optimizer.param_groups

    def step(self, closure=None):
        return self.base_optimizer.step(closure)


@pytest.mark.parametrize("kind", [Twice, Around])
def test_one_update_is_counted_once(kind, tmp_path) -> None:
    run, net = ask(tmp_path), model()
    with witnessed(run, sets=True):
        optimizer = kind(net.parameters(), lr=0.05)
        for _ in range(STEPS):
            update(net, optimizer)
    close(seen(tmp_path), cosine())
    assert same(net, by_hand(lambda net: torch.optim.AdamW(net.parameters(), lr=0.05), cosine()))


@pytest.mark.parametrize("sets", [False, True])
@pytest.mark.parametrize("kind", ["attached", "tapered", "by the run"])
def test_a_schedule_of_tapereds_own_is_seen_and_left_alone(kind, sets, tmp_path) -> None:
    run, net = ask(tmp_path), model()
    with witnessed(run, sets=sets):
        if kind == "tapered":
            optimizer = tapered.AdamW(net.parameters(), lr=run.lr)
        else:
            optimizer = torch.optim.AdamW(net.parameters(), lr=0.3)
            attach(optimizer, lr=table(run.rates)) if kind == "attached" else run.optimizers(optimizer)
        for _ in range(STEPS):
            update(net, optimizer)
    assert seen(tmp_path) == dict(enumerate(cosine()))
    assert difference(run) is None


def test_another_schedule_attached_within_the_script_is_refused_also_where_it_is_to_be_set(tmp_path) -> None:
    run, net = ask(tmp_path), model()
    with witnessed(run, sets=True):
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
        attach(optimizer, lr=tapered.linear(0.1, 0.0, steps=STEPS))
        for _ in range(STEPS):
            update(net, optimizer)
    assert difference(run).update == 1


def test_a_step_that_fails_leaves_the_next_one_right(tmp_path) -> None:
    run, net = ask(tmp_path), model()
    with witnessed(run, sets=True):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
        scheduler = lr_scheduler.ExponentialLR(optimizer, 0.8)

        def failing():
            raise FloatingPointError

        for k in range(STEPS):
            if k == 4:
                with pytest.raises(FloatingPointError):
                    optimizer.step(failing)
            update(net, optimizer)
            scheduler.step()
    close(seen(tmp_path), cosine())
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05 * 0.8**STEPS)


def test_updates_beyond_the_last_are_seen_and_hold_the_last_rate(tmp_path) -> None:
    run, net = ask(tmp_path), model()
    with witnessed(run, sets=True):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
        for _ in range(STEPS + 2):
            update(net, optimizer)
    assert str(difference(run)) == f"update {STEPS} was made at {cosine()[-1]!r}; the run ends before it"


def test_momentum_that_a_scheduler_moves_is_said(tmp_path) -> None:
    run, net = ask(tmp_path), model()
    with witnessed(run, sets=True):
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.05)
        scheduler = lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=STEPS + 1)
        for _ in range(STEPS):
            update(net, optimizer)
            scheduler.step()
    assert difference(run) is None
    assert (tmp_path / "witness.jsonl").read_text().count("momentum") == 1
    assert notes.unseen(tmp_path) == [
        "the script's own scheduler also changes momentum, which was left to it; only the rate was set"
    ]


def test_copies_and_pickles_of_an_optimizer_are_met_like_others(tmp_path) -> None:
    for again in (copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))):
        run, net = ask(tmp_path / again.__name__), model()
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.05)
        update(net, optimizer)
        with witnessed(run, sets=True):
            net, optimizer = again((net, optimizer))
            for _ in range(3):
                update(net, optimizer)
        assert seen(run.folder) == {k: cosine()[k] for k in (1, 2, 3)}


@pytest.mark.parametrize("rate", [0.05, torch.tensor(0.05)], ids=["number", "tensor"])
def test_a_compiled_step_is_seen_and_set(rate, tmp_path) -> None:
    run, net = ask(tmp_path), model()
    with witnessed(run, sets=True):
        optimizer = torch.optim.SGD(net.parameters(), lr=rate)
        step = torch.compile(optimizer.step, backend="eager")
        for _ in range(4):
            optimizer.zero_grad()
            net(X).square().mean().backward()
            step()
    torch._dynamo.reset()
    assert seen(tmp_path) == pytest.approx(dict(enumerate(cosine()[:4])), rel=1e-6)
    plain = by_hand(lambda net: torch.optim.SGD(net.parameters(), lr=0.05), cosine()[:4])
    assert all(map(torch.allclose, net.parameters(), plain.parameters()))
