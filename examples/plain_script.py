"""A plain torch loop that is killed and goes on: kill -9 between two saves, resumed, the same bits as never killed.

python plain_script.py [tapered | attached]     trains killed and resumed, and in one go; compares
python plain_script.py NAME FOLDER              trains there, from the last checkpoint on
"""

import math
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from tapered import AdamW, cosine_decay, warmup
from tapered.attach import attach
from tapered.checkpoint import Batches, resume, save

STEPS, SAVE_EVERY, STOPPED_AFTER = 40, 6, 22
torch.set_num_threads(1)  # tiny tensors: two threads only wait for each other
RATE = 1e-2 * warmup(5) * cosine_decay(decay_steps=STEPS)


def closed_form(k):
    """What update k is to use, written without tapered."""
    return 1e-2 * min(k / 5, 1.0) * (1 + math.cos(math.pi * k / STEPS)) / 2


def attached(params):
    optimizer = torch.optim.AdamW(params, lr=1e-2)
    attach(optimizer, lr=RATE)  # its clock travels in the optimizer's own state
    return optimizer


OPTIMIZERS = {"tapered": lambda params: AdamW(params, lr=RATE), "attached": attached}


def train(folder, name, on_step):
    """Train to the end, from the last checkpoint on where there is one."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 3))
    parts = {"model": model, "optimizer": OPTIMIZERS[name](model.parameters())}
    found = any(Path(folder).glob("[0-9]*-step*"))  # what a kill in a first save leaves is none
    start = resume(folder, **parts).step if found else 0
    x = torch.randn(96, 8, generator=torch.Generator().manual_seed(1))
    data = TensorDataset(x, x[:, :3].argmax(1))
    order = Batches(len(data), batch_size=16, seed=0, start=start)
    loader = DataLoader(data, batch_sampler=order, generator=torch.Generator())
    for step, (inputs, labels) in zip(range(start, STEPS), loader, strict=False):
        parts["optimizer"].zero_grad()
        cross_entropy(model(inputs), labels).backward()
        rate = parts["optimizer"].param_groups[0]["lr"]  # the coming update's; after it, last_lr
        parts["optimizer"].step()
        if (step + 1) % SAVE_EVERY == 0:
            save(folder, step + 1, **parts)
        on_step(step + 1, rate)
    save(folder, STEPS, **parts)
    return model


def killed(name, folder):
    """Another process trains there, and is killed after a step that it has not saved; how far it came."""
    words = [sys.executable, __file__, name, folder]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line.split()[0]) >= STOPPED_AFTER:
                process.kill()
                return int(line.split()[0])
    raise SystemExit(f"it ended before step {STOPPED_AFTER}")


def main(name="tapered"):
    rates = {}
    with tempfile.TemporaryDirectory() as parted, tempfile.TemporaryDirectory() as whole:
        stopped = killed(name, parted)
        resumed = train(parted, name, rates.__setitem__)
        through = train(whole, name, lambda *_: None)
    apart = max(abs(rate - closed_form(step - 1)) for step, rate in rates.items())
    same = all(map(torch.equal, resumed.parameters(), through.parameters()))
    print(f"{name:8} killed after step {stopped}, went on with step {min(rates)}: rates within {apart:.0e} of")
    print(f"         the closed form, {'the same bits' if same else 'OTHER BITS'} as never killed")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        train(sys.argv[2], sys.argv[1], lambda step, rate: print(step, rate, flush=True))
    else:
        main(*sys.argv[1:])
