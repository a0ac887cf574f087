"""torchtnt: an AutoUnit, its LearningRateMonitor and in-memory logger, checkpoints by torch.distributed.checkpoint."""

from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torchtnt.framework.auto_unit import AutoUnit
from torchtnt.framework.callbacks.dcp_saver import DistributedCheckpointSaver
from torchtnt.framework.callbacks.learning_rate_monitor import LearningRateMonitor
from torchtnt.framework.state import State
from torchtnt.framework.train import train as fit
from torchtnt.utils.loggers import InMemoryLogger
from trainers.run import EPOCHS, Run

CASES = ("schedule", "schedule, no scheduler", "LinearLR", "SequentialLR", "OneCycleLR", "schedule under LinearLR")


class Unit(AutoUnit[Any]):
    def __init__(self, run: Run) -> None:
        self.training_run = run
        super().__init__(module=run.model(), device=torch.device("cpu"), step_lr_interval="step")

    def configure_optimizers_and_lr_scheduler(self, module: nn.Module) -> Any:
        run = self.training_run
        optimizer = run.optimizer(module.parameters())
        alone = "no scheduler" in run.case and run.kind != "torch"
        return optimizer, None if alone else run.scheduler(optimizer)

    def compute_loss(self, state: State, data: Any) -> Any:  # noqa: ARG002 - torchtnt looks at the names
        outputs = self.module(data[0])
        return cross_entropy(outputs, data[1]), outputs


def train(run: Run) -> nn.Module:
    unit, memory = Unit(run), InMemoryLogger()
    saves = DistributedCheckpointSaver(str(run.folder), save_every_n_epochs=1)
    if run.resuming:
        DistributedCheckpointSaver.restore_from_latest(str(run.folder), unit)
    callbacks = [saves, LearningRateMonitor(memory, logging_interval="step")]
    fit(unit, run.loader(), max_epochs=EPOCHS, callbacks=callbacks)
    for _, values in sorted(memory.log_buffer.items()):
        run.log(values["optimizers/optimizer/pg:0"])
    return unit.module
