"""Training: weights, states, losses and rates along the way, with groups, schedulers, closures and edits by hand."""

from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch_templates.database import OURS, Options, inputs
from torch_templates.judge import Side
from torch_templates.problems import Affine, shown, slopes, weight
from torch_templates.template import seeded, template

MOST = max(len(info.scheduler_inputs) for info in OURS.values())
SCHEDULED = {"no scheduler": None, **{f"schedulers {i}": i for i in range(MOST)}}
LAYOUTS = {"contiguous": False, "scattered": True}


def has(info: Any, chosen: int | None) -> bool:
    """torch's table has this set of schedulers for the optimizer."""
    return chosen is None or chosen < len(info.scheduler_inputs)


def schedulers_of(side: Side, optimizer: Any, chosen: int | None) -> list[Any]:
    """A set of schedulers of torch's table."""
    return [] if chosen is None else [make(optimizer) for make in side.info.scheduler_inputs[chosen]]


def move(schedulers: list[Any], loss: torch.Tensor) -> None:
    for scheduler in schedulers:
        scheduler.step(*([loss] if isinstance(scheduler, ReduceLROnPlateau) else []))


@template(
    variants={
        f"{layout}, {name}": {"scattered": scattered, "chosen": chosen}
        for layout, scattered in LAYOUTS.items()
        for name, chosen in SCHEDULED.items()
    },
    only=lambda info, variant: has(info, variant["chosen"]),
    times=20,
)
def right_direction(side: Side, *, scattered: bool, chosen: int | None) -> None:
    """The loss falls (or climbs), with and without schedulers, weights in one piece or not."""
    problem = Affine(side, scattered=scattered)
    optimizer = side.make(problem.params)
    schedulers = schedulers_of(side, optimizer, chosen)
    first = problem.loss().item()
    for k in range(20):
        loss = problem.gradients(optimizer)
        side.see("loss", loss.item())
        optimizer.step()
        move(schedulers, loss)
        shown(side, optimizer, problem.params, f"update {k}")
    side.see("falls", problem.loss().item() < first)


@template(
    variants={name: {"chosen": chosen} for name, chosen in SCHEDULED.items() if chosen is not None},
    only=lambda info, variant: has(info, variant["chosen"]),
    times=20,
)
def scheduled_groups(side: Side, *, chosen: int) -> None:
    """Two groups, one with a rate of its own, under schedulers, stepped with a closure."""
    problem = Affine(side)
    optimizer = side.make([{"params": [problem.matrix]}, {"params": [problem.bias], "lr": 0.01}])
    schedulers = schedulers_of(side, optimizer, chosen)
    for k in range(20):
        loss = optimizer.step(lambda: problem.gradients(optimizer))
        side.see("loss", loss)
        move(schedulers, loss)
        shown(side, optimizer, problem.params, f"update {k}")


@template(times=20)
def groups_weight_decay(side: Side) -> None:
    """Options in the groups alone; one of them without weight decay."""
    problem, options = Affine(side), side.options
    groups = [{"params": [problem.matrix], **options}, {"params": [problem.bias], **options, "weight_decay": 0.0}]
    problem.train(side, side.kind(groups), 20)


@template(times=20)
def groups_rate(side: Side) -> None:
    """A group's rate holds against the outer one, and a group without one gets the outer, which is next to none."""
    problem, still = Affine(side), weight(side, 2)
    rate = side.options.get("lr", 1e-3) or 1e-3
    groups = [{"params": problem.params, **side.options, "lr": rate}, {"params": [still]}]
    optimizer = side.kind(groups, lr=1e-28)
    for k in range(20):
        problem.gradients(optimizer)
        still.grad = seeded(2, of=side, seed=k)
        optimizer.step()
        shown(side, optimizer, [*problem.params, still], f"update {k}")
    side.see("still", torch.equal(still, weight(side, 2)))


