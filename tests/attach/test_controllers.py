"""Rates that follow a loss, on any torch optimizer and on tapered's own: told, shown, saved, resumed, refused."""

import copy
import io
import math
import pickle
from collections.abc import Callable
from operator import is_
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

import tapered
from tapered import checkpoint, cosine_decay, greedy, plateau, warmup
from tapered.attach import as_lr_scheduler, attach, clock_of, of_base

RULE = plateau(factor=0.5, patience=1, min_lr=[0.0, 0.02], cooldown=1)
LOSSES = [1.0, 1.0, 1.0, 0.5, 0.6, math.nan, 0.6, 0.4, 0.5, 0.5, 0.5, math.inf, 0.5, -1.0, 0.0, 0.0, 0.0]


def groups(*rates: float) -> list[dict[str, Any]]:
    return [{"params": [torch.nn.Parameter(torch.ones(2))], "lr": rate} for rate in rates]


def attached(rule: Any = RULE, rates: tuple[float, ...] = (0.1, 0.4)) -> tuple[Any, Any]:
    optimizer = torch.optim.AdamW(groups(*rates), lr=0.1)
    return optimizer, attach(optimizer, lr=of_base(rule))


def own(rule: Any = RULE, rates: tuple[float, ...] = (0.1, 0.4)) -> tuple[Any, Any]:
    made = [{**group, "lr": group["lr"] * rule} for group in groups(*rates)]
    optimizer = tapered.AdamW(made, lr=0.1)
    return optimizer, optimizer


KINDS = pytest.mark.parametrize("make", [attached, own])


def step(optimizer: torch.optim.Optimizer) -> None:
    for group in optimizer.param_groups:
        for param in group["params"]:
            param.grad = torch.ones_like(param)
    optimizer.step()


def shown(optimizer: torch.optim.Optimizer) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def torchs(losses: list[float], rates: tuple[float, ...] = (0.1, 0.4)) -> list[list[float]]:
    optimizer = torch.optim.SGD(groups(*rates))
    given = {"factor": 0.5, "patience": 1, "min_lr": [0.0, 0.02], "cooldown": 1}
    scheduler, found = ReduceLROnPlateau(optimizer, **given), []
    for loss in losses:
        scheduler.step(loss)
        found.append(shown(optimizer))
    return found


