"""What a study's runs say: the best peak of each arm, paired differences to the baseline, a verdict in a sentence.

best peak of an arm = fewest pruned, then fewest diverged runs, then best mean of the metric over seeds
gain at a seed      = how much better the arm at its best peak is than the baseline at its own
verdict             = of fresh seeds, which chose nothing, where there are some; else of the seeds that chose the peaks
"""

from collections.abc import Mapping, Sequence

from tapered.load import Loaded
from tapered.result.compare import compare
from tapered.result.cost import Cost, Pruning
from tapered.result.tuning import arm_result, best_peak, best_runs, summarise
from tapered.result.values import (
    ArmResult,
    Budget,
    Comparison,
    Evidence,
    PeakResult,
    StudyResult,
    divergence,
    is_diverged,
    mean,
)
from tapered.result.wording import caveats
from tapered.runs import Run

__all__ = [
    "ArmResult",
    "Budget",
    "Comparison",
    "Cost",
    "Evidence",
    "PeakResult",
    "Pruning",
    "StudyResult",
    "analyse",
    "best_peak",
    "best_runs",
    "divergence",
    "is_diverged",
    "mean",
    "summarise",
]


def analyse(
    loaded: Loaded,
    runs: Sequence[Run],
    test: Mapping[str, Mapping[str, float]],
    environment: Mapping[str, str],
    cost: Cost,
    fresh: Sequence[Run] = (),
    stated: Loaded | None = None,
) -> StudyResult:
    """Choose peaks, compare, conclude.

    Args:
        loaded: The study, its grids and trials as they were in the end.
        runs: All runs that peaks are chosen by, finished.
        test: Run key -> metrics on the test split, for the best runs.
        environment: Versions and machine, passed through.
        cost: What it took, passed through.
        fresh: Runs at best peaks with seeds that chose nothing; empty where nothing was confirmed.
        stated: The study as its file states it; None where that is ``loaded``.
    """
    probes = cost.pruning.charged if cost.pruning else {}
    arms = tuple(arm_result(loaded, arm, runs, test, probes.get(arm.name, 0)) for arm in loaded.study.arms)
    comparisons = compare(loaded, arms, fresh)
    said = caveats(loaded, arms, comparisons, fresh)
    return StudyResult(loaded, stated or loaded, tuple(runs), arms, comparisons, said, environment, cost, tuple(fresh))
