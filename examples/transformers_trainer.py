"""transformers' Trainer with a tapered rate: interrupted, resumed from its own checkpoint, compared.

Trainer insists on a torch scheduler beside the optimizer: `as_lr_scheduler` is one that shows the rates and never moves
them, so that its own checkpoints (optimizer.pt, scheduler.pt) resume right.
"""

import contextlib
import math
import os
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is looked up

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging

from tapered import AdamW, cosine_decay, warmup
from tapered.attach import as_lr_scheduler, attach

STEPS, SAVE_EVERY, STOPPED_AFTER = 20, 4, 10
RATE = 1e-3 * warmup(5) * cosine_decay(decay_steps=STEPS)
logging.disable_progress_bar()
torch.set_num_threads(1)  # tiny tensors: two threads only wait for each other


def closed_form(k):
    """What update k is to use, written without tapered."""
    return 1e-3 * min(k / 5, 1.0) * (1 + math.cos(math.pi * k / STEPS)) / 2


def attached(params):
    optimizer = torch.optim.AdamW(params, lr=1e-3)
    attach(optimizer, lr=RATE)
    return optimizer


OPTIMIZERS = {"tapered": lambda params: AdamW(params, lr=RATE), "attached": attached}


class Each(TrainerCallback):
    """Calls after every update with the step and the rate that Trainer logs."""

    def __init__(self, on_step):
        self.on_step = on_step

    def on_log(self, _args, state, _control, logs=None, **_):
        if "learning_rate" in logs:
            self.on_step(state.global_step, logs["learning_rate"])


def sentences():
    """Lines whose next letter is the last one plus the line's own step, modulo 32."""
    starts = torch.arange(64)[:, None]
    lines = (starts + torch.arange(16) * (1 + starts % 3)) % 32
    return [{"input_ids": line, "labels": line} for line in lines]


def train(folder, name, on_step, callbacks=(), **arguments):
    """Train to the end, from Trainer's last checkpoint on where there is one."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 32, "n_positions": 16, "n_embd": 32, "n_layer": 2, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0, loss_type="ForCausalLM"))
    optimizer = OPTIMIZERS[name](model.parameters())
    asked = {"gradient_accumulation_steps": 2, "max_steps": STEPS, "save_steps": SAVE_EVERY, **arguments}
    trainer = Trainer(
        model=model,
        args=TrainingArguments(folder, per_device_train_batch_size=4, logging_steps=1, report_to=[], use_cpu=True,
                               disable_tqdm=True, seed=0, dataloader_pin_memory=False, **asked),
        train_dataset=sentences(),
        callbacks=[*callbacks, Each(on_step)],
        optimizers=(optimizer, as_lr_scheduler(optimizer)),
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=any(Path(folder).glob("checkpoint-*")))
    return model


def interrupt(step, _):
    if step == STOPPED_AFTER:
        raise KeyboardInterrupt


def main():
    for name in OPTIMIZERS:
        rates = {}
        with tempfile.TemporaryDirectory() as parted, tempfile.TemporaryDirectory() as whole:
            with contextlib.suppress(KeyboardInterrupt):
                train(parted, name, interrupt)
            resumed = train(parted, name, rates.__setitem__)
            through = train(whole, name, lambda *_: None)
        apart = max(abs(rate - closed_form(step - 1)) for step, rate in rates.items())
        same = all(map(torch.equal, resumed.parameters(), through.parameters()))
        print(
            f"{name:8} stopped after step {STOPPED_AFTER}, went on with step {min(rates)}: rates within {apart:.0e} of"
        )
        print(f"         the closed form, {'the same bits' if same else 'OTHER BITS'} as in one go")


if __name__ == "__main__":
    main()
