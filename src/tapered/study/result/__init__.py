"""What a study's runs say: the best peak of each arm, paired differences, a verdict in a sentence.

runs ─► tuning: best peaks ─► compare: gains, seed by seed ─► verdict ─► sentence, wording ─► StudyResult

best peak of an arm = fewest pruned, then fewest diverged runs, then best mean of the metric over seeds
gain at a seed      = how much better the arm at its best peak is than what it is compared with at its own
verdict             = of fresh seeds, which chose nothing, where there are some; else of the seeds that chose the peaks
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from tapered.study.file.study import to_toml
from tapered.study.result.asked import Asked
from tapered.study.result.compare import compare
from tapered.study.result.compared import Change, Comparison, Evidence
from tapered.study.result.cost import Cost, Pruning
from tapered.study.result.tuning import arm_result, best_peak, best_runs, summarise
from tapered.study.result.values import (
    ArmResult,
    Budget,
    PeakResult,
    StudyResult,
    divergence,
    is_diverged,
    mean,
)
from tapered.study.result.witnessed import Witnessed
from tapered.study.result.wording import caveats
from tapered.study.store.runs import Run

__all__ = [
    "ArmResult",
    "Budget",
    "Change",
    "Comparison",
    "Cost",
    "Evidence",
    "PeakResult",
    "Pruning",
    "StudyResult",
    "Witnessed",
    "analyse",
    "best_peak",
    "best_runs",
    "divergence",
    "is_diverged",
    "mean",
    "summarise",
]


def analyse(
    asked: Asked,
    runs: Sequence[Run],
    test: Mapping[str, Mapping[str, float]],
    environment: Mapping[str, str],
    cost: Cost,
    fresh: Sequence[Run] = (),
    file: str = "",
    facts: Mapping[str, str] = MappingProxyType({}),
) -> StudyResult:
    """Choose peaks, compare, conclude.

    Args:
        asked: The study, its grids and trials as they were in the end.
        runs: All runs that peaks are chosen by, finished.
        test: Run key -> metrics on the test split, for the best runs.
        environment: Versions and machine, passed through.
        cost: What it took, passed through.
        fresh: Runs at best peaks with seeds that chose nothing; empty where nothing was confirmed.
        file: The study's file as it runs; of one that was made in Python, its fields.
        facts: What its numbers depend on, passed through.
    """
    probes = cost.pruning.charged if cost.pruning else {}
    arms = tuple(arm_result(asked, arm, runs, test, probes.get(arm.name, 0), fresh) for arm in asked.study.arms)
    comparisons = compare(asked, arms, fresh)
    said = caveats(asked, arms, comparisons, fresh)
    text = file or to_toml(asked.study)
    return StudyResult(asked, text, tuple(runs), arms, comparisons, said, environment, cost, tuple(fresh), facts)
