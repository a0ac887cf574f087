"""A loop of accelerate's with gradients accumulated: two lines of tapered's, and it runs as ever without a study.

python accelerate_loop.py --lr 0.01 --seed 0 --steps 40 --out out      trains, from out/state on where there is one
"""

import argparse
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

import tapered

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1e-2)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=40)
parser.add_argument("--out", type=Path, default=Path("out"))
arguments = parser.parse_args()

torch.set_num_threads(1)  # tiny tensors
torch.manual_seed(arguments.seed)
X = torch.randn(256, 8, generator=torch.Generator().manual_seed(1))
Y = X.sin().sum(1, keepdim=True)
model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=arguments.lr, momentum=0.9)
run = tapered.current_run()  # None outside a study
if run:
    run.optimizers(optimizer)  # 1

accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
model, optimizer = accelerator.prepare(model, optimizer)
state, start = arguments.out / "state", 0
if (state / "done").exists():
    accelerator.load_state(state)
    start = int((state / "done").read_text())

for batch in range(2 * start, 2 * arguments.steps):
    with accelerator.accumulate(model):
        rows = torch.randint(0, 192, (16,), generator=torch.Generator().manual_seed(1000 * arguments.seed + batch))
        loss = (model(X[rows]) - Y[rows]).square().mean()
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
    step = (batch + 1) // 2
    if batch % 2 and step % 10 == 0:
        with torch.no_grad():
            valid = (model(X[192:]) - Y[192:]).square().mean()
        if run:
            run.log(step, loss=loss, valid_loss=valid)  # 2
        else:
            accelerator.print(f"step {step} loss {loss.item():.4f} valid_loss {valid.item():.4f}")
        accelerator.save_state(state)
        (state / "done").write_text(str(step))
