"""Back to the last finite checkpoint, from there the same bits as a run that was never disturbed; and its bounds."""

import pytest
import torch
from checkpoint_cases import OPTIMIZERS, RATE, Run, same_bits
from torch import nn

import tapered
from tapered.checkpoint import CheckpointError, save
from tapered.guards import GradientError, Rewound, guard

STOP, NAN = 16, float("nan")
PLAIN = {
    "foreach AdamW": lambda params: (torch.optim.AdamW(params, lr=0.05, foreach=True), None),
    "torch SGD": lambda params: (torch.optim.SGD(params, lr=0.05, momentum=0.9), None),
}


def poison(run: Run, value: float, at: list[int]) -> None:
    """Once at each of these steps, the gradient of one weight is bad."""

    def spoiled(grad: torch.Tensor) -> torch.Tensor:
        if len(run.losses) not in at:
            return grad
        at.remove(len(run.losses))
        return grad.index_fill(0, torch.tensor([0]), value)

    next(run.model.parameters()).register_hook(spoiled)


def trained(run: Run, folder, start: int = 0, *, every: int = 5) -> list[int]:
    """A training loop as a user writes it; the steps that it came back to."""
    came_back = []

    def saved(step: int) -> None:
        if step % every == 0:
            save(folder, step, **run.parts)

    while start < STOP:
        try:
            run.train(start, STOP, each=saved)
            start = STOP
        except Rewound as back:
            start = back.resumed.step
            came_back.append(start)
            assert all(p.grad is None for p in run.model.parameters())
            del run.losses[start:]
    return came_back


