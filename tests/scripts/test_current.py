"""What a script is told of its run, and what it tells."""

import json
import math
import os

import numpy as np
import pytest
import torch
from script_runs import STEPS, ask, by_hand, cosine, difference, model, same, seen, update, witnessed
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

import tapered
from tapered.scripts import current, metrics, witness
from tapered.scripts.current import current_run
from tapered.scripts.errors import ScriptError


@pytest.fixture
def here_alone(monkeypatch):
    """No witness of this process is left behind."""
    monkeypatch.setattr(witness, "INSTALLED", ["held"])
    monkeypatch.delenv("TAPERED_RUN", raising=False)
    current.run_in.cache_clear()


@pytest.mark.usefixtures("here_alone")
def test_outside_a_study_there_is_no_run(monkeypatch) -> None:
    assert tapered.current_run is current_run
    assert current_run() is None
    monkeypatch.setenv("TAPERED_RUN", "")
    assert current_run() is None


@pytest.mark.usefixtures("here_alone")
def test_the_run_of_this_process(tmp_path, monkeypatch) -> None:
    ask(tmp_path, seed=3, save_at=(4,), until=8)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAPERED_RUN", ".")
    run = current_run()
    assert current_run() is run
    assert (run.seed, run.steps, run.until, run.peak, run.arm, run.save_at) == (3, STEPS, 8, 0.1, "cosine", (4,))
    assert run.out == tmp_path / "out"
    assert run.out.is_dir()
    assert run.lr.table(STEPS).tolist() == cosine()
    assert run.lr(STEPS + 5) == cosine()[-1]
    assert (run.lr == run.lr, hash(run.lr) == hash(run.lr), str(run.lr)) == (True, True, "from_function(rates asked)")
    (tmp_path / "rates.f64").unlink()
    current.run_in.cache_clear()
    with pytest.raises(ScriptError, match=r"rates\.f64 cannot be read"):
        current_run()


def test_what_is_logged_is_read_as_it_was_told(tmp_path) -> None:
    run = ask(tmp_path)
    run.log(np.int64(2), loss=torch.tensor(0.5, requires_grad=True), accuracy=np.float32(0.25), rows=3)
    run.log(torch.tensor(2), loss=0.75)
    run.log(4, loss=math.nan, other=torch.tensor([math.inf], dtype=torch.bfloat16))
    lines = (tmp_path / "reports.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == {"step": 2, "loss": 0.5, "accuracy": 0.25, "rows": 3.0}
    told = metrics.reader("jsonl").read(tmp_path)
    assert told.points["loss"] == pytest.approx({2: 0.75, 4: math.nan}, nan_ok=True)
    assert told.apart == {"loss": (2, 0.25)}
    assert (told.last, told.diverged, told.count, told.unread) == (4, 4, 6, 0)


@pytest.mark.parametrize(
    ("step", "values", "said"),
    [
        (1.5, {"loss": 1}, "got 1.5 for the step"),
        (True, {"loss": 1}, "got True for the step"),
        (-1, {"loss": 1}, "got -1 for the step"),
        ("3", {"loss": 1}, "got '3' for the step"),
        (1, {}, "got nothing to log"),
        (1, {"step": 2}, "got step to log"),
        (1, {"loss": "1.0"}, "got '1.0' for `loss`"),
        (1, {"loss": None}, "got None for `loss`"),
        (1, {"loss": torch.ones(2)}, r"for `loss`; expected a number, or a tensor that holds one; try loss=value.mean"),
    ],
)
def test_what_is_no_number_is_refused_and_nothing_is_told(step, values, said, tmp_path) -> None:
    run = ask(tmp_path)
    with pytest.raises((TypeError, ValueError), match=said):
        run.log(step, **values)
    assert not (tmp_path / "reports.jsonl").exists()


def test_only_rank_0_tells(tmp_path, monkeypatch) -> None:
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        ask(tmp_path).log(1, loss=float(rank))
    assert (tmp_path / "reports.jsonl").read_text() == '{"step": 1, "loss": 0.0}\n'


def test_a_line_that_was_cut_is_left_out_and_the_next_one_is_whole(tmp_path) -> None:
    run = ask(tmp_path)
    (tmp_path / "reports.jsonl").write_text('{"step": 1, "loss": 1.0}\n{"step": 2, "lo')
    assert metrics.reader("jsonl").read(tmp_path).last == 1
    run.log(3, loss=3.0)
    told = metrics.reader("jsonl").read(tmp_path)
    assert (told.points, told.unread) == ({"loss": {1: 1.0, 3: 3.0}}, 1)


def test_a_full_disk_is_said_and_costs_one_line(tmp_path, monkeypatch) -> None:
    run, real = ask(tmp_path), os.write
    run.log(1, loss=1.0)
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:20]))
    with pytest.raises(OSError, match="full disk"):
        run.log(2, loss=2.0)
    monkeypatch.setattr(os, "write", real)
    run.log(3, loss=3.0)
    assert metrics.reader("jsonl").read(tmp_path).points == {"loss": {1: 1.0, 3: 3.0}}


