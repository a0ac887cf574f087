"""accelerate: accumulated gradients, two processes, `save_state` and `load_state`; it logs through a tracker.

The warmups of diffusers are here, too, as its scripts call them: diffusers brings schedulers, accelerate the loop.
"""

import importlib.util
import os
import socket
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from accelerate.utils import DataLoaderConfiguration
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR
from trainers.run import EPOCHS, PER_EPOCH, SAVE_EVERY, STEPS, TORCH, Run, shape

WARMUPS = ("constant_with_warmup", "linear", "cosine", "polynomial", "piecewise_constant")
HERE = importlib.util.find_spec("diffusers") is not None
DIFFUSERS = tuple(f"diffusers {name}" for name in WARMUPS) if HERE else ()
CASES = (
    "schedule",
    "schedule, 2 accumulated",
    "schedule, scheduler untied",
    "schedule, 2 processes",
    *TORCH,
    *DIFFUSERS,
    "schedule under LinearLR",
)


class Tracker(GeneralTracker):
    """accelerate's interface for loggers."""

    name, requires_logging_directory = "written down", False

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    @property
    def tracker(self) -> Any:
        return self.run

    def log(self, values: dict, *_: Any, **__: Any) -> None:
        self.run.log(values["lr"])


def scheduler_of(run: Run, optimizer: Any) -> Any:
    if "processes" in run.case and run.kind == "torch":
        return LambdaLR(optimizer, lambda k: shape(k // 2))  # accelerate steps it once for each process
    if not run.case.startswith("diffusers"):
        return run.scheduler(optimizer)
    from diffusers.optimization import get_scheduler

    name = run.case.split()[1]
    rules = {"step_rules": "1:10,0.1:20,0.01"} if name == "piecewise_constant" else {}
    return get_scheduler(name, optimizer, num_warmup_steps=5, num_training_steps=STEPS, **rules)


def train(run: Run) -> nn.Module:
    if "processes" not in run.case:
        return fit(run)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    other = os.fork()
    rank = "1" if other == 0 else "0"
    os.environ.update(WORLD_SIZE="2", RANK=rank, LOCAL_RANK=rank, MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    if other == 0:
        run.out /= "other"
        run.out.mkdir()
        fit(run)
        os._exit(0)
    model = fit(run)
    os.waitpid(other, 0)
    return model


def fit(run: Run) -> nn.Module:
    accumulate = 2 if "accumulated" in run.case or "processes" in run.case else 1  # batches for one update
    tracker = Tracker(run)
    accelerator = Accelerator(
        cpu=True,
        gradient_accumulation_steps=2 if "accumulated" in run.case else 1,
        step_scheduler_with_optimizer="untied" not in run.case,
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=0),
        log_with=tracker,
    )
    accelerator.init_trackers("run")
    model = run.model()
    optimizer = run.optimizer(model.parameters())
    model, optimizer, scheduler, loader = accelerator.prepare(
        model, optimizer, scheduler_of(run, optimizer), run.loader()
    )
    saved = sorted(run.folder.iterdir(), key=lambda path: int(path.name)) if run.resuming else []
    step = int(saved[-1].name) if saved else 0
    if saved:
        accelerator.load_state(str(saved[-1]))
    for epoch in range(step * accumulate // PER_EPOCH, EPOCHS * accumulate):
        total = 0.0
        for inputs, labels in loader:
            with accelerator.accumulate(model):
                loss = cross_entropy(model(inputs), labels)
                accelerator.backward(loss)
                optimizer.step()
                if "Plateau" not in run.case:
                    scheduler.step()
                optimizer.zero_grad()
            total += loss.item()
            if not accelerator.sync_gradients:
                continue
            step += 1
            accelerator.log({"lr": scheduler.get_last_lr()[0]}, step=step)
        if "Plateau" in run.case:
            scheduler.step(total)
        if step % SAVE_EVERY == 0:
            accelerator.save_state(f"{run.folder}/{step}")
        if epoch == EPOCHS * accumulate - 1:
            break
    return accelerator.unwrap_model(model)
