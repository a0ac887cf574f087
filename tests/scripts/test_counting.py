"""Which update comes after a resume, a fork, a rewind; and which optimizer's updates are meant."""

import copy
import os
import sys

import pytest
import torch
from script_runs import STEPS, ask, by_hand, cosine, difference, model, same, seen, update, witnessed
from torch import nn

import tapered
from tapered.scripts import notes
from tapered.scripts.asked import Parent

KINDS = {
    "adamw": lambda net: torch.optim.AdamW(net.parameters(), lr=0.05),
    "sgd": lambda net: torch.optim.SGD(net.parameters(), lr=0.05),
    "momentum": lambda net: torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9),
    "lbfgs": lambda net: torch.optim.LBFGS(net.parameters(), lr=0.05, max_iter=2),
    "tapered": lambda net: tapered.SGD(net.parameters(), lr=0.05),
}


def train(net, optimizer, steps):
    for _ in range(steps):
        update(net, optimizer)
    return copy.deepcopy((net.state_dict(), optimizer.state_dict()))


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_resumed_optimizer_goes_on_at_the_update_that_it_had_come_to(make, tmp_path) -> None:
    run, net = ask(tmp_path), model()
    with witnessed(run, sets=True):
        saved = train(net, make(net), 5)
    with witnessed(ask(tmp_path), sets=True):
        net = model(1)
        optimizer = make(net)
        net.load_state_dict(saved[0])
        optimizer.load_state_dict(saved[1])
        train(net, optimizer, STEPS - 5)
    assert seen(tmp_path) == dict(enumerate(cosine()))
    assert difference(run) is None
    assert not notes.hints(tmp_path)
    assert same(net, by_hand(make, cosine()))


def test_a_fork_counts_from_its_parents_checkpoint(tmp_path) -> None:
    net = model()
    with witnessed(ask(tmp_path / "parent")):
        saved = train(net, KINDS["sgd"](net), 4)
    run = ask(tmp_path / "child", parent=Parent("parent", 4))
    with witnessed(run, sets=True):
        optimizer = KINDS["sgd"](net)
        optimizer.load_state_dict(saved[1])
        train(net, optimizer, STEPS - 4)
    assert min(seen(run.folder)) == 4
    assert difference(run, start=run.asked.start) is None
    assert difference(run).missing


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_state_loaded_under_way_rewinds_the_count(make, tmp_path) -> None:
    run, net = ask(tmp_path), model()
    with witnessed(run, sets=True):
        optimizer = make(net)
        saved = train(net, optimizer, 3)
        train(net, optimizer, 4)
        net.load_state_dict(saved[0])
        optimizer.load_state_dict(saved[1])
        train(net, optimizer, STEPS - 3)
    lines = [int(line.split(",")[0]) for line in (tmp_path / "applied.csv").read_text().splitlines()]
    assert lines == [*range(7), *range(3, STEPS)]
    assert difference(run) is None


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_state_of_before_the_first_update_begins_anew(make, tmp_path) -> None:
    run, net = ask(tmp_path), model()
    with witnessed(run, sets=True):
        optimizer = make(net)
        first = train(net, optimizer, 0)
        train(net, optimizer, 3)
        optimizer.load_state_dict(first[1])
        train(net, optimizer, 2)
    lines = [int(line.split(",")[0]) for line in (tmp_path / "applied.csv").read_text().splitlines()]
    assert lines == [0, 1, 2, 0, 1]


def test_what_the_script_says_goes_before_any_count(tmp_path) -> None:
    net = model()
    saved = train(net, KINDS["adamw"](net), 7)  # another run's
    run = ask(tmp_path)
    with witnessed(run, sets=True):
        optimizer = KINDS["adamw"](net)
        optimizer.load_state_dict(saved[1])
        run.started(2)
        train(net, optimizer, 2)
        run.started(torch.tensor(9))
        train(net, optimizer, 1)
    assert list(seen(tmp_path)) == [2, 3, 9]


