"""A LightningModule with a tapered rate: gradients accumulated, stopped, resumed from Lightning's checkpoint, compared.

Lightning is no dependency of tapered: pip install "lightning!=2.6.2,!=2.6.3" (those two held malware).
"""

import contextlib
import importlib.util
import logging
import math
import tempfile
from pathlib import Path

if importlib.util.find_spec("lightning") is None:
    raise SystemExit(print('this example needs Lightning: pip install "lightning!=2.6.2,!=2.6.3"'))

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from tapered import AdamW, cosine_decay, warmup
from tapered.attach import as_lr_scheduler, attach

for name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.ERROR)
torch.set_num_threads(1)  # tiny tensors: two threads only wait for each other
STEPS, SAVE_EVERY, STOPPED_AFTER = 30, 6, 16
RATE = 1e-2 * warmup(5) * cosine_decay(decay_steps=STEPS)


def closed_form(k):
    """What update k is to use, written without tapered."""
    return 1e-2 * min(k / 5, 1.0) * (1 + math.cos(math.pi * k / STEPS)) / 2


def attached(params):
    optimizer = torch.optim.AdamW(params, lr=1e-2)
    attach(optimizer, lr=RATE)
    return optimizer


OPTIMIZERS = {"tapered": lambda params: AdamW(params, lr=RATE), "attached": attached}


class Module(lightning.LightningModule):
    def __init__(self, name):
        super().__init__()
        self.name = name
        self.model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))

    def training_step(self, batch):
        return cross_entropy(self.model(batch[0]), batch[1])

    def configure_optimizers(self):
        optimizer = OPTIMIZERS[self.name](self.parameters())
        # for callbacks that look for a scheduler; the rate follows the updates without one, too
        return [optimizer], [{"scheduler": as_lr_scheduler(optimizer), "interval": "step"}]


class Each(Callback):
    """Calls after every update with the step and the rate of the next one, as LearningRateMonitor will log it."""

    def __init__(self, on_step):
        self.on_step = on_step

    def on_train_start(self, trainer, _):
        self.step = trainer.global_step

    def on_train_batch_end(self, trainer, module, *_):
        if trainer.global_step > self.step:
            self.step = trainer.global_step
            self.on_step(self.step, module.optimizers().param_groups[0]["lr"])


def train(folder, name, on_step, **arguments):
    """Train to the end, from Lightning's last checkpoint on where there is one."""
    lightning.seed_everything(0, verbose=False)
    module = Module(name)
    x = torch.randn(96, 8, generator=torch.Generator().manual_seed(1))
    loader = DataLoader(TensorDataset(x, x[:, :3].argmax(1)), batch_size=8)
    saves = ModelCheckpoint(folder, every_n_train_steps=SAVE_EVERY, save_last=True)
    trainer = lightning.Trainer(
        max_steps=STEPS, accumulate_grad_batches=2, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder, callbacks=[Each(on_step), saves], **arguments,
    )  # fmt: skip
    last = Path(folder) / "last.ckpt"
    trainer.fit(module, loader, ckpt_path=last if last.exists() else None, weights_only=True)
    return module


def interrupt(step, _):
    if step == STOPPED_AFTER:
        raise ConnectionError("the machine is gone")


def main():
    for name in OPTIMIZERS:
        rates = {}
        with tempfile.TemporaryDirectory() as parted, tempfile.TemporaryDirectory() as whole:
            with contextlib.suppress(ConnectionError):
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
