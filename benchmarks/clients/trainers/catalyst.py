"""catalyst: SchedulerCallback by batch and by epoch, CheckpointCallback(mode="runner"), LRFinder; it logs by batch."""

import contextlib
import copy
import logging
from typing import Any

from catalyst import dl
from catalyst.callbacks import LRFinder
from catalyst.core.logger import ILogger
from catalyst.engines import CPUEngine
from torch import nn
from trainers.run import EPOCHS, Run

logging.disable(logging.WARNING)
CASES = (
    "schedule",
    "schedule, no scheduler",
    "LinearLR",
    "SequentialLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "LinearLR, LRFinder",
    "schedule under LinearLR, LRFinder",
)


class Engine(CPUEngine):
    """accelerate has lost the name that catalyst's own method asks for; there is one process."""

    def mean_reduce_ddp_metrics(self, metrics: dict) -> dict:
        return metrics


class Logger(ILogger):
    """catalyst's interface for loggers."""

    def __init__(self, run: Run) -> None:
        super().__init__(log_batch_metrics=True, log_epoch_metrics=False)
        self.run = run

    @property
    def logger(self) -> Any:
        return self.run

    def log_metrics(self, metrics: dict, scope: str, **_: Any) -> None:
        if scope == "batch" and "lr" in metrics:
            self.run.log(metrics["lr"])


def fit(run: Run, model: nn.Module, optimizer: Any, scheduler: Any, callbacks: list) -> None:
    dl.SupervisedRunner().train(
        model=model, criterion=nn.CrossEntropyLoss(), optimizer=optimizer, scheduler=scheduler, engine=Engine(),
        loaders={"train": run.loader()}, num_epochs=EPOCHS, callbacks=callbacks, loggers={"written": Logger(run)},
        load_best_on_end=False, logdir=None, seed=0,
    )  # fmt: skip


def find(run: Run, model: nn.Module, optimizer: Any) -> None:
    """catalyst's finder ends by a KeyboardInterrupt and puts nothing back; its users load what they kept."""
    run.finding = True
    kept = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    with contextlib.suppress(KeyboardInterrupt):
        fit(run, model, optimizer, None, [LRFinder(final_lr=0.1, scale="log", num_steps=20)])
    model.load_state_dict(kept[0])
    optimizer.load_state_dict(kept[1])
    run.begin()


def train(run: Run) -> nn.Module:
    model = run.model()
    optimizer = run.optimizer(model.parameters())
    if "LRFinder" in run.case and not run.resuming:
        find(run, model, optimizer)
    scheduler = None if "no scheduler" in run.case and run.kind != "torch" else run.scheduler(optimizer)
    saves = dl.CheckpointCallback(
        str(run.folder), mode="runner", save_best=False,
        resume_runner=str(run.folder / "runner.last.pth") if run.resuming else None,
    )  # fmt: skip
    callbacks = [saves]
    if "Plateau" in run.case:
        callbacks.append(dl.SchedulerCallback(mode="epoch", loader_key="train", metric_key="loss"))
    elif scheduler is not None:
        callbacks.append(dl.SchedulerCallback(mode="batch"))
    fit(run, model, optimizer, scheduler, callbacks)
    return model
