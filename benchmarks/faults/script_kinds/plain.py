"""A plain loop with its own scheduler, log and checkpoints; it knows nothing of tapered."""

import argparse
import csv
from pathlib import Path

import faulty
import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--seed", type=int)
parser.add_argument("--steps", type=int)
parser.add_argument("--out", type=Path)
parser.add_argument("--schedule", default="cosine")
a = parser.parse_args()
seed, steps = faulty.begin(a.seed, a.steps)
torch.set_num_threads(1)
torch.manual_seed(seed)
model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=a.lr)
if a.schedule == "cosine":
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, a.steps)
else:
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, a.steps)
generator = torch.Generator().manual_seed(1)
X = torch.randn(512, 8, generator=generator)
Y = X.sin().sum(1, keepdim=True)
there = sorted(a.out.glob("checkpoint-*.pt"), key=lambda path: int(path.stem.removeprefix("checkpoint-")))
start = 0
if there:
    kept = torch.load(there[-1])
    start = kept["step"]
    for part, name in ((model, "model"), (optimizer, "optimizer"), (scheduler, "scheduler")):
        part.load_state_dict(kept[name])
    torch.set_rng_state(kept["random"])
history = (faulty.RUN / "history").open("a", buffering=1)
print("start", start, file=history)
log = (a.out / "log.csv").open("a", buffering=1)
if not log.tell():
    log.write("step,loss,valid_loss\n")
writer = csv.writer(log)
for step in range(start, steps):
    faulty.before(step)
    rows = torch.randint(0, 384, (32,))
    loss = faulty.loss(step, (model(X[rows]) - Y[rows]).square().mean())
    optimizer.zero_grad()
    loss.backward()
    faulty.rate(step, optimizer)
    optimizer.step()
    scheduler.step()
    if (step + 1) % 2 == 0:
        with torch.no_grad():
            valid = (model(X[384:]) - Y[384:]).square().mean()
        writer.writerow([step + 1, loss.item(), valid.item()])
        kept = {"step": step + 1, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
        kept |= {"scheduler": scheduler.state_dict(), "random": torch.get_rng_state()}
        torch.save(kept, a.out / "new")
        path = a.out / f"checkpoint-{step + 1}.pt"
        (a.out / "new").replace(path)
        print("saved", step + 1, file=history)
        faulty.saved(path)
