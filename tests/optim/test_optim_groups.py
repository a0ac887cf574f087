"""Groups, states and hooks that are not tapered's: kept, multiplied, loaded and put back as under torch's own."""

import copy
import io
import pickle

import pytest
import torch
from saving import filed
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, OneCycleLR, ReduceLROnPlateau, SequentialLR

import tapered
from tapered import checkpoint, schedules
from tapered.attach import as_lr_scheduler, attach
from tapered.optim.multipliers import TaperedWarning

RATE = schedules.cosine_decay(0.1, decay_steps=20)


def weights(count: int = 2) -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(3)) for _ in range(count)]


def step(optimizer: torch.optim.Optimizer, times: int = 1) -> None:
    for _ in range(times):
        for group in optimizer.param_groups:
            for param in group["params"]:
                if param.requires_grad:
                    param.grad = torch.ones_like(param)
        optimizer.step()


def own(groups, **options) -> tuple:
    optimizer = tapered.SGD(groups, lr=RATE, **options)
    return optimizer, optimizer


def attached(groups, **options) -> tuple:
    optimizer = torch.optim.SGD(groups, lr=0.1)
    return optimizer, attach(optimizer, lr=RATE, **options)


BOTH = pytest.mark.parametrize("make", [own, attached])


@BOTH
@pytest.mark.parametrize(
    ("key", "options"), [("lr_scale", {}), ("lr_mult", {"multiplier": "lr_mult"}), ("ratio", {"multiplier": "ratio"})]
)
@pytest.mark.parametrize("kind", [float, torch.tensor])
def test_a_multiplier_multiplies_the_rate(make, key, options, kind) -> None:
    first, second, third = weights(3)
    groups = [{"params": [first], key: kind(0.25)}, {"params": [second], key: 1}, {"params": [third]}]
    optimizer, follower = make(groups, **options)
    moved = 0.0
    for k in range(4):
        assert [g["lr"] for g in optimizer.param_groups] == [RATE(k) * 0.25, RATE(k), RATE(k)]
        before = first.detach().clone()
        step(optimizer)
        moved += RATE(k) * 0.25
        assert follower.last_lr == (RATE(k) * 0.25, RATE(k), RATE(k))
        torch.testing.assert_close(before - first.detach(), torch.full((3,), RATE(k) * 0.25), rtol=1e-5, atol=1e-7)
    optimizer.param_groups[0][key] = 0.5  # at its next step
    step(optimizer)
    assert follower.last_lr == (RATE(4) * 0.5, RATE(4), RATE(4))
    assert optimizer.param_groups[0]["lr"] == RATE(5) * 0.5


@BOTH
def test_a_multiplier_goes_through_a_state(make) -> None:
    def groups(params):
        return [{"params": [params[0]], "lr_scale": 0.25}, {"params": [params[1]], "lr_scale": 1.0}]

    optimizer, follower = make(groups(weights()))
    step(optimizer, 3)
    state = filed(optimizer.state_dict())
    again, its = make(groups(weights()))
    again.load_state_dict(state)
    assert [g["lr"] for g in again.param_groups] == [RATE(3) * 0.25, RATE(3)]
    assert its.last_lr == follower.last_lr == (RATE(2) * 0.25, RATE(2))
    for copied in (copy.deepcopy(again), pickle.loads(pickle.dumps(again))):
        step(copied)
        assert [g["lr"] for g in copied.param_groups] == [RATE(4) * 0.25, RATE(4)]


@BOTH
def test_no_multiplier_and_one_that_is_not_named(make) -> None:
    with pytest.warns(TaperedWarning, match="the key 'lr_mult' in group 0, 1 looks like a multiplier of the rate, and"):
        optimizer, _ = make([{"params": [p], "lr_mult": 0.5} for p in weights()])
    assert [g["lr"] for g in optimizer.param_groups] == [RATE(0)] * 2
    optimizer, _ = make([{"params": weights(), "temperature": 0.5, "max_lr": 1.0, "lr_scales": "x"}])
    assert optimizer.param_groups[0]["temperature"] == 0.5
    with pytest.warns(TaperedWarning, match="'lr_scale' in group 0 looks like a multiplier"):
        optimizer, _ = make([{"params": weights(), "lr_scale": 0.5}], multiplier=None)
    assert optimizer.param_groups[0]["lr"] == RATE(0)
    with pytest.raises((TypeError, ValueError), match="for `lr_scale` in group 0"):
        make([{"params": weights(), "lr_scale": -1.0}])


