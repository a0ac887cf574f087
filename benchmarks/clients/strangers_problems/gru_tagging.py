"""Text through a GRU, padded where a minibatch is made: a tag for each word, and all means are over words."""

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from tapered import Recipe, Workload

WORDS, TAGS, LONGEST, IGNORED = 30, 5, 12, -100
Sentence = tuple[torch.Tensor, torch.Tensor]


def sentences(count: int, seed: int) -> list[Sentence]:
    """Up to 12 words from 1 on, and their tags, each of which follows from a word and the one before."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(1, WORDS, (count, LONGEST), generator=generator)
    lengths = torch.randint(1, LONGEST + 1, (count,), generator=generator).tolist()
    tags = (words + words.roll(1, dims=1)) % TAGS
    return [(w[:n], t[:n]) for w, t, n in zip(words, tags, lengths, strict=True)]


def padded(items: list[Sentence]) -> dict[str, torch.Tensor]:
    words, tags = zip(*items, strict=True)
    return {
        "words": pad_sequence(words, batch_first=True),
        "tags": pad_sequence(tags, batch_first=True, padding_value=IGNORED),
    }


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 16, padding_idx=0)
        self.gru = nn.GRU(16, 16, batch_first=True)
        self.head = nn.Linear(16, TAGS)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.gru(self.embedding(words))
        return self.head(hidden)


def of_words(model: nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Means over the words of a batch."""
    known = batch["tags"] != IGNORED
    scores, tags = model(batch["words"])[known], batch["tags"][known]
    return {"loss": functional.cross_entropy(scores, tags), "accuracy": (scores.argmax(-1) == tags).float().mean()}


problem = Workload(
    name="gru_tagging",
    model=Tagger,
    objective=of_words,
    losses=("accuracy",),
    collate=padded,
    train=sentences(256, 0),
    valid=sentences(75, 1),
    test=sentences(50, 2),
    batch_size=8,
    weight=lambda batch: (batch["tags"] != IGNORED).sum(),
    eval_batch_size=32,
    recipe=Recipe(accumulate=2, clip_norm=0.1),
)

# the same by hand


def spoken(model: nn.Module, items: list[Sentence]) -> tuple[torch.Tensor, torch.Tensor]:
    """The log probabilities of each word's tags, and its tag: one sentence after another, without padding."""
    scores = [model(words[None])[0].log_softmax(-1) for words, _ in items]
    return torch.cat(scores), torch.cat([tags for _, tags in items])


def loss_by_hand(model: nn.Module, items: list[Sentence]) -> torch.Tensor:
    scores, tags = spoken(model, items)
    return -scores.gather(1, tags[:, None]).mean()


def results_by_hand(model: nn.Module, split: str) -> dict[str, float]:
    scores, right = spoken(model, getattr(problem, split))
    return {
        "loss": -scores.double()[torch.arange(len(right)), right].mean().item(),
        "accuracy": (scores.argmax(-1) == right).double().mean().item(),
    }


BY_HAND = {
    "loss": loss_by_hand,
    "results": results_by_hand,
    "rule": "Adam",
    "peak": 3e-3,
    "stacks": False,
    "collate": list,
    "accumulate": 2,
    "weight": lambda items: sum(len(tags) for _, tags in items),
    "clip": lambda params: nn.utils.clip_grad_norm_(params, 0.1),
}
