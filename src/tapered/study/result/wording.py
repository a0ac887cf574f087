"""The sentences without which a verdict would say too much."""

from collections.abc import Iterator, Sequence
from math import isfinite, nan

from tapered.study.result.asked import Asked
from tapered.study.result.compared import Comparison
from tapered.study.result.decays import weakened
from tapered.study.result.followed import seen
from tapered.study.result.values import ArmResult, is_diverged
from tapered.study.store.runs import Run
from tapered.words import counted, plain

SLIGHT = 0.01  # of the steps made: runs that diverge end where they end


def caveats(
    asked: Asked, arms: Sequence[ArmResult], comparisons: Sequence[Comparison], fresh: Sequence[Run]
) -> tuple[str, ...]:
    """Sentences without which the verdict would say too much."""
    tuned = [arm for arm in arms if not arm.fixed]
    return (
        *_peaks(asked, tuned),
        *_lost(arms, fresh),
        *_undefined(asked, arms, fresh),
        *_budgets(tuned),
        *_seeds(asked, tuned, comparisons),
        *weakened(asked, arms),
        *seen(asked, arms),
    )


def _peaks(asked: Asked, tuned: Sequence[ArmResult]) -> Iterator[str]:
    if all(len(arm.peaks) == 1 for arm in tuned):
        yield "Every arm was tried at one peak: nothing was tuned."
    grid = "that was tried" if asked.study.tune else "of its grid"
    at = [arm for arm in tuned if arm.edge]
    advice = "; extend peaks in the study file."
    if len(at) == 1:
        yield (
            f"The best peak of {at[0].name}, {_peak(at[0])}, is the {at[0].edge} {grid}: a better one may lie "
            f"beyond{advice}"
        )
    elif at:
        each = ", ".join(f"{arm.name} ({_peak(arm)}, the {arm.edge})" for arm in at)
        yield f"Best peaks at an edge of what was tried, beyond which better ones may lie: {each}{advice}"
    added = {len(arm.peaks) - asked.study.peaks.count for arm in tuned}
    if added != {0} and not asked.study.tune:
        yield f"Grids were extended by up to {counted(max(added), 'peak')} in search of the best."


def _peak(arm: ArmResult) -> str:
    return plain(arm.best.peak or 0.0, 3)


def _lost(arms: Sequence[ArmResult], fresh: Sequence[Run]) -> Iterator[str]:
    diverged, pruned = (sum(getattr(arm.budget, field) for arm in arms) for field in ("diverged", "pruned"))
    if diverged:
        yield f"{counted(diverged, 'run')} diverged, ranked last and counted."
    if diverged == sum(arm.budget.runs for arm in arms):
        lowest = min((peak.peak for arm in arms for peak in arm.peaks if peak.peak is not None), default=0.0)
        yield f"No run ended, at the lowest peak of {plain(lowest)} either; try peaks below it, and a few steps first."
    if any(arm.best.diverged for arm in arms if not arm.fixed):
        yield "An arm's best peak contains diverged runs."
    again = sum(is_diverged(run) for run in fresh)
    if again:
        yield f"{counted(again, 'run')} of {len(fresh)} with fresh seeds diverged."
    if pruned:
        yield f"{counted(pruned, 'run')} {'was' if pruned == 1 else 'were'} pruned; the steps made count."


def _undefined(asked: Asked, arms: Sequence[ArmResult], fresh: Sequence[Run]) -> Iterator[str]:
    """Where it was not the training that failed."""
    runs = [*(run for arm in arms for peak in arm.peaks for run in peak.runs), *fresh]
    ended = [run for run in runs if run.diverged is None and run.pruned is None and run.curve]
    lost = sum(not isfinite(run.value) and isfinite(run.curve[-1][1].get("loss", nan)) for run in ended)
    if lost:
        yield (
            f"{counted(lost, 'run')} counted as diverged ended with a finite loss, but {asked.study.metric} is no "
            f"finite number there; look at the metric, or choose another."
        )


def _budgets(tuned: Sequence[ArmResult]) -> Iterator[str]:
    """Where budgets differ, the smallest and the largest: in what runs were to make, else well in what they made."""
    for what in ("asked", "made"):
        steps = {arm.name: int(getattr(arm.budget, what)) for arm in tuned}
        in_order = sorted(tuned, key=lambda arm: steps[arm.name])
        small, large = in_order[0], in_order[-1]
        if steps[large.name] - steps[small.name] > (SLIGHT * steps[large.name] if what == "made" else 0):
            each = [
                f"{counted(a.budget.runs, 'run')}, {steps[a.name]:,} steps {what} ({a.name})" for a in (small, large)
            ]
            yield f"Tuning budgets differ, from {each[0]} to {each[1]}."
            return


def _seeds(asked: Asked, tuned: Sequence[ArmResult], comparisons: Sequence[Comparison]) -> Iterator[str]:
    if len(comparisons) > 1:
        yield (
            f"p values are corrected for {len(comparisons)} comparisons (Holm); each interval is of one by itself, and "
            f"may exclude 0 where nothing is shown."
        )
    if asked.study.lacks and any(comparison.verdict.takes for comparison in comparisons):
        yield asked.study.lacks
    without = list(dict.fromkeys(comparison.arm for comparison in comparisons if comparison.fresh is None))
    if without and any(len(arm.peaks) > 1 for arm in tuned):
        which = "" if all(comparison.fresh is None for comparison in comparisons) else f" of {', '.join(without)}"
        yield (
            f"Peaks{which} were chosen on the seeds that are compared, which may flatter the difference; "
            f"no fresh seeds were run."
        )
    few = [
        comparison
        for comparison in comparisons
        if (comparison.seeds_for_delta or 0) > comparison.paired.n and not comparison.verdict.says
    ]
    if few:
        several = len({comparison.baseline for comparison in comparisons}) > 1
        to = "" if several else f" to {few[0].baseline}"
        each = ", ".join(f"{c.seeds_for_delta:,} ({c.arm}{f' against {c.baseline}' if several else ''})" for c in few)
        yield (
            f"To show a difference of {asked.study.delta:g}{to} takes about so many seeds: {each}; "
            f"there are {few[0].paired.n}."
        )