def plain(state: Any) -> Any:
    """A state as a file gives it back that carries no code."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@KINDS
def test_rates_are_torchs_and_shown_where_loggers_look(make: Callable[..., Any]) -> None:
    optimizer, clock = make()
    used, rates = [], [shown(optimizer)]
    for loss in LOSSES:
        step(optimizer)
        used.append(list(clock.last_lr))
        clock.observe(torch.tensor(loss, dtype=torch.float64))
        assert as_lr_scheduler(optimizer).get_last_lr() == shown(optimizer)
        assert list(clock.last_lr) == used[-1]  # what the update used, though the next one uses another
        rates.append(shown(optimizer))
    assert rates[1:] == torchs(LOSSES)
    assert used == rates[:-1]
    assert len({tuple(rate) for rate in rates}) > 3


def orders(optimizer: Any, clock: Any) -> dict[str, Callable[[], tuple[Any, Any]]]:
    """Ways to go on in new objects from what was saved."""
    if clock is optimizer:
        whole = plain(optimizer.state_dict())

        def load() -> tuple[Any, Any]:
            made, _ = own()
            made.load_state_dict(whole)
            return made, made

        return {"own": load, "copy": lambda: (copy.deepcopy(optimizer),) * 2}
    whole, apart = plain(optimizer.state_dict()), plain(clock.state_dict())

    def one(*parts: str) -> Callable[[], tuple[Any, Any]]:
        def load() -> tuple[Any, Any]:
            made = torch.optim.AdamW(groups(0.1, 0.4), lr=0.1)
            its = None
            for part in parts:
                if part == "attach":
                    its = attach(made, lr=of_base(RULE))
                elif part == "clock":
                    its.load_state_dict(apart)
                else:
                    made.load_state_dict(whole)
            return made, its

        return load

    def copied() -> tuple[Any, Any]:
        made = pickle.loads(pickle.dumps(optimizer))
        return made, clock_of(made)

    every = (("attach", "whole"), ("whole", "attach"), ("attach", "clock", "whole"), ("attach", "whole", "clock"))
    return {" ".join(parts): one(*parts) for parts in every} | {"copy": copied}


@KINDS
def test_killed_at_every_step_and_resumed_in_any_order(make: Callable[..., Any]) -> None:
    wanted, names = torchs(LOSSES), orders(*make())
    for name in names:
        optimizer, clock = make()
        for at, loss in enumerate(LOSSES):
            step(optimizer)
            clock.observe(loss)
            used = clock.last_lr
            optimizer, clock = orders(optimizer, clock)[name]()
            assert shown(optimizer) == wanted[at], (name, at)
            assert clock.last_lr == used
        step(optimizer)
        assert list(clock.last_lr) == wanted[-1]


@KINDS
def test_told_twice_for_a_step_never_and_before_the_first(make: Callable[..., Any]) -> None:
    optimizer, clock = make()
    for loss in LOSSES:
        clock.observe(loss)
    assert shown(optimizer) == torchs(LOSSES)[-1]
    step(optimizer)
    assert list(clock.last_lr) == torchs(LOSSES)[-1]
    optimizer, clock = make(plateau(factor=0.5, patience=0))
    step(optimizer)
    for _ in range(4):
        clock.observe(1.0)
    other, its = make(plateau(factor=0.5, patience=0))
    other.load_state_dict(optimizer.state_dict())
    for told in (clock, its):
        assert told.last_lr == (0.1, 0.4)  # what the update used, however often the rate has moved since
    still, its = make()
    for _ in range(5):
        step(still)
    assert shown(still) == [0.1, 0.4]
    assert its.report == ""


@KINDS
def test_the_report_says_what_moved(make: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    optimizer, clock = make()
    step(optimizer)
    with caplog.at_level("INFO", logger="tapered"):
        for _ in range(3):
            clock.observe(1.0)
    line = "step 1: lr 0.1 -> 0.05 (group 0); lr 0.4 -> 0.2 (group 1): plateau was told 1"
    assert clock.report == line
    assert caplog.messages == [line]


@KINDS
def test_what_refuses_changes_nothing(make: Callable[..., Any]) -> None:
    optimizer, clock = make()
    clock.observe(1.0)
    before = str(clock.schedules), shown(optimizer)
    with pytest.raises(TypeError, match="expected one number"):
        clock.observe("1.0")
    assert (str(clock.schedules), shown(optimizer)) == before
    optimizer.param_groups[1]["lr"] = 7.0
    for act in (lambda: clock.observe(1.0), lambda: step(optimizer)):
        with pytest.raises(ValueError, match=r"group 1 was set to 7\.0 from outside"):
            act()
    assert shown(optimizer) == [0.1, 7.0]
    assert str(clock.schedules) == before[0]


@KINDS
def test_nothing_that_listens(make: Callable[..., Any]) -> None:
    _, clock = make(cosine_decay(decay_steps=10))
    with pytest.raises(ValueError, match="nothing here follows one"):
        clock.observe(1.0)
    optimizer, clock = attached()
    clock.detach()
    assert shown(optimizer) == [0.1, 0.4]
    with pytest.raises(ValueError, match="was detached"):
        clock.observe(1.0)


@KINDS
def test_bounds_for_other_groups_are_refused(make: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="min_lr must be one number, or one for each"):
        make(RULE, (0.1, 0.2, 0.3))
    optimizer, _ = attached(RULE)
    optimizer.add_param_group(groups(0.1)[0])
    with pytest.raises(ValueError, match="group 2 too"):
        step(optimizer)
    with pytest.raises(ValueError, match="one for each of 1 groups"):
        tapered.SGD(groups(0.1)[0]["params"], lr=0.1 * RULE)


@KINDS
def test_another_rule_is_refused_until_it_is_said_what_holds(make: Callable[..., Any]) -> None:
    optimizer, clock = make(plateau(factor=0.5, patience=0))
    for _ in range(3):
        step(optimizer)
        clock.observe(1.0)
    saved = optimizer.state_dict() if clock is optimizer else clock.state_dict()
    for policy, rate in (("resume", None), ("saved", 0.025), ("replace", 0.1)):
        other, its = make(plateau(factor=0.1, patience=0))
        if rate is None:
            with pytest.raises(ValueError, match="differs: saved"):
                its.load_state_dict(saved)
            continue
        if clock is not optimizer:
            other.load_state_dict(optimizer.state_dict())
        its.load_state_dict(saved, policy=policy)
        assert shown(other)[0] == rate
        step(other)
        its.observe(2.0)
        its.observe(2.0)
        assert shown(other)[0] == pytest.approx({"saved": 0.00625, "replace": 0.01}[policy], rel=1e-15)


@KINDS
def test_a_schedule_gives_way_to_a_rule_and_back(make: Callable[..., Any]) -> None:
    optimizer, clock = make(cosine_decay(decay_steps=10))
    for _ in range(3):
        step(optimizer)
    clock.replace(lr=0.05 * warmup(2).then(plateau(factor=0.5, patience=0)), counted="now")
    rates = []
    for _ in range(5):
        rates.append(shown(optimizer)[0])
        step(optimizer)
        clock.observe(1.0)
    assert rates == [0.0, 0.025, 0.05, 0.05, 0.025]
    clock.replace(lr=plateau(0.3, patience=0))  # it has no step 0 of its own
    assert shown(optimizer) == [0.3, 0.3]
    clock.replace(lr=0.2)
    with pytest.raises(ValueError, match="nothing here follows one"):
        clock.observe(1.0)


@pytest.mark.parametrize("make", [attached, own])
def test_a_late_group_falls_with_the_others(make: Callable[..., Any]) -> None:
    rule = plateau(factor=0.5, patience=0, min_lr=0.005)
    optimizer, clock = make(rule, (0.1,))
    if clock is optimizer:
        optimizer = clock = tapered.AdamW(groups(0.1)[0]["params"], lr=0.1 * rule)
    step(optimizer)
    clock.observe(1.0)
    clock.observe(1.0)
    rate = 0.013  # not 0.05 * (rate / 0.05)
    optimizer.add_param_group(groups(rate)[0])
    step(optimizer)
    assert shown(optimizer) == [0.05, rate]
    clock.observe(1.0)
    assert shown(optimizer) == [0.025, rate / 2]
    clock.observe(1.0)
    assert shown(optimizer) == [0.0125, 0.005]


def test_a_told_value_makes_no_kernel_anew() -> None:
    optimizer, _ = own()
    step(optimizer)
    before = [prepared.update for prepared in optimizer._running.prepared.values()]
    for loss in LOSSES:
        optimizer.observe(loss)
        step(optimizer)
    assert all(map(is_, before, [prepared.update for prepared in optimizer._running.prepared.values()]))
    assert before[0] is not None


@KINDS
def test_a_multiplier_stands_beside_the_rate(make: Callable[..., Any]) -> None:
    optimizer, clock = make(plateau(factor=0.5, patience=0), (0.1,))
    optimizer.param_groups[0]["lr_scale"] = 0.1
    step(optimizer)
    clock.observe(1.0)
    clock.observe(1.0)
    assert shown(optimizer) == [0.05 * 0.1]
    step(optimizer)


def test_a_tensor_is_filled_in_place() -> None:
    rate = torch.tensor(0.1)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(2))], lr=rate, foreach=False)
    clock = attach(optimizer, lr=plateau(0.1, factor=0.5, patience=0))
    held = optimizer.param_groups[0]["lr"]
    step(optimizer)
    clock.observe(1.0)
    clock.observe(1.0)
    assert optimizer.param_groups[0]["lr"] is held
    assert held == torch.tensor(0.05)
    step(optimizer)


def test_groups_begin_anew_together() -> None:
    rule = greedy(factor=0.5, patience=0, min_lr=[0.05, 0.1], reset_start=1)
    optimizer, clock = attached(rule, (0.1, 0.4))
    rates = []
    for loss in (1.0, 2.0, 2.0, 2.0):
        step(optimizer)
        clock.observe(loss)
        rates.append(shown(optimizer))
    assert rates == [[0.2, 0.8], [0.1, 0.4], [0.05, 0.2], [0.1, 0.4]]  # where both stand at their floors


def test_any_hyper_and_part_may_follow() -> None:
    optimizer = tapered.AdamW(groups(0.1)[0]["params"], lr=1e-3, weight_decay=plateau(0.1, factor=0.5, patience=0))
    clock = attach(torch.optim.AdamW(groups(0.1)), betas=(plateau(0.9, factor=0.5, patience=0), None))
    for told in (optimizer, clock):
        told.observe(1.0)
        told.observe(1.0)
    assert optimizer.param_groups[0]["weight_decay"] == 0.05
    assert clock.groups[0]["betas"] == (0.45, 0.999)


@KINDS
def test_folders(make: Callable[..., Any], tmp_path: Any) -> None:
    model = torch.nn.Linear(2, 1)

    def build(net: torch.nn.Module) -> tuple[Any, Any]:
        rule = 0.1 * plateau(factor=0.5, patience=0)
        if make is own:
            made = tapered.SGD(net.parameters(), lr=rule)
            return made, made
        made = torch.optim.SGD(net.parameters(), lr=0.1)
        return made, attach(made, lr=rule)

    optimizer, clock = build(model)
    for _ in range(2):
        step(optimizer)
        clock.observe(1.0)
    checkpoint.save(tmp_path, 2, model=model, optimizer=optimizer)
    again = torch.nn.Linear(2, 1)
    resumed, its = build(again)
    checkpoint.resume(tmp_path, model=again, optimizer=resumed)
    assert shown(resumed) == [0.05]
    step(resumed)
    its.observe(1.0)
    assert shown(resumed) == [0.025]


@KINDS
def test_a_fork_follows_the_loss_and_one_of_it_does_not(make: Callable[..., Any], tmp_path: Any) -> None:
    model = torch.nn.Linear(2, 1)
    optimizer = (tapered if make is own else torch.optim).SGD(model.parameters(), lr=0.1)
    told = optimizer if make is own else attach(optimizer, lr=0.1)
    step(optimizer)
    parts = {"model": model, "optimizer": optimizer}
    checkpoint.save(tmp_path / "parent", 1, **parts)
    checkpoint.fork(tmp_path / "parent", into=tmp_path / "child", lr=plateau(0.05, factor=0.5, patience=0), **parts)
    for _ in range(2):
        step(optimizer)
        told.observe(1.0)
    assert shown(optimizer) == [0.025]
    checkpoint.save(tmp_path / "child", 3, **parts)
    found = checkpoint.fork(tmp_path / "child", into=tmp_path / "grandchild", lr=0.01, **parts)
    assert shown(optimizer) == [0.01]
    assert found.lineage[0].change["lr"] == "plateau(0.05, factor=0.5, patience=0)"
    with pytest.raises(ValueError, match="nothing here follows one"):
        told.observe(1.0)
