"""Frozen and trained again, by name and step: against a plain torch loop, resumed in any order, refused by name."""

import copy
import io
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import tapered
from tapered.attach import attach, clock_of
from tapered.checkpoint import resume, save
from tapered.files.errors import CheckpointError
from tapered.optim.freezing import Act

INPUTS = torch.randn(12, 4, generator=torch.Generator().manual_seed(1))
RATE = tapered.cosine_decay(0.1, decay_steps=20)
SIDES = pytest.mark.parametrize("side", ["tapered", "attached"])


def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 1))


def made(side, model, params=None):
    """An optimizer, and what freezes."""
    params = model.named_parameters() if params is None else params
    if side == "tapered":
        optimizer = tapered.AdamW(params, lr=RATE, weight_decay=0.1)
        return optimizer, optimizer
    optimizer = torch.optim.AdamW(params, lr=0.1, weight_decay=0.1)
    return optimizer, attach(optimizer, lr=RATE)


def run(model, optimizer, first, last):
    for step in range(first, last):
        optimizer.zero_grad()
        (model(INPUTS[step % 12]) - 1).square().sum().backward()
        optimizer.step()


def plain(steps, trains):
    """torch's AdamW, whose parameters are switched by hand: `trains(step, name)`."""
    model = build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1, fused=True)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE(step)
        for name, p in model.named_parameters():
            p.requires_grad_(trains(step, name))
        run(model, optimizer, step, step + 1)
    return model, optimizer


def same(ours, theirs):
    return all(map(torch.equal, ours.parameters(), theirs.parameters()))


def gradually(freezing):
    freezing.freeze("0.*", "1.*")
    freezing.unfreeze("1.*", at=3)
    freezing.unfreeze("0.weight", at=5)
    freezing.freeze("2.*", at=7)


def gradual(step, name):
    return {"0.weight": step >= 5, "0.bias": False}.get(name, step >= 3 if name.startswith("1") else step < 7)


@SIDES
def test_it_is_torchs_loop_with_parameters_switched_by_hand(side):
    """Frozen ones have no decay of weights, no gradient, and moments and counts as they were left."""
    model = build()
    optimizer, freezing = made(side, model)
    gradually(freezing)
    own = [p.detach().clone() for p in model.parameters()]
    run(model, optimizer, 0, 3)
    assert [torch.equal(a, b) for a, b in zip(own, model.parameters(), strict=True)] == [True] * 4 + [False] * 2
    assert all(
        p not in optimizer.state or not optimizer.state[p] for p in [*model[0].parameters(), *model[1].parameters()]
    )
    run(model, optimizer, 3, 7)
    kept = copy.deepcopy([optimizer.state[p] for p in model[2].parameters()])
    run(model, optimizer, 7, 10)
    now = [optimizer.state[p] for p in model[2].parameters()]
    for before, after in zip(kept, now, strict=True):
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)
    theirs, other = plain(10, gradual)
    torch.testing.assert_close([*model.parameters()], [*theirs.parameters()], rtol=1e-5, atol=1e-6)
    assert freezing.frozen == ("0.bias", "2.weight", "2.bias")
    assert optimizer.param_groups[0]["lr"] == RATE(10)  # the group's, which others in it follow
    assert int(optimizer.state[model[1].weight]["step"]) == int(other.state[theirs[1].weight]["step"]) == 7


@SIDES
def test_the_report_says_what_and_when(side):
    model = build()
    optimizer, freezing = made(side, model)
    freezing.freeze("*.weight")
    assert freezing.report == "step 0: froze 3 tensors (0.weight, 1.weight, 2.weight)"
    freezing.unfreeze("*", at=1)
    run(model, optimizer, 0, 1)
    assert freezing.report == "step 1: unfroze 3 tensors (0.weight, 1.weight, 2.weight)"
    freezing.freeze("*")
    freezing.unfreeze("1.bias")
    assert freezing.report == "step 1: unfroze 1 tensor (1.bias)"


@SIDES
def test_a_gradient_that_is_there_when_it_freezes_moves_nothing(side):
    model = build()
    optimizer, freezing = made(side, model)
    own = model[0].weight.detach().clone()
    model(INPUTS).sum().backward()
    freezing.freeze("0.*")
    optimizer.step()
    assert torch.equal(own, model[0].weight)


# names


@SIDES
def test_names_come_from_the_optimizer_the_model_or_the_group(side):
    model = build()
    for params, given in [
        (None, {}),
        ([*model.parameters()], {"model": model}),
        ([*model.parameters()], {"model": SimpleNamespace(_orig_mod=model)}),
        ([{"params": [*model[0].parameters()], "name": "0.all"}, {"params": [*model[1].parameters()]}], {}),
    ]:
        _, freezing = made(side, model, params)
        freezing.freeze("0.*", **given)
        assert [p.requires_grad for p in model.parameters()] == [False] * 2 + [True] * 4
        freezing.unfreeze("0.*")
        assert all(p.requires_grad for p in model.parameters())