def test_an_optimizer_that_comes_back_without_a_count_is_said(tmp_path) -> None:
    run, net = ask(tmp_path), model()
    with witnessed(run):
        train(net, KINDS["sgd"](net), 4)
    with witnessed(ask(tmp_path), sets=True):
        train(net, KINDS["sgd"](net), STEPS - 4)
    (hint,) = notes.hints(tmp_path)
    assert "SGD had no count of its updates, and was taken to have made 0" in hint
    assert difference(run) is not None


def test_a_callback_says_how_far_it_is_where_nothing_else_does(tmp_path) -> None:
    run, net = ask(tmp_path), model()
    with witnessed(run, sets=True):
        run.likely = 6
        train(net, KINDS["sgd"](net), 2)
    assert list(seen(tmp_path)) == [6, 7]
    run, net = ask(tmp_path / "counted"), model()
    saved = train(net, KINDS["adamw"](net), 3)
    with witnessed(run, sets=True):
        optimizer = KINDS["adamw"](net)
        optimizer.load_state_dict(saved[1])
        run.likely = 6  # with steps that a scaler skipped
        train(net, optimizer, 1)
    assert list(seen(run.folder)) == [3]


def test_a_state_made_by_torchs_checkpoints_is_no_update(tmp_path) -> None:
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

    for kind in ("sgd", "momentum"):
        run, net = ask(tmp_path / kind), model()
        with witnessed(run, sets=True):
            optimizer = KINDS[kind](net)
            get_optimizer_state_dict(net, optimizer)
            train(net, optimizer, 2)
        assert list(seen(run.folder)) == [0, 1]


def gan(run, sets):
    with witnessed(run, sets=sets):
        small, large = nn.Linear(4, 1), model(wide=8)
        first = torch.optim.Adam(small.parameters(), lr=0.01)
        second = torch.optim.SGD(large.parameters(), lr=0.02)
        for _ in range(STEPS):
            for net, optimizer in ((small, first), (large, second)):
                update(net, optimizer)
    return first, second


@pytest.mark.parametrize(
    ("asked", "rate"), [(None, 0.02), (0, 0.01), (1, 0.02), ("Adam", 0.01), ("SGD", 0.02)], ids=str
)
def test_of_two_optimizers_the_one_that_is_asked_is_seen(asked, rate, tmp_path) -> None:
    run = ask(tmp_path, optimizer=asked)
    gan(run, sets=False)
    assert seen(tmp_path) == dict.fromkeys(range(STEPS), rate)
    run = ask(tmp_path / "set", optimizer=asked)
    gan(run, sets=True)
    assert difference(run) is None
    names = ("SGD", "Adam") if rate == 0.02 else ("Adam", "SGD")
    said = f"only the rate of {names[0]} was studied; {names[1]} made updates at rates of the script's own"
    assert notes.unseen(tmp_path) == [said]


class Around(torch.optim.Optimizer):
    """SAM's kind: its updates are those of a base optimizer, which shares its groups and whose state nobody saves."""

    def __init__(self, params, **options) -> None:
        super().__init__(params, dict(options))
        self.base_optimizer = torch.optim.AdamW(self.param_groups, **options)
        self.param_groups = self.base_optimizer.param_groups

    def step(self, closure=None):
        return self.base_optimizer.step(closure)

    def load_state_dict(self, state) -> None:
        super().load_state_dict(state)
        self.base_optimizer.param_groups = self.param_groups


