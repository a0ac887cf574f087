"""One training inside somebody's framework: its model, data, optimizer and scheduler, and what is written down of it.

Every update is written down as it happens, with the rates that it used, so that a run that is killed has left them.
"""

import json
import math
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import nn
from torch.optim import lr_scheduler as lrs
from torch.utils.data import DataLoader, TensorDataset

import tapered
from tapered.attach import as_lr_scheduler, attach, clock_of, of_base

PEAK, PER_EPOCH, EPOCHS, SAVE_EVERY, STOPPED_AFTER = 1e-2, 6, 6, 6, 16
STEPS = PER_EPOCH * EPOCHS
SHAPE = tapered.warmup(5) * tapered.cosine_decay(decay_steps=STEPS)
RATE = PEAK * SHAPE
SCHEDULE = "schedule"  # cases that begin so have a tapered schedule; in the others the rate is a number
REFUSED = "schedule under "  # somebody else's scheduler or finder on it, which has to be refused in words
TORCH = ("LinearLR", "SequentialLR", "OneCycleLR", "ReduceLROnPlateau")  # what torch has for a number


def shape(k: int) -> float:
    """The curve as a factor, written without tapered."""
    return min(k / 5, 1.0) * (1 + math.cos(math.pi * min(k, STEPS) / STEPS)) / 2


def torch_scheduler(case: str, optimizer: torch.optim.Optimizer) -> Any:
    case = case.split(",", maxsplit=1)[0]
    if case == "LinearLR":
        return lrs.LinearLR(optimizer, 0.1, total_iters=STEPS)
    if case == "SequentialLR":
        parts = [lrs.LinearLR(optimizer, 0.1, total_iters=5), lrs.CosineAnnealingLR(optimizer, STEPS - 5)]
        return lrs.SequentialLR(optimizer, parts, milestones=[5])
    if case == "OneCycleLR":
        return lrs.OneCycleLR(optimizer, PEAK, total_steps=STEPS + 1)
    return lrs.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=0.9)


@dataclass
class Run:
    """What `train(run)` of a framework's module gets, and where it writes."""

    case: str
    kind: str  # torch, tapered, attached
    folder: Path  # the framework saves here, and finds what it saved
    out: Path  # what is written down of it
    kill: bool = False
    resuming: bool = False
    updates: int = 0
    finding: bool = False  # a finder's updates are not the run's
    files: dict[str, TextIO] = field(default_factory=dict)

    @property
    def scheduled(self) -> bool:
        return self.case.startswith(SCHEDULE)

    def write(self, name: str, line: Any) -> None:
        if name not in self.files:
            self.files[name] = (self.out / name).open("a", buffering=1)
        print(json.dumps(line), file=self.files[name])

    def log(self, rate: Any) -> None:
        """A rate that the framework's own logger or monitor got."""
        if not self.finding:
            self.write("logged", [float(one) for one in rate] if isinstance(rate, list | tuple) else float(rate))

    def form(self, rates: list[list[float]]) -> None:
        """What each update is to use, where it is not the curve times a number for each group."""
        (self.out / "form").write_text(json.dumps(rates))

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 3))

    def data(self) -> TensorDataset:
        x = torch.randn(8 * PER_EPOCH, 8, generator=torch.Generator().manual_seed(1))
        return TensorDataset(x, x[:, :3].argmax(1))

    def loader(self) -> DataLoader:
        return DataLoader(self.data(), batch_size=8)

    @property
    def rate(self) -> Any:
        """What is given as `lr`: a schedule to tapered's AdamW, else a number."""
        return self.curve if self.scheduled and self.kind == "tapered" else PEAK

    @property
    def curve(self) -> Any:
        """The schedule; some finders divide by the rate that they find, so that those of REFUSED do not begin at 0."""
        return tapered.cosine_decay(PEAK, decay_steps=STEPS) if self.case.startswith(REFUSED) else RATE

    @property
    def kind_of(self) -> type[torch.optim.Optimizer]:
        return tapered.AdamW if self.kind == "tapered" else torch.optim.AdamW

    def optimizer(self, params: Any, lr: Any = None, **options: Any) -> torch.optim.Optimizer:
        """AdamW of the kind that is asked for; `lr` where the framework brings one."""
        if self.kind != "tapered":
            options["fused"] = True  # the kernel that tapered's takes
        return self.prepared(self.kind_of(params, lr=self.rate if lr is None else lr, **options))

    def prepared(self, optimizer: torch.optim.Optimizer, factors: tuple[float, ...] = ()) -> torch.optim.Optimizer:
        """Attached where that is asked for, and watched; `factors` are those of its groups, times the curve."""
        if self.kind == "attached":
            attach(optimizer, lr=of_base(SHAPE) if factors else self.curve)
        if factors:
            self.form([[factor * PEAK * shape(k) for factor in factors] for k in range(STEPS)])
        return self.watched(optimizer)

    def scheduler(self, optimizer: torch.optim.Optimizer) -> Any:
        """What goes where the framework wants a torch scheduler."""
        if not self.scheduled or self.case.startswith(REFUSED):
            return torch_scheduler(self.case.removeprefix(REFUSED), optimizer)
        return lrs.LambdaLR(optimizer, shape) if self.kind == "torch" else as_lr_scheduler(optimizer)

    def watched(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        before: list[Any] = []

        def pre(one: torch.optim.Optimizer, *_: Any) -> None:
            before[:] = [group["lr"] for group in one.param_groups]

        def post(one: torch.optim.Optimizer, *_: Any) -> None:
            if not any(p.grad is not None and bool(p.grad.any()) for g in one.param_groups for p in g["params"]):
                return  # torch.distributed.checkpoint makes states so
            self.updates += 1
            last = before if self.kind == "torch" or not self.scheduled else (clock_of(one) or one).last_lr
            shown = [float(group["lr"]) for group in one.param_groups]
            self.write("used", [[float(rate) for rate in last], shown])
            if self.kill and not self.finding and self.updates == STOPPED_AFTER:
                os.kill(os.getpid(), signal.SIGKILL)

        optimizer.register_step_pre_hook(pre)
        optimizer.register_step_post_hook(post)
        return optimizer

    def begin(self) -> None:
        """What was used and logged so far was a finder's."""
        self.updates, self.finding = 0, False
        self.write("used", "finder")

    def end(self, model: nn.Module) -> None:
        torch.save({key: value.clone() for key, value in model.state_dict().items()}, self.out / "end.pt")
