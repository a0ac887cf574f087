"""A verdict as a sentence: what beats what, from what to what, by how much, how sure.

cosine beats constant: 0.0177 -> 0.0078 (-56%), 8 of 8 fresh seeds, 95% interval -0.0118 to -0.0080
"""

from collections.abc import Iterator

from tapered.study.result.asked import Asked
from tapered.study.result.compared import BADGES, Change, Evidence
from tapered.study.result.values import ArmResult
from tapered.words import counted, percent, place_of, placed, plain


def sentence(
    asked: Asked,
    arm: ArmResult,
    other: ArmResult,
    chosen: Evidence,
    fresh: Evidence | None,
    change: Change,
    differs: tuple[str, ...],
) -> str:
    """The verdict on an arm: the word, from what to what, how sure, whether fresh seeds agree, what else differs."""
    said = fresh or chosen
    for side in (arm, other):
        if side.best.pruned:
            return f"No verdict on {arm.name} against {other.name}: every peak of {side.name} was pruned."
    if said.paired.n and change.lost == (said.paired.n, said.paired.n):
        return f"No verdict on {arm.name} against {other.name}: every run of both diverged."
    start = _start(asked, arm.name, other.name, said)
    numbers = ", ".join(_numbers(said, change, other.name, arm.name, "fresh seed" if fresh else "seed"))
    apart = f"; they also differ in {'; '.join(differs)}" if differs else ""
    text = f"{start}{': ' if numbers else ''}{numbers}{_doubt(arm, other, chosen, fresh)}{apart}"
    return text if text.endswith("?") else f"{text}."


def _start(asked: Asked, arm: str, other: str, said: Evidence) -> str:
    match said.verdict.word:
        case "helps":
            return f"{arm} beats {other}"
        case "hurts":
            return f"{arm} loses to {other}"
        case "equivalent":
            return f"{arm} does practically the same as {other}, within {asked.study.delta or 0:g}"
        case "no evidence":
            return f"{arm} is not shown to differ from {other}"
        case _:
            return f"Too few seeds to tell {arm} from {other} (it takes {said.verdict.takes})"


def _numbers(said: Evidence, change: Change, other: str, arm: str, seed: str) -> Iterator[str]:
    """From what to what, at how many seeds, the interval of the difference; what there is of them."""
    n, place = said.paired.n, place_in(change)
    if not n:
        return
    if change.before is not None and change.after is not None:
        by = f" ({percent(change.share)})" if change.share else ""
        yield f"{_both(change.before, change.after, place)}{by}"
    for name, lost in zip((other, arm), change.lost, strict=True):
        if lost:
            yield f"{lost} of {counted(n, 'run')} of {name} diverged"
    if said.paired.ties == n:
        yield f"equal on all of {counted(n, seed)}" if n > 1 else f"equal on {counted(n, seed)}"
        return
    yield _wins(said, counted(n, seed))
    if change.low is not None and change.high is not None:
        yield f"{100 * said.paired.level:g}% interval {placed(change.low, place)} to {placed(change.high, place)}"
        if said.verdict.word == "no evidence" and said.paired.low == said.paired.high:
            yield said.verdict.reason


def _both(before: float, after: float, place: int) -> str:
    """Two values with two digits or more, to one decimal place where they are of about one size."""
    places = [max(place, place_of(value)) for value in (before, after)]
    if max(places) - min(places) == 1:
        places = [max(places)] * 2
    return " -> ".join(placed(value, at) for value, at in zip((before, after), places, strict=True))


def _wins(said: Evidence, seeds: str) -> str:
    match said.verdict.word:
        case "helps":
            return f"{said.paired.wins} of {seeds}"
        case "hurts":
            return f"worse on {said.paired.losses} of {seeds}"
        case _:
            return f"better on {said.paired.wins} of {seeds}"


def place_in(change: Change) -> int:
    """The decimal place to which a change is known: the second digit of its interval's half, or the third of itself."""
    if change.low is not None and change.high is not None and change.high > change.low:
        return place_of((change.high - change.low) / 2)
    return place_of(change.difference or change.before or change.low or 0.0, 3)


def _doubt(arm: ArmResult, other: ArmResult, chosen: Evidence, fresh: Evidence | None) -> str:
    """What the seeds that chose the peaks said, if fresh ones said another thing or were not asked."""
    if fresh is None:
        tuned = len(arm.peaks) > 1 or len(other.peaks) > 1
        return "; not confirmed on fresh seeds" if tuned and chosen.verdict.says else ""
    if fresh.verdict.word == chosen.verdict.word:
        return ""
    by = "" if chosen.paired.mean is None else f" (mean gain {plain(chosen.paired.mean, 3)})"
    seeds = counted(chosen.paired.n, "seed")
    if chosen.verdict.word == "not enough seeds":
        return f"; the {seeds} that chose the peaks were too few to say{by}"
    return f'; the {seeds} that chose the peaks said "{BADGES[chosen.verdict.word]}"{by}'
