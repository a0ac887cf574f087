"""One of two processes: `python distributed_worker.py RANK FOLDER`; what it saw goes to FOLDER/RANK.json.

FOLDER holds what one process saved before (one-NAME, full.pt) and takes what two save (two-NAME, ddp).
"""

import copy
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from torch import distributed, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.nn.parallel import DistributedDataParallel

import tapered
from tapered import checkpoint, schedules
from tapered.attach import attach, clock_of

RATE = 0.1 * schedules.warmup(2) * schedules.cosine_decay(decay_steps=20)  # the first update is at rate 0
DECAY = 0.1 * schedules.linear(1.0, 0.0, steps=10)
BEFORE, AFTER = 3, 3
WHOLE = StateDictOptions(full_state_dict=True)
FROM_FIRST = StateDictOptions(full_state_dict=True, cpu_offload=True, broadcast_from_rank0=True)


def attached(params, kind, **options):
    optimizer = kind(params, lr=0.1, **options)
    attach(optimizer, lr=RATE)
    return optimizer


OPTIMIZERS = {
    "Adam": lambda p: tapered.Adam(p, lr=RATE),
    "Adam by rule": lambda p: tapered.Adam(p, lr=RATE, fused=False),
    "AdamW": lambda p: tapered.AdamW(p, lr=RATE, weight_decay=DECAY),
    "SGD": lambda p: tapered.SGD(p, lr=RATE),
    "momentum": lambda p: tapered.SGD(p, lr=RATE, momentum=0.9, nesterov=True),
    "Lion": lambda p: tapered.Lion(p, lr=RATE),
    "ScheduleFreeAdamW": lambda p: tapered.ScheduleFreeAdamW(p, lr=RATE),
    "NAdam": lambda p: tapered.NAdam(p, lr=RATE),
    "RAdam": lambda p: tapered.RAdam(p, lr=RATE),
    "Adamax": lambda p: tapered.Adamax(p, lr=RATE),
    "RMSprop": lambda p: tapered.RMSprop(p, lr=RATE, momentum=0.9),
    "Adagrad": lambda p: tapered.Adagrad(p, lr=RATE),
    "Adadelta": lambda p: tapered.Adadelta(p, lr=RATE),
    "torch AdamW": lambda p: attached(p, torch.optim.AdamW),
    "torch AdamW fused": lambda p: attached(p, torch.optim.AdamW, fused=True),
    "torch AdamW foreach": lambda p: attached(p, torch.optim.AdamW, foreach=True),
    "torch SGD": lambda p: attached(p, torch.optim.SGD, momentum=0.9),
}
DATA_PARALLEL = ("Adam", "ScheduleFreeAdamW", "torch SGD")
# whole state dicts, for a few; torch cannot load one without a tensor (plain SGD): "Expected device to be set"
TENSORS = ("Adam", "momentum", "ScheduleFreeAdamW", "torch AdamW fused", "torch SGD")