@pytest.mark.parametrize("asked", [None, 0, 1, "Around"])
def test_an_optimizer_around_another_is_one_of_them(asked, tmp_path) -> None:
    run = ask(tmp_path, optimizer=asked)
    small, large = nn.Linear(4, 1), model(wide=8)

    def make():
        both = KINDS["sgd"](small), Around(large.parameters(), lr=0.1)
        return both[::-1] if asked == 0 else both

    saved = None
    for steps in (5, STEPS - 5):
        with witnessed(ask(tmp_path, optimizer=asked), sets=True):
            pair = make()
            if saved:
                for optimizer, state in zip(pair, saved, strict=True):
                    optimizer.load_state_dict(state)
            for _ in range(steps):
                for optimizer in pair:
                    update(large if isinstance(optimizer, Around) else small, optimizer)
            saved = copy.deepcopy([optimizer.state_dict() for optimizer in pair])
    assert seen(tmp_path) == dict(enumerate(cosine()))
    assert difference(run) is None
    assert notes.unseen(tmp_path)[0].startswith("only the rate of Around was studied; SGD made")


def test_a_second_optimizer_of_the_name_that_is_asked_is_said(tmp_path) -> None:
    run = ask(tmp_path, optimizer="SGD")
    with witnessed(run, sets=True):
        pairs = [(net, KINDS["sgd"](net)) for net in (model(), model(wide=8))]
        for net, optimizer in pairs:
            train(net, optimizer, STEPS)
    assert difference(run) is None
    (said,) = notes.unseen(tmp_path)
    assert said == "only the rate of SGD was studied; another SGD made updates at rates of the script's own"


def test_no_optimizer_of_that_name_or_order(tmp_path) -> None:
    for asked in ("Lion", 2):
        run = ask(tmp_path / str(asked), optimizer=asked)
        gan(run, sets=True)
        assert seen(run.folder) == {}
        assert difference(run).missing
        assert notes.hints(run.folder) == [
            "none of Adam, SGD made the updates that are studied; name the optimizer that does"
        ]


@pytest.mark.parametrize("asked", [None, 0, "SGD"])
def test_an_optimizer_made_anew_for_the_same_weights_goes_on_with_the_count(asked, tmp_path) -> None:
    run, net = ask(tmp_path, optimizer=asked), model()
    with witnessed(run, sets=True):
        optimizer = KINDS["sgd"](net)
        train(net, optimizer, 4)
        kept = optimizer  # whether or not the first one lives on
        optimizer = KINDS["sgd"](net)
        train(net, optimizer, 4)
        del kept
        optimizer = KINDS["sgd"](net)
        train(net, optimizer, STEPS - 8)
    assert difference(run) is None
    assert notes.unseen(tmp_path) == []


def test_an_optimizer_without_a_rate_is_said(tmp_path) -> None:
    class Rateless(torch.optim.Optimizer):
        def __init__(self, params) -> None:
            super().__init__(params, {})

        def step(self):
            return None

    run, net = ask(tmp_path), model()
    with witnessed(run, sets=True):
        update(net, Rateless(net.parameters()))
    assert notes.unseen(tmp_path) == ["Rateless has no rate in its groups, so none was seen"]


def test_lazy_weights_have_a_size_by_their_first_step(tmp_path) -> None:
    run = ask(tmp_path)
    with witnessed(run, sets=True):
        net = nn.Sequential(nn.LazyLinear(3), nn.Tanh(), nn.Linear(3, 1))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        other = nn.LazyLinear(3)
        idle = torch.optim.SGD(other.parameters(), lr=0.1)
        train(net, optimizer, STEPS)
        assert idle.param_groups
    assert difference(run) is None


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_a_forked_worker_writes_no_rate(tmp_path) -> None:
    run, net = ask(tmp_path), model()
    with witnessed(run, sets=True):
        optimizer = KINDS["sgd"](net)
        update(net, optimizer)
        child = os.fork()
        if child == 0:
            update(net, optimizer)
            tiny = nn.Linear(4, 1)
            update(tiny, KINDS["sgd"](tiny))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        train(net, optimizer, STEPS - 1)
    assert seen(tmp_path) == dict(enumerate(cosine()))
    assert notes.unseen(tmp_path) == ["updates were also made in processes that were forked, where nothing was seen"]


