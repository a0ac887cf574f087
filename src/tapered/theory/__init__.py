"""What theory says of a schedule, computed and not measured: numbers for any schedule, in float64, by numpy alone.

schedule, steps ─► worst_case: the last iterate on the worst convex problem ─► WorstCase: bound, ratio, best peak
                ─► quadratic: SGD and Adam on the noisy quadratic ─► Expected: losses, best peak
lr, weight_decay ─► shares: what is left of the start and of each update ─► Shares

The first two answer other questions and order schedules otherwise: docs/theory.md says why.
"""

from tapered.theory.adamw import Shares as Shares
from tapered.theory.adamw import shares as shares
from tapered.theory.quadratic import Best as Best
from tapered.theory.quadratic import Expected as Expected
from tapered.theory.quadratic import quadratic as quadratic
from tapered.theory.worst import WorstCase as WorstCase
from tapered.theory.worst import worst_case as worst_case

__all__ = ["Best", "Expected", "Shares", "WorstCase", "quadratic", "shares", "worst_case"]
