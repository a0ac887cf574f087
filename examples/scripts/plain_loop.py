"""A plain loop with a scheduler of its own, as anybody writes one; it knows nothing of tapered.

python plain_loop.py --lr 0.01 --seed 0 --steps 40 --out out      trains, from out/last.pt on where there is one

A study of it needs no line here: its rate is watched, or set from outside.
"""

import argparse
import csv
from pathlib import Path

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1e-2)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=40)
parser.add_argument("--out", type=Path, default=Path("out"))
arguments = parser.parse_args()

torch.set_num_threads(1)  # tiny tensors
torch.manual_seed(arguments.seed)
generator = torch.Generator().manual_seed(1)
X = torch.randn(512, 8, generator=generator)
Y = X.sin().sum(1, keepdim=True)
model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.lr)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, arguments.steps)

arguments.out.mkdir(parents=True, exist_ok=True)
last, start = arguments.out / "last.pt", 0
if last.exists():
    saved = torch.load(last)
    start = saved["step"]
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    scheduler.load_state_dict(saved["scheduler"])
    torch.set_rng_state(saved["random"])

log = arguments.out / "log.csv"
with log.open("a", newline="", buffering=1) as file:
    writer = csv.writer(file)
    if log.stat().st_size == 0:
        writer.writerow(["step", "loss", "valid_loss"])
    for step in range(start, arguments.steps):
        rows = torch.randint(0, 384, (32,))
        loss = (model(X[rows]) - Y[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if (step + 1) % 10 == 0 or step + 1 == arguments.steps:
            with torch.no_grad():
                valid = (model(X[384:]) - Y[384:]).square().mean()
            writer.writerow([step + 1, loss.item(), valid.item()])
            saved = {"step": step + 1, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
            saved |= {"scheduler": scheduler.state_dict(), "random": torch.get_rng_state()}
            torch.save(saved, f"{last}.new")
            Path(f"{last}.new").replace(last)
