"""torch's own schedulers over an optimizer whose rate is a number: rates, momenta and weights, run and resumed."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import lr_scheduler as torchs
from torch.optim.swa_utils import SWALR, AveragedModel
from torch_templates.judge import Side
from torch_templates.problems import Affine, net, shown
from torch_templates.template import default_only, seeded, template

MAKERS: dict[str, Callable[[Any], Any]] = {
    "LambdaLR": lambda o: torchs.LambdaLR(o, lambda k: 0.9**k),
    "MultiplicativeLR": lambda o: torchs.MultiplicativeLR(o, lambda _: 0.9),
    "StepLR": lambda o: torchs.StepLR(o, 3, 0.5),
    "MultiStepLR": lambda o: torchs.MultiStepLR(o, [2, 7], 0.5),
    "ConstantLR": lambda o: torchs.ConstantLR(o, 0.3, 4),
    "LinearLR": lambda o: torchs.LinearLR(o, 0.2, 1.0, 6),
    "ExponentialLR": lambda o: torchs.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: torchs.PolynomialLR(o, 8, 2.0),
    "CosineAnnealingLR": lambda o: torchs.CosineAnnealingLR(o, 10, 1e-5),
    "CosineAnnealingWarmRestarts": lambda o: torchs.CosineAnnealingWarmRestarts(o, 3, 2),
    "CyclicLR": lambda o: torchs.CyclicLR(o, 1e-4, 1e-2, 3, cycle_momentum=cycles(o)),
    "OneCycleLR": lambda o: torchs.OneCycleLR(o, 1e-2, 20, cycle_momentum=cycles(o)),
    "ReduceLROnPlateau": lambda o: torchs.ReduceLROnPlateau(o, patience=1, threshold=0.5),
    "SequentialLR": lambda o: torchs.SequentialLR(
        o, [torchs.LinearLR(o, 0.1, 1.0, 4), torchs.ExponentialLR(o, 0.8)], [4]
    ),
    "ChainedScheduler": lambda o: torchs.ChainedScheduler([torchs.ConstantLR(o, 0.5, 3), torchs.ExponentialLR(o, 0.9)]),
    "SWALR": lambda o: SWALR(o, swa_lr=5e-4, anneal_epochs=4),
}


def cycles(optimizer: Any) -> bool:
    """It has a momentum to cycle."""
    return "betas" in optimizer.defaults or "momentum" in optimizer.defaults


def moved(scheduler: Any, loss: torch.Tensor) -> None:
    scheduler.step(*([loss] if isinstance(scheduler, torchs.ReduceLROnPlateau) else []))


def tensor_or_not(_info: Any, _device: str) -> dict[str, dict[str, Any]]:
    return {"a number": {"lr": 1e-2}, "a tensor": {"lr": torch.tensor(1e-2)}}


@template(ways=("default",), given=tensor_or_not, variants={n: {"name": n} for n in MAKERS}, times=20)
def every_scheduler(side: Side, *, name: str) -> None:
    """What the scheduler writes is what the next update uses."""
    problem = Affine(side)
    optimizer = side.make([{"params": [problem.matrix]}, {"params": [problem.bias], "lr": 2e-2}])
    scheduler = MAKERS[name](optimizer)
    for k in range(14):
        loss = problem.gradients(optimizer)
        optimizer.step()
        moved(scheduler, loss)
        shown(side, optimizer, problem.params, f"update {k}")
        groups = optimizer.param_groups
        side.see("momenta", [list(g["betas"]) if "betas" in g else g.get("momentum") for g in groups])
        side.see("latest", [float(rate) for rate in scheduler.get_last_lr()])


@template(
    ways=("default",),
    given=default_only,
    variants={f"{n}{' last' * late}": {"name": n, "late": late} for n in MAKERS for late in (False, True)},
    times=20,
)
def resumed_scheduler(side: Side, *, name: str, late: bool) -> None:
    """Optimizer and scheduler saved and loaded into new ones; the scheduler made before loading, or after."""
    problem = Affine(side)
    optimizer = side.make(problem.params)
    scheduler = MAKERS[name](optimizer)
    for k in range(10):
        if k == 5:
            states = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
            optimizer = side.make(problem.params)
            if not late:
                scheduler = MAKERS[name](optimizer)
            optimizer.load_state_dict(states[0])
            if late:
                scheduler = MAKERS[name](optimizer)
            scheduler.load_state_dict(states[1])
        loss = problem.gradients(optimizer)
        optimizer.step()
        moved(scheduler, loss)
        shown(side, optimizer, problem.params, f"update {k}")


@template(ways=("default",), given=default_only, times=5)
def continued_scheduler(side: Side) -> None:
    """A scheduler made with last_epoch over groups that keep what it left there."""
    problem = Affine(side)
    optimizer = side.make(problem.params)
    first = torchs.OneCycleLR(optimizer, 1e-2, 20, cycle_momentum=cycles(optimizer))
    for _ in range(4):
        problem.gradients(optimizer)
        optimizer.step()
        first.step()
    other = side.make(problem.params)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    second = torchs.OneCycleLR(other, 1e-2, 20, cycle_momentum=cycles(other), last_epoch=4)
    for k in range(4):
        problem.gradients(other)
        other.step()
        second.step()
        shown(side, other, problem.params, f"update {k}")


@template(ways=("default", "fused=True"), given=default_only, times=20)
def averaged(side: Side) -> None:
    """An average of weights along the way, with its scheduler."""
    made = net(side)
    average, optimizer = AveragedModel(made), side.make(made.parameters())
    scheduler = SWALR(optimizer, swa_lr=0.02, anneal_epochs=3)
    for k in range(6):
        optimizer.zero_grad()
        made(seeded(4, 2, of=side)).pow(2).sum().backward()
        optimizer.step()
        average.update_parameters(made)
        scheduler.step()
        shown(side, optimizer, list(made.parameters()), f"update {k}")
        side.see("average", list(average.parameters()))
