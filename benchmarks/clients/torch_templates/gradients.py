"""Gradients that are missing, zero, sparse, empty or not finite; frozen weights."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch_templates.database import Options, inputs
from torch_templates.judge import Side
from torch_templates.problems import net, rosenbrock, shown, slopes, weight
from torch_templates.template import seeded, template

EVERY = ("default", "flags False", "foreach=True", "fused=True", "differentiable=True", "capturable=True")


@template(ways=EVERY)
def no_gradients(side: Side) -> None:
    """Without any gradient an update does nothing and makes no state."""
    params = [seeded(2, 3, of=side, seed=i) for i in range(2)]  # which ask for none, either
    optimizer = side.make(params)
    side.see("loss", optimizer.step(lambda: torch.ones(1)))
    shown(side, optimizer, params, "nothing")
    side.see("states", len(optimizer.state))


@template(ways=EVERY)
def zero_gradients(side: Side) -> None:
    """Gradients of 0 move no weight that has no decay; the update counts."""
    param = weight(side, 5, 1)
    optimizer = side.make([param])
    for k in range(3):
        param.grad = torch.zeros_like(param)
        side.see("loss", optimizer.step(lambda: torch.ones(1)))
        shown(side, optimizer, [param], f"update {k}")


@template(times=5)
def sometimes(side: Side) -> None:
    """Each parameter counts its own updates: one has a gradient always, one every third time, one never."""
    params = [weight(side, 4, 3, seed=i) for i in range(3)]
    optimizer = side.make(params)
    for k in range(8):
        slopes(params, k)
        params[2].grad = None
        if k % 3:
            params[1].grad = None
        optimizer.step()
        shown(side, optimizer, params, f"update {k}")


@template(times=5)
def frozen(side: Side) -> None:
    """Everybody's finetuning: frozen weights and a whole frozen group are given; some are unfrozen later."""
    made, head = net(side), weight(side, 3, seed=8)
    made[0].requires_grad_(False)
    optimizer = side.make([{"params": list(made.parameters())}, {"params": [head.requires_grad_(False)]}])
    x = seeded(4, 2, of=side)
    for k in range(6):
        if k == 3:
            made[0].requires_grad_(True)
            head.requires_grad_(True)
        optimizer.zero_grad()
        (made(x).sum() + (head.sum() if k >= 3 else 0)).backward()
        optimizer.step()
        shown(side, optimizer, [*made.parameters(), head], f"update {k}")


@template(variants={"0 numbers": {"shapes": [(0,), (3, 0)]}, "beside": {"shapes": [(0,), (), (7,), (1,)]}})
def empty_tensors(side: Side, *, shapes: Sequence[tuple[int, ...]]) -> None:
    """Parameters of no numbers, and of one number without dimensions."""
    params = [weight(side, *shape, seed=i) for i, shape in enumerate(shapes)]
    optimizer = side.make(params)
    for k in range(4):
        slopes(params, k)
        optimizer.step()
        shown(side, optimizer, params, f"update {k}")


@template()
def empty_group(side: Side) -> None:
    """A group without parameters beside one with them."""
    param = weight(side, 3)
    optimizer = side.make([{"params": []}, {"params": [param]}])
    for k in range(2):
        slopes([param], k)
        optimizer.step()
        shown(side, optimizer, [param], f"update {k}")


@template(variants={"inf": {"bad": torch.inf}, "nan": {"bad": torch.nan}})
def not_finite(side: Side, *, bad: float) -> None:
    """A gradient that is not finite spoils its own number alone."""
    param = weight(side, 20)
    optimizer = side.make([param])
    for k in range(3):
        slopes([param], k)
        if k == 1:
            param.grad[3] = bad
        optimizer.step()
        shown(side, optimizer, [param], f"update {k}")


def sparse_ones(info: Any, device: str) -> dict[str, Options]:
    """The inputs with what torch's table changes for sparse gradients, once each."""
    changes, _schedulers = info.metadata_for_sparse
    found: dict[str, Options] = {}
    for label, options in inputs(info, device).items():
        left = {key: value for key, value in options.items() if key not in changes}
        if (left or not changes) and not any(repr(left) == repr({**seen, **left}) for seen in found.values()):
            found[label] = {**left, **({"lr": changes["lr"]} if "lr" in changes else {})}
    return found


@template(
    dtypes=(torch.float64,),
    only=lambda info, _: info.supports_sparse,
    given=sparse_ones,
    variants={"": {"scheduled": False}, "scheduled": {"scheduled": True}},
)
def sparse_valley(side: Side, *, scheduled: bool) -> None:
    """Down the banana valley, x and y in turn, each gradient sparse with an index that stands twice, and dense."""
    points = [nn.Parameter(torch.full((2,), 1.5, dtype=side.dtype, device=side.device)) for _ in range(2)]
    optimizers = [side.make([point]) for point in points]
    makers = side.info.metadata_for_sparse[1] if scheduled else []
    schedulers = [make(optimizer) for optimizer in optimizers for make in makers]
    for k in range(200):
        for point, optimizer in zip(points, optimizers, strict=True):
            slope = torch.autograd.grad(rosenbrock(point), point)[0][k % 2]
            index = torch.full((1, 2), k % 2, device=side.device)
            point.grad = torch.sparse_coo_tensor(index, torch.stack([slope / 4, slope - slope / 4]), (2,))
            if point is points[1]:
                point.grad = point.grad.to_dense()
            optimizer.step()
        for scheduler in schedulers:
            plateau = isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
            scheduler.step(*([rosenbrock(points[0])] if plateau else []))
        shown(side, optimizers[0], points[:1], f"update {k}")
    side.see("as dense", torch.allclose(*points, rtol=5e-6, atol=5e-6))


@template()
def sparse_rows(side: Side) -> None:
    """An embedding with sparse gradients: rows that are not asked for stay, where the optimizer takes it at all."""
    made = nn.Embedding(8, 3, sparse=True, device=side.device, dtype=side.dtype)
    with torch.no_grad():
        made.weight.copy_(seeded(8, 3, of=side))
    optimizer = side.make(made.parameters())
    for k in range(4):
        optimizer.zero_grad()
        made(torch.tensor([k, k + 2, k], device=side.device)).pow(2).sum().backward()
        optimizer.step()
        shown(side, optimizer, list(made.parameters()), f"update {k}")
