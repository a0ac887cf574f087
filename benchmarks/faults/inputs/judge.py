"""A bad input put to an optimizer, and what became of it, in one of five words.

clear     a ValueError or TypeError that names the field or the value, and no weight has changed
survived  accepted, and what follows is right
obscure   another error, or one that comes after a weight has changed
warning   accepted with a warning
silent    accepted without a word, with wrong numbers
"""

import re
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any

import torch

# what a message may call each field
FIELDS = {
    "lr": r"\blr\b|learning rate",
    "betas": r"\bbeta",
    "eps": r"\beps\b|epsilon",
    "weight_decay": r"weight[ _]decay",
    "params": r"\bparam(eter)?s?\b|[Tt]ensors?\b",
    "grad": r"gradients?",
}
# runs the case: gives the weights just before the bad act, then acts; returns whether what followed was right
Go = Callable[[Any], Generator[list[torch.Tensor], None, bool | None]]


@dataclass(frozen=True)
class Bad:
    """One bad input: its row in FAULTS, in words, the field that a message should name, its value, and the act."""

    row: int
    words: str
    field: str  # a key of FIELDS, or names with | between them
    go: Go
    value: Any = None


@dataclass(frozen=True)
class Verdict:
    """The word for a case, and the message."""

    word: str
    message: str = ""


def names(message: str, case: Bad) -> bool:
    """The message names the field, or the value."""
    said = [FIELDS.get(case.field, rf"\b({case.field})\b")]
    if case.value is not None:
        said.append(rf"(?<![\w.]){re.escape(repr(case.value))}(?![\w.])")
    return any(re.search(words, message) for words in said)


def judged(case: Bad, side: Any) -> Verdict:
    """The case tried on one side."""
    going = case.go(side)
    weights = next(going)
    before = [w.detach().clone() for w in weights if not w.is_meta]
    right: bool | None = None
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            next(going)
        except StopIteration as end:
            right = end.value
        except Exception as error:  # noqa: BLE001 - the class of what is raised is the finding
            kept = all(map(torch.equal, before, [w.detach() for w in weights if not w.is_meta]))
            said = str(error).replace("\n", " ")
            clear = isinstance(error, (ValueError, TypeError)) and names(said, case) and kept
            return Verdict("clear" if clear else "obscure", f"{type(error).__name__}: {said}")
    if right:
        return Verdict("survived")
    if warned:
        return Verdict("warning", str(warned[0].message))
    return Verdict("silent")


def counted(cases: Iterable[Bad], side: Any) -> Counter[str]:
    """How often each word."""
    return Counter(judged(case, side).word for case in cases)
