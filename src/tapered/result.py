"""What a study's runs say: the best peak of each arm, paired differences to the baseline, a verdict in a sentence.

best peak of an arm = fewest diverged runs, then best mean of the metric over seeds
gain at a seed      = how much better the arm at its best peak is than the baseline at its own
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from tapered.load import Loaded
from tapered.runs import Run
from tapered.stats import Direction, Paired, Verdict, counted, gains, holm, paired, verdict
from tapered.study_file import Arm
from tapered.train import Mode


@dataclass(frozen=True)
class PeakResult:
    """An arm at one peak.

    Args:
        peak: The peak; None for a fixed arm.
        runs: One a seed, in order of seeds.
        mean: Mean of the metric over seeds that did not diverge; None if all did.
        low: The lowest of them.
        high: The highest of them.
        diverged: How many diverged.
    """

    peak: float | None
    runs: tuple[Run, ...]
    mean: float | None
    low: float | None
    high: float | None
    diverged: int


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
        edge: Which edge of the grid the best peak lies on, None if it is interior.
        test: Metric name -> value on the test split at each seed, at the best peak; empty without a test split.
    """

    name: str
    rule: str
    lr: str
    fixed: bool
    peaks: tuple[PeakResult, ...]
    best: PeakResult
    edge: Literal["lowest", "highest"] | None
    test: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Comparison:
    """A tuned arm against the baseline, both at their best peaks.

    Args:
        arm: The arm's name.
        baseline: The baseline's.
        gains: One a seed, positive where the arm is better.
        paired: What they say.
        p: The p of the sign-flip test, corrected (Holm) where there are several comparisons.
        verdict: The word and its reason.
        sentence: The verdict in full.
        test: What the gains on the test split say; None without one.
    """

    arm: str
    baseline: str
    gains: tuple[float, ...]
    paired: Paired
    p: float | None
    verdict: Verdict
    sentence: str
    test: Paired | None


@dataclass(frozen=True)
class Cost:
    """What the runs of a study take.

    Args:
        asked: Updates of all runs, each by itself.
        to_run: Updates made, shared ones once.
        reason: Why nothing is shared; None where something is.
        modes: How rows are trained, and why: (names of the arms, mode) for each rule.
    """

    asked: int
    to_run: int
    reason: str | None
    modes: tuple[tuple[tuple[str, ...], Mode], ...]

    @property
    def ratio(self) -> float:
        """Updates asked for each one that is made."""
        return self.asked / self.to_run if self.to_run else 1.0


@dataclass(frozen=True)
class StudyResult:
    """A finished study.

    Args:
        loaded: The study and its workload.
        runs: Every run.
        arms: In the order of the file.
        comparisons: Every tuned arm but the baseline.
        caveats: Sentences without which the verdict would say too much.
        environment: Versions and machine.
        cost: Updates asked and made, and how.
    """

    loaded: Loaded
    runs: tuple[Run, ...]
    arms: tuple[ArmResult, ...]
    comparisons: tuple[Comparison, ...]
    caveats: tuple[str, ...]
    environment: Mapping[str, str]
    cost: Cost

    @property
    def sentence(self) -> str:
        """The verdicts, one a line."""
        if not self.comparisons:
            return f"{self.loaded.study.name} has one tuned arm and nothing to compare it with."
        return "\n".join(comparison.sentence for comparison in self.comparisons)

    @property
    def updates(self) -> int:
        """Updates over all runs, each by itself."""
        return sum(run.step for run in self.runs)


def is_diverged(run: Run) -> bool:
    """Whether a finished run diverged: its loss was not finite at a step, or its last evaluation is not."""
    return run.diverged is not None or not isfinite(run.value)


def mean(values: Sequence[float]) -> float | None:
    """Their mean, None where there are none; values near the largest float do not overflow."""
    return sum(value / len(values) for value in values) if values else None


def summarise(peak: float | None, runs: Sequence[Run]) -> PeakResult:
    """An arm's runs at one peak."""
    values = [run.value for run in runs if not is_diverged(run)]
    in_order = tuple(sorted(runs, key=lambda run: run.seed))
    low, high = min(values, default=None), max(values, default=None)
    return PeakResult(peak, in_order, mean(values), low, high, len(runs) - len(values))


def best_peak(peaks: Sequence[PeakResult], direction: Direction) -> PeakResult:
    """Fewest diverged runs, then the best mean; the lower peak where two are equal."""
    sign = 1.0 if direction == "minimize" else -1.0
    return min(peaks, key=lambda p: (p.diverged, 0.0 if p.mean is None else sign * p.mean))


def _peaks(loaded: Loaded, arm: Arm, runs: Sequence[Run]) -> tuple[PeakResult, ...]:
    mine = [run for run in runs if run.arm == arm.name]
    return tuple(summarise(peak, [run for run in mine if run.peak == peak]) for peak in loaded.study.peaks_of(arm))


def best_runs(loaded: Loaded, runs: Sequence[Run]) -> list[Run]:
    """The runs of every arm at its best peak."""
    return [
        run for arm in loaded.study.arms for run in best_peak(_peaks(loaded, arm, runs), loaded.study.direction).runs
    ]


