"""Lightning: layers that thaw at a step, and an average beside them, stopped and resumed, against a plain torch loop.

python benchmarks/clients/lightning_freezing.py     # a minute; an assertion fails where a bit or a rate differs
"""

import logging
import tempfile
import warnings
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import tapered
from tapered.attach import attach

INPUTS = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
RATE = tapered.cosine_decay(1e-2, decay_steps=48)
STEPS, EPOCHS, THAWS = 48, 6, 24


class Net(lightning.LightningModule):
    """A body that stands still until a step, and a head."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kind, self.kept = kind, None
        self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 1)

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        return self.head(self.body(batch[0]).tanh()).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        if self.kind == "tapered":
            optimizer = freezing = tapered.AdamW(self.named_parameters(), lr=RATE)
        else:
            optimizer = torch.optim.AdamW(self.named_parameters(), lr=1e-2)
            freezing = attach(optimizer, lr=RATE)
        freezing.freeze("body.*")
        freezing.unfreeze("body.*", at=THAWS)
        self.average = tapered.average(optimizer, "ema", decay=0.9, model=self)
        return optimizer

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["average"] = self.average.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.kept = checkpoint["average"]

    def on_train_start(self) -> None:
        if self.kept is not None:
            self.average.load_state_dict(self.kept)


def fit(kind: str, epochs: int, folder: str, resumed: str | None = None) -> Net:
    net = Net(kind)
    trainer = lightning.Trainer(
        max_epochs=epochs, logger=False, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
        callbacks=[ModelCheckpoint(folder, save_last=True)],
    )  # fmt: skip
    trainer.fit(net, DataLoader(TensorDataset(INPUTS), batch_size=8), ckpt_path=resumed)
    return net


def plain() -> Net:
    net = Net("by hand")
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = RATE(step)
        net.body.requires_grad_(step >= THAWS)
        optimizer.zero_grad()
        place = 8 * (step % 8)
        net.training_step((INPUTS[place : place + 8],), step).backward()
        optimizer.step()
    return net


def same(one: Net, other: Net) -> bool:
    return all(map(torch.equal, one.parameters(), other.parameters()))


def main() -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    for kind in ("tapered", "attached"):
        whole = fit(kind, EPOCHS, tempfile.mkdtemp())
        torch.testing.assert_close(list(whole.parameters()), list(plain().parameters()), rtol=1e-5, atol=1e-6)
        for stop in (2, 3, 4):  # before, at and after the step at which the body thaws
            folder = tempfile.mkdtemp()
            fit(kind, stop, folder)
            again = fit(kind, EPOCHS, tempfile.mkdtemp(), f"{folder}/last.ckpt")
            assert same(whole, again)
            assert again.average.updates == STEPS
            with again.average.readout(), whole.average.readout():
                assert same(whole, again)
        print(f"{kind}: stopped after 2, 3 and 4 epochs of {EPOCHS} and resumed, the bits are the same")


if __name__ == "__main__":
    main()