def model() -> nn.Module:
    """Five outputs, of which the second process holds two; one unit that is always dead; a bias of one element."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 1)).double()
    with torch.no_grad():
        net[0].bias[3:] = -100.0
    return net


def batch(rank: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rows = slice(None) if rank is None else slice(4 * rank, 4 * rank + 4)
    return inputs[rows], inputs.prod(1, keepdim=True)[rows]


def steps(net: nn.Module, optimizer: torch.optim.Optimizer, count: int, rank: int | None = None) -> list[float]:
    """The rate in force at each update."""
    rates, (inputs, targets) = [], batch(rank)
    for _ in range(count):
        optimizer.zero_grad()
        (net(inputs) - targets).square().mean().backward()
        optimizer.step()
        rates.append((clock_of(optimizer) or optimizer).last_lr[0])
    optimizer.zero_grad()
    return rates


def weights(net: nn.Module) -> list[float]:
    whole = [p.full_tensor() if hasattr(p, "full_tensor") else p for p in net.parameters()]
    return torch.cat([p.detach().reshape(-1) for p in whole]).tolist()


def sharded(name: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh, net = init_device_mesh("cpu", (2,)), model()
    for layer in (net[0], net[2], net):
        fully_shard(layer, mesh=mesh)
    return net, OPTIMIZERS[name](net.parameters())


def load(net: nn.Module, optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """What torch.distributed.checkpoint saved, by however many processes."""
    model_state, state = get_state_dict(net, optimizer)
    found = {"model": model_state, "optimizer": state}
    dcp.load(found, checkpoint_id=folder, no_dist=not distributed.is_initialized())
    set_model_state_dict(net, found["model"])
    set_optimizer_state_dict(net, optimizer, found["optimizer"])


def load_whole(net: nn.Module, optimizer: torch.optim.Optimizer, states, options: StateDictOptions) -> None:
    states = copy.deepcopy(states)  # torch puts shards into what it is given
    set_model_state_dict(net, states[0], options=options)
    set_optimizer_state_dict(net, optimizer, states[1], options=options)


def shards_of(name: str, rank: int, folder: Path, whole: dict) -> dict:
    """A run over shards; the same after loading what one process saved, whole and through files."""
    net, optimizer = sharded(name)
    seen = {"rates": steps(net, optimizer, BEFORE, rank)}
    model_state, state = get_state_dict(net, optimizer)
    dcp.save({"model": model_state, "optimizer": state}, checkpoint_id=folder / f"two-{name}")
    if name in TENSORS:
        states = get_state_dict(net, optimizer, options=WHOLE)
        if rank == 0:
            torch.save(states, folder / f"two-{name}.pt")
    net._apply(torch.clone)  # as .to(device) does: the same parameters, their parts elsewhere
    seen["rates"] += steps(net, optimizer, AFTER, rank)
    seen["weights"] = weights(net)
    with optimizer.readout() if isinstance(optimizer, tapered.optim.Optimizer) else nothing():
        seen["readout"] = weights(net)
    seen["left"] = weights(net)
    for kind in ("files", "whole", "from the first"):
        if kind != "files" and name not in TENSORS:
            continue
        net, optimizer = sharded(name)
        if kind == "files":
            load(net, optimizer, folder / f"one-{name}")
        elif kind == "whole":
            load_whole(net, optimizer, whole[name], WHOLE)
        else:
            load_whole(net, optimizer, whole[name] if rank == 0 else ({}, {}), FROM_FIRST)
        seen[f"{kind}: rates"] = steps(net, optimizer, AFTER, rank)
        seen[f"{kind}: weights"] = weights(net)
    return seen


@contextmanager
def nothing() -> Iterator[None]:
    yield


def data_parallel(name: str, rank: int, folder: Path) -> dict:
    """Under DDP; saved by the first process, refused in the other, resumed in both."""

    def made():
        net = DistributedDataParallel(model())
        return net, OPTIMIZERS[name](net.parameters())

    net, optimizer = made()
    seen = {"rates": steps(net, optimizer, BEFORE, rank)}
    parts = {"model": net, "optimizer": optimizer}
    seen["refused"] = refusal(lambda: checkpoint.save(folder / "ddp", BEFORE, generators=False, **parts))
    distributed.barrier()
    seen["rates"] += steps(net, optimizer, AFTER, rank)
    seen["weights"] = weights(net)
    net, optimizer = made()
    parts = {"model": net, "optimizer": optimizer}
    seen["resume refused"] = refusal(lambda: checkpoint.resume(folder / "ddp", **parts))
    seen["step"] = checkpoint.resume(folder / "ddp", generators=False, **parts).step
    seen["resumed: rates"] = steps(net, optimizer, AFTER, rank)
    seen["resumed: weights"] = weights(net)
    into = folder / "fork"
    seen["fork refused"] = refusal(
        lambda: checkpoint.fork(folder / "ddp", into=into, generators=False, counted="now", lr=0.01, **parts)
    )
    distributed.barrier()
    return seen


def refusal(call) -> str:
    try:
        call()
    except checkpoint.CheckpointError as error:
        return str(error)
    return ""


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    meeting = f"file://{folder / 'meeting'}"
    distributed.init_process_group("gloo", meeting, timedelta(seconds=240), world_size=2, rank=rank)
    whole = torch.load(folder / "one.pt", weights_only=True)
    net, optimizer = sharded("Adam")
    seen = {
        "shards": {name: shards_of(name, rank, folder, whole) for name in OPTIMIZERS},
        "ddp": {name: data_parallel(name, rank, folder / name) for name in DATA_PARALLEL},
        "parts": refusal(lambda: checkpoint.save(folder / "parts", 0, model=net, optimizer=optimizer)),
        "no model": refusal(lambda: checkpoint.save(folder / "parts", 0, optimizer=optimizer, generators=False)),
    }
    (folder / f"{rank}.json").write_text(json.dumps(seen))
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
