"""W8: the next letter of English text, by a small transformer: the Jargon File 4.4.7, or Python's own help texts.

64 letters ─► embedding + place ─► 2 blocks of width 64, 4 heads ─► the next letter of each, of 96
"""

import math
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from tapered.training.workload import Workload
from tapered.workloads import data

FILE = "/usr/share/doc/jargon-text/jargon.txt.gz"
INSTALL = 'apt-get install jargon-text, or text="topics" for Python\'s own help texts, which change with its version'
SHA256 = "40dfb4b98191a670a09a183d5798d50f243d23fdbd1495dcc0aca2ce5895ba97"  # of the text as the package has it
LETTERS = 96  # the printable characters of ASCII and the end of a line
CONTEXT, BLOCK, EVERY = 64, 4096, 40  # one block of 4,096 letters in 40 validates, another tests


def codes(content: bytes) -> Tensor:
    r"""The letters of a text as 0 (end of line) to 95: int64; bytes that are not printable ASCII are left out.

    >>> codes(b"a b\n~").tolist()
    [66, 1, 67, 0, 95]
    """
    raw = torch.frombuffer(bytearray(content), dtype=torch.uint8).long()
    raw = torch.where(raw == ord("\n"), 31, raw)
    return raw[(raw >= 31) & (raw <= 126)] - 31


def corpus(text: Literal["jargon", "topics"] = "jargon", file: str = FILE) -> tuple[Tensor, dict[str, str]]:
    """The letters of a text, and facts of it.

    Raises:
        MissingDataError: If the Jargon File is not there, with the line that installs it.
        ChangedDataError: If it is another version.
        ValueError: If there is no such text.
    """
    if text == "jargon":
        return codes(data.file(Path(file), SHA256, INSTALL)), {"data": "Jargon File 4.4.7", "sha256": SHA256}
    if text != "topics":
        raise ValueError(f'got text={text!r}; expected one of jargon, topics; try text="jargon"')
    content = Path(data.module("pydoc_data.topics").__file__).read_bytes()
    return codes(content), {"data": "pydoc_data/topics.py of this Python", "sha256": data.digest(content)}


class _Block(nn.Module):
    """Attention to what came before and a perceptron, each after a norm and added to what came in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.mix(self.norms[0](x)).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0)
        query, key, value = (part.transpose(-3, -2) for part in (query, key, value))
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(seen.transpose(-3, -2).flatten(-2))
        y: Tensor = x + self.perceptron(self.norms[1](x))
        return y


class _Transformer(nn.Module):
    """Two blocks, a norm, and a layer that scores the next letter."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.letters = nn.Embedding(LETTERS, width)
        self.places = nn.Parameter(0.02 * torch.randn(CONTEXT, width))
        self.blocks = nn.Sequential(_Block(width, heads), _Block(width, heads))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, LETTERS)
        nn.init.normal_(self.letters.weight, std=0.02)

    def forward(self, letters: Tensor) -> Tensor:
        scores: Tensor = self.head(self.norm(self.blocks(self.letters(letters) + self.places)))
        return scores


def _loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs.flatten(0, -2), targets.flatten())


def _bits(outputs: Tensor, targets: Tensor) -> Tensor:
    lines = functional.cross_entropy(outputs.movedim(-1, 1), targets, reduction="none").double()
    return lines.mean(-1) / math.log(2)


def _set(letters: Tensor, starts: Tensor) -> TensorDataset:
    places = starts[:, None] + torch.arange(CONTEXT)
    return TensorDataset(letters[places], letters[places + 1])


def characters(
    text: Literal["jargon", "topics"] = "jargon",
    *,
    batch_size: int = 32,
    width: int = 64,
    heads: int = 4,
    file: str = FILE,
) -> Workload:
    """The next letter, after each of 64: mean cross-entropy in nats, and "bits" a letter as metric.

    The text is cut into blocks of 4,096 letters; of every 40 blocks one validates, one tests and the others train.

    Args:
        text: "jargon", the Jargon File of Debian's package jargon-text, or "topics", Python's own help texts, smaller,
            there with every Python and different with its version.
        batch_size: Lines of 64 letters a step.
        width: Of the transformer.
        heads: Of its attention; they divide the width.
        file: Where the Jargon File is.

    Raises:
        MissingDataError: If the text is not there, with the line that installs it.
        ValueError: If there is no such text, or ``heads`` does not divide ``width``.

    >>> characters("topics").train.tensors[0].shape[1]
    64
    """
    if width < 1 or heads < 1 or width % heads:
        raise ValueError(f"got width={width}, heads={heads}; expected heads that divide the width; try heads=4")
    letters, facts = corpus(text, file)
    starts = torch.arange(0, len(letters) - CONTEXT - 1, CONTEXT)
    block = starts // BLOCK % EVERY
    return Workload(
        name="characters",
        model=lambda: _Transformer(width, heads),
        loss=_loss,
        train=_set(letters, starts[block > 1]),
        valid=_set(letters, starts[block == 0]),
        test=_set(letters, starts[block == 1]),
        batch_size=batch_size,
        metrics={"bits": _bits},
        facts=facts,
    )