def test_a_number_is_not_multiplied() -> None:
    """timm's scheduler writes rates that hold the multiplier already."""
    optimizer = tapered.SGD([{"params": weights(), "lr_scale": 0.5}], lr=0.1)
    step(optimizer)
    assert (optimizer.last_lr, optimizer.param_groups[0]["lr"]) == ((0.1,), 0.1)


@pytest.mark.parametrize("late", [False, True])
def test_others_keys_and_entries_come_back(late) -> None:
    optimizer = tapered.Adam([{"params": weights(), "max_lr": 1.0}], lr=RATE)
    step(optimizer, 2)
    optimizer.param_groups[0]["swa_lr"] = 0.05
    first = optimizer.param_groups[0]["params"][0]
    optimizer.state[first]["slow"] = torch.full((3,), 7.0)
    optimizer.state["everybody"]["count"] = 3
    state = filed(optimizer.state_dict())
    again = tapered.Adam(weights(), lr=RATE)
    if late:
        step(again)
    again.load_state_dict(state)
    group = again.param_groups[0]
    assert (group["max_lr"], group["swa_lr"]) == (1.0, 0.05)
    assert torch.equal(again.state[group["params"][0]]["slow"], torch.full((3,), 7.0))
    assert again.state["everybody"] == {"count": 3}
    step(again)
    assert again.steps == 3
    theirs = torch.optim.Adam(weights(), lr=0.1)
    theirs.load_state_dict(filed(again.state_dict()))
    assert theirs.param_groups[0]["max_lr"] == 1.0


def test_an_entry_of_others_before_the_first_update() -> None:
    (weight,) = weights(1)
    optimizer = tapered.Adam([weight], lr=0.1)
    optimizer.state[weight]["slow"] = weight.detach().clone()
    step(optimizer, 2)
    assert set(optimizer.state[weight]) == {"slow", "step", "exp_avg", "exp_avg_sq"}
    again = tapered.Adam(weights(1), lr=0.1)
    again.load_state_dict(optimizer.state_dict())


def test_hooks_edit_the_state_in_place() -> None:
    optimizer = tapered.SGD(weights(), lr=0.1, momentum=0.9)
    step(optimizer)
    saved = {"wrapped": optimizer.state_dict()["state"], "param_groups": optimizer.state_dict()["param_groups"]}
    again = tapered.SGD(weights(), lr=0.1, momentum=0.9)
    handle = again.register_load_state_dict_pre_hook(lambda _, state: state.update(state=state.pop("wrapped")))
    again.load_state_dict(saved)
    assert len(again.state) == 2
    assert "wrapped" in saved
    handle.remove()
    again.register_load_state_dict_pre_hook(lambda _, state: state.update(state={}))
    again.load_state_dict(optimizer.state_dict())
    assert (len(again.state), again.steps) == (0, 1)
    step(again)


def test_names_go_in_and_out() -> None:
    named = [(name, p) for name, p in zip(("a", "b"), weights(), strict=True)]
    optimizer = tapered.Adam(named, lr=0.1)
    step(optimizer)
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["a", "b"]
    without = tapered.Adam(weights(), lr=0.1)
    without.load_state_dict(optimizer.state_dict())
    assert without.param_groups[0]["param_names"] == ["a", "b"]
    wrapped = tapered.Adam([(f"module.{name}", p) for name, p in named], lr=0.1)
    wrapped.load_state_dict(optimizer.state_dict())  # other names are a wrapper's; another order is refused
    with pytest.raises(ValueError, match="state is kept by position"):
        tapered.Adam(named[::-1], lr=0.1).load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize("lib", [tapered, torch.optim])