@SIDES
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f.freeze("3.*"), r"freeze\('3.\*'\), and no parameter is named so; .*0.weight"),
        (lambda f: f.unfreeze("2.wieght", at=9), 'no parameter is named so; try "2.weight"'),
        (lambda f: f.freeze(), "expected patterns of names"),
        (lambda f: f.freeze(["0.*"]), "expected patterns of names"),
        (lambda f: f.freeze("0.*", at=2), r"got freeze\('0.\*', at=2\), which is past at step 4; try at=4"),
        (lambda f: f.freeze("0.*", at=-1), "expected a step"),
        (lambda f: f.freeze("0.*", at=5.0), "expected a step"),
        (lambda f: f.freeze("0.*", "nothing"), "no parameter is named so"),
    ],
)
def test_what_means_nothing_is_refused_and_nothing_changes(side, call, message):
    model = build()
    optimizer, freezing = made(side, model)
    run(model, optimizer, 0, 4)
    before = freezing.state_dict()
    with pytest.raises((TypeError, ValueError), match=message):
        call(freezing)
    assert str(freezing.state_dict()) == str(before)
    assert all(p.requires_grad for p in model.parameters())


@SIDES
def test_without_names_it_says_where_they_come_from(side):
    model = build()
    _, freezing = made(side, model, list(model.parameters()))
    with pytest.raises(ValueError, match="the parameters here have no names; try freeze"):
        freezing.freeze("0.*")


def test_a_clock_that_is_detached_freezes_no_more():
    _, clock = made("attached", build())
    clock.detach()
    with pytest.raises(ValueError, match="was detached"):
        clock.freeze("0.*")


# resumed