def test_of_several_processes_rank_0_writes_and_the_others_what_is_wrong(tmp_path, monkeypatch) -> None:
    run = ask(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank, wrong in ((0, None), (1, None), (2, 7)):
        monkeypatch.setenv("RANK", str(rank))
        net = model()
        with witnessed(ask(tmp_path)):
            optimizer = KINDS["sgd"](net)
            for k, rate in enumerate(cosine()):
                optimizer.param_groups[0]["lr"] = rate * (2 if k == wrong else 1)
                update(net, optimizer)
        if rank == 1:
            assert notes.unseen(tmp_path) == ["the rate of 1 process of 3 was not seen"]
            assert notes.wrong(tmp_path, "set").startswith("the rate of 1 process of 3 was not seen, nor set; let each")
            assert notes.wrong(tmp_path, "see") == ""
            assert difference(run) is None
    assert seen(tmp_path) == dict(enumerate(cosine()))
    assert not (tmp_path / "applied-1.csv").exists()
    asked = cosine()[7]
    assert str(difference(run)) == f"update 7 on rank 2 was made at {2 * asked!r}; asked was {asked!r}"
    assert notes.unseen(tmp_path) == []


def test_a_full_disk_keeps_no_rate_from_being_written_later(tmp_path, monkeypatch) -> None:
    from tapered.scripts import noting

    run, net = ask(tmp_path), model()
    monkeypatch.setattr(noting, "LATE", 0.0)
    real, full = os.write, {3, 4, 7}
    with witnessed(run, sets=True):
        optimizer = KINDS["sgd"](net)
        for k in range(STEPS):

            def short(handle, data, k=k):
                return real(handle, data[:3]) if k in full else real(handle, data)

            monkeypatch.setattr(os, "write", short)
            update(net, optimizer)
            monkeypatch.setattr(os, "write", real)
    assert sorted(seen(tmp_path)) == list(range(STEPS))
    assert difference(run) is None


class Sharded(torch.optim.Optimizer):
    """ZeRO's kind: an optimizer within, on some of the parameters, whose groups are copies."""

    def __init__(self, params, lr) -> None:
        super().__init__(params, {"lr": lr})
        self.optim = torch.optim.SGD(self.param_groups[0]["params"][:2], lr=lr)

    def step(self, closure=None):
        self.optim.param_groups[0]["lr"] = self.param_groups[0]["lr"]
        return self.optim.step(closure)


def test_an_optimizer_within_the_studied_ones_step_is_a_part_of_it(tmp_path) -> None:
    run, net = ask(tmp_path), model()
    with witnessed(run, sets=True):
        optimizer = Sharded(net.parameters(), lr=0.3)
        train(net, optimizer, STEPS)
    assert optimizer.optim.param_groups[0]["lr"] == cosine()[-1]
    assert seen(tmp_path) == dict(enumerate(cosine()))
    assert notes.unseen(tmp_path) == []


def test_two_that_take_turns_on_the_same_weights_are_said(tmp_path) -> None:
    run, net = ask(tmp_path), model()
    with witnessed(run, sets=True):
        first, second = KINDS["adamw"](net), KINDS["sgd"](net)
        for _ in range(STEPS):
            update(net, first)
            update(net, second)
    assert notes.unseen(tmp_path) == [
        "only the rate of SGD was studied; AdamW made updates at rates of the script's own"
    ]


def test_a_rate_on_a_device_is_read_later_and_in_order(tmp_path, monkeypatch) -> None:
    from tapered.scripts import noting

    monkeypatch.setattr(noting, "LATE", 600.0)
    notebook = noting.Notes(tmp_path, cosine())
    notebook.rate(0, torch.tensor(0.5))
    notebook.rate(1, 0.25)
    assert seen(tmp_path) == {}
    monkeypatch.setattr(noting, "LATE", -1.0)
    notebook.rate(2, torch.tensor(0.125))
    assert list(seen(tmp_path).items()) == [(0, 0.5), (1, 0.25), (2, 0.125)]
