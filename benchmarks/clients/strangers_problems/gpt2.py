"""A Transformers GPT-2, which computes its own loss in its forward and returns it among its outputs."""

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import GPT2Config, GPT2LMHeadModel

from tapered import Workload

LETTERS, LONGEST, IGNORED = 29, 10, -100
CONFIG = GPT2Config(
    vocab_size=LETTERS,
    n_positions=LONGEST,
    n_embd=16,
    n_layer=2,
    n_head=2,
    resid_pdrop=0.0,
    embd_pdrop=0.0,
    attn_pdrop=0.0,
    bos_token_id=None,
    eos_token_id=None,
    loss_type="ForCausalLM",
)


class Lines(Dataset):
    """Counting in steps of 1, 2 or 3, padded to 10: what a Transformers collator gives, and the labels."""

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

    def __getitem__(self, index: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        ids, mask = self.ids[index], self.mask[index]
        labels = ids.masked_fill(mask == 0, IGNORED)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}, labels


class Model(nn.Module):
    """GPT-2 takes its inputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.gpt2 = GPT2LMHeadModel(CONFIG)

    def forward(self, batch: dict[str, torch.Tensor]) -> object:
        return self.gpt2(**batch)


def predicted(labels: torch.Tensor) -> torch.Tensor:
    """How many letters the loss is a mean over."""
    return (labels[:, 1:] != IGNORED).sum()


def accuracy(outputs: object, labels: torch.Tensor) -> torch.Tensor:
    """Of the letters of the whole split."""
    known = labels[:, 1:] != IGNORED
    return ((outputs.logits[:, :-1].argmax(-1) == labels[:, 1:]) & known).sum() / known.sum()


problem = Workload(
    name="gpt2",
    model=Model,
    loss=lambda outputs, _: outputs.loss,
    train=Lines(128, 0),
    valid=Lines(45, 1),
    test=Lines(30, 2),
    batch_size=8,
    metrics={"accuracy": accuracy},
    weight=predicted,
    eval_batch_size=16,
)

# the same by hand

RULE, PEAK = "SGD", 3e-1
STACKS = False  # whether rows can be trained together


def letters(model: nn.Module, data: Lines, indices: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """The scores before each letter that is to be predicted, and these letters."""
    ids, mask = data.ids[indices], data.mask[indices]
    scores = model.gpt2(input_ids=ids, attention_mask=mask).logits
    known = mask[:, 1:] == 1
    return scores[:, :-1][known], ids[:, 1:][known]


def loss_by_hand(model: nn.Module, indices: list[int]) -> torch.Tensor:
    return functional.cross_entropy(*letters(model, problem.train, indices))


def results_by_hand(model: nn.Module, split: str) -> dict[str, float]:
    data = getattr(problem, split)
    scores, right = letters(model, data, list(range(len(data))))
    return {
        "loss": functional.cross_entropy(scores.double(), right).item(),
        "accuracy": (scores.argmax(-1) == right).double().mean().item(),
    }
