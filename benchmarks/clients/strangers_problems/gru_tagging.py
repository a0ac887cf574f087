"""Padded text through a GRU: a tag for each word; losses and metrics are means over words, not over sentences."""

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from tapered import Workload

WORDS, TAGS, LONGEST, IGNORED = 30, 5, 12, -100


def sentences(count: int, seed: int) -> TensorDataset:
    """Words from 1 on, padded by 0 to 12; a word's tag follows from it and the word before; padding has none."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(1, WORDS, (count, LONGEST), generator=generator)
    lengths = torch.randint(1, LONGEST + 1, (count, 1), generator=generator)
    padding = torch.arange(LONGEST) >= lengths
    tags = (words + words.roll(1, dims=1)) % TAGS
    return TensorDataset(words.masked_fill(padding, 0), tags.masked_fill(padding, IGNORED))


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 16, padding_idx=0)
        self.gru = nn.GRU(16, 16, batch_first=True)
        self.head = nn.Linear(16, TAGS)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.gru(self.embedding(words))
        return self.head(hidden)


def loss(outputs: torch.Tensor, tags: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(outputs.flatten(0, 1), tags.flatten(), ignore_index=IGNORED)


def accuracy(outputs: torch.Tensor, tags: torch.Tensor) -> torch.Tensor:
    """Of all words of the split."""
    known = tags != IGNORED
    return ((outputs.argmax(-1) == tags) & known).sum() / known.sum()


problem = Workload(
    name="gru_tagging",
    model=Tagger,
    loss=loss,
    train=sentences(256, 0),
    valid=sentences(75, 1),
    test=sentences(50, 2),
    batch_size=16,
    metrics={"accuracy": accuracy},
    weight=lambda tags: (tags != IGNORED).sum(),
    eval_batch_size=32,
)

# the same by hand

RULE, PEAK = "Adam", 1e-2
STACKS = False  # whether rows can be trained together


def loss_by_hand(model: nn.Module, indices: list[int]) -> torch.Tensor:
    words, tags = problem.train.tensors
    known = tags[indices] != IGNORED
    scores = model(words[indices]).log_softmax(-1)
    return -scores[known].gather(1, tags[indices][known][:, None]).mean()


def results_by_hand(model: nn.Module, split: str) -> dict[str, float]:
    words, tags = getattr(problem, split).tensors
    known = tags != IGNORED
    scores, right = model(words)[known].double(), tags[known]
    return {
        "loss": -scores.log_softmax(-1)[torch.arange(len(right)), right].mean().item(),
        "accuracy": (scores.argmax(-1) == right).double().mean().item(),
    }
