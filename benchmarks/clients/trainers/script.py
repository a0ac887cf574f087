"""No framework: a loop with torch's own state dicts, and one with `tapered.checkpoint`; the scheduler is a part."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from trainers.run import EPOCHS, PER_EPOCH, REFUSED, SAVE_EVERY, TORCH, Run

from tapered.checkpoint import resume, save

OWN = tuple(f"{name}, tapered.checkpoint" for name in ("schedule", *TORCH))
CASES = ("schedule", *TORCH, *(f"{REFUSED}{name}" for name in TORCH), *OWN)


def train(run: Run, before: Callable[[nn.Module, torch.optim.Optimizer], None] = lambda *_: None) -> nn.Module:
    model = run.model()
    optimizer = run.optimizer(model.parameters())
    before(model, optimizer)
    case, own = run.case.split(",")[0], "checkpoint" in run.case
    scheduler = run.scheduler(optimizer)
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    last, step = run.folder / "last.pt", 0
    if own and run.resuming:
        step = resume(run.folder, **parts).step
    elif run.resuming:
        saved = torch.load(last, weights_only=True)
        step = saved.pop("step")
        for name, state in saved.items():
            parts[name].load_state_dict(state)
    for _ in range(step // PER_EPOCH, EPOCHS):
        total = 0.0
        for inputs, labels in run.loader():
            optimizer.zero_grad()
            loss = cross_entropy(model(inputs), labels)
            loss.backward()
            run.log([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
            if "Plateau" not in case:
                scheduler.step()
            total += loss.item()
            step += 1
        if "Plateau" in case:
            scheduler.step(total)
        if step % SAVE_EVERY == 0:
            if own:
                save(run.folder, step, **parts)
            else:
                torch.save({"step": step, **{name: part.state_dict() for name, part in parts.items()}}, last)
    return model
