"""Kernels against the loop: every size, float dtype and layout of weights and gradients; memory beside stays."""

from typing import Any

import torch
from torch import Tensor
from torch_templates.database import Options, inputs
from torch_templates.judge import Side
from torch_templates.problems import shown
from torch_templates.template import seeded, template

SIZES = sorted({*range(1, 131), *(2**i + j for i in range(7, 13) for j in (-1, 0, 1))})
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
MARK = 77.0


def several(info: Any, device: str) -> dict[str, Options]:
    """The inputs whose rate is a number, without a GPU's own."""
    return {
        label: options
        for label, options in inputs(info, device).items()
        if not isinstance(options.get("lr"), Tensor) and not options.get("capturable")
    }


@template(ways=("default", "flags False", "fused=True"), dtypes=DTYPES, given=several, times=5, loop=True)
def every_size(side: Side) -> None:
    """Sizes 1 to 130, and about powers of two up to 4,097, in one group; each weight's version moves each time."""
    params = [seeded(size, of=side, seed=size).requires_grad_() for size in SIZES]
    optimizer = side.make(params, **side.steady())
    for k in range(3):
        for param in params:
            grad = seeded(param.numel(), of=side, seed=5000 * (k + 1) + param.numel())
            param.grad = grad + 8 * grad.sign()  # weight decay cancels none of it
        before = [param._version for param in params]
        optimizer.step()
        shown(side, optimizer, params, f"update {k}")
        side.see("versions", all(param._version > version for param, version in zip(params, before, strict=True)))


def strided(side: Side, shape: tuple[int, ...], strides: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor]:
    """A tensor of these strides, and the memory around it, all of it marked where the tensor has nothing."""
    extent = 1 + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    memory = torch.full((max(extent, 120) + 32,), MARK, dtype=side.dtype, device=side.device)
    made = memory[16 : 16 + extent].as_strided(shape, strides, 16)
    if 0 not in strides:
        made.copy_(seeded(made.numel(), of=side, seed=seed).reshape(shape))
    else:
        memory[16 : 16 + extent] = seeded(extent, of=side, seed=seed)
    return made, memory


SHAPE = (2, 4, 3, 5)
LAYOUTS: dict[str, tuple[int, ...]] = {
    "contiguous": (60, 15, 5, 1),
    "channels_last": (60, 1, 20, 4),
    "transposed": (60, 15, 1, 3),
    "reversed": (1, 2, 8, 24),
    "sliced": (240, 60, 10, 1),
    "every second": (120, 30, 10, 2),
}
GRADIENTS = {**LAYOUTS, "expanded": (0, 1, 0, 0), "one number": (0, 0, 0, 0)}
PAIRS = {f"{a}, gradient {b}": {"own": a, "given": b} for a in LAYOUTS for b in GRADIENTS}
SAVED = {f"{a} to {b}": {"own": a, "then": b} for a in LAYOUTS for b in LAYOUTS if a != b}


def two(info: Any, device: str) -> dict[str, Options]:
    """The plainest and the last of the inputs."""
    found = several(info, device)
    return {label: found[label] for label in (next(iter(found)), list(found)[-1])}


@template(ways=("default", "flags False", "fused=True"), dtypes=DTYPES, given=two, variants=PAIRS, times=5, loop=True)
def every_layout(side: Side, *, own: str, given: str) -> None:
    """A weight of one layout and gradients of another, beside a plain one; the memory around stays as it was."""
    param, memory = strided(side, SHAPE, LAYOUTS[own], 1)
    plain = seeded(120, of=side, seed=2).requires_grad_()
    covered = torch.zeros_like(memory, dtype=torch.bool)
    covered[16:-16].as_strided(SHAPE, LAYOUTS[own], 16).fill_(True)
    optimizer = side.make([param.requires_grad_(), plain], **side.steady())
    for k in range(3):
        param.grad, around = strided(side, SHAPE, GRADIENTS[given], 10 + k)
        plain.grad, kept = seeded(120, of=side, seed=20 + k), around.clone()
        before = param._version
        optimizer.step()
        shown(side, optimizer, [param, plain], f"update {k}")
        side.see("the gradient stays", torch.equal(around, kept))
        side.see("memory around stays", bool((memory[~covered] == MARK).all()))
        side.see("version moves", param._version > before)


@template(
    ways=("default", "flags False", "fused=True"),
    given=two,
    dtypes=(torch.float32,),
    variants=SAVED,
    times=5,
    loop=True,
)
def other_layout(side: Side, *, own: str, then: str) -> None:
    """A state saved with a weight of one layout goes on with a weight of another."""
    first, optimizer = None, None
    for layout, updates in ((own, (0, 1)), (then, (2, 3))):
        param, _ = strided(side, SHAPE, LAYOUTS[layout], 1)
        again = side.make([param.requires_grad_()])
        if optimizer is not None:
            with torch.no_grad():
                param.copy_(first)
            again.load_state_dict(optimizer.state_dict())
        first, optimizer = param, again
        for k in updates:
            param.grad = seeded(param.numel(), of=side, seed=10 + k).reshape(SHAPE)
            optimizer.step()
            shown(side, optimizer, [param], f"update {k}")
