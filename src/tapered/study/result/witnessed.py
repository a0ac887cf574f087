"""What was witnessed of the runs of a script, and what its verdict must say of that."""

from collections.abc import Iterator
from dataclasses import dataclass

from tapered.study.store.runs import Run
from tapered.words import counted


@dataclass(frozen=True)
class Witnessed:
    """What was seen of a study's script.

    Args:
        command: How it is started.
        rate: "see", "set" or "off".
        runs: Runs that were started.
        updates: Updates that they made themselves.
        seen: How many of them were seen, with the rate that was asked.
        gap: The largest |applied - asked|, as a share of what was asked.
        twice: The largest difference of what was told twice, as after a kill; None where nothing was.
        noise: The largest difference in the metric of two runs of one seed at the same rates; None without such.
        forked: Runs that began with another's checkpoint.
        shared: Updates that they took over.
        notes: What could not be witnessed, a sentence each.
    """

    command: str
    rate: str
    runs: int
    updates: int
    seen: int
    gap: float
    twice: float | None
    noise: float | None
    forked: int
    shared: int
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """What was witnessed, a sentence each."""
        return (*self._rates(), *self._shared())

    def _rates(self) -> Iterator[str]:
        done = {"see": "was the one asked", "set": "was set from outside"}.get(self.rate)
        if done and self.seen:
            yield (
                f"The rate {done} in {self.seen:,} of {self.updates:,} updates of {counted(self.runs, 'run')}, to "
                f"within {self.gap:.1g} of it."
            )

    def _shared(self) -> Iterator[str]:
        if self.forked:
            runs = counted(self.forked, "run")
            yield f"{runs} began with another's checkpoint and took over {self.shared:,} updates."

    @property
    def caveats(self) -> tuple[str, ...]:
        """Sentences without which the verdict would say too much."""
        return (*self._unseen(), *self._noise(), *self.notes)

    def _unseen(self) -> Iterator[str]:
        if self.rate == "off":
            yield 'The rate was not seen (rate = "off"): that each arm had its rate rests on the script\'s word.'
        elif not self.seen:
            yield (
                "The rate was not seen, as no update of a torch optimizer was: that each arm had it rests on the "
                "script's word."
            )
        elif self.seen < self.updates:
            yield f"{self.updates - self.seen:,} of {self.updates:,} updates were not seen, nor their rates."

    def _noise(self) -> Iterator[str]:
        if self.twice:
            yield (
                f"What was told twice, after a kill, differed by up to {self.twice:.2g}: the script does not resume "
                f"exactly."
            )
        if self.noise:
            yield f"Runs of one seed at the same rates differed by up to {self.noise:.2g}: the script's own noise."


@dataclass(frozen=True)
class Again:
    """A run of a script, made again from scratch.

    Args:
        run: Which.
        start: Updates that it had taken over from another run; 0 where it had made all itself.
        of: Out of how many runs that were not pruned.
        difference: The largest difference of what it told; infinite where it told it at other steps.
    """

    run: Run
    start: int
    of: int
    difference: float

    @property
    def same(self) -> bool:
        """Whether every number came out again."""
        return self.difference == 0

    @property
    def line(self) -> str:
        """What was found, as a sentence."""
        how = f"had taken over {self.start:,} updates" if self.start else "had made all its updates itself"
        return (
            f"Verified: {named(self.run)}, which {how}, started again from scratch, max |difference| = "
            f"{self.difference:g} over all that it told."
        )


def named(run: Run) -> str:
    """A run, as messages name it.

    >>> named(Run("k", "cosine", 0.1, 3, 20))
    "arm 'cosine', peak 0.1, seed 3"
    """
    peak = "" if run.peak is None else f", peak {run.peak:g}"
    return f"arm {run.arm!r}{peak}, seed {run.seed}"
