"""What a study found of each comparison."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from tapered.stats.verdicts import Word
from tapered.words import brief


@brief
@dataclass(frozen=True)
class Verdict:
    """An arm against another, both at their best peaks.

    Args:
        arm: The arm.
        against: What it is compared with.
        word: "helps", "hurts", "equivalent", "no evidence" or "not enough seeds".
        sentence: The verdict in full.
        before: The metric of what it is compared with, mean over seeds; None where a run of either diverged.
        after: The arm's.
        share: The difference as a share of the first; None where that means nothing.
        low: Lower end of the interval of the difference; None where there is none.
        high: Its upper end.
        p: Of the sign-flip test, corrected where there are several comparisons.
        better: At how many seeds the arm was better.
        seeds: Of how many.
        confirmed: Whether fresh seeds say what the others said; None where none were run, or those were too few.

    Example:
        >>> said = "cosine beats constant: 0.2 -> 0.1 (-50%)"
        >>> found = Verdict("cosine", "constant", "helps", said, 0.2, 0.1, -0.5, -0.12, -0.08, 0.008, 8, 8, True)
        >>> found.word, found.after - found.before, found.low < found.after - found.before < found.high
        ('helps', -0.1, True)
    """

    arm: str
    against: str
    word: Word
    sentence: str
    before: float | None
    after: float | None
    share: float | None
    low: float | None
    high: float | None
    p: float | None
    better: int
    seeds: int
    confirmed: bool | None

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """From the fields of a kept result."""
        change = {name: fields["change"][name] for name in ("before", "after", "share", "low", "high")}
        counts = {"better": fields["wins"], "seeds": fields["n"], "p": fields["p"], "confirmed": fields["confirmed"]}
        named = {"arm": fields["arm"], "against": fields["baseline"], "word": fields["verdict"]}
        return cls(**named, sentence=fields["sentence"], **change, **counts)
