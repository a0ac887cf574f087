"""A claim: what was said, the studies that measure it, and the judge that reads an answer off them.

studies ─► run, each in its folder ─► summaries ─► judge ─► Answer(word, why, figures)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Word = Literal["confirmed", "refuted", "depends"]
Summary = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What was found.

    Args:
        word: "confirmed", "refuted" or "depends", by the criterion in the judge's docstring.
        why: One sentence with the figures that say so.
        figures: The figures by name, as JSON takes them.

    Example:
        >>> Answer("depends", "it helps where noise is left", {"gain": 0.1}).word
        'depends'
    """

    word: Word
    why: str
    figures: Mapping[str, float | str]


@dataclass(frozen=True)
class Claim:
    """Something that was said about decaying the rate, and how it is judged.

    Args:
        question: Its number, "Q8".
        said: What was said, in one sentence of our own.
        studies: Names of the built-in studies that it needs.
        judge: From study name -> the study's summary, as `tapered study NAME --json` prints it, to the answer. A judge
            without studies measures for itself.

    Example:
        >>> from tapered.claims import CLAIMS
        >>> [claim.question for claim in CLAIMS[:3]], CLAIMS[1].studies
        (['Q1', 'Q2', 'Q3'], ('bmi',))
    """

    question: str
    said: str
    studies: tuple[str, ...]
    judge: Callable[[Mapping[str, Summary]], Answer]
