"""trl's SFTTrainer, which is a Trainer of transformers, on a small model of its own."""

import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import nn
from trainers.run import Run
from trainers.transformers import Each, arguments
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

CASES = ("schedule", "linear", "cosine_with_min_lr", "LinearLR")


def train(run: Run) -> nn.Module:
    torch.manual_seed(0)
    sizes = {"vocab_size": 32, "n_positions": 16, "n_embd": 32, "n_layer": 1, "n_head": 2}
    quiet = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    model = GPT2LMHeadModel(GPT2Config(**sizes, **quiet, bos_token_id=0, eos_token_id=0, loss_type="ForCausalLM"))
    words = Tokenizer(WordLevel({f"w{i}": i for i in range(32)}, unk_token="w1"))
    tokens = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w0", pad_token="w0", unk_token="w1")
    starts = torch.arange(48)[:, None]
    lines = (starts + torch.arange(16) * (1 + starts % 3)) % 32
    optimizer = run.optimizer(model.parameters())
    own = run.case in ("linear", "cosine_with_min_lr")
    more = {"lr_scheduler_type": run.case, "warmup_steps": 5} if own else {}
    if "min_lr" in run.case:
        more["lr_scheduler_kwargs"] = {"min_lr": 1e-3}
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**arguments(run, bf16=False, gradient_checkpointing=False, **more)),
        train_dataset=Dataset.from_dict({"input_ids": lines.tolist()}),
        processing_class=tokens,
        callbacks=[Each(run)],
        optimizers=(optimizer, None if own else run.scheduler(optimizer)),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=run.resuming)
    return model
