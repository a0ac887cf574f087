"""What a study takes, and what pruning saves of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from tapered.training.advance import Mode


@dataclass(frozen=True)
class Pruning:
    """What pruning saved; or, where every run was trained to its end, what it would have saved and chosen.

    Args:
        of: Updates without it, shared ones once.
        saved: How many of them were not made.
        probes: Updates that cooldown probes took beside.
        charged: Arm -> updates of its probes, each run's by itself.
        chosen: For each tuned arm (name, best peak of those that pruning left, best peak of all), None where all of
            its peaks were pruned; empty unless every run was trained to its end.
        winner: The best tuned arm of all, without pruning; None where that is not known.
    """

    of: int
    saved: int
    probes: int
    charged: Mapping[str, int]
    chosen: tuple[tuple[str, float | None, float | None], ...]
    winner: str | None = None

    @property
    def same(self) -> bool | None:
        """Whether pruning left the winner, and every arm that it left has the same best peak as without.

        None where that is not known.
        """
        if not self.chosen:
            return None
        kept = {name: left == best for name, left, best in self.chosen if left is not None}
        return self.winner in kept and all(kept.values())


@dataclass(frozen=True)
class Cost:
    """What the runs of a study take.

    Args:
        asked: Updates of all runs, each by itself.
        to_run: Updates made, shared ones once.
        reason: Why nothing is shared; None where something is.
        modes: How rows are trained, and why: (names of the arms, mode) for each rule.
        pruning: What pruning saved of it; None without any.
    """

    asked: int
    to_run: int
    reason: str | None
    modes: tuple[tuple[tuple[str, ...], Mode], ...]
    pruning: Pruning | None = None

    @property
    def ratio(self) -> float:
        """Updates asked for each one that is made."""
        return self.asked / self.to_run if self.to_run else 1.0
