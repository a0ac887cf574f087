"""Lightning's callbacks that change an optimizer under way: finetuning in two ways, rate finders, averaged weights.

A late group with a number r at step k follows r * schedule(j) / schedule(k); each number that is written later begins
anew. torch's LambdaLR cannot take a late group at all (zip(strict=True)), so torch's side has its rates by hand.
"""

from typing import Any

from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BaseFinetuning,
    Callback,
    LearningRateFinder,
    StochasticWeightAveraging,
)
from lightning.pytorch.tuner import Tuner
from torch import nn
from trainers.lightning import L, Module, fit
from trainers.run import PEAK, PER_EPOCH, STEPS, Run, shape

FINETUNING = ("schedule, BaseFinetuning", "schedule, BackboneFinetuning", "schedule, BackboneFinetuning aligned")
NUMBERS = ("LearningRateFinder", "Tuner.lr_find", "BackboneFinetuning", "StochasticWeightAveraging")
UNDER = (
    "schedule under LearningRateFinder",
    "schedule under Tuner.lr_find",
    "schedule under StochasticWeightAveraging",
)
CASES = (*FINETUNING, *NUMBERS, *UNDER)
BASE_AT, RATIO = 1, 0.1  # the base joins before the run is killed


class Unfreeze(BaseFinetuning):
    """As Lightning's docs have it: the backbone joins at a tenth of the head's rate of that moment."""

    def freeze_before_training(self, module: Any) -> None:
        self.freeze(module.backbone)

    def finetune_function(self, module: Any, epoch: int, optimizer: Any) -> None:
        if epoch == BASE_AT:
            self.unfreeze_and_add_param_group(module.backbone, optimizer)


def growth(_: int) -> float:
    """BackboneFinetuning's `lambda_func`: it gets the number of the epoch after."""
    return 1.5


def backbone_at(case: str) -> int:
    """The epoch at which it joins: after the run is resumed, or before it is killed."""
    return 1 if "aligned" in case else 3


def form(case: str) -> list[list[float]]:
    """What each update is to use, by group, written without tapered and without Lightning."""
    rates, late, at, joins = [], 0.0, 0, backbone_at(case)
    for k in range(STEPS):
        head = PEAK * shape(k)
        epoch, batch = divmod(k, PER_EPOCH)
        if "Base" in case:
            rates.append([head, head / 10] if epoch >= BASE_AT else [head])
            continue
        if batch == 0 and epoch >= joins:
            late = head * RATIO if epoch == joins else late * growth(epoch)
            late, at = (min(late, head) if "aligned" in case and epoch > joins else late), k
        rates.append([head, late * shape(k) / shape(at)] if epoch >= joins else [head])
    return rates


class ByHand(Callback):
    """torch's side: the rates above, before each update."""

    def __init__(self, rates: list[list[float]]) -> None:
        self.rates = rates

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        groups = trainer.optimizers[0].param_groups
        for group, rate in zip(groups, self.rates[trainer.global_step], strict=True):
            group["lr"] = rate


class Thawed(Callback):
    """A resumed run of Lightning's freezes the backbone again, and does not unfreeze it where that epoch is past."""

    def on_train_start(self, trainer: Any, _: Any) -> None:
        for group in trainer.optimizers[0].param_groups:
            for weight in group["params"]:
                weight.requires_grad_()


class Trained(Module):
    """Only what is not frozen is given to the optimizer; the schedulers are what the callbacks bring."""

    def parts(self) -> Any:
        return [weight for weight in self.parameters() if weight.requires_grad]

    def configure_optimizers(self) -> Any:
        run = self.training_run
        if run.scheduled:
            return (
                run.optimizer(self.parts()) if run.kind != "torch" else run.optimizer(self.parts(), lr=PEAK * shape(0))
            )
        return run.optimizer(self.parts(), lr=self.lr)


class Begins(Callback):
    """What a finder did before is not the run's."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_train_start(self, *_: Any) -> None:
        self.run.begin()


def backbone(case: str) -> BackboneFinetuning:
    return BackboneFinetuning(
        backbone_at(case), growth, backbone_initial_ratio_lr=RATIO, should_align="aligned" in case
    )


def train(run: Run) -> nn.Module:
    module, callbacks = Trained(run), []
    if run.case == "schedule, BaseFinetuning":
        callbacks = [Unfreeze(), Thawed()]
    elif "BackboneFinetuning" in run.case:
        callbacks = [backbone(run.case), Thawed()]
    elif "StochasticWeightAveraging" in run.case:
        callbacks = [StochasticWeightAveraging(1e-3, swa_epoch_start=3, annealing_epochs=2)]
        return fit(run, module, callbacks, max_epochs=STEPS // PER_EPOCH)
    elif "LearningRateFinder" in run.case and not run.resuming:
        run.finding = True
        callbacks = [LearningRateFinder(max_lr=0.1, num_training_steps=20), Begins(run)]
    elif "Tuner.lr_find" in run.case and not run.resuming:
        run.finding = True
        L.seed_everything(0, verbose=False)
        options = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
        searching = L.Trainer(accelerator="cpu", default_root_dir=run.folder, enable_checkpointing=False, **options)
        Tuner(searching).lr_find(module, run.loader(), max_lr=0.1, num_training=20)
        run.begin()
    if run.case in FINETUNING:
        rates = form(run.case)
        run.form(rates)
        if run.kind == "torch":
            callbacks.append(ByHand(rates))
    return fit(run, module, callbacks)
