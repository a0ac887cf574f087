"""A Transformers GPT-2, which computes its own loss in its forward, by AdamW as language models are trained."""

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import GPT2Config, GPT2LMHeadModel

from tapered import Group, Recipe, Workload

LETTERS, LONGEST, IGNORED = 29, 10, -100
Batch = dict[str, torch.Tensor]
CONFIG = GPT2Config(
    vocab_size=LETTERS,
    n_positions=LONGEST,
    n_embd=16,
    n_layer=2,
    n_head=2,
    resid_pdrop=0.1,
    embd_pdrop=0.1,
    attn_pdrop=0.1,
    bos_token_id=None,
    eos_token_id=None,
    loss_type="ForCausalLM",
)


class Lines(Dataset):
    """Counting in steps of 1, 2 or 3, padded to 10: what a Transformers collator gives."""

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        begins, strides, lengths = (
            torch.randint(low, high, (count, 1), generator=generator)
            for low, high in ((0, LETTERS), (1, 4), (3, LONGEST))
        )
        self.ids = (begins + strides * torch.arange(LONGEST)) % LETTERS
        self.mask = (torch.arange(LONGEST) < lengths).long()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Batch:
        ids, mask = self.ids[index], self.mask[index]
        return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, IGNORED)}


def predicted(batch: Batch) -> torch.Tensor:
    """How many letters the loss is a mean over."""
    return (batch["labels"][:, 1:] != IGNORED).sum()


def accuracy(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Of the letters of the whole split."""
    known = labels[:, 1:] != IGNORED
    return ((scores[:, :-1].argmax(-1) == labels[:, 1:]) & known).sum() / known.sum()


problem = Workload(
    name="gpt2",
    model=lambda: GPT2LMHeadModel(CONFIG),
    objective=lambda model, batch: model(**batch).loss,
    predict=lambda model, batch: (model(**batch).logits, batch["labels"]),
    train=Lines(128, 0),
    valid=Lines(45, 1),
    test=Lines(30, 2),
    batch_size=8,
    metrics={"accuracy": accuracy},
    weight=predicted,
    eval_batch_size=16,
    recipe=Recipe(clip_norm=0.5, groups=(Group(("*.bias", "*ln_*"), hypers={"weight_decay": 0.0}),)),
)

# the same by hand


def results_by_hand(model: nn.Module, split: str) -> dict[str, float]:
    """Over the letters that are to be predicted, from the scores before each."""
    data = getattr(problem, split)
    known = data.mask[:, 1:] == 1
    scores = model(input_ids=data.ids, attention_mask=data.mask).logits[:, :-1][known]
    right = data.ids[:, 1:][known]
    return {
        "loss": functional.cross_entropy(scores.double(), right).item(),
        "accuracy": (scores.argmax(-1) == right).double().mean().item(),
    }


def groups_by_hand(model: nn.Module) -> list[dict[str, object]]:
    """Matrices decay, vectors do not."""
    params = list(model.parameters())
    return [
        {"params": [p for p in params if p.ndim > 1]},
        {"params": [p for p in params if p.ndim == 1], "weight_decay": 0.0},
    ]


# attention does not change with a key's bias: its gradient is 0 but for rounding, which Adam makes as large as any
ROUNDING = {f"transformer.h.{layer}.attn.c_attn.bias": slice(16, 32) for layer in range(2)}
BY_HAND = {
    "loss": lambda model, batch: model(**batch).loss,
    "results": results_by_hand,
    "rule": "AdamW",
    "peak": 3e-3,
    "stacks": False,
    "groups": groups_by_hand,
    "clip": lambda params: nn.utils.clip_grad_norm_(params, 0.5),
}