def test_a_finetuning_script(lib) -> None:
    """A frozen layer, an empty group, quantised weights: everybody's; then the layer is unfrozen."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    model.register_parameter("packed", nn.Parameter(torch.ones(2, dtype=torch.uint8), requires_grad=False))
    groups = [{"params": list(model.parameters())}, {"params": []}]
    optimizer = tapered.AdamW(groups, lr=0.1)

    def train(steps: int, other) -> None:
        for _ in range(steps):
            other.zero_grad()
            model(torch.ones(3, 2)).square().mean().backward()
            other.step()

    train(2, optimizer)
    assert len(optimizer.state) == 2
    theirs = lib.AdamW([{"params": list(model.parameters())}, {"params": []}], lr=0.1)
    theirs.load_state_dict(optimizer.state_dict())
    train(1, theirs)
    optimizer.load_state_dict(theirs.state_dict())
    model[0].requires_grad_(True)
    train(1, optimizer)
    counts = [int(optimizer.state[p]["step"]) for layer in model for p in layer.parameters()]
    assert (counts, optimizer.steps) == ([1, 1, 4, 4], 4)


@pytest.mark.parametrize("by", ["hand", "replace", "schedule"])
@pytest.mark.parametrize("options", [{}, {"dampening": 0.5}])
def test_momentum_that_sets_in_and_goes(by, options) -> None:
    """torch's buffer begins as the gradient, undamped, when the momentum first stands above 0; at 0 it waits."""
    values = [0.0, 0.9, 0.9, 0.0, 0.0, 0.8, 0.8]
    given = schedules.piecewise_constant(range(1, 7), values, switch="at") if by == "schedule" else 0.0
    ours, theirs = (nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64)) for _ in range(2))
    optimizer = tapered.SGD([ours], lr=0.1, momentum=given, **options)
    peer = torch.optim.SGD([theirs], lr=0.1, **options)
    for value in values:
        if by == "replace":
            optimizer.replace(momentum=value)
        elif by == "hand":
            optimizer.param_groups[0]["momentum"] = value
        peer.param_groups[0]["momentum"] = value
        for one, param in ((optimizer, ours), (peer, theirs)):
            param.grad = param.detach() ** 2 + 1
            one.step()
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    assert optimizer.steps == len(values)


SCHEDULERS = {
    "linear": lambda o: LinearLR(o, 0.1, total_iters=5),
    "sequential": lambda o: SequentialLR(o, [LinearLR(o, 0.1, total_iters=3), CosineAnnealingLR(o, 9)], [3]),
    "one cycle": lambda o: OneCycleLR(o, 0.1, total_steps=20),
    "plateau": lambda o: ReduceLROnPlateau(o, factor=0.5, patience=1),
}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("way", ["state dicts", "checkpoint"])
def test_a_number_is_driven_by_torchs_schedulers_and_resumed(name, way, tmp_path) -> None:
    def made(kind):
        torch.manual_seed(0)
        model = nn.Linear(3, 1)
        optimizer = kind(model.parameters(), lr=1e-2)
        return {"model": model, "optimizer": optimizer, "scheduler": SCHEDULERS[name](optimizer)}

    def train(parts, steps: int) -> list[float]:
        rates = []
        for _ in range(steps):
            parts["optimizer"].zero_grad()
            parts["model"](torch.ones(4, 3)).square().mean().backward()
            parts["optimizer"].step()
            parts["scheduler"].step(*([1.0] if name == "plateau" else []))
            rates.append(parts["optimizer"].param_groups[0]["lr"])
        return rates

    wanted = train(made(torch.optim.AdamW), 12)
    run = made(tapered.AdamW)
    rates = train(run, 6)
    again = made(tapered.AdamW)
    if way == "checkpoint":
        checkpoint.save(tmp_path, 6, **run)
        checkpoint.resume(tmp_path, **again)
    else:
        for key, part in again.items():
            part.load_state_dict(filed(run[key].state_dict()))
    assert rates + train(again, 6) == wanted
    train(run, 6)
    assert torch.equal(run["model"].weight, again["model"].weight)


def test_a_finder_puts_the_rate_back() -> None:
    (weight,) = weights(1)
    optimizer = tapered.AdamW([weight], lr=1e-2)
    before = copy.deepcopy(optimizer.state_dict())
    optimizer.param_groups[0]["lr"] = 1.0
    step(optimizer)
    optimizer.load_state_dict(before)
    assert (optimizer.param_groups[0]["lr"], len(optimizer.state), optimizer.steps) == (1e-2, 0, 0)


