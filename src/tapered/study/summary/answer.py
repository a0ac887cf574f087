"""What a study was asked and what it answers, the verdicts first: lines and small tables for terminal and page."""

from collections import Counter
from collections.abc import Sequence
from math import inf

from tapered.study.file.question import Question
from tapered.study.file.study import Study
from tapered.study.result import ArmResult, Comparison, PeakResult, StudyResult, mean
from tapered.study.result.compared import BADGES
from tapered.study.result.sentence import place_in
from tapered.study.summary.text import number
from tapered.words import counted, percent, placed

SENTENCES = 3
LONGER = {  # in a sentence
    "the same": "practically the same",
    "not shown": "not shown to differ",
    "too few seeds": "with too few seeds",
    "no verdict": "without a verdict",
}
ORDER = (*BADGES.values(), "no verdict")


def asked_lines(asked: Question) -> list[tuple[str, str]]:
    """What a study was asked: ("Question", its text), and so on, what is stated of them."""
    return [(name.capitalize(), text) for name, text in asked.texts.items()]


def pairs_line(study: Study) -> str | None:
    """Who is compared with whom; None where that is every tuned arm with the baseline."""
    if all(arm.against is None for arm in study.arms):
        return None
    each = [f"{arm} with {other}" for arm, other in study.pairs]
    return f"Compared: {', '.join(each) or 'none'}."


def headline(result: StudyResult) -> list[str]:
    """The verdicts; of more than three comparisons how many of each, and the best in full where it is better."""
    if len(result.comparisons) <= SENTENCES:
        return result.sentence.splitlines()
    found = Counter(comparison.badge for comparison in result.comparisons)
    each = ", ".join(f"{found[badge]} {LONGER.get(badge, badge)}" for badge in ORDER if found[badge])
    others = {comparison.baseline for comparison in result.comparisons}
    what = f"arms against {min(others)}" if len(others) == 1 else "comparisons"
    best = in_order(result)[0]
    return [f"Of {len(result.comparisons)} {what}: {each}.", *([best.sentence] if best.badge == "better" else [])]


def in_order(result: StudyResult) -> list[Comparison]:
    """The comparisons, the best verdict first, of one verdict the largest gain."""

    def rank(comparison: Comparison) -> tuple[int, float]:
        gain = comparison.paired.mean
        return ORDER.index(comparison.badge), inf if gain is None else -gain

    return sorted(result.comparisons, key=rank)


def verdict_rows(result: StudyResult) -> list[tuple[str, ...]]:
    """Every comparison, the best first, as a small table, its first row the header; what all share stands there."""
    study = result.asked.study
    each = ", each" if len(result.comparisons) > 1 else ""
    others = {comparison.baseline for comparison in result.comparisons}
    several = len(others) > 1
    arm = ("arm", "against") if several else (f"against {min(others, default=study.baseline)}",)
    interval = f"{100 * (1 - study.alpha):g}% interval{each}"
    header = ("verdict", *arm, f"difference in {study.metric}", interval, "better")
    return [header, *(_verdict_row(comparison, several=several) for comparison in in_order(result))]


def _verdict_row(comparison: Comparison, *, several: bool) -> tuple[str, ...]:
    change, place = comparison.change, place_in(comparison.change)
    by = f" ({percent(change.share)})" if change.share else ""
    difference = "-" if change.difference is None else placed(change.difference, place)
    ends = (change.low, change.high)
    interval = "-" if None in ends else " to ".join(placed(end, place) for end in ends if end is not None)
    names = (comparison.arm, comparison.baseline) if several else (comparison.arm,)
    better = f"{comparison.paired.wins} of {comparison.paired.n}"
    return (comparison.badge, *names, f"{difference}{by}", interval, better)


def arm_rows(result: StudyResult) -> list[tuple[str, ...]]:
    """The arms as a small table, its first row the header: what fresh seeds gave, then those that chose the peaks."""
    study = result.asked.study
    fresh = any(arm.fresh is not None for arm in result.arms)
    pruned = any(arm.budget.pruned for arm in result.arms)
    values = ("fresh", "choosing") if fresh else (f"valid {study.metric}",)
    header = ("arm", "best peak", *values, *_tests(result.arms), "diverged", *(["pruned"] if pruned else []))
    return [header, *(_arm_row(arm, fresh=fresh, pruned=pruned) for arm in result.arms)]


def arms_title(result: StudyResult) -> str:
    """What the values of the arms' table are."""
    study, seeds = result.asked.study, counted(result.asked.study.seeds, "seed")
    count = max((len(arm.fresh.runs) for arm in result.arms if arm.fresh is not None), default=0)
    again = f"{counted(count, 'fresh seed')}, on which the verdicts rest, and over the " if count else ""
    chose = " that chose the peak" if count else ""
    return f"Validation {study.metric} of each arm at its best peak, mean over {again}{seeds}{chose}:"


def _tests(arms: Sequence[ArmResult]) -> list[str]:
    return [f"test {name}" for name in arms[0].test]


def _arm_row(arm: ArmResult, *, fresh: bool, pruned: bool) -> tuple[str, ...]:
    peak = "as written" if arm.best.peak is None else number(arm.best.peak)
    values = (_ended(arm.fresh), _ended(arm.best)) if fresh else (_ended(arm.best),)
    tests = (number(mean(values)) for values in arm.test.values())
    counts = (arm.budget.diverged, arm.budget.pruned) if pruned else (arm.budget.diverged,)
    return (arm.name, peak, *values, *tests, *(f"{count} of {arm.budget.runs}" for count in counts))


def _ended(found: PeakResult | None) -> str:
    """The mean of the runs that ended, and how many did not."""
    if found is None:
        return "-"
    return f"{number(found.mean)}{f' ({found.diverged} diverged)' if found.diverged and found.mean is not None else ''}"
