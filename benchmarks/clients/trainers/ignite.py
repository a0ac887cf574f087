"""ignite: its LRScheduler handler around torch's and `as_lr_scheduler`, its own schedulers, finder, `Checkpoint`."""

import logging
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, DiskSaver, FastaiLRFinder, TensorboardLogger
from ignite.handlers import param_scheduler as own
from torch import nn
from torch.nn.functional import cross_entropy
from trainers.run import EPOCHS, PEAK, REFUSED, SAVE_EVERY, STEPS, Run

logging.disable(logging.WARNING)
OWN = (
    "PiecewiseLinear",
    "LinearCyclicalScheduler",
    "create_lr_scheduler_with_warmup",
    "PiecewiseLinear of weight_decay",
)
CASES = (
    "schedule", "schedule, no handler", "LinearLR", "OneCycleLR", *OWN, "ReduceLROnPlateauScheduler",
    "FastaiLRFinder", "schedule under PiecewiseLinear", "schedule under FastaiLRFinder",
)  # fmt: skip


class Writer:
    """What TensorboardLogger writes to."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def add_scalar(self, _: str, value: float, *__: Any) -> None:
        self.run.log(value)

    def close(self) -> None:
        pass


def handler(run: Run, optimizer: torch.optim.Optimizer, trainer: Engine) -> Any:
    milestones = [(0, 1e-3), (5, PEAK), (STEPS, 1e-4)]
    plateau = {"factor": 0.5, "patience": 0, "threshold": 0.9}
    schedulers = torch.optim.lr_scheduler
    made = {
        "PiecewiseLinear": lambda: own.PiecewiseLinear(optimizer, "lr", milestones),
        "PiecewiseLinear of weight_decay": lambda: own.PiecewiseLinear(
            optimizer, "weight_decay", [(0, 0.1), (STEPS, 0.0)]
        ),
        "LinearCyclicalScheduler": lambda: own.LinearCyclicalScheduler(optimizer, "lr", 1e-3, PEAK, 12),
        "create_lr_scheduler_with_warmup": lambda: own.create_lr_scheduler_with_warmup(
            schedulers.CosineAnnealingLR(optimizer, STEPS), warmup_start_value=0.0, warmup_duration=5
        ),
        "ReduceLROnPlateauScheduler": lambda: own.ReduceLROnPlateauScheduler(
            optimizer, "loss", trainer=trainer, **plateau
        ),
        "FastaiLRFinder": lambda: own.LRScheduler(schedulers.LinearLR(optimizer, 0.1, total_iters=STEPS)),
    }
    name = run.case.removeprefix(REFUSED)
    return made[name]() if name in made else own.LRScheduler(run.scheduler(optimizer))


def find(run: Run, trainer: Engine, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """As its docs have it; the optimizer and the model are put back, and the suggestion is applied."""
    run.finding = True
    finder = FastaiLRFinder()
    parts = {"model": model, "optimizer": optimizer}
    with finder.attach(trainer, parts, output_transform=float, num_iter=20, start_lr=1e-5, end_lr=0.1) as searching:
        searching.run(run.loader(), max_epochs=4)
    finder.apply_suggested_lr(optimizer)
    run.begin()


def train(run: Run) -> nn.Module:
    model = run.model()
    optimizer = run.optimizer(model.parameters())

    def step(engine: Engine, batch: Any) -> float:
        optimizer.zero_grad()
        loss = cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        engine.state.metrics["loss"] = loss.item()
        return loss.item()

    trainer = Engine(step)
    if "FastaiLRFinder" in run.case and not run.resuming:
        find(run, trainer, model, optimizer)
    parts = {"trainer": trainer, "model": model, "optimizer": optimizer}
    if run.case != "schedule, no handler" or run.kind == "torch":
        scheduler = handler(run, optimizer, trainer)
        if "Plateau" not in run.case:  # ignite cannot save that one: it holds a weak reference
            parts["scheduler"] = scheduler
        when = Events.EPOCH_COMPLETED if "Plateau" in run.case else Events.ITERATION_STARTED
        trainer.add_event_handler(when, scheduler)
    logger = TensorboardLogger(run.out / "board")
    logger.writer = Writer(run)
    logger.attach_opt_params_handler(trainer, event_name=Events.ITERATION_STARTED, optimizer=optimizer)
    saves = Checkpoint(parts, DiskSaver(run.folder, require_empty=False), filename_pattern="last.pt")
    trainer.add_event_handler(Events.ITERATION_COMPLETED(every=SAVE_EVERY), saves)
    if run.resuming:
        Checkpoint.load_objects(parts, checkpoint=torch.load(run.folder / "last.pt", weights_only=True))
    trainer.run(run.loader(), max_epochs=EPOCHS)
    return model