def test_within_readout_nothing_is_saved_or_stepped(tmp_path) -> None:
    (weight,) = weights(1)
    optimizer = tapered.ScheduleFreeAdamW([weight], lr=0.1)
    step(optimizer, 3)
    held, state = weight.detach().clone(), optimizer.state_dict()
    with optimizer.readout():
        lent = weight.detach().clone()
        for call in (
            optimizer.step,
            optimizer.state_dict,
            lambda: optimizer.load_state_dict(state),
            lambda: copy.deepcopy(optimizer),
            lambda: pickle.dumps(optimizer),
            lambda: optimizer.add_param_group({"params": weights(1)}),
        ):
            with pytest.raises(
                RuntimeError, match=r"within readout\(\), where the parameters hold weights to evaluate"
            ):
                call()
        with pytest.raises(checkpoint.CheckpointError, match=r"`optimizer` cannot be saved: .* within readout"):
            checkpoint.save(tmp_path, 3, weight=weight, optimizer=optimizer)
        with optimizer.readout():  # a function that evaluates, called by one that does
            assert torch.equal(weight, lent)
        assert torch.equal(weight, lent)
    assert torch.equal(weight, held)
    step(optimizer)
    assert optimizer.steps == 4


@pytest.mark.parametrize("kind", ["own", "attached"])
def test_a_first_update_without_a_signal_counts(kind) -> None:
    """A warmup from 0 and a batch whose labels are all masked look like what torch.distributed.checkpoint does."""
    rate = 0.1 * schedules.warmup(4)
    (weight,) = weights(1)
    optimizer = tapered.AdamW([weight], lr=rate) if kind == "own" else torch.optim.AdamW([weight], lr=0.1)
    clock = optimizer if kind == "own" else attach(optimizer, lr=rate)
    weight.grad = torch.zeros(3)
    optimizer.step()
    assert (clock.steps if kind == "own" else clock.step, optimizer.param_groups[0]["lr"]) == (1, rate(1))
    assert int(optimizer.state[weight]["step"]) == 1


def test_groups_taken_out_and_put_in_again() -> None:
    """composer and FSDP's users copy the groups, clear the list and add them anew: the same groups as before."""
    optimizer = tapered.Adam([{"params": [p]} for p in weights()], lr=RATE)
    step(optimizer, 3)
    groups = [dict(group) for group in optimizer.param_groups]
    optimizer.param_groups.clear()
    for group in groups:
        optimizer.add_param_group(group)
    step(optimizer)
    assert (optimizer.steps, optimizer.last_lr) == (4, (RATE(3), RATE(3)))
    other = tapered.Adam([dict(group) for group in optimizer.param_groups], lr=0.5)  # a new one of another's groups
    step(other)
    assert other.last_lr == (RATE(4), RATE(4))
    optimizer.param_groups = [dict(group) for group in optimizer.param_groups]  # Lightning's BaseFinetuning
    step(optimizer)
    assert optimizer.last_lr == (RATE(4), RATE(4))


def test_nothing_but_plain_values_stands_where_others_save() -> None:
    optimizer = tapered.AdamW(weights(), lr=RATE, betas=(schedules.linear(0.9, 0.5, steps=9), 0.99))
    step(optimizer)
    found = torch.load(_file({**optimizer.param_groups[0], "params": []}), weights_only=True)
    assert found["schedules"] == {"lr": str(RATE), "beta1": "linear(0.9, end=0.5, steps=9)"}
    assert optimizer.defaults["lr"] == RATE(0)
    assert optimizer.schedules == ({"lr": RATE, "beta1": schedules.linear(0.9, 0.5, steps=9)},)


def _file(value) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return file


