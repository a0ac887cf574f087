"""The optimizers: torch's numbers, one counter, schedules for every hyper, states that travel both ways."""

import copy
import pickle

import pytest
import torch
from saving import filed
from torch import nn

import tapered
from tapered import schedules
from tapered.rules import ScheduleFreeAdamW, kernels

PAIRS = [
    (tapered.Adam, torch.optim.Adam, {"weight_decay": 0.01}),
    (tapered.Adam, torch.optim.Adam, {"amsgrad": True, "decoupled_weight_decay": True, "weight_decay": 0.1}),
    (tapered.AdamW, torch.optim.AdamW, {"betas": (0.8, 0.99)}),
    (tapered.NAdam, torch.optim.NAdam, {"weight_decay": 0.01, "decoupled_weight_decay": True}),
    (tapered.RAdam, torch.optim.RAdam, {"weight_decay": 0.01}),
    (tapered.Adamax, torch.optim.Adamax, {"weight_decay": 0.01}),
    (tapered.RMSprop, torch.optim.RMSprop, {"momentum": 0.9, "centered": True}),
    (tapered.RMSprop, torch.optim.RMSprop, {}),
    (tapered.Adagrad, torch.optim.Adagrad, {"lr_decay": 0.1, "initial_accumulator_value": 0.1}),
    (tapered.Adadelta, torch.optim.Adadelta, {"rho": 0.8}),
    (tapered.SGD, torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    (tapered.SGD, torch.optim.SGD, {"momentum": 0.9, "dampening": 0.5}),
    (tapered.SGD, torch.optim.SGD, {}),
]
OURS_ALONE = [(tapered.Lion, {"weight_decay": 0.1}), (tapered.ScheduleFreeAdamW, {"r": 1})]
EVERY = [(ours, options) for ours, _, options in PAIRS] + OURS_ALONE
RATE = 0.05 * schedules.exponential_decay(decay_steps=1, decay_rate=0.9)


def model(dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(dtype)


def batch(step: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(step), dtype=torch.float64).to(dtype)


def train(net: nn.Module, optimizer: torch.optim.Optimizer, start: int, stop: int, scheduler=None) -> None:
    for step in range(start, stop):
        optimizer.zero_grad()
        net(batch(step, next(net.parameters()).dtype)).square().mean().backward()
        optimizer.step()
        if scheduler:
            scheduler.step()


def weights(net: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


@pytest.mark.parametrize(("ours", "theirs", "options"), PAIRS)
@pytest.mark.parametrize("maximize", [False, True])
def test_steps_as_torch_with_its_scheduler(ours, theirs, options, maximize) -> None:
    nets = model(), model()
    peer = theirs(nets[1].parameters(), lr=0.05, maximize=maximize, **options)
    train(nets[0], ours(nets[0].parameters(), lr=RATE, maximize=maximize, **options), 0, 60)
    train(nets[1], peer, 0, 60, torch.optim.lr_scheduler.ExponentialLR(peer, 0.9))
    # NAdam's mu_product is a float32 in torch
    torch.testing.assert_close(weights(nets[0]), weights(nets[1]), rtol=1e-7 if ours is tapered.NAdam else 1e-9, atol=0)


@pytest.mark.parametrize(("ours", "theirs", "options"), PAIRS)
def test_states_travel_both_ways(ours, theirs, options) -> None:
    nets = model(), model(), model()
    straight = theirs(nets[0].parameters(), lr=0.01, **options)
    train(nets[0], straight, 0, 20)
    first = theirs(nets[1].parameters(), lr=0.01, **options)
    train(nets[1], first, 0, 7)
    second = ours(nets[1].parameters(), lr=0.01, **options)
    second.load_state_dict(filed(first.state_dict()))
    train(nets[1], second, 7, 14)
    third = theirs(nets[1].parameters(), lr=0.01, **options)
    third.load_state_dict(filed(second.state_dict()))
    train(nets[1], third, 14, 20)
    torch.testing.assert_close(weights(nets[1]), weights(nets[0]), rtol=1e-7, atol=0)


@pytest.mark.parametrize(("ours", "options"), EVERY)
def test_resumes_bit_for_bit(ours, options) -> None:
    straight, resumed = model(), model()
    train(straight, ours(straight.parameters(), lr=RATE, **options), 0, 12)
    first = ours(resumed.parameters(), lr=RATE, **options)
    train(resumed, first, 0, 5)
    state = filed(first.state_dict())
    second = ours(resumed.parameters(), lr=RATE, **options)
    second.load_state_dict(state)
    assert second.steps == 5
    train(resumed, second, 5, 12)
    assert torch.equal(weights(straight), weights(resumed))


def test_a_loaded_state_is_not_written() -> None:
    net = model()
    first = tapered.Adam(net.parameters(), lr=0.01)
    train(net, first, 0, 3)
    state = first.state_dict()
    kept = copy.deepcopy(state)
    second = tapered.Adam(net.parameters(), lr=0.01)
    second.load_state_dict(state)
    train(net, second, 3, 6)
    for key, tensors in kept["state"].items():
        assert all(torch.equal(state["state"][key][name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize(("ours", "options"), EVERY)
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_go_on_alone(ours, options, clone) -> None:
    net = model()
    optimizer = ours(net.parameters(), lr=RATE, **options)
    train(net, optimizer, 0, 5)
    other, twin = clone((net, optimizer))
    train(net, optimizer, 5, 9)
    kept = weights(net).clone()
    train(other, twin, 5, 9)
    assert torch.equal(weights(other), kept)
    assert torch.equal(weights(net), kept)
    assert twin.steps == optimizer.steps == 9


@pytest.mark.parametrize(("ours", "options"), EVERY)
def test_complex_parameters_are_pairs_of_real_ones(ours, options) -> None:
    start = torch.randn(6, dtype=torch.complex128, generator=torch.Generator().manual_seed(1))
    number, pair = nn.Parameter(start.clone()), nn.Parameter(torch.view_as_real(start).clone())
    optimizers = ours([number], lr=RATE, **options), ours([pair], lr=RATE, **options)
    for step in range(5):
        number.grad = torch.randn(6, dtype=torch.complex128, generator=torch.Generator().manual_seed(9 + step))
        pair.grad = torch.view_as_real(number.grad).clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(torch.view_as_real(number.detach()), pair.detach(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("ours", "options"), [pair for pair in EVERY if pair[0] in (tapered.Adam, tapered.SGD, tapered.Adagrad)]
)
def test_fused_kernel_is_the_rule(ours, options) -> None:
    for dtype, tolerance in ((torch.float64, 1e-13), (torch.float32, 2e-6)):
        nets = model(dtype), model(dtype)
        for net, fused in zip(nets, (True, False), strict=True):
            train(net, ours(net.parameters(), lr=RATE, fused=fused, **options), 0, 30)
        torch.testing.assert_close(weights(nets[0]), weights(nets[1]), rtol=tolerance, atol=tolerance)


def test_fused_where_there_is_none() -> None:
    net = model()
    optimizer = tapered.Adam(
        [{"params": net[0].parameters()}, {"params": net[2].parameters(), "decoupled_weight_decay": True}]
    )
    train(net, optimizer, 0, 1)
    lion = tapered.Lion(net.parameters())
    lion.param_groups[0]["fused"] = True
    before = weights(net).clone()
    with pytest.raises(ValueError, match="fused=True: torch has no fused kernel for Lion"):
        train(net, lion, 0, 1)
    assert torch.equal(weights(net), before)
    assert lion.steps == 0


class Scaled(nn.Module):
    """A parameter without dimensions, and a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.matrix = nn.Parameter(torch.tensor(1.5).double()), nn.Parameter(torch.eye(3).double())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * (x @ self.matrix) + 1


@pytest.mark.parametrize("ours", [tapered.RMSprop, tapered.RAdam, tapered.ScheduleFreeAdamW])
def test_compiles_once(ours) -> None:
    torch._dynamo.reset()
    nets = Scaled(), Scaled()
    with torch._dynamo.config.patch(error_on_recompile=True):
        train(nets[0], ours(nets[0].parameters(), lr=RATE, compile=True), 0, 20)
    train(nets[1], ours(nets[1].parameters(), lr=RATE), 0, 20)
    torch.testing.assert_close(weights(nets[0]), weights(nets[1]), rtol=1e-12, atol=0)


def test_every_hyper_may_be_a_schedule_in_every_group() -> None:
    fall, rise = schedules.linear(0.9, 0.5, steps=10), schedules.linear(0.0, 0.1, steps=10)
    net = model()
    groups = [
        {"params": net[0].parameters(), "betas": (fall, 0.99), "weight_decay": rise},
        {"params": net[2].parameters(), "lr": RATE, "eps": 1e-6},
    ]
    optimizer = tapered.AdamW(groups, lr=0.01)
    twin = model()
    peers = [torch.optim.AdamW(layer.parameters(), lr=0.01) for layer in (twin[0], twin[2])]
    for step in range(15):
        shown = [{k: g[k] for k in ("lr", "betas", "weight_decay")} for g in optimizer.param_groups]
        train(net, optimizer, step, step + 1)
        peers[0].param_groups[0].update(betas=(fall(step), 0.99), weight_decay=rise(step))
        peers[1].param_groups[0].update(lr=RATE(step), eps=1e-6)
        assert optimizer.last_lr == (0.01, RATE(step))
        assert shown[0] == {"lr": 0.01, "betas": (fall(step), 0.99), "weight_decay": rise(step)}
        assert shown[1] == {"lr": RATE(step), "betas": (0.9, 0.999), "weight_decay": 0.01}
        twin.zero_grad()
        twin(batch(step)).square().mean().backward()
        for peer in peers:
            peer.step()
    torch.testing.assert_close(weights(net), weights(twin), rtol=1e-12, atol=0)


def test_a_momentum_that_comes_down_to_zero() -> None:
    nets, fall = (model(), model()), schedules.linear(0.9, 0.0, steps=3)
    optimizer = tapered.SGD(nets[0].parameters(), lr=0.1, momentum=fall)
    train(nets[0], optimizer, 0, 6)
    train(nets[1], tapered.SGD(nets[1].parameters(), lr=0.1, momentum=fall, fused=False), 0, 6)
    torch.testing.assert_close(weights(nets[0]), weights(nets[1]), rtol=1e-12, atol=0)


def test_weight_decay_relative_to_the_peak() -> None:
    """Loshchilov and Hutter's and timm's forms are values of weight_decay."""
    shape, peak, wd = schedules.linear(1.0, 0.0, steps=10), 0.1, 0.3
    for decay, factor in (
        (wd / peak, lambda k: shape(k) * wd),
        (wd * shape, lambda k: wd * (peak * shape(k)) ** 2 / peak),
    ):
        param = nn.Parameter(torch.full((3,), 2.0, dtype=torch.float64))
        optimizer = tapered.AdamW([param], lr=peak * shape, weight_decay=decay)
        expected = 2.0
        for step in range(8):
            param.grad = torch.zeros_like(param)
            optimizer.step()
            expected *= 1 - factor(step)
        torch.testing.assert_close(param.detach(), torch.full((3,), expected, dtype=torch.float64), rtol=1e-12, atol=0)


def test_counts_applied_updates_only() -> None:
    net = model()
    seen = []
    rate = schedules.from_function(lambda step: seen.append(step) or 0.1)
    optimizer = tapered.SGD(net.parameters(), lr=rate)
    optimizer.step()
    assert optimizer.steps == 0  # no gradients, no update
    calls = []

    def closure() -> torch.Tensor:
        for _ in range(3):
            optimizer.zero_grad()
            calls.append(net(batch(0)).square().mean())
            calls[-1].backward()
        return calls[-1]

    assert optimizer.step(closure) is calls[-1]
    assert (optimizer.steps, len(calls), max(seen)) == (1, 3, 1)  # the next rate is shown, and no more is asked


def test_a_scaler_that_skips_does_not_move_the_counter() -> None:
    net = model(torch.float32)
    optimizer = tapered.Adam(net.parameters(), lr=RATE)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=10**6)
    for step in range(6):
        optimizer.zero_grad()
        loss = net(batch(step, torch.float32)).square().mean() * (float("inf") if step in (1, 4) else 1.0)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    assert optimizer.steps == 4
    assert (optimizer.last_lr, optimizer.param_groups[0]["lr"]) == ((RATE(3),), RATE(4))


def test_parameters_without_gradients_wait_as_in_torch() -> None:
    nets = model(), model()
    optimizers = tapered.Adam(nets[0].parameters(), lr=0.01), torch.optim.Adam(nets[1].parameters(), lr=0.01)
    for step in range(6):
        for net, optimizer in zip(nets, optimizers, strict=True):
            optimizer.zero_grad()
            net(batch(step)).square().mean().backward()
            if step % 2:
                net[0].weight.grad = None
            optimizer.step()
    torch.testing.assert_close(weights(nets[0]), weights(nets[1]), rtol=1e-12, atol=0)
    counts = [int(state["step"]) for state in optimizers[0].state_dict()["state"].values()]
    assert counts == [3, 6, 6, 6]
    assert optimizers[0].steps == 6


def test_a_late_group_reads_the_same_counter() -> None:
    net = model()
    optimizer = tapered.SGD(net[0].parameters(), lr=RATE)
    train(net, optimizer, 0, 4)
    optimizer.add_param_group({"params": net[2].parameters(), "lr": RATE.delayed(optimizer.steps)})
    train(net, optimizer, 4, 6)
    assert optimizer.last_lr == (RATE(5), RATE(1))
    assert [group["lr"] for group in optimizer.param_groups] == [RATE(6), RATE(2)]
    assert [group["step"] for group in optimizer.param_groups] == [6, 6]


@pytest.mark.parametrize("loss", [0.5, None, torch.ones(2, 3), torch.ones(0)], ids=str)
def test_minimize_takes_one_number_and_says_so_before_anything_changes(loss) -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    optimizer = tapered.Adam([weight], lr=RATE)
    with pytest.raises(TypeError, match=r"expected a tensor with one element, before \.item\(\), or a function"):
        optimizer.minimize(loss)
    assert (optimizer.steps, weight.grad.tolist()) == (0, [1.0, 1.0])


def test_minimize_is_zero_grad_backward_step() -> None:
    nets = model(), model()
    optimizer = tapered.Adam(nets[0].parameters(), lr=RATE)
    losses = [optimizer.minimize(nets[0](batch(step)).square().mean()) for step in range(2)]
    losses.append(optimizer.minimize(lambda: nets[0](batch(2)).square().mean()))
    train(nets[1], tapered.Adam(nets[1].parameters(), lr=RATE), 0, 3)
    assert torch.equal(weights(nets[0]), weights(nets[1]))
    assert losses[0] == model()(batch(0)).square().mean()
    assert not losses[2].requires_grad


def test_state_before_the_first_step() -> None:
    net = model()
    optimizer = tapered.Adam(net.parameters(), lr=RATE)
    optimizer.init_state()
    assert [set(optimizer.state[p]) for p in net.parameters()] == [{"step", "exp_avg", "exp_avg_sq"}] * 4
    # torch.distributed.checkpoint makes such a state to load another into
    assert [int(entry["step"]) for entry in optimizer.state_dict()["state"].values()] == [0] * 4
    train(net, optimizer, 0, 3)
    assert int(optimizer.state[net[0].weight]["step"]) == 3


def test_readout_lends_the_average_and_gives_the_weights_back() -> None:
    net = model()
    optimizer = tapered.ScheduleFreeAdamW(net.parameters(), lr=0.05)
    train(net, optimizer, 0, 10)
    before, rule = weights(net).clone(), ScheduleFreeAdamW()
    averages = [rule.readout(p.detach(), optimizer.state[p]).flatten() for p in net.parameters()]
    with optimizer.readout():
        assert torch.equal(weights(net), torch.cat(averages))
        assert not torch.equal(weights(net), before)
    assert torch.equal(weights(net), before)
    with pytest.raises(ZeroDivisionError), optimizer.readout():
        1 / 0  # noqa: B018 - an evaluation that fails
    assert torch.equal(weights(net), before)
    plain = tapered.Adam(net.parameters())
    train(net, plain, 0, 1)
    before = weights(net).clone()
    with plain.readout():
        assert torch.equal(weights(net), before)


def test_autocast_reads_the_weights_that_are_lent() -> None:
    net = torch.nn.Linear(4, 4)
    optimizer = tapered.ScheduleFreeAdamW(net.parameters(), lr=0.05)
    for _ in range(3):
        optimizer.minimize(net(torch.ones(2, 4)).square().sum())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        before = net(torch.ones(2, 4))  # casts the weights, and keeps what it cast
        with optimizer.readout():
            assert not torch.equal(net(torch.ones(2, 4)), before)
        assert torch.equal(net(torch.ones(2, 4)), before)


def test_state_tensors_replaced_by_others_are_seen() -> None:
    net = model()
    optimizer = tapered.Adam(net.parameters(), lr=0.01)
    train(net, optimizer, 0, 2)
    for state in optimizer.state.values():
        state["exp_avg"] = torch.full_like(state["exp_avg"], 100.0)
    before = weights(net).clone()
    train(net, optimizer, 2, 3)
    assert (weights(net) < before).all()


def test_named_parameters_and_one_tensor() -> None:
    net = model()
    optimizer = tapered.SGD(net.named_parameters(), lr=0.1)
    assert optimizer.param_groups[0]["param_names"] == [name for name, _ in net.named_parameters()]
    assert tapered.SGD(nn.Parameter(torch.ones(2)), lr=0.1).steps == 0


def test_a_given_group_is_not_written() -> None:
    group = {"params": list(model().parameters()), "lr": RATE}
    tapered.Adam([group])
    assert set(group) == {"params", "lr"}


def test_a_callers_own_tensor_is_the_rate() -> None:
    nets, rates = (model(), model()), (torch.tensor(0.1), torch.tensor(0.1))
    for net, rate, kind in zip(nets, rates, (tapered.SGD, torch.optim.SGD), strict=True):
        optimizer = kind([{"params": layer.parameters()} for layer in (net[0], net[2])], lr=rate)
        assert all(group["lr"] is rate for group in optimizer.param_groups)
        for step in range(4):
            rate.fill_(0.1 / (step + 1))
            train(net, optimizer, step, step + 1)
    torch.testing.assert_close(weights(nets[0]), weights(nets[1]), rtol=1e-12, atol=0)


def test_torchs_scheduler_steers_an_optimizer_with_a_number() -> None:
    nets = model(), model()
    ours, theirs = tapered.Adam(nets[0].parameters(), lr=0.1), torch.optim.Adam(nets[1].parameters(), lr=0.1)
    for net, optimizer in zip(nets, (ours, theirs), strict=True):
        train(net, optimizer, 0, 5, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10))
    torch.testing.assert_close(weights(nets[0]), weights(nets[1]), rtol=1e-12, atol=0)
    again = tapered.Adam(nets[0].parameters(), lr=0.1)
    again.load_state_dict(ours.state_dict())  # the rate in force is the saved one
    assert again.param_groups[0]["lr"] == theirs.param_groups[0]["lr"]


def test_step_hooks_and_load_hooks_run() -> None:
    net, called = model(), []
    optimizer = tapered.Adam(net.parameters())
    optimizer.register_step_post_hook(lambda *_: called.append("step"))
    optimizer.register_load_state_dict_pre_hook(lambda _, state: called.append("before") or state)
    optimizer.register_load_state_dict_post_hook(lambda _: called.append("after"))
    train(net, optimizer, 0, 1)
    optimizer.load_state_dict(optimizer.state_dict())
    assert called == ["step", "before", "after"]


def test_separate_counts_are_moved_together() -> None:
    """Tensors that are no elements of one vector, as other tools leave them."""
    params = [torch.ones(2), torch.ones(2)]
    steps = [torch.zeros(()), torch.zeros(())]
    rule = tapered.optim.SGD([nn.Parameter(torch.ones(1))]).rule({"momentum": 0, "dampening": 0, "nesterov": False})
    apply = kernels.prepare(rule, params, [{}, {}], steps)
    apply([torch.ones(2)] * 2, {"lr": 0.5, **rule.hypers})
    assert [int(step) for step in steps] == [1, 1]
    assert torch.equal(params[1], torch.full((2,), 0.5))


def test_a_state_that_is_only_a_count_is_kept() -> None:
    """Plain SGD has no moments; its parameters' counts went back to 0 at each load."""
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = tapered.SGD([weight], lr=0.1)
    for _ in range(3):
        optimizer.minimize(weight.square().sum())
    other = tapered.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    other.load_state_dict(optimizer.state_dict())
    assert other.state_dict()["state"] == optimizer.state_dict()["state"] == {0: {"step": torch.tensor(3.0)}}


def test_a_count_without_its_moments_is_refused() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = tapered.Adam([weight], lr=0.1)
    optimizer.minimize(weight.square().sum())
    state = optimizer.state_dict()
    state["state"][0] = {"step": state["state"][0]["step"]}
    with pytest.raises(
        ValueError, match=r"parameter 0 in group 0 has the saved state \['step'\]; expected \['exp_avg'"
    ):
        tapered.Adam([torch.nn.Parameter(torch.ones(2))], lr=0.1).load_state_dict(state)
