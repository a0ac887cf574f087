"""fastai: its one-cycle fit, ParamScheduler, finder and freezing; a callback around torch's schedulers; `learn.load`.

The schedule is the Learner's `lr`: fastai makes the optimizer with it, and writes it into the groups again at each fit.
"""

from functools import partial
from typing import Any

import torch
from fastai.callback.core import Callback
from fastai.callback.schedule import ParamScheduler, combined_cos
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.optimizer import OptimWrapper
from torch import nn
from trainers.run import EPOCHS, PEAK, PER_EPOCH, Run

CASES = (
    "schedule",
    "LinearLR",
    "OneCycleLR",
    "ParamScheduler",
    "fit_one_cycle",
    "lr_find, fit_one_cycle",
    "freeze",
    "schedule under fit_one_cycle",
    "schedule under lr_find",
)


class Saves(Callback):
    """After each epoch, as SaveModelCallback(every_epoch=True) does, which wants a validation loss."""

    def __init__(self, training: Run) -> None:
        self.training_run = training

    def after_epoch(self) -> None:
        if not self.training_run.finding:
            self.learn.save(f"model_{self.training_run.updates // PER_EPOCH + self.learn.done}", with_opt=True)


class Steps(Callback):
    """A torch scheduler after each update, with the rates that its state says; fastai has written its own."""

    def __init__(self, training: Run) -> None:
        self.training_run = training

    def before_fit(self) -> None:
        run = self.training_run
        kept = [dict(group) for group in self.learn.opt.opt.param_groups]  # making some schedulers writes momentum
        self.scheduler, self.file = run.scheduler(self.learn.opt.opt), run.folder / "scheduler.pt"
        if run.resuming:
            self.scheduler.load_state_dict(torch.load(self.file, weights_only=True))
            for group, before, rate in zip(
                self.learn.opt.opt.param_groups, kept, self.scheduler.get_last_lr(), strict=True
            ):
                if run.kind == "torch" or not run.scheduled:
                    group.update(before, lr=rate)

    def after_step(self) -> None:
        self.scheduler.step()

    def after_epoch(self) -> None:
        torch.save(self.scheduler.state_dict(), self.file)


def freezing(learn: Learner, done: int) -> None:
    """Half of it frozen for three epochs; freezing drops the optimizer's state, as it does in fastai."""
    for epoch in range(done, EPOCHS):
        if epoch in (0, EPOCHS // 2):
            learn.freeze() if epoch == 0 else learn.unfreeze()
        elif epoch == done:
            learn.opt.freeze_to(-1 if epoch < EPOCHS // 2 else 0)
        learn.fit(1, slice(1e-3, PEAK))
        for rate in learn.recorder.lrs:
            learn.rates.append(rate)


def fit(run: Run, learn: Learner) -> None:
    if "one_cycle" in run.case:
        learn.fit_one_cycle(EPOCHS, PEAK, start_epoch=learn.done)
    elif run.case == "ParamScheduler":
        curves = {"lr": combined_cos(0.25, 1e-3, PEAK, 1e-5), "mom": combined_cos(0.25, 0.95, 0.85, 0.95)}
        learn.fit(EPOCHS, cbs=ParamScheduler(curves), start_epoch=learn.done)
    else:
        learn.fit(EPOCHS, cbs=Steps(run), start_epoch=learn.done)


def train(run: Run) -> nn.Module:
    loaders = DataLoaders(DataLoader(run.data(), bs=8, shuffle=False), DataLoader(run.data(), bs=8))
    model, rate = run.model(), run.curve if run.scheduled and run.kind != "torch" else PEAK

    def made(params: Any, **_: Any) -> torch.optim.Optimizer:
        return run.optimizer(params)

    split = {"splitter": lambda _: [list(model[:2].parameters()), list(model[2].parameters())]}
    learn = Learner(
        loaders, model, loss_func=nn.CrossEntropyLoss(), opt_func=partial(OptimWrapper, opt=made), lr=rate,
        path=run.folder, cbs=Saves(run), **(split if run.case == "freeze" else {}),
    )  # fmt: skip
    learn.done, learn.rates = 0, []
    with learn.no_bar(), learn.no_logging():
        if run.resuming:
            learn.done = max(int(path.stem.split("_")[1]) for path in (run.folder / "models").glob("model_*.pth"))
            learn.load(f"model_{learn.done}", with_opt=True)
        elif "lr_find" in run.case:
            run.finding = True
            learn.fit(1, rate)
            learn.lr_find(show_plot=False, num_it=10)
            run.begin()
        freezing(learn, learn.done) if run.case == "freeze" else fit(run, learn)
    for logged in learn.rates or learn.recorder.lrs:
        run.log(logged)
    return model