@template(times=20)
def late_group(side: Side) -> None:
    """A group that joins after three updates, and one that joins before the first."""
    problem, late = Affine(side), weight(side, 4, 3, seed=5)
    optimizer = side.make([problem.matrix])
    optimizer.add_param_group({"params": problem.bias, "lr": 0.02})
    problem.train(side, optimizer, 3)
    optimizer.add_param_group({"params": [late], "weight_decay": 0.3})
    for k in range(3, 7):
        slopes([*problem.params, late], k)
        optimizer.step()
        shown(side, optimizer, [*problem.params, late], f"update {k}")
    side.see("groups", [len(group["params"]) for group in optimizer.param_groups])


@template(variants={f"{dim} dimensions": {"dim": dim} for dim in range(3)}, times=5)
def tensor_rate(side: Side, *, dim: int) -> None:
    """A rate in a tensor; the caller's own one, which the caller may fill with another value."""
    problem, rate = Affine(side), torch.full([1] * dim, 1e-3)
    optimizer = side.make(problem.params, lr=rate)
    problem.train(side, optimizer, 3)
    side.see("the caller's own", optimizer.param_groups[0]["lr"] is rate)
    rate.fill_(5e-3)
    problem.train(side, optimizer, 3)


@template(variants={"together": {"shared": True}, "apart": {"shared": False}}, times=5)
def tensor_rate_of_groups(side: Side, *, shared: bool) -> None:
    """Two groups of one tensor rate, or of one each, under a scheduler, which fills tensors in place."""
    problem, rate = Affine(side), torch.tensor(1e-2)
    rates = (rate, rate if shared else rate.clone())
    groups = [{"params": [param], "lr": lr} for param, lr in zip(problem.params, rates, strict=True)]
    optimizer = side.make(groups)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8)
    for k in range(4):
        problem.gradients(optimizer)
        optimizer.step()
        scheduler.step()
        shown(side, optimizer, problem.params, f"update {k}")


@template(times=20)
def closures(side: Side) -> None:
    """A closure is called once, with gradients on, and its loss is returned, also under no_grad."""
    problem = Affine(side)
    optimizer = side.make(problem.params)
    asked = []

    def closure() -> torch.Tensor:
        asked.append(torch.is_grad_enabled())
        return problem.gradients(optimizer)

    for k in range(5):
        with torch.no_grad():
            side.see("loss", optimizer.step(closure))
        side.see("asked", list(asked))
        shown(side, optimizer, problem.params, f"update {k}")
    side.see("plain", [optimizer.step(lambda: 1.5), optimizer.step()])


def moved(info: Any, device: str) -> dict[str, Options]:
    """The inputs, each with the numbers that a script writes into the group in mid-run."""
    later = {"lr": 3e-3, "weight_decay": 0.2, "eps": 1e-6, "betas": (0.8, 0.95), "momentum": 0.7, "dampening": 0.1}
    later |= {"alpha": 0.9, "rho": 0.8, "lr_decay": 0.01, "momentum_decay": 0.01, "maximize": True}
    return {
        f"{label}; {key}": {**options, "_later": (key, value)}
        for label, options in inputs(info, device).items()
        for key, value in later.items()
        if key in info.optim_cls([nn.Parameter(torch.ones(1))]).param_groups[0]
        and not (key == "dampening" and options.get("nesterov"))
        and (label == "default" or key == "lr")
    }


@template(ways=("default",), given=moved, times=20)
def group_written(side: Side) -> None:
    """Numbers of a group written from outside hold from the next update on."""
    key, value = side.options.pop("_later")
    problem = Affine(side)
    optimizer = side.make(problem.params)
    problem.train(side, optimizer, 3)
    optimizer.param_groups[0][key] = value
    problem.train(side, optimizer, 3)


@template(times=20)
def edited_in_place(side: Side) -> None:
    """Weights, gradients and states changed in place, or others put there, between two updates."""
    problem = Affine(side)
    optimizer = side.make(problem.params)
    problem.train(side, optimizer, 2)
    with torch.no_grad():
        problem.matrix.mul_(0.5)
        problem.bias.data = problem.bias.data.clone() + 1
    problem.train(side, optimizer, 2)
    for state in optimizer.state.values():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.dim():
                value.mul_(0.5)
                state[name] = 2 * value if name == "exp_avg" else value
    problem.train(side, optimizer, 2)
    optimizer.state[problem.bias].clear()
    problem.train(side, optimizer, 2)
