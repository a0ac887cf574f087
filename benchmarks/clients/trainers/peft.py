"""peft: LoRA of a model under transformers' Trainer, and the groups of LoRA+."""

from peft import LoraConfig, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from torch import nn
from trainers.run import Run
from trainers.transformers import Each, Model, arguments
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

RATIO = 16
CASES = ("schedule", "schedule, LoRA+", "linear", "linear, LoRA+")


def loraplus(run: Run, model: nn.Module):
    """Groups: A, embeddings (there are none), B, B without decay."""
    options = {} if run.kind == "tapered" else {"fused": True}
    made = create_loraplus_optimizer(
        model, run.kind_of, lr=run.rate, loraplus_lr_ratio=RATIO, loraplus_lr_embedding=run.rate, **options
    )
    return run.prepared(made, (1, 1, RATIO, RATIO))


def train(run: Run) -> nn.Module:
    inner = Model(run.model())
    model = get_peft_model(inner, LoraConfig(r=4, target_modules=["inner.0", "inner.2"], init_lora_weights="gaussian"))
    plain = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = loraplus(run, model) if "LoRA+" in run.case else run.optimizer(plain)
    more = {} if run.scheduled else {"lr_scheduler_type": "linear", "warmup_steps": 5}
    trainer = Trainer(
        model=model,
        args=TrainingArguments(**arguments(run, remove_unused_columns=False, **more)),
        train_dataset=[{"x": x, "labels": y} for x, y in run.data()],
        callbacks=[Each(run)],
        optimizers=(optimizer, run.scheduler(optimizer) if run.scheduled else None),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=run.resuming)
    return model
