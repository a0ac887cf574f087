"""The verdict as a sentence, and the sentences without which it would say too much."""

from collections.abc import Iterator, Sequence
from math import isfinite, nan

from tapered.study.result.asked import Asked
from tapered.study.result.values import ArmResult, Comparison, Evidence, is_diverged
from tapered.study.store.runs import Run
from tapered.words import counted


def sentence(asked: Asked, arm: ArmResult, baseline: ArmResult, chosen: Evidence, fresh: Evidence | None) -> str:
    """The verdict on an arm: the word, the amount, its interval, wins, p, peaks, and whether fresh seeds agree."""
    where = f"{arm.rule} on {asked.problem}" if arm.rule and arm.rule == baseline.rule else asked.problem
    said = fresh or chosen
    for side in (arm, baseline):
        if side.best.pruned:
            return f"No verdict on {arm.name} for {where}: every peak of {side.name} was pruned."
    if said.paired.n and said.paired.ties == said.paired.n and arm.best.mean is None:
        return f"No verdict on {arm.name} for {where}: every run of it and of {baseline.name} diverged."
    start = _start(asked, arm, baseline, said, where)
    if not said.seeds:
        return f"{start}."
    agreed = fresh is not None and fresh.verdict.word == chosen.verdict.word and fresh.verdict.says
    lead = f", confirmed on {counted(said.paired.n, 'fresh seed')}:" if agreed else ":"
    on = f" on {counted(said.paired.n, 'fresh seed')}" if fresh and not agreed else ""
    result = said.paired
    numbers = f"{_amount(asked, said)}, {result.wins} of {result.n} seeds better, p = {said.p:.2g}"
    peaks = f"best peaks {arm.best.peak:.3g} ({arm.name}) and {baseline.best.peak:.3g} ({baseline.name})"
    return f"{start}{lead}{on} {numbers}; {peaks}{_doubt(arm, baseline, chosen, fresh)}."


def _start(asked: Asked, arm: ArmResult, baseline: ArmResult, said: Evidence, where: str) -> str:
    text = {
        "helps": f"{arm.name} helps {where}",
        "hurts": f"{arm.name} hurts {where}",
        "equivalent": f"{arm.name} is equivalent to {baseline.name} for {where}, within {asked.study.delta or 0:g}",
        "no evidence": f"no evidence that {arm.name} matters for {where}",
        "not enough seeds": f"{said.verdict.text} to judge {arm.name} for {where}",
    }[said.verdict.word]
    return text[0].upper() + text[1:]


def _doubt(arm: ArmResult, baseline: ArmResult, chosen: Evidence, fresh: Evidence | None) -> str:
    """What the seeds that chose the peaks said, if fresh ones said another thing or were not asked."""
    if fresh is None:
        tuned = len(arm.peaks) > 1 or len(baseline.peaks) > 1
        return "; not confirmed on fresh seeds" if tuned and chosen.verdict.says else ""
    if fresh.verdict.word == chosen.verdict.word:
        return ""
    by = "" if chosen.paired.mean is None else f" (mean gain {chosen.paired.mean:.3g})"
    few = chosen.verdict.word == "not enough seeds"
    said = "were too few to say" if few else f'said "{chosen.verdict.word}"'
    return f"; the {counted(chosen.paired.n, 'seed')} that chose the peaks {said}{by}"


def _amount(asked: Asked, said: Evidence) -> str:
    """The mean difference in the metric's own unit, with its interval."""
    result = said.paired
    if result.mean is None or result.ties == result.n:
        return said.verdict.reason
    better, worse = ("lower", "higher") if asked.study.direction == "minimize" else ("higher", "lower")
    word, sign = (better, 1) if result.mean >= 0 else (worse, -1)
    text = f"validation {asked.study.metric} {word} by {sign * result.mean:.3g}"
    if result.low is None or result.high is None:
        return text
    low, high = sorted((sign * result.low, sign * result.high))
    return f"{text} ({100 * result.level:g}% interval {low:.3g} to {high:.3g})"


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
    )


def _peaks(asked: Asked, tuned: Sequence[ArmResult]) -> Iterator[str]:
    if all(len(arm.peaks) == 1 for arm in tuned):
        yield "Every arm was tried at one peak: nothing was tuned."
    grid = "that was tried" if asked.study.tune else "of its grid"
    for arm in tuned:
        if arm.edge:
            yield (
                f"The best peak of {arm.name}, {arm.best.peak:.3g}, is the {arm.edge} {grid}: a better one may "
                f"lie beyond; extend peaks in the study file."
            )
    added = {len(arm.peaks) - asked.study.peaks.count for arm in tuned}
    if added != {0} and not asked.study.tune:
        yield f"Grids were extended by up to {counted(max(added), 'peak')} to have the best inside."


def _lost(arms: Sequence[ArmResult], fresh: Sequence[Run]) -> Iterator[str]:
    diverged, pruned = (sum(getattr(arm.budget, field) for arm in arms) for field in ("diverged", "pruned"))
    if diverged:
        yield f"{counted(diverged, 'run')} diverged, ranked last and counted."
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
    """Where budgets differ, the smallest and the largest: in what runs were to make, else in what they made."""
    for what in ("asked", "made"):
        steps = {arm.name: int(getattr(arm.budget, what)) for arm in tuned}
        in_order = sorted(tuned, key=lambda arm: steps[arm.name])
        small, large = in_order[0], in_order[-1]
        if steps[small.name] != steps[large.name]:
            each = [
                f"{counted(a.budget.runs, 'run')}, {steps[a.name]:,} steps {what} ({a.name})" for a in (small, large)
            ]
            yield f"Tuning budgets differ, from {each[0]} to {each[1]}."
            return


def _seeds(asked: Asked, tuned: Sequence[ArmResult], comparisons: Sequence[Comparison]) -> Iterator[str]:
    if len(comparisons) > 1:
        yield f"p values are corrected for {len(comparisons)} comparisons (Holm); each interval is of one by itself."
    if asked.study.lacks and any(comparison.verdict.takes for comparison in comparisons):
        yield asked.study.lacks
    without = [comparison.arm for comparison in comparisons if comparison.fresh is None]
    if without and any(len(arm.peaks) > 1 for arm in tuned):
        which = "" if len(without) == len(comparisons) else f" of {', '.join(without)}"
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
        each = ", ".join(f"{comparison.seeds_for_delta:,} ({comparison.arm})" for comparison in few)
        yield (
            f"To show a difference of {asked.study.delta:g} to {few[0].baseline} takes about so many seeds: {each}; "
            f"there are {few[0].paired.n}."
        )
