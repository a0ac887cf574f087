"""The parts of a study's result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal

from tapered.stats import BestAt
from tapered.study.result.asked import Asked
from tapered.study.result.compared import Comparison
from tapered.study.result.cost import Cost
from tapered.study.result.witnessed import Witnessed
from tapered.study.store.runs import Run
from tapered.words import brief, counted, plain

BLOWN_UP = 10.0


@brief
@dataclass(frozen=True)
class PeakResult:
    """An arm at one peak.

    Args:
        peak: The peak; None for a fixed arm.
        runs: One a seed, in order of seeds.
        mean: Mean of the metric over the runs that ended whole; None if there is none.
        low: The lowest of them.
        high: The highest of them.
        diverged: How many diverged.
        pruned: How many were pruned. A peak with pruned runs is no candidate for the best.
    """

    peak: float | None
    runs: tuple[Run, ...]
    mean: float | None
    low: float | None
    high: float | None
    diverged: int
    pruned: int = 0


@dataclass(frozen=True)
class Budget:
    """What tuning an arm was given and took; each run counts by itself, also where runs shared their steps.

    Args:
        runs: Runs made.
        asked: Steps they were to make.
        made: Steps they made: those of a pruned or diverged run up to where it ended, and those of cooldown probes.
        diverged: How many runs diverged.
        pruned: How many were pruned.
        probes: Steps of its cooldown probes, among those made.
    """

    runs: int
    asked: int
    made: int
    diverged: int
    pruned: int
    probes: int = 0


@brief
@dataclass(frozen=True)
class ArmResult:
    """An arm at all its peaks.

    Args:
        name: Its name.
        rule: Its rule's name.
        lr: Its rate at the best peak, as text.
        fixed: Whether its rate stands as written, outside the tuned comparison.
        peaks: Lowest peak first.
        best: The best of them.
        fresh: Its runs at the best peak with seeds that chose nothing; None where there are none.
        edge: Which edge of the grid the best peak lies on; None if it is interior, or there is one peak only.
        test: Metric name -> value on the test split at each seed, at the best peak; empty without a test split.
        budget: What tuning it took.
        trials: The best of 1, 2, 4, ... and all peaks.
        default: The peak at the rate that the rule's optimizer has by default; None where it was not tried.
        average: The average of the weights that it is evaluated at, as text; None where there is none.
        searched: The numbers of its space at the best peak, by name.
        args: Its own words of a script's command, as text; empty where there are none.
    """

    name: str
    rule: str
    lr: str
    fixed: bool
    peaks: tuple[PeakResult, ...]
    best: PeakResult
    edge: Literal["lowest", "highest"] | None
    test: Mapping[str, tuple[float, ...]]
    budget: Budget
    trials: tuple[BestAt, ...]
    default: PeakResult | None
    average: str | None = None
    searched: Mapping[str, float] = field(default_factory=dict)
    fresh: PeakResult | None = None
    args: str = ""

    @property
    def written(self) -> str:
        """The numbers of its space as text: "late = 12, share = 0.25"; empty where nothing was searched."""
        return ", ".join(f"{name} = {value:g}" for name, value in sorted(self.searched.items()))


@dataclass(frozen=True)
class StudyResult:
    """A finished study.

    Args:
        asked: The study, its grids and trials as they were in the end.
        file: The study's file as it runs, with its comments.
        runs: Every run that peaks were chosen by.
        arms: In the order of the file.
        comparisons: Every tuned arm with each that it is compared with.
        caveats: Sentences without which the verdict would say too much.
        environment: Versions and machine.
        cost: Updates asked and made, and how.
        fresh: The runs with fresh seeds.
        facts: What its numbers depend on, field -> text.
        script: What was witnessed of its script; None where a workload was trained.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from tapered.study import conclude, open_store, plan_of, read, train_runs
        >>> planned = plan_of(read("control-null", seeds=1, steps=4))
        >>> with open_store(planned, Path(tempfile.mkdtemp(), "mine")) as store:
        ...     result = conclude(planned, store, train_runs(planned, store))
        >>> [(arm.name, arm.best.peak, arm.budget.made) for arm in result.arms]
        [('constant', 0.1, 20), ('linear to zero', 0.1, 20)]
    """

    asked: Asked
    file: str
    runs: tuple[Run, ...]
    arms: tuple[ArmResult, ...]
    comparisons: tuple[Comparison, ...]
    caveats: tuple[str, ...]
    environment: Mapping[str, str]
    cost: Cost
    fresh: tuple[Run, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    script: Witnessed | None = None

    def __repr__(self) -> str:
        of = f"{counted(len(self.arms), 'arm')}, {counted(len(self.runs) + len(self.fresh), 'run')}"
        return f"StudyResult({self.asked.study.name!r}: {of}; {self.sentence.partition(chr(10))[0]:.300})"

    @property
    def sentence(self) -> str:
        """The verdicts, one a line."""
        if not self.comparisons:
            return f"{self.asked.study.name} has nothing to compare: no tuned arm is against another."
        return "\n".join(comparison.sentence for comparison in self.comparisons)

    @property
    def updates(self) -> int:
        """Updates over all runs, each by itself."""
        return sum(run.step for run in (*self.runs, *self.fresh))


def divergence(run: Run) -> str | None:
    """How a finished run diverged; None if it did not, or was pruned before.

    It did where its loss was not finite at a step, its last evaluation is not finite, or its last validation loss is
    more than 10 times its first (where that is positive).
    """
    if run.diverged is not None:
        return f"diverged at step {run.step}"
    if run.pruned is not None:
        return None
    if not isfinite(run.value):
        return "diverged: its last evaluation is not finite"
    first, last = (run.curve[i][1].get("loss", 0.0) if run.curve else 0.0 for i in (0, -1))
    if 0 < BLOWN_UP * first < last:
        return f"diverged: its loss rose from {plain(first, 3)} to {plain(last, 3)}"
    return None


def is_diverged(run: Run) -> bool:
    """Whether a finished run diverged (see ``divergence``)."""
    return divergence(run) is not None


def mean(values: Sequence[float]) -> float | None:
    """Their mean, None where there are none; values near the largest float do not overflow."""
    return sum(value / len(values) for value in values) if values else None
