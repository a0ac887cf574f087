"""Every way to run an update gives the loop's numbers: dtypes, devices, complex numbers, sizes, the default dtype."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_templates.compare import Most
from torch_templates.database import Options, inputs
from torch_templates.judge import Side
from torch_templates.problems import net, rosenbrock, shown, slopes, state_of, weight
from torch_templates.template import default_only, seeded, template

ALL = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def small_net(side: Side) -> None:
    """Seven updates: without gradients at one, a layer frozen for two, a parameter without dimensions beside."""
    made = net(side)
    x = torch.arange(0.1, 0.7, 0.1, dtype=torch.float64).reshape(3, 2).to(dtype=side.dtype, device=side.device)
    alone = nn.Parameter(seeded(of=side))
    alone.grad = seeded(of=side, seed=1)
    params = [*made.parameters(), alone]
    optimizer = side.make(params)
    for k in range(7):
        optimizer.zero_grad()
        if k in (3, 5):
            made[2].requires_grad_(k == 5)
        if k != 2:
            made(x).sum().backward()
        optimizer.step()
        shown(side, optimizer, params, f"update {k}")
        side.see("dtype of steps", {i: step_dtype(optimizer, p) for i, p in enumerate(params)})


def step_dtype(optimizer: Any, param: Tensor) -> str | None:
    """torch's SGD keeps no count."""
    return str(optimizer.state[param]["step"].dtype) if "step" in optimizer.state.get(param, {}) else None


@template(dtypes=ALL, times=5, loop=True)
def all_ways_alike(side: Side) -> None:
    """The small net in every dtype and way."""
    small_net(side)


@template(ways=("compile=True",), given=default_only, times=5)
def compiled(side: Side) -> None:
    """The small net under torch.compile."""
    small_net(side)


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
    params: list[Tensor] = [seeded(2, 3, of=side, seed=i).to(dtype).requires_grad_() for i, dtype in enumerate(ALL)]
    if side.device != "cpu":
        params += [param.detach().cpu().requires_grad_() for param in params]
    whole = torch.arange(6, device=side.device).reshape(2, 3)
    optimizer = side.make([{"params": [param]} for param in [*params, whole]] if apart else [*params, whole])
    for k in range(7):
        slopes(params, k)
        optimizer.step()
        shown(side, optimizer, params, f"update {k}")
    side.see("whole numbers", whole)


@template(dtypes=(torch.float16, torch.float32), times=5, loop=True)
def large_tensor(side: Side) -> None:
    """A tensor of 2^16 + 3 numbers (torch's has 2^32), its gradient 0, then not."""
    param = nn.Parameter(torch.ones(2**16 + 3, dtype=side.dtype, device=side.device))
    param.grad = torch.zeros_like(param)
    optimizer = side.make([param])
    optimizer.step()
    shown(side, optimizer, [param], "zeros")
    slopes([param], 1)
    optimizer.step()
    shown(side, optimizer, [param], "slopes")


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
    return Side(side.kind, side.options, dtype, side.device, side.info, side.torchs)


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


@template(ways=("default", "fused=True"))
def from_meta(side: Side) -> None:
    """Weights without numbers, which get theirs before the first update."""
    with torch.device("meta"):
        made = nn.Linear(2, 3).to(side.dtype)
    optimizer = side.make(made.parameters())
    made.to_empty(device=side.device)
    with torch.no_grad():
        for param in made.parameters():
            param.fill_(0.5)
    slopes(list(made.parameters()), 0)
    optimizer.step()
    shown(side, optimizer, list(made.parameters()), "update 0")


@template(ways=("fused=True",), given=default_only)
def stepped_on_meta(side: Side) -> None:
    """Fused, an update of weights without numbers is refused."""
    param = nn.Parameter(torch.empty(3, device="meta"))
    optimizer = side.make([param])
    param.grad = torch.empty_like(param)
    optimizer.step()


def maximized(info: Any, device: str) -> dict[str, Options]:
    """The inputs that descend, turned round."""
    return {
        label: {**options, "maximize": True}
        for label, options in inputs(info, device).items()
        if not options.get("maximize")
    }


@template(given=maximized, times=5)
def maximize(side: Side) -> None:
    """Climbing is descending along the gradient's negative."""
    params = [weight(side, 10, 5, seed=1), weight(side, 3, seed=2)]
    optimizer = side.make(params)
    for k in range(7):
        slopes(params, k)
        optimizer.step()
        shown(side, optimizer, params, f"update {k}")


def all_states(optimizer: Any, params: Sequence[Tensor]) -> list[dict[str, Any]]:
    return [state_of(optimizer, param) for param in params]


@template(ways=("default", "fused=True"), device="cuda", times=20)
def two_devices(side: Side) -> None:
    """The same on the CPU and on the GPU."""
    for device in ("cpu", side.device):
        params = [weight(side, 10, 5, seed=1), weight(side, 3, seed=2)]
        params = [nn.Parameter(param.detach().to(device)) for param in params]
        optimizer = side.make(params)
        for k in range(7):
            slopes(params, k)
            optimizer.step()
        side.see("weights", [param.detach().cpu() for param in params])
        side.see("states", [{n: v.cpu() for n, v in state.items()} for state in all_states(optimizer, params)])


@template(ways=("default",), device="cuda")
def peak_memory(side: Side) -> None:
    """An update needs no more memory beside weights and state than torch's default."""
    params = [nn.Parameter(torch.ones(128, 1024, device=side.device)) for _ in range(10)]
    optimizer = side.make(params)
    for k in range(2):
        slopes(params, k)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        optimizer.step()
    side.see("no more", Most((torch.cuda.max_memory_allocated() - before) / params[0].nbytes))
