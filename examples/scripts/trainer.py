"""transformers' Trainer on a tiny GPT-2 made from a config: two lines of tapered's; without a study it runs as ever.

python trainer.py --lr 0.001 --seed 0 --steps 40 --out out        trains, from the last checkpoint in out on
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is looked up

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

import tapered

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=40)
parser.add_argument("--out", default="out")
arguments = parser.parse_args()

torch.set_num_threads(1)  # tiny tensors
torch.manual_seed(arguments.seed)
sizes = {"vocab_size": 32, "n_positions": 16, "n_embd": 32, "n_layer": 1, "n_head": 2}
model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0, loss_type="ForCausalLM"))
optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.lr)

starts = torch.arange(64)[:, None]
lines = (starts + torch.arange(16) * (1 + starts % 3)) % 32  # the next letter is the last one plus the line's own step
data = [{"input_ids": line, "labels": line} for line in lines]

run = tapered.current_run()  # None outside a study
trainer = Trainer(
    model=model,
    args=TrainingArguments(
        arguments.out, max_steps=arguments.steps, learning_rate=arguments.lr, lr_scheduler_type="linear",
        per_device_train_batch_size=8, logging_steps=5, eval_strategy="steps", eval_steps=10, save_steps=10,
        seed=arguments.seed, report_to=[], use_cpu=True, disable_tqdm=True, dataloader_pin_memory=False,
    ),
    train_dataset=data[:48],
    eval_dataset=data[48:],
    optimizers=run.optimizers(optimizer) if run else (optimizer, None),  # 1
    callbacks=[run.trainer_callback()] if run else [],  # 2
)  # fmt: skip
trainer.train(resume_from_checkpoint=any(Path(arguments.out).glob("checkpoint-*")))
