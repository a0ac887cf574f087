"""skorch: its LRScheduler callback by batch and by epoch, `Checkpoint`, `load_params`; rates are in its history.

skorch makes a torch scheduler anew at each fit, `last_epoch` being epochs, also of one that is stepped by batches:
those are resumed at another rate, with torch's AdamW as well.
"""

from typing import Any

import skorch
import torch
from skorch.callbacks import Checkpoint, LRScheduler
from torch import nn
from trainers.run import EPOCHS, PEAK, STEPS, Run, shape

from tapered.attach import as_lr_scheduler

BY_EPOCH = {
    "LinearLR": {"start_factor": 0.1, "total_iters": EPOCHS},
    "CosineAnnealingLR": {"T_max": EPOCHS},
    "OneCycleLR": {"max_lr": PEAK, "total_steps": EPOCHS + 2},
    "ReduceLROnPlateau": {"factor": 0.5, "patience": 0, "threshold": 0.9},
    "WarmRestartLR": {"min_lr": 1e-3, "max_lr": PEAK, "base_period": 3},
}
CASES = (
    "schedule",
    "schedule, no callback",
    *(f"{name}, by epoch" for name in BY_EPOCH),
    "LinearLR, by batch",
    "set_params",
    "schedule under set_params",
)


def follow(optimizer: torch.optim.Optimizer, **_: Any) -> Any:
    """What skorch's callback takes as a policy."""
    return as_lr_scheduler(optimizer)


class Logged(skorch.callbacks.Callback):
    """The rate in the group before each update, where no callback of skorch's writes it down."""

    def on_batch_begin(self, net: Any, **words: Any) -> None:
        if words["training"]:
            net.history.record_batch("event_lr", net.optimizer_.param_groups[0]["lr"])


class SetParams(skorch.callbacks.Callback):
    """By hand, as skorch's docs have it."""

    def on_epoch_begin(self, net: Any, **_: Any) -> None:
        net.set_params(lr=PEAK / (1 + len(net.history)))


def callback(run: Run) -> list:
    if "set_params" in run.case:
        return [SetParams(), Logged()]
    if run.scheduled:
        if run.kind == "torch":
            return [LRScheduler(torch.optim.lr_scheduler.LambdaLR, lr_lambda=shape, step_every="batch")]
        return [Logged()] if "no callback" in run.case else [LRScheduler(follow, step_every="batch")]
    if "batch" in run.case:
        return [LRScheduler(torch.optim.lr_scheduler.LinearLR, start_factor=0.1, total_iters=STEPS, step_every="batch")]
    name = run.case.split(",")[0]
    return [LRScheduler(getattr(torch.optim.lr_scheduler, name, name), **BY_EPOCH[name])]


def train(run: Run) -> nn.Module:
    net = skorch.NeuralNetClassifier(
        run.model(), criterion=nn.CrossEntropyLoss, optimizer=run.optimizer, lr=run.rate, max_epochs=EPOCHS, verbose=0,
        batch_size=8, train_split=None, iterator_train__shuffle=False,
        callbacks=[*callback(run), Checkpoint(dirname=str(run.folder), monitor=None)],
    )  # fmt: skip
    net.initialize()
    done = 0
    if run.resuming:
        net.load_params(checkpoint=Checkpoint(dirname=str(run.folder)))
        done = len(net.history)
    x, y = run.data().tensors
    net.partial_fit(x.numpy(), y.numpy(), epochs=EPOCHS - done) if run.resuming else net.fit(x.numpy(), y.numpy())
    for epoch in net.history[done:]:
        for rate in [epoch["event_lr"]] if "event_lr" in epoch else [row["event_lr"] for row in epoch["batches"]]:
            run.log(rate)
    return net.module_
