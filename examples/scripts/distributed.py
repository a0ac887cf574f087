"""Two processes by torchrun, on the processor: two lines of tapered's, and it runs as ever without a study.

torchrun --nproc-per-node 2 distributed.py --lr 0.01 --seed 0 --steps 40 --out out
"""

import argparse
from pathlib import Path

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

import tapered

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1e-2)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=40)
parser.add_argument("--out", type=Path, default=Path("out"))
arguments = parser.parse_args()

torch.set_num_threads(1)  # tiny tensors
distributed.init_process_group("gloo")
rank, world = distributed.get_rank(), distributed.get_world_size()
torch.manual_seed(arguments.seed)
X = torch.randn(256, 8, generator=torch.Generator().manual_seed(1))
Y = X.sin().sum(1, keepdim=True)
model = DistributedDataParallel(nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1)))
optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.lr)
run = tapered.current_run()  # None outside a study
if run:
    run.optimizers(optimizer)  # 1

arguments.out.mkdir(parents=True, exist_ok=True)
last, start = arguments.out / "last.pt", 0
if last.exists():
    saved = torch.load(last)
    start = saved["step"]
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])

for step in range(start, arguments.steps):
    order = torch.Generator().manual_seed(1000 * arguments.seed + step)
    rows = torch.randperm(192, generator=order)[: 16 * world][rank::world]
    loss = (model(X[rows]) - Y[rows]).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    done = step + 1
    stops = run.should_stop(done) if run else done == arguments.steps
    if done % 10 == 0 or stops:
        with torch.no_grad():
            valid = (model.module(X[192:]) - Y[192:]).square().mean()
        if run:
            run.log(done, valid_loss=valid)  # 2
        elif rank == 0:
            print(f"step {done} valid_loss {valid.item():.4f}")
        if rank == 0:
            saved = {"step": done, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(saved, f"{last}.new")
            Path(f"{last}.new").replace(last)
    if stops:
        break
distributed.destroy_process_group()
