"""A LightningModule with its own scheduler; it reports by two lines of tapered's."""

import argparse
import logging
import warnings
from pathlib import Path

import faulty
import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import tapered

warnings.filterwarnings("ignore", ".*does not have many workers.*")
for name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.ERROR)
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--seed", type=int)
parser.add_argument("--steps", type=int)
parser.add_argument("--out", type=Path)
parser.add_argument("--schedule", default="cosine")
a = parser.parse_args()
seed, steps = faulty.begin(a.seed, a.steps)
torch.set_num_threads(1)


class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))

    def training_step(self, batch, _):
        return faulty.loss(self.global_step, (self.model(batch[0]) - batch[1]).square().mean())

    def validation_step(self, batch, _):
        self.log("valid_loss", (self.model(batch[0]) - batch[1]).square().mean())

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=a.lr)
        if a.schedule == "cosine":
            scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, a.steps)
        else:
            scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, a.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class Faulty(Callback):
    def on_train_batch_start(self, trainer, module, batch, index):  # noqa: ARG002 - as it is called
        faulty.before(trainer.global_step)

    def on_before_optimizer_step(self, trainer, module, optimizer):  # noqa: ARG002 - as it is called
        faulty.rate(trainer.global_step, optimizer)


class Saves(ModelCheckpoint):
    def _save_checkpoint(self, trainer, path):
        super()._save_checkpoint(trainer, path)
        faulty.saved(Path(path))


lightning.seed_everything(seed, verbose=False)
X = torch.randn(96, 8, generator=torch.Generator().manual_seed(1))
Y = X.sin().sum(1, keepdim=True)
order = torch.randperm(32, generator=torch.Generator().manual_seed(seed))
train = DataLoader(TensorDataset(X[order], Y[order]), batch_size=16)  # 2 updates an epoch, each saved at its end
valid = DataLoader(TensorDataset(X[32:], Y[32:]), batch_size=64)
trainer = lightning.Trainer(
    max_steps=steps, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, log_every_n_steps=1,
    enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=a.out,
    callbacks=[
        tapered.current_run().lightning_callback(),
        Saves(a.out, save_top_k=-1, filename="checkpoint-{step}", auto_insert_metric_name=False),
        Faulty(),
    ],
)  # fmt: skip
names = {path: path.stem.removeprefix("checkpoint-") for path in a.out.glob("checkpoint-*.ckpt")}
there = sorted((path for path in names if names[path].isdecimal()), key=lambda path: int(names[path]))  # no -v1
trainer.fit(Module(), train, valid, ckpt_path=there[-1] if there else None, weights_only=True)
