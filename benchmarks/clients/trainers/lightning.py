"""Lightning: `ckpt_path`, LearningRateMonitor with its CSVLogger, torch's schedulers by step and by epoch."""

import csv
import logging
from pathlib import Path
from typing import Any

import lightning as L  # noqa: N812 - as Lightning's users write it
import torch
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.nn.functional import cross_entropy
from trainers.run import STEPS, TORCH, Run

for name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.ERROR)
SAVE_EVERY = (
    5  # not at the end of an epoch, where a checkpoint is written before the scheduler and callbacks of epochs run
)
CASES = ("schedule", "schedule, 2 accumulated", "schedule, optimizer alone", *TORCH, "schedule under LinearLR")


class Module(L.LightningModule):
    def __init__(self, run: Run) -> None:
        super().__init__()
        model = run.model()
        self.backbone, self.head = model[:2], model[2]  # names that BackboneFinetuning looks for
        self.lr = 1e-2  # and Tuner
        self.training_run, self.batches = run, list(run.loader())

    def training_step(self, _: Any, index: int) -> torch.Tensor:
        inputs, labels = self.batches[
            index
        ]  # resumed amid an epoch, Lightning's loader begins with the first batch anew
        loss = cross_entropy(self.head(self.backbone(inputs)), labels)
        self.log("loss", loss, on_epoch=True)
        return loss

    def parts(self) -> Any:
        return self.parameters()

    def configure_optimizers(self) -> Any:
        run = self.training_run
        optimizer = run.optimizer(self.parts())
        if "alone" in run.case and run.kind != "torch":
            return optimizer
        interval = {"interval": "epoch", "monitor": "loss_epoch"} if "Plateau" in run.case else {"interval": "step"}
        return [optimizer], [{"scheduler": run.scheduler(optimizer), **interval}]


def fit(run: Run, module: Module, callbacks: list[Callback], **options: Any) -> nn.Module:
    """Fit from Lightning's last checkpoint on where there is one; hand over what the monitor logged."""
    L.seed_everything(0, verbose=False)
    logger = CSVLogger(run.out / "lightning")
    saves = ModelCheckpoint(run.folder, every_n_train_steps=SAVE_EVERY, save_last=True)
    trainer = L.Trainer(
        max_steps=STEPS, accelerator="cpu", logger=logger, log_every_n_steps=1, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=run.folder,
        callbacks=[*callbacks, saves, LearningRateMonitor("step")], **options,
    )  # fmt: skip
    trainer.fit(module, run.loader(), ckpt_path=run.folder / "last.ckpt" if run.resuming else None)
    with Path(logger.log_dir, "metrics.csv").open() as file:
        for row in csv.DictReader(file):
            rates = [float(value) for key, value in sorted(row.items()) if key.startswith("lr-") and value]
            if rates:
                run.log(rates)
    return module


def train(run: Run) -> nn.Module:
    return fit(run, Module(run), [], accumulate_grad_batches=2 if "accumulated" in run.case else 1)
