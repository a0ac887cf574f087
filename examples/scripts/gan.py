"""A GAN in one dimension: two optimizers, each with a scheduler of its own; it knows nothing of tapered.

python gan.py --lr 0.002 --seed 0 --steps 40 --out out

A study says whose rate is meant, by the order of their first steps (the discriminator is 0, the generator 1) or by the
name of the class ("RMSprop", "Adam").
"""

import argparse
import json
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=2e-3, help="the generator's")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=40)
parser.add_argument("--out", type=Path, default=Path("out"))
arguments = parser.parse_args()

torch.set_num_threads(1)  # tiny tensors
torch.manual_seed(arguments.seed)
generator = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
discriminator = nn.Sequential(nn.Linear(1, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
optimizers = {
    "discriminator": torch.optim.RMSprop(discriminator.parameters(), lr=1e-3),
    "generator": torch.optim.Adam(generator.parameters(), lr=arguments.lr, betas=(0.5, 0.999)),
}
schedulers = [torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.1, arguments.steps) for o in optimizers.values()]
ones, zeros = torch.ones(64, 1), torch.zeros(64, 1)

arguments.out.mkdir(parents=True, exist_ok=True)
with (arguments.out / "log.jsonl").open("w", buffering=1) as log:
    for step in range(1, arguments.steps + 1):
        real, fake = 2 + 0.5 * torch.randn(64, 1), generator(torch.randn(64, 4))
        apart = binary_cross_entropy_with_logits(discriminator(real), ones)
        apart = apart + binary_cross_entropy_with_logits(discriminator(fake.detach()), zeros)
        optimizers["discriminator"].zero_grad()
        apart.backward()
        optimizers["discriminator"].step()

        fooled = binary_cross_entropy_with_logits(discriminator(fake), ones)
        optimizers["generator"].zero_grad()
        fooled.backward()
        optimizers["generator"].step()
        for scheduler in schedulers:
            scheduler.step()
        if step % 10 == 0 or step == arguments.steps:
            with torch.no_grad():
                mean = generator(torch.randn(256, 4, generator=torch.Generator().manual_seed(2))).mean()
            told = {"step": step, "discriminator": apart.item(), "generator": fooled.item()}
            log.write(json.dumps({**told, "distance": (mean - 2).abs().item()}) + "\n")