def test_when_to_save_and_when_to_stop(tmp_path) -> None:
    run = ask(tmp_path, save_at=(3, 5), until=8)
    assert [step for step in range(10) if run.should_save(step)] == [3, 5, 8, 9]
    assert [step for step in range(10) if run.should_stop(step)] == [8, 9]
    (tmp_path / "stop").touch()
    assert run.should_stop(0)
    assert run.should_save(4)


def test_several_processes_stop_at_one_step(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    (tmp_path / "stopping").write_text('{"asked": 1, "last": 1}')  # an earlier start's
    runs = ask(tmp_path), ask(tmp_path)

    def asks(rank, step):
        monkeypatch.setenv("RANK", str(rank))
        return runs[rank].should_stop(step)

    assert not asks(0, 1)
    (tmp_path / "stop").touch()
    assert not asks(1, 1)  # before rank 0 saw it
    assert not any(asks(rank, 2) for rank in (1, 0))
    assert not any(asks(rank, 3) for rank in (0, 1))
    assert all(asks(rank, 4) for rank in (1, 0))


@pytest.mark.parametrize("kind", [torch.optim.AdamW, tapered.AdamW])
def test_optimizers_follow_the_run_each_group_by_its_ratio(kind, tmp_path) -> None:
    def make(net):
        return kind([{"params": net[0].parameters()}, {"params": net[2].parameters(), "lr": 0.02}], lr=0.08)

    run, net = ask(tmp_path), model()
    with witnessed(run):
        optimizer, scheduler = run.optimizers(make(net))
        assert isinstance(scheduler, LRScheduler)
        for _ in range(STEPS):
            update(net, optimizer)
            scheduler.step()
    assert difference(run) is None
    assert same(net, by_hand(make, cosine(), shares=[1, 0.25]))


def test_an_optimizer_with_another_schedule_is_refused(tmp_path) -> None:
    run, net = ask(tmp_path), model()
    run.optimizers(tapered.SGD(net.parameters(), lr=run.lr))
    with pytest.raises(ValueError, match=r"follows linear\(.*; expected run.lr; make it with lr=run.lr"):
        run.optimizers(tapered.SGD(net.parameters(), lr=tapered.linear(0.1, 0.0, steps=3)))
    scheduled = torch.optim.SGD(net.parameters(), lr=0.1)
    torch.optim.lr_scheduler.StepLR(scheduled, 3)
    with pytest.raises(ValueError, match="a torch LRScheduler was made for this SGD"):
        run.optimizers(scheduled)


@pytest.mark.parametrize("own", [False, True])
def test_a_fork_loads_its_parents_state_and_goes_on_at_its_own_rate(own, tmp_path) -> None:
    def make(run, net):
        if own:
            return tapered.AdamW(net.parameters(), lr=run.lr)
        return run.optimizers(torch.optim.AdamW(net.parameters(), lr=0.3))[0]

    parent, net = ask(tmp_path / "parent"), model()
    optimizer = make(parent, net)
    for _ in range(5):
        update(net, optimizer)
    other = [*cosine()[:5], *np.linspace(0.05, 0, STEPS - 5).tolist()]
    run = ask(tmp_path / "child", other)
    with witnessed(run):
        follower = make(run, net)
        follower.load_state_dict(optimizer.state_dict())
        for _ in range(STEPS - 5):
            update(net, follower)
    assert seen(run.folder) == {k: other[k] for k in range(5, STEPS)}
    kind = tapered.AdamW if own else torch.optim.AdamW
    assert same(net, by_hand(lambda net: kind(net.parameters(), lr=0.3), other))


@pytest.mark.usefixtures("here_alone")
def test_a_script_that_calls_it_is_witnessed_without_more(tmp_path, monkeypatch) -> None:
    from torch.optim import optimizer as optimizers

    monkeypatch.setattr(witness, "INSTALLED", [])
    monkeypatch.setattr(optimizers.Optimizer, "__init__", optimizers.Optimizer.__init__)
    held = optimizers._global_optimizer_pre_hooks, optimizers._global_optimizer_post_hooks
    before = [dict(hooks) for hooks in held]
    ask(tmp_path, rate="set")
    monkeypatch.setenv("TAPERED_RUN", str(tmp_path))
    try:
        assert current_run() is current_run()
        net = nn.Linear(4, 1)
        optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
        for _ in range(STEPS):
            update(net, optimizer)
    finally:
        for hooks, kept in zip(held, before, strict=True):
            hooks.clear()
            hooks.update(kept)
    assert seen(tmp_path) == dict(enumerate(cosine()))