@pytest.mark.parametrize("name", ["Adam", "SGD", "fused Adam, attached", "foreach AdamW", "torch SGD"])
def test_the_same_bits_as_undisturbed(name, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(OPTIMIZERS, name, {**OPTIMIZERS, **PLAIN}[name])
    model = "convolution" if "fused" in name else "perceptron"
    undisturbed = Run(model, name)
    undisturbed.train(0, STOP)
    run = Run(model, name)
    save(tmp_path, 0, **run.parts)
    watching = guard(run.optimizer, "rewind", folder=tmp_path, **run.parts)
    poison(run, NAN, [3, 7, 12])
    assert trained(run, tmp_path) == [0, 5, 10]
    assert run.losses == undisturbed.losses
    assert same_bits(run.bits(), undisturbed.bits())
    assert [g["lr"] for g in run.optimizer.param_groups] == [g["lr"] for g in undisturbed.optimizer.param_groups]
    assert (watching.rewinds, watching.skipped, watching.step) == (3, 0, STOP)
    assert (watching.fault.step, watching.fault.name) == (12, "model.0.weight")


def test_an_overflowing_moment(tmp_path) -> None:
    undisturbed = Run("perceptron", "Adam")
    undisturbed.train(0, STOP)
    run = Run("perceptron", "Adam")
    save(tmp_path, 0, **run.parts)
    watching = guard(run.optimizer, "rewind", folder=tmp_path, **run.parts)
    poison(run, 1e30, [8])
    assert trained(run, tmp_path) == [5]
    assert same_bits(run.bits(), undisturbed.bits())
    assert watching.fault.moment == "exp_avg_sq"


def spoil(run: Run) -> None:
    run.optimizer.zero_grad()
    for param in run.model.parameters():
        param.grad = torch.full_like(param, NAN)
    run.optimizer.step()


def test_so_often_to_one_checkpoint(tmp_path) -> None:
    run = Run("perceptron", "Adam")
    save(tmp_path, 0, **run.parts)
    watching = guard(run.optimizer, "rewind", folder=tmp_path, most=2, **run.parts)
    for start in (0, 4):
        for _ in range(2):
            with pytest.raises(Rewound, match=rf"the run is back at step {start} \(00000\d-step{start}\): go on"):
                spoil(run)
        run.train(start, start + 4)
        if not start:
            save(tmp_path, 4, **run.parts)
    before = run.bits()
    with pytest.raises(GradientError, match="went back to 000002-step4 2 times and came here again, so nothing has"):
        spoil(run)
    assert same_bits(run.bits(), before)
    assert watching.rewinds == 4


def test_nowhere_to_go_back_to(tmp_path) -> None:
    run = Run("perceptron", "Adam")
    guard(run.optimizer, "rewind", folder=tmp_path / "none", **run.parts)
    run.train(0, 2)
    before = run.bits()
    with pytest.raises(GradientError, match=r"at step 2; .*none holds no finite checkpoint to go back to, so nothing"):
        spoil(run)
    assert same_bits(run.bits(), before)


def test_what_is_not_finite_or_not_whole_is_passed_over(tmp_path) -> None:
    """Row 19: of step 9 only the newer checkpoint counts, whose weights are NaN, and step 7 is damaged."""
    run = Run("perceptron", "SGD")
    for step in (3, 7, 9):
        run.train(len(run.losses), step)
        path = save(tmp_path, step, keep=None, **run.parts)
        if step == 7:
            damaged = path / "tensors-0.safetensors"
        if step == 3:
            sound = run.bits()
    weight = next(run.model.parameters())
    with torch.no_grad():
        weight.fill_(NAN)
    save(tmp_path, 9, keep=None, **run.parts)
    damaged.write_bytes(b"\0" + damaged.read_bytes()[1:])
    guard(run.optimizer, "rewind", folder=tmp_path, **run.parts)
    with pytest.raises(Rewound) as back:
        spoil(run)
    assert back.value.resumed.step == 3
    assert same_bits(run.bits(), sound)


def test_parts_that_differ(tmp_path) -> None:
    run = Run("perceptron", "Adam")
    save(tmp_path, 0, **run.parts, other=torch.ones(1))
    guard(run.optimizer, "rewind", folder=tmp_path, **run.parts)
    with pytest.raises(GradientError, match=r"no checkpoint can be gone back to, .* give \['other'\] too") as caught:
        spoil(run)
    assert isinstance(caught.value.__cause__, CheckpointError)


@pytest.mark.parametrize("fused", [True, False])
def test_with_a_grad_scaler_and_rates_moved_by_hand(fused, tmp_path) -> None:
    """After the way back the scaler unscales again, at the saved scale; the rate is the saved one."""

    def made():
        weight = nn.Parameter(torch.ones(3))
        optimizer = torch.optim.Adam([weight], lr=0.1, fused=fused)
        return weight, optimizer, torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)

    def step(weight, optimizer, scaler, factor=1.0):
        optimizer.zero_grad()
        scaler.scale(factor * (weight**3).sum()).backward()
        scaler.step(optimizer)
        scaler.update()

    plain, run = made(), made()
    parts = dict(zip(("weight", "optimizer", "scaler"), run, strict=True))
    guard(run[1], "rewind", folder=tmp_path, **parts)
    for one in (plain, run):
        for _ in range(3):
            step(*one)
    save(tmp_path, 3, **parts)
    run[1].param_groups[0]["lr"] = 0.01
    step(*run)
    with pytest.raises(Rewound):
        step(*run, factor=1e30)
    for one in (plain, run):
        for _ in range(3):
            step(*one)
    assert torch.equal(run[0], plain[0])
    assert run[2].state_dict() == plain[2].state_dict()
    assert run[1].param_groups[0]["lr"] == 0.1


def test_replaced_since(tmp_path) -> None:
    """Everything that the checkpoint holds comes back, the schedule too."""
    weight = nn.Parameter(torch.ones(2))
    optimizer = tapered.Adam([weight], lr=RATE)
    guard(optimizer, "rewind", folder=tmp_path, weight=weight, optimizer=optimizer)
    save(tmp_path, 0, weight=weight, optimizer=optimizer)
    optimizer.replace(lr=1e-4)
    optimizer.minimize((weight**2).sum())
    with pytest.raises(Rewound):
        optimizer.minimize(NAN * weight.sum())
    assert (optimizer.steps, optimizer.schedules[0]["lr"]) == (0, RATE)
