"""Every way to run an update gives the loop's numbers: kernels, compiled, in both directions, on both devices."""

from typing import Any

import torch
from torch import nn
from torch_templates.compare import Most
from torch_templates.database import Options, inputs
from torch_templates.judge import Side
from torch_templates.problems import ALL, shown, slopes, small_net, state_of, weight
from torch_templates.template import default_only, template


@template(dtypes=ALL, times=5, loop=True)
def all_ways_alike(side: Side) -> None:
    """The small net in every dtype and way."""
    small_net(side)


@template(ways=("compile=True",), given=default_only, times=5)
def compiled(side: Side) -> None:
    """The small net under torch.compile, in a process that has compiled nothing else."""
    torch._dynamo.reset()
    small_net(side)


@template(ways=("compile=True",), given=default_only, only=lambda info, _: info.name in ("Adam", "RMSprop"), times=5)
def compiled_sets(side: Side) -> None:
    """Under torch.compile, other parameters have a gradient at each update, as experts or frozen layers do."""
    torch._dynamo.reset()
    params = [weight(side, 4, 3, seed=i) for i in range(10)]
    optimizer = side.make(params)
    for k in range(10):
        slopes(params, k)
        for param in params[k + 1 :]:
            param.grad = None
        optimizer.step()
        shown(side, optimizer, params, f"update {k}")


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
        side.see(
            "states",
            [{n: v.cpu() for n, v in state.items()} for state in [state_of(optimizer, param) for param in params]],
        )


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
