"""A LightningModule: two lines of tapered's, and it runs as ever without a study.

python lightning_module.py --lr 0.01 --seed 0 --steps 40 --out out     trains, from its last whole epoch on
tapered study lightning_module.toml --check                            what a study of it may share: its epochs

Lightning is no dependency of tapered: pip install "lightning!=2.6.2,!=2.6.3" (those two held malware).
"""

import argparse
import importlib.util
import logging
import warnings
from pathlib import Path

if importlib.util.find_spec("lightning") is None:
    raise SystemExit('this example needs Lightning: pip install "lightning!=2.6.2,!=2.6.3"')

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import tapered

warnings.filterwarnings("ignore", ".*does not have many workers.*")
for name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.ERROR)
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1e-2)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=40)
parser.add_argument("--out", type=Path, default=Path("out"))
arguments = parser.parse_args()
torch.set_num_threads(1)  # tiny tensors
run = tapered.current_run()  # None outside a study


class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))

    def training_step(self, batch, _):
        return (self.model(batch[0]) - batch[1]).square().mean()

    def validation_step(self, batch, _):
        self.log("valid_loss", (self.model(batch[0]) - batch[1]).square().mean())

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=arguments.lr)
        return run.optimizers(optimizer)[0] if run else optimizer  # 1


lightning.seed_everything(arguments.seed, verbose=False)
X = torch.randn(192, 8, generator=torch.Generator().manual_seed(1))
Y = X.sin().sum(1, keepdim=True)
order = torch.randperm(128, generator=torch.Generator().manual_seed(arguments.seed))
train = DataLoader(TensorDataset(X[order], Y[order]), batch_size=16)  # 8 updates an epoch, each saved at its end
valid = DataLoader(TensorDataset(X[128:], Y[128:]), batch_size=64)
trainer = lightning.Trainer(
    max_steps=arguments.steps, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
    enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=4, default_root_dir=arguments.out,
    callbacks=[
        ModelCheckpoint(
            arguments.out, save_top_k=-1, filename="checkpoint-{step}", auto_insert_metric_name=False,
            enable_version_counter=False,
        ),
        *([run.lightning_callback()] if run else []),  # 2
    ],
)  # fmt: skip
saved = {int(path.stem.rpartition("-")[2]): path for path in arguments.out.glob("checkpoint-*.ckpt")}
ends = [step for step in saved if step % len(train) == 0]  # from within an epoch Lightning does not go on exactly
trainer.fit(Module(), train, valid, ckpt_path=saved[max(ends)] if ends else None, weights_only=True)
