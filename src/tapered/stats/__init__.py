"""Paired comparisons over seeds: what is said of a difference, and how sure it is.

gains ─► paired: intervals, win rate, sign-flip test ─► verdict ◄─ seeds needed          trials: the best of k peaks
"""

from tapered.stats.flips import holm
from tapered.stats.pairs import Direction, Paired, gains, paired
from tapered.stats.seeds import seeds_for, seeds_needed
from tapered.stats.trials import BestAt, best_at
from tapered.stats.verdicts import Verdict, Word, verdict

__all__ = [
    "BestAt",
    "Direction",
    "Paired",
    "Verdict",
    "Word",
    "best_at",
    "gains",
    "holm",
    "paired",
    "seeds_for",
    "seeds_needed",
    "verdict",
]
