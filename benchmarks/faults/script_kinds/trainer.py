"""transformers' Trainer with its own scheduler; it knows nothing of tapered."""

import argparse
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is looked up
import faulty
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--seed", type=int)
parser.add_argument("--steps", type=int)
parser.add_argument("--out")
parser.add_argument("--schedule", default="cosine")
a = parser.parse_args()
seed, steps = faulty.begin(a.seed, a.steps)
torch.set_num_threads(1)
torch.manual_seed(seed)
sizes = {"vocab_size": 32, "n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2}
model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0, loss_type="ForCausalLM"))
starts = torch.arange(64)[:, None]
lines = (starts + torch.arange(16) * (1 + starts % 3)) % 32
data = [{"input_ids": line, "labels": line} for line in lines]


class Faulty(TrainerCallback):
    def on_step_begin(self, args, state, control, **more):  # noqa: ARG002 - as it is called
        faulty.before(state.global_step)

    def on_pre_optimizer_step(self, args, state, control, optimizer=None, **more):  # noqa: ARG002 - as it is called
        faulty.rate(state.global_step, trainer.optimizer)

    def on_save(self, args, state, control, **more):  # noqa: ARG002 - as it is called
        faulty.saved(Path(args.output_dir) / f"checkpoint-{state.global_step}")


class Own(Trainer):
    def compute_loss(self, *given, **named):
        found = super().compute_loss(*given, **named)
        return faulty.loss(self.state.global_step, found) if self.model.training else found


warm = torch.optim.AdamW(model.parameters(), lr=a.lr)
total = a.steps
kind = {"cosine": torch.optim.lr_scheduler.CosineAnnealingLR(warm, total)}.get(a.schedule)
trainer = Own(
    model=model,
    args=TrainingArguments(
        a.out, max_steps=steps, learning_rate=a.lr, lr_scheduler_type="linear", per_device_train_batch_size=8,
        logging_steps=2, eval_strategy="steps", eval_steps=2, save_steps=2, seed=seed, report_to=[], use_cpu=True,
        disable_tqdm=True, dataloader_pin_memory=False, logging_nan_inf_filter=False,
    ),
    train_dataset=data[:48],
    eval_dataset=data[48:],
    optimizers=(warm, kind),
    callbacks=[Faulty()],
)  # fmt: skip
trainer.train(resume_from_checkpoint=any(Path(a.out).glob("checkpoint-*")))
