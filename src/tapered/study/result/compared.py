"""What was found of two arms: the evidence, the change from the one to the other, the verdict."""

from dataclasses import dataclass
from math import isfinite

from tapered.pictures.fragment import fragment
from tapered.stats import Paired, Verdict, Word
from tapered.words import brief, plain

BADGES: dict[Word, str] = {
    "helps": "better",
    "equivalent": "the same",
    "no evidence": "not shown",
    "not enough seeds": "too few seeds",
    "hurts": "worse",
}


@brief
@dataclass(frozen=True)
class Evidence:
    """Paired gains of an arm over what it is compared with, and what they say by themselves.

    Args:
        seeds: The seeds at which both were run.
        ours: The metric of the arm at each, NaN where it diverged.
        theirs: That of what it is compared with.
        gains: One a seed, positive where the arm is better.
        paired: What they say.
        p: The p of the sign-flip test, corrected (Holm) where there are several comparisons.
        verdict: The word and its reason.
        comparisons: How many p is corrected for: those that have a p, of the same kind of seeds.
    """

    seeds: tuple[int, ...]
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    gains: tuple[float, ...]
    paired: Paired
    p: float | None
    verdict: Verdict
    comparisons: int

    @property
    def ended(self) -> bool:
        """Whether any run of either ended."""
        return any(isfinite(value) for value in (*self.ours, *self.theirs))

    @property
    def lost(self) -> tuple[bool, ...]:
        """Of each seed whether the runs of both diverged: their gain is 0 in the test, and no number."""
        return tuple(not isfinite(a) and not isfinite(b) for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def badge(self) -> str:
        """The verdict in a word or two, for tables: "better", "not shown"; "no verdict" where no run says anything."""
        return BADGES[self.verdict.word] if self.ended else "no verdict"

    @property
    def text(self) -> str:
        """The same, with what it takes where seeds are lacking: "too few seeds (9 for 7 comparisons)"."""
        return f"{self.badge} ({self.verdict.takes})" if self.verdict.takes and self.ended else self.badge


@dataclass(frozen=True)
class Change:
    """From the metric of what an arm is compared with to the arm's own, in the metric's unit.

    Args:
        before: Mean over the seeds of the one that it is compared with; None where a run of either diverged.
        after: The arm's.
        share: The difference as a share of the first; None where that means nothing, as of values below 0.
        low: Lower end of the interval of the difference; None where there is none.
        high: Its upper end.
        lost: How many runs of the one that it is compared with diverged, and how many of the arm.
    """

    before: float | None
    after: float | None
    share: float | None
    low: float | None
    high: float | None
    lost: tuple[int, int]

    @property
    def difference(self) -> float | None:
        """The second less the first."""
        if self.before is None or self.after is None:
            return None
        found = self.after - self.before
        return found if isfinite(found) else None


@dataclass(frozen=True)
class Comparison:
    """A tuned arm against another, both at their best peaks.

    Args:
        arm: The arm's name.
        baseline: That of what it is compared with.
        chosen: What the seeds say by which the peaks were chosen.
        fresh: What seeds say that chose nothing; None where there are none.
        change: The metric of the one and of the other, and the difference, as the verdict's seeds have them.
        differs: In what the two differ beside the rate; empty where they differ in nothing else.
        sentence: The verdict in full.
        test: What the gains on the test split say, at the seeds that chose; None without one.
        seeds_for_delta: About how many seeds show a gain of the study's delta; None where no delta was stated.
    """

    arm: str
    baseline: str
    chosen: Evidence
    fresh: Evidence | None
    change: Change
    differs: tuple[str, ...]
    sentence: str
    test: Paired | None
    seeds_for_delta: int | None

    def __repr__(self) -> str:
        return f"Comparison({self.badge}: {self.sentence:.400})"

    def _repr_html_(self) -> str:
        paired = self.paired
        numbers = ["-" if x is None else plain(x) for x in (paired.mean, paired.low, paired.high, self.p)]
        rows: list[tuple[str, ...]] = [("verdict", "mean gain", "from", "to", "p", "better")]
        rows += [(self.badge, *numbers, f"{paired.wins} of {paired.n}")]
        caption = f"Gains of {self.arm} over {self.baseline}, seed by seed:"
        return fragment([self.sentence], tables=[(caption, rows)])

    @property
    def badge(self) -> str:
        """The verdict in a word or two, for tables."""
        return self.evidence.badge

    @property
    def evidence(self) -> Evidence:
        """What the verdict rests on: the fresh seeds where there are some."""
        return self.fresh or self.chosen

    @property
    def verdict(self) -> Verdict:
        """The word and its reason."""
        return self.evidence.verdict

    @property
    def gains(self) -> tuple[float, ...]:
        """The gains that the verdict rests on."""
        return self.evidence.gains

    @property
    def paired(self) -> Paired:
        """What they say."""
        return self.evidence.paired

    @property
    def p(self) -> float | None:
        """Their p, corrected."""
        return self.evidence.p

    @property
    def confirmed(self) -> bool | None:
        """Whether fresh seeds give the word that the others gave; None where none were run, or those were too few."""
        if self.fresh is None or self.chosen.verdict.word == "not enough seeds":
            return None
        return self.fresh.verdict.word == self.chosen.verdict.word