@BOTH
def test_the_schedule_in_force_written_into_a_group_is_taken_for_its_number(make) -> None:
    """fastai's Learner writes what it was made with before each fit; whatever comes next puts the number back."""
    other = schedules.linear(0.1, 0.0, steps=9)
    for act in (
        lambda o, _: step(o),
        lambda o, _: o.state_dict(),
        lambda o, _: copy.deepcopy(o),
        lambda _, f: f.extend(30, how="hold"),
        lambda _, f: f.replace(lr=other, counted="now"),
        lambda o, _: o.load_state_dict(copy.deepcopy(o).state_dict()),
        lambda o, _: as_lr_scheduler(o).get_lr(),
        lambda o, _: (o.add_param_group({"params": weights(1)}), step(o)),
    ):
        optimizer, follower = make([{"params": weights()}])
        step(optimizer, 2)
        optimizer.param_groups[0]["lr"] = schedules.parse(str(RATE))
        act(optimizer, follower)
        assert type(optimizer.param_groups[0]["lr"]) is float
    optimizer, follower = make([{"params": weights()}])
    optimizer.param_groups[0]["lr"] = other
    for act in (lambda: step(optimizer), optimizer.state_dict):
        with pytest.raises(
            TypeError, match=r"got the schedule linear\(0\.1, steps=9\) written into `lr` of group 0, .*replace"
        ):
            act()
    follower.replace(lr=other, counted="now")
    step(optimizer)
    assert follower.last_lr == (other(0),)


@BOTH
def test_a_multiplier_that_changed_is_no_rate_from_outside(make) -> None:
    for act in (
        lambda o, _: copy.deepcopy(o),
        lambda o, f: (f.extend(30, how="stretch"), o)[1],
        lambda o, f: (f.replace(weight_decay=0.1), o)[1],
    ):
        optimizer, follower = make([{"params": weights(), "lr_scale": 1.0}])
        step(optimizer)
        optimizer.param_groups[0]["lr_scale"] = 0.5
        changed = act(optimizer, follower)
        step(changed)
        assert changed.param_groups[0]["lr"] < 0.06


def test_a_rate_written_into_a_late_group_is_saved_and_copied() -> None:
    """It is the group's rate at this step, as one that it came with; not so once it was given a schedule."""
    rate = schedules.linear(1.0, steps=4)
    first, late = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = tapered.SGD([first], lr=rate)
    first.grad = torch.ones(2)
    optimizer.step()
    optimizer.add_param_group({"params": [late], "lr": 0.02})
    optimizer.param_groups[1]["lr"] = 0.375
    again = copy.deepcopy(optimizer)
    assert optimizer.schedules[1]["lr"] == 0.5 * rate == again.schedules[1]["lr"]
    assert optimizer.state_dict()["param_groups"][1]["schedules"] == {"lr": "0.5 * linear(steps=4)"}
    optimizer.replace(groups={1: {"lr": rate}}, counted="start")
    optimizer.param_groups[1]["lr"] = 0.05
    with pytest.raises(ValueError, match=r"`lr` in group 1 was set to 0\.05 from outside at step 1"):
        optimizer.step()


def late_number(make, *, number: float = 0.05) -> tuple:
    """Two updates; a group that came with a number between them has had another one written since."""
    optimizer, follower = make([{"params": weights()}, {"params": weights()}])
    step(optimizer)
    optimizer.add_param_group({"params": weights(), "lr": 0.02})
    step(optimizer)
    optimizer.add_param_group({"params": weights()})
    follower.heal()
    assert follower.schedules[2]["lr"] == 0.02 / RATE(1) * RATE
    optimizer.param_groups[2]["lr"] = number
    return optimizer, follower


def shown(optimizer: torch.optim.Optimizer, follower) -> list:
    groups = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    return copy.deepcopy([*groups, follower.last_lr])


@BOTH
@pytest.mark.parametrize(
    "call",
    [
        lambda _, f: f.replace(lr=-1.0),
        lambda _, f: f.replace(weight_decay=-1.0),
        lambda _, f: f.replace(groups={9: {"lr": 0.1}}),
        lambda _, f: f.replace(groups={0: {"lr": RATE}}),
        lambda _, f: f.extend(3, how="hold"),
        lambda _, f: f.load_state_dict({"state": {}}),
        lambda o, _: (o.param_groups[3].update(lr=0.7), o.step()),
    ],
)
def test_a_refusal_leaves_a_number_that_was_written_into_a_late_group(make, call) -> None:
    optimizer, follower = late_number(make)
    for schedule in (None, schedules.linear(0.5, 0.0, steps=9)):
        if schedule is not None:  # which stands in another group, and is refused as long as it does
            optimizer.param_groups[0]["lr"] = schedule
        last = optimizer.param_groups[3]["lr"]
        before = shown(optimizer, follower)
        with pytest.raises((TypeError, ValueError)):
            call(optimizer, follower)
        optimizer.param_groups[3]["lr"] = last
        assert shown(optimizer, follower) == before
    optimizer.load_state_dict({**copy.deepcopy(late_number(make)[0]).state_dict()})
    step(optimizer)


