"""Two processes that hold a half of each weight: whichever has the bad gradient, both leave the step out.

python tests/shared_gradients.py FILE        FILE is where the processes meet
"""

import sys

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from tapered.guards import GradientError, guard

FACTORS = (1.0, float("nan"), 1e30, 1.0, float("inf"), float("nan"), 1e30)


def work(rank: int, meeting: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    torch.manual_seed(0)
    model = nn.Linear(4, 4)
    fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
    optimizer = torch.optim.AdamW(model.named_parameters(), lr=0.1)
    watching = guard(optimizer, "skip", most=2)
    seen = []
    for number, factor in enumerate(FACTORS):
        before = model.weight.to_local().clone()
        optimizer.zero_grad()
        model(torch.ones(2, 4)).square().mean().backward()
        if rank == number % 2:
            model.weight.grad.to_local()[0, 0] *= factor
        if number < len(FACTORS) - 1:
            optimizer.step()
        else:
            try:
                optimizer.step()
            except GradientError as error:
                seen.append(f"{error.fault.name} {error.fault.moment}")
        seen.append(not torch.equal(model.weight.to_local(), before))
    expected = [True, False, False, True, False, False, "weight exp_avg_sq", False]
    if (seen, watching.skipped, watching.step) != (expected, 4, 2):
        raise RuntimeError(f"process {rank}: {seen}, {watching}, {watching.step} updates")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    torch.multiprocessing.start_processes(work, (sys.argv[1],), 2, start_method="fork")  # imports once
