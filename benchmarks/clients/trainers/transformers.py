"""transformers' Trainer: `resume_from_checkpoint`, the rates that it logs after each update, its scheduler types."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from trainers.run import REFUSED, SAVE_EVERY, STEPS, TORCH, Run
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

TYPES = {  # lr_scheduler_type -> lr_scheduler_kwargs
    "linear": {},
    "cosine": {},
    "cosine_with_restarts": {"num_cycles": 2},
    "polynomial": {"power": 2.0},
    "constant_with_warmup": {},
    "inverse_sqrt": {},
    "cosine_with_min_lr": {"min_lr": 1e-3},
    "warmup_stable_decay": {"num_decay_steps": 10},
    "reduce_lr_on_plateau": {"factor": 0.5, "patience": 0, "threshold": 0.9},
}
CASES = (
    "schedule",
    "schedule, 2 accumulated",
    *TYPES,
    *(name for name in TORCH if "Plateau" not in name),
    "schedule under linear",
)


class Model(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict:
        logits = self.inner(x)
        return {"loss": cross_entropy(logits, labels), "logits": logits}


class Each(TrainerCallback):
    def __init__(self, run: Run) -> None:
        self.run = run

    def on_log(self, _args, _state, _control, logs=None, **_) -> None:
        if "learning_rate" in logs:
            self.run.log(logs["learning_rate"])


def arguments(run: Run, **more) -> dict:
    """What every Trainer here is told; TRL's, too."""
    return {
        "output_dir": str(run.folder), "max_steps": STEPS, "save_steps": SAVE_EVERY, "logging_steps": 1, "seed": 0,
        "report_to": [], "use_cpu": True, "disable_tqdm": True, "dataloader_pin_memory": False,
        "per_device_train_batch_size": 8, "learning_rate": 1e-2, "max_grad_norm": 0.0, "warmup_steps": 0, **more,
    }  # fmt: skip


def train(run: Run) -> nn.Module:
    torch.manual_seed(0)
    model = Model(run.model())
    optimizer = run.optimizer(model.parameters())
    more = {"gradient_accumulation_steps": 2 if "accumulated" in run.case else 1}
    kind = run.case.removeprefix(REFUSED)
    if kind in TYPES:
        more |= {"lr_scheduler_type": kind, "lr_scheduler_kwargs": TYPES[kind], "warmup_steps": 5}
    if "plateau" in run.case:
        more |= {"eval_strategy": "steps", "eval_steps": SAVE_EVERY, "metric_for_best_model": "loss", "warmup_steps": 0}
    data = [{"x": x, "labels": y} for x, y in run.data()]
    trainer = Trainer(
        model=model,
        args=TrainingArguments(**arguments(run, **more)),
        train_dataset=data,
        eval_dataset=data,
        callbacks=[Each(run)],
        optimizers=(optimizer, None if kind in TYPES else run.scheduler(optimizer)),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=run.resuming)
    return model