@BOTH
def test_a_number_written_into_a_late_group_and_back_is_none(make) -> None:
    """Nothing that was refused in between has made another schedule of it."""
    optimizer, follower = late_number(make)
    with pytest.raises(ValueError, match="weight_decay"):
        follower.replace(weight_decay=-1.0)
    optimizer.param_groups[2]["lr"] = (0.02 / RATE(1) * RATE)(2)
    step(optimizer)
    assert follower.schedules[2]["lr"] == 0.02 / RATE(1) * RATE


@BOTH
def test_a_schedule_that_stands_in_a_group_is_refused_but_where_another_is_given(make) -> None:
    other = schedules.linear(0.5, 0.0, steps=9)
    optimizer, follower = make([{"params": weights()}, {"params": weights()}])
    step(optimizer)
    optimizer.param_groups[0]["lr"] = other
    for given in ({"weight_decay": 0.1}, {"groups": {1: {"lr": 0.05}}}, {"lr": -1.0}, {"lr": other}):
        with pytest.raises((TypeError, ValueError), match=r"written into|got -1\.0|counted"):
            follower.replace(**given)
        assert optimizer.param_groups[0]["lr"] == other
        with pytest.raises(TypeError, match="written into `lr` of group 0"):
            step(optimizer)
    follower.replace(groups={0: {"lr": 0.05}})
    step(optimizer)
    assert follower.last_lr == (0.05, RATE(1))


@BOTH
def test_a_number_where_nothing_can_be_followed_in_proportion_gives_way_to_a_schedule(make) -> None:
    """As the refusal says."""
    rate = schedules.linear(0.1, 0.0, steps=3)
    optimizer, follower = make([{"params": weights()}])
    follower.replace(lr=rate, counted="start")
    step(optimizer, 2)
    optimizer.add_param_group({"params": weights(), "lr": 0.02})
    step(optimizer)
    optimizer.param_groups[1]["lr"] = 0.05
    with pytest.raises(ValueError, match=r"give the group a schedule of its own, constant\(0\.05\)"):
        step(optimizer)
    follower.replace(groups={1: {"lr": schedules.constant(0.05)}})
    step(optimizer)
    assert follower.last_lr == (0.0, 0.05)


@BOTH
def test_a_step_that_was_refused_has_used_no_multiplier(make) -> None:
    optimizer, follower = make([{"params": weights()}, {"params": weights()}])
    step(optimizer, 2)
    optimizer.param_groups[0]["lr_scale"] = 0.5
    shows, optimizer.param_groups[1]["lr"] = optimizer.param_groups[1]["lr"], 0.7
    with pytest.raises(ValueError, match=r"`lr` in group 1 was set to 0\.7 from outside"):
        optimizer.step()
    optimizer.param_groups[1]["lr"] = shows  # the same object, so that nobody seems to have written it
    before = optimizer.param_groups[0]["params"][0].detach().clone()
    step(optimizer)
    assert follower.last_lr == (0.5 * RATE(2), RATE(2))
    after = optimizer.param_groups[0]["params"][0].detach()
    assert torch.equal(after, before - 0.5 * RATE(2))


@BOTH
def test_a_closure_that_raises_leaves_a_number_in_a_late_group(make) -> None:
    optimizer, follower = make([{"params": weights()}])
    step(optimizer)
    optimizer.add_param_group({"params": weights(), "lr": 0.02})
    step(optimizer, 2)
    optimizer.param_groups[1]["lr"] = 0.05
    before = shown(optimizer, follower)

    def closure() -> float:
        optimizer.param_groups[0]["params"][0].grad = torch.ones(3)
        raise KeyError("closure")

    with pytest.raises(KeyError):
        optimizer.step(closure)
    assert shown(optimizer, follower) == before