def states(side, steps, acts=gradually):
    model = build()
    optimizer, freezing = made(side, model)
    acts(freezing)
    run(model, optimizer, 0, steps)
    file = io.BytesIO()
    torch.save([model.state_dict(), optimizer.state_dict(), freezing.state_dict()], file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@SIDES
@pytest.mark.parametrize("said", ["before", "after", "never"])
def test_resumed_at_every_step_the_bits_are_the_same(side, said):
    whole = build()
    optimizer, freezing = made(side, whole)
    gradually(freezing)
    run(whole, optimizer, 0, 9)
    for stop in range(1, 9):
        saved = states(side, stop)
        model = build()
        optimizer, freezing = made(side, model)
        if said == "before":
            gradually(freezing)
        model.load_state_dict(saved[0])
        optimizer.load_state_dict(saved[1])
        if said == "after":
            gradually(freezing)
        run(model, optimizer, stop, 9)
        assert same(model, whole), stop
        assert freezing.frozen == ("0.bias", "2.weight", "2.bias")


@pytest.mark.parametrize("order", [(1, 2), (2, 1)], ids=["optimizer, clock", "clock, optimizer"])
def test_a_clocks_own_state_has_it_too(order):
    whole = build()
    optimizer, clock = made("attached", whole)
    gradually(clock)
    run(whole, optimizer, 0, 9)
    saved, model = states("attached", 4), build()
    optimizer, clock = made("attached", model)
    model.load_state_dict(saved[0])
    for which in order:
        (optimizer if which == 1 else clock).load_state_dict(saved[which])
    run(model, optimizer, 4, 9)
    assert same(model, whole)


@SIDES
def test_resumed_from_a_checkpoint(side, tmp_path):
    def parts():
        model = build()
        optimizer, freezing = made(side, model)
        gradually(freezing)
        return {"model": model, "optimizer": optimizer}

    whole = parts()
    for step in range(9):
        run(whole["model"], whole["optimizer"], step, step + 1)
        save(tmp_path / "run", step + 1, keep=None, **whole)
    for stop in (1, 4, 6):
        again = parts()
        resume(tmp_path / "run", step=stop, partial=True, **again)
        run(again["model"], again["optimizer"], stop, 9)
        assert same(again["model"], whole["model"]), stop
    model = build()
    optimizer, freezing = made(side, model)
    freezing.freeze("2.*")

    def going_on():
        resume(tmp_path / "run", step=4, partial=True, model=model, optimizer=optimizer)
        run(model, optimizer, 4, 5)

    with pytest.raises((CheckpointError, ValueError), match=r"was made without freeze\('2.\*', at=0\)"):
        going_on()


@SIDES
def test_a_load_of_an_earlier_step_goes_back(side):
    model = build()
    optimizer, freezing = made(side, model)
    gradually(freezing)
    earlier = {}
    for step in range(9):
        earlier[step] = copy.deepcopy(optimizer.state_dict()), [p.requires_grad for p in model.parameters()]
        run(model, optimizer, step, step + 1)
    for step in (6, 2, 8, 0):
        optimizer.load_state_dict(earlier[step][0])
        assert [p.requires_grad for p in model.parameters()] == earlier[step][1]


@SIDES
def test_what_was_said_on_the_way_is_known_after_a_resume(side):
    """As a callback does at some epoch, which says it once."""

    def acts(freezing):
        freezing.freeze("0.*")

    model = build()
    optimizer, freezing = made(side, model)
    acts(freezing)
    run(model, optimizer, 0, 3)
    freezing.unfreeze("0.*")
    run(model, optimizer, 3, 5)
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    run(model, optimizer, 5, 7)
    for early in (True, False):
        again = build()
        optimizer, freezing = made(side, again)
        if early:
            acts(freezing)
        again.load_state_dict(saved[0])
        optimizer.load_state_dict(copy.deepcopy(saved[1]))
        if not early:
            acts(freezing)
        run(again, optimizer, 5, 7)
        assert same(again, model)
        freezing.freeze("0.*")  # under way it is meant
        assert freezing.frozen == ("0.weight", "0.bias")


@SIDES
def test_a_group_that_joins_is_frozen_by_its_name_and_made_again_on_resume(side):
    def start():
        model = build()
        optimizer, freezing = made(
            side, model, [*model[1].named_parameters(prefix="1"), *model[2].named_parameters(prefix="2")]
        )
        return model, optimizer, freezing

    def join(model, optimizer):
        optimizer.add_param_group({"params": list(model[0].named_parameters(prefix="0"))})

    model, optimizer, freezing = start()
    freezing.freeze("0.*", model=model)
    freezing.unfreeze("0.bias", at=5)
    run(model, optimizer, 0, 2)
    join(model, optimizer)
    run(model, optimizer, 2, 4)
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    run(model, optimizer, 4, 7)
    again, optimizer, freezing = start()
    join(again, optimizer)
    again.load_state_dict(saved[0])
    optimizer.load_state_dict(saved[1])
    run(again, optimizer, 4, 7)
    assert same(again, model)
    assert freezing.frozen == ("0.weight",)


@SIDES
def test_a_group_that_joins_is_frozen_by_what_was_said_before(side):
    model = build()
    optimizer, freezing = made(
        side, model, [*model[1].named_parameters(prefix="1"), *model[2].named_parameters(prefix="2")]
    )
    freezing.freeze("*.weight")
    own = [p.detach().clone() for p in model.parameters()]
    run(model, optimizer, 0, 2)
    optimizer.add_param_group({"params": list(model[0].named_parameters(prefix="0"))})
    run(model, optimizer, 2, 4)
    assert [torch.equal(a, b) for a, b in zip(own, model.parameters(), strict=True)] == [True, False] * 3
    assert not model[0].weight.requires_grad


@SIDES
def test_a_state_of_names_that_are_not_here_is_refused_at_the_next_update(side):
    model = build()
    optimizer, freezing = made(side, model, list(model.parameters()))
    freezing.freeze("0.*", model=model)
    run(model, optimizer, 0, 4)
    again = build()
    second, freezing = made(side, again, list(again.parameters()))
    second.load_state_dict(optimizer.state_dict())
    own = again[0].weight.detach().clone()
    with pytest.raises(ValueError, match=r"freeze\('0.\*', model=model\)"):
        run(again, second, 4, 5)
    freezing.freeze("0.*", model=again)
    run(again, second, 4, 6)
    assert torch.equal(own, again[0].weight)
    assert freezing._freezing.acts == (Act("0.*", frozen=True, at=0),)


@SIDES
def test_a_damaged_record_is_refused(side):
    saved, model = states(side, 4), build()
    optimizer, _ = made(side, model)
    for group in saved[1]["param_groups"]:
        (group if side == "tapered" else group["clock"])["freezes"] = [{"pattern": "0.*", "frozen": 1, "at": 0}]

    def going_on():
        optimizer.load_state_dict(saved[1])
        run(model, optimizer, 4, 5)

    with pytest.raises(ValueError, match="expected pattern, frozen and at of each act"):
        going_on()


@SIDES
def test_a_copy_goes_on_by_itself(side):
    model = build()
    optimizer, freezing = made(side, model)
    gradually(freezing)
    run(model, optimizer, 0, 2)
    other, second = copy.deepcopy((model, optimizer))
    run(model, optimizer, 2, 9)
    assert [p.requires_grad for p in other.parameters()] == [False] * 4 + [True] * 2
    run(other, second, 2, 9)
    assert same(model, other)
    assert (second if side == "tapered" else clock_of(second)).frozen == freezing.frozen
