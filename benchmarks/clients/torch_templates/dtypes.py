"""Another default dtype, parameters of several dtypes in one optimizer, and complex ones."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch_templates.database import Options
from torch_templates.judge import Side
from torch_templates.problems import ALL, rosenbrock, shown, slopes, small_net
from torch_templates.template import seeded, template


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@template(
    dtypes=(torch.float64,),
    variants={str(dtype): {"dtype": dtype} for dtype in (torch.float64, torch.float16, torch.bfloat16)},
    times=100,
)
def set_default_dtype(side: Side, *, dtype: torch.dtype) -> None:
    """Another default dtype: counts are float32, or float64 where that is the default."""
    with default_dtype(dtype):
        small_net(side)


@template(times=5, variants={"one group": {"apart": False}, "a group each": {"apart": True}})
def mixed_dtypes(side: Side, *, apart: bool) -> None:
    """Parameters of four dtypes, and integers that are frozen; on a GPU, some of them on the CPU."""
    dtypes = (side.dtype,) * 4 if side.dtype == torch.float64 else ALL  # float64 for the exact side alone
    params: list[Tensor] = [seeded(2, 3, of=side, seed=i).to(d).requires_grad_() for i, d in enumerate(dtypes)]
    if side.device != "cpu":
        params += [param.detach().cpu().requires_grad_() for param in params]
    whole = torch.arange(6, device=side.device).reshape(2, 3)
    optimizer = side.make([{"params": [param]} for param in [*params, whole]] if apart else [*params, whole])
    for k in range(7):
        slopes(params, k)
        optimizer.step()
        shown(side, optimizer, params, f"update {k}")
    side.see("whole numbers", whole)


def complexes(info: Any, _variant: Options) -> bool:
    return info.supports_complex


@template(dtypes=(torch.complex64, torch.complex128), only=complexes, times=5)
def complex_numbers(side: Side) -> None:
    """Complex parameters beside real ones; each is its pairs of real numbers."""
    params = [nn.Parameter(torch.complex(*(seeded(10, 5, of=real(side), seed=i) for i in (1, 2)))), vector(side)]
    params.append(nn.Parameter(seeded(10, 5, of=real(side), seed=4)))
    pairs = [nn.Parameter(as_real(param.detach()).clone()) for param in params]
    optimizers = side.make(params), side.make(pairs)
    for k in range(4):
        slopes(params, k)
        for param, pair in zip(params, pairs, strict=True):
            pair.grad = as_real(param.grad).clone()
        for optimizer in optimizers:
            optimizer.step()
        shown(side, optimizers[0], params, f"update {k}")
        side.see("alike", [torch.allclose(as_real(a), b) for a, b in zip(params, pairs, strict=True)])


def vector(side: Side) -> nn.Parameter:
    return nn.Parameter(torch.complex(*(seeded(10, of=real(side), seed=i) for i in (5, 6))))


def as_real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def real(side: Side) -> Side:
    """The same, of the dtype of its real numbers."""
    dtype = side.dtype.to_real() if side.dtype.is_complex else side.dtype
    return Side(side.kind, side.options, dtype, side.device, side.info, side.torchs, side.asked)


@template(dtypes=(torch.complex64,), only=complexes, times=20)
def complex_valley(side: Side) -> None:
    """A complex point in the banana valley, and its real and imaginary parts as two parameters."""
    whole = nn.Parameter(torch.complex(*(seeded(2, of=real(side), seed=i) for i in (1, 2))))
    parts = [nn.Parameter(part.detach().clone()) for part in (whole.real, whole.imag)]
    one, two = side.make([whole]), side.make(parts)
    for k in range(4):
        descend(one, lambda: whole)
        descend(two, lambda: torch.complex(*parts))
        shown(side, one, [whole], f"update {k}")
        shown(side, two, parts, f"update {k} of the parts")


def descend(optimizer: Any, point: Any) -> None:
    optimizer.zero_grad()
    rosenbrock(point()).abs().backward()
    optimizer.step()
