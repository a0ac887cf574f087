"""composer: `load_path`, its LRMonitor and in-memory logger, its own schedulers and torch's, stepped at every batch."""

from typing import Any

import torch
from composer import Trainer
from composer.callbacks import LRMonitor
from composer.loggers import InMemoryLogger
from composer.models import ComposerModel
from composer.optim import scheduler as own
from torch import nn
from torch.nn.functional import cross_entropy
from trainers.run import REFUSED, SAVE_EVERY, STEPS, Run

OWN = {
    "LinearWithWarmupScheduler": lambda: own.LinearWithWarmupScheduler("5ba"),
    "CosineAnnealingWithWarmupScheduler": lambda: own.CosineAnnealingWithWarmupScheduler("5ba"),
    "MultiStepScheduler": lambda: own.MultiStepScheduler(["10ba", "20ba"]),
}
CASES = (
    "schedule",
    "schedule, no scheduler",
    "LinearLR",
    "SequentialLR",
    "OneCycleLR",
    *OWN,
    "schedule under LinearWithWarmupScheduler",
)


class Model(ComposerModel):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, batch: Any) -> torch.Tensor:
        return self.inner(batch[0])

    def loss(self, outputs: torch.Tensor, batch: Any) -> torch.Tensor:
        return cross_entropy(outputs, batch[1])


def train(run: Run) -> nn.Module:
    model = Model(run.model())
    optimizer = run.optimizer(model.parameters())
    if run.case.removeprefix(REFUSED) in OWN:
        scheduler = OWN[run.case.removeprefix(REFUSED)]()
    else:
        alone = "no scheduler" in run.case and run.kind != "torch"
        scheduler = None if alone else run.scheduler(optimizer)
    memory = InMemoryLogger()
    trainer = Trainer(
        model=model, train_dataloader=run.loader(), max_duration=f"{STEPS}ba", optimizers=optimizer,
        schedulers=scheduler, step_schedulers_every_batch=True, device="cpu", loggers=memory, callbacks=LRMonitor(),
        save_folder=str(run.folder), save_interval=f"{SAVE_EVERY}ba", save_overwrite=True, run_name="run", seed=0,
        progress_bar=False, load_path=str(run.folder / "latest-rank0.pt") if run.resuming else None,
    )  # fmt: skip
    trainer.fit()
    (name,) = [key for key in memory.data if key.startswith("lr-")]
    for _, rate in memory.data[name]:
        run.log(rate)
    return model
