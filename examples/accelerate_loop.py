"""A loop with accelerate: gradients accumulated, stopped, resumed by `load_state`, compared.

accelerate steps a scheduler once for each process at every update, and at every minibatch when it was told not to tie
it to the optimizer. A tapered rate counts the updates that were applied, so neither matters.
"""

import contextlib
import math
import tempfile
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from tapered import AdamW, cosine_decay, warmup
from tapered.attach import as_lr_scheduler, attach

torch.set_num_threads(1)  # tiny tensors: two threads only wait for each other
ACCUMULATE, STEPS, SAVE_EVERY, STOPPED_AFTER = 2, 30, 6, 16
RATE = 1e-2 * warmup(5) * cosine_decay(decay_steps=STEPS)


def closed_form(k):
    """What update k is to use, written without tapered."""
    return 1e-2 * min(k / 5, 1.0) * (1 + math.cos(math.pi * k / STEPS)) / 2


def attached(params):
    optimizer = torch.optim.AdamW(params, lr=1e-2)
    attach(optimizer, lr=RATE)
    return optimizer


OPTIMIZERS = {"tapered": lambda params: AdamW(params, lr=RATE), "attached": attached}


def train(folder, name, on_step, *, tied=True):
    """Train to the end, from the last saved state on where there is one."""
    torch.manual_seed(0)
    accelerator = Accelerator(
        cpu=True,
        gradient_accumulation_steps=ACCUMULATE,
        step_scheduler_with_optimizer=tied,
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=0),
    )
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 3))
    optimizer = OPTIMIZERS[name](model.parameters())
    x = torch.randn(96, 8, generator=torch.Generator().manual_seed(1))
    loader = DataLoader(TensorDataset(x, x[:, :3].argmax(1)), batch_size=8, shuffle=True, drop_last=True)
    model, optimizer, scheduler, loader = accelerator.prepare(model, optimizer, as_lr_scheduler(optimizer), loader)
    step = max((int(path.name) for path in Path(folder).iterdir()), default=0)
    if step:
        accelerator.load_state(f"{folder}/{step}")
    per_epoch = len(loader) // ACCUMULATE
    while step < STEPS:
        epoch, done = divmod(step, per_epoch)
        loader.set_epoch(epoch)
        for inputs, labels in accelerator.skip_first_batches(loader, done * ACCUMULATE):
            with accelerator.accumulate(model):
                accelerator.backward(cross_entropy(model(inputs), labels))
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
            if not accelerator.sync_gradients:
                continue
            step += 1
            if step % SAVE_EVERY == 0:
                accelerator.save_state(f"{folder}/{step}")
            on_step(step, scheduler.get_last_lr()[0])  # what the next update uses, as torch's schedulers say it here
            if step == STEPS:
                break
    return accelerator.unwrap_model(model)


def interrupt(step, _):
    if step == STOPPED_AFTER:
        raise KeyboardInterrupt


def main():
    for name in OPTIMIZERS:
        rates = {}
        with tempfile.TemporaryDirectory() as parted, tempfile.TemporaryDirectory() as whole:
            with contextlib.suppress(KeyboardInterrupt):
                train(parted, name, interrupt)
            resumed = train(parted, name, rates.__setitem__)
            through = train(whole, name, lambda *_: None)
        apart = max(abs(rate - closed_form(step)) for step, rate in rates.items())
        same = all(map(torch.equal, resumed.parameters(), through.parameters()))
        print(
            f"{name:8} stopped after step {STOPPED_AFTER}, went on with step {min(rates)}: rates within {apart:.0e} of"
        )
        print(f"         the closed form, {'the same bits' if same else 'OTHER BITS'} as in one go")


if __name__ == "__main__":
    main()