def analyse(
    loaded: Loaded,
    runs: Sequence[Run],
    test: Mapping[str, Mapping[str, float]],
    environment: Mapping[str, str],
    cost: Cost,
) -> StudyResult:
    """Choose peaks, compare, conclude.

    Args:
        loaded: The study.
        runs: All of its runs, finished.
        test: Run key -> metrics on the test split, for the best runs.
        environment: Versions and machine, passed through.
        cost: What it took, passed through.
    """
    arms = tuple(_arm(loaded, arm, runs, test) for arm in loaded.study.arms)
    comparisons = _compare(loaded, arms)
    return StudyResult(loaded, tuple(runs), arms, comparisons, _caveats(loaded, arms, comparisons), environment, cost)


def _arm(loaded: Loaded, arm: Arm, runs: Sequence[Run], test: Mapping[str, Mapping[str, float]]) -> ArmResult:
    peaks = _peaks(loaded, arm, runs)
    best = best_peak(peaks, loaded.study.direction)
    edge: Literal["lowest", "highest"] | None = None
    if not arm.fixed and best in (peaks[0], peaks[-1]):
        edge = "lowest" if best == peaks[0] else "highest"
    nothing = {name: float("nan") for name in ("loss", *loaded.workload.metrics)}
    tested = [test.get(run.key, nothing) for run in best.runs] if test else []
    columns = {name: tuple(point[name] for point in tested) for name in nothing} if tested else {}
    lr = str(arm.schedule(loaded.steps, best.peak))
    return ArmResult(arm.name, arm.rule, lr, arm.fixed, peaks, best, edge, columns)


def _values(peak: PeakResult) -> list[float]:
    return [float("nan") if is_diverged(run) else run.value for run in peak.runs]


def _compare(loaded: Loaded, arms: Sequence[ArmResult]) -> tuple[Comparison, ...]:
    study = loaded.study
    baseline = next(arm for arm in arms if arm.name == study.baseline)
    others = [arm for arm in arms if not arm.fixed and arm is not baseline]
    differences = [gains(_values(arm.best), _values(baseline.best), study.direction) for arm in others]
    results = [paired(difference, alpha=study.alpha) for difference in differences]
    p_values = holm([result.p for result in results if result.p is not None])
    return tuple(
        _comparison(loaded, arm, baseline, difference, result, p)
        for arm, difference, result, p in zip(others, differences, results, p_values, strict=True)
    )


def _comparison(
    loaded: Loaded, arm: ArmResult, baseline: ArmResult, difference: Sequence[float], result: Paired, p: float
) -> Comparison:
    study = loaded.study
    said = verdict(result, alpha=study.alpha, delta=study.delta, p=p)
    test = None
    if arm.test:
        test = paired(gains(arm.test[study.metric], baseline.test[study.metric], study.direction), alpha=study.alpha)
    sentence = _sentence(loaded, arm, baseline, result, said, p)
    return Comparison(arm.name, baseline.name, tuple(difference), result, p, said, sentence, test)


def _sentence(loaded: Loaded, arm: ArmResult, baseline: ArmResult, result: Paired, said: Verdict, p: float) -> str:
    where = f"{arm.rule} on {loaded.workload.name}" if arm.rule == baseline.rule else loaded.workload.name
    start = {
        "helps": f"{arm.name} helps {where}",
        "hurts": f"{arm.name} hurts {where}",
        "does not matter": f"{arm.name} does not matter for {where}",
        "no evidence": f"no evidence that {arm.name} matters for {where}",
        "not enough seeds": f"not enough seeds to judge {arm.name} for {where} ({said.reason})",
    }[said.word]
    if result.ties == result.n and arm.best.mean is None:
        return f"No verdict on {arm.name} for {where}: every run of it and of {baseline.name} diverged."
    peaks = f"best peaks {arm.best.peak:.3g} ({arm.name}) and {baseline.best.peak:.3g} ({baseline.name})"
    start = start[0].upper() + start[1:]
    return f"{start}: {_amount(loaded, result, said)}, {result.wins} of {result.n} seeds better, p = {p:.2g}; {peaks}."


def _amount(loaded: Loaded, result: Paired, said: Verdict) -> str:
    """The mean difference in the metric's own unit, with its interval."""
    if result.mean is None or result.ties == result.n:
        return said.reason
    better, worse = ("lower", "higher") if loaded.study.direction == "minimize" else ("higher", "lower")
    word, sign = (better, 1) if result.mean >= 0 else (worse, -1)
    text = f"validation {loaded.study.metric} {word} by {sign * result.mean:.3g}"
    if result.low is None or result.high is None:
        return text
    low, high = sorted((sign * result.low, sign * result.high))
    return f"{text} ({100 * result.level:g}% interval {low:.3g} to {high:.3g})"


def _caveats(loaded: Loaded, arms: Sequence[ArmResult], comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    said = [
        f"The best peak of {arm.name}, {arm.best.peak:.3g}, is the {arm.edge} of its grid: a better one may lie "
        f"beyond; extend peaks in the study file."
        for arm in arms
        if arm.edge
    ]
    diverged = sum(is_diverged(run) for arm in arms for peak in arm.peaks for run in peak.runs)
    if diverged:
        said.append(f"{counted(diverged, 'run')} diverged, ranked last and counted.")
    if any(arm.best.diverged for arm in arms if not arm.fixed):
        said.append("An arm's best peak contains diverged runs.")
    if len(comparisons) > 1:
        said.append(f"p values are corrected for {len(comparisons)} comparisons (Holm).")
    if loaded.study.peaks.count > 1:
        said.append(
            "Peaks were chosen on the seeds that are compared, which may flatter the difference; "
            "no fresh seeds were run."
        )
    return tuple(said)
