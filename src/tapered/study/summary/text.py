"""A study's plan and result as tables and sentences."""

from collections.abc import Sequence
from math import isfinite

from tapered.study.plan.forecast import Forecast
from tapered.study.result import Cost, Pruning, StudyResult, divergence
from tapered.study.result.witnessed import Again
from tapered.study.store.runs import Run
from tapered.study.train.verify import Verified
from tapered.training.advance import Mode
from tapered.words import lasting, plain, sized


def finite(value: float) -> float | None:
    """The value, None where it is no finite number."""
    return value if isfinite(value) else None


def number(value: float | None) -> str:
    """Four significant digits, without a power of ten where that can be; a dash where there is no number.

    >>> number(0.012345), number(float("nan")), number(None)
    ('0.01235', '-', '-')
    """
    return "-" if value is None or not isfinite(value) else plain(value)


def gained(gain: float) -> str:
    """A gain; an infinite one says which run diverged.

    >>> gained(0.25), gained(float("inf")), gained(float("-inf"))
    ('0.25', 'the other diverged', 'diverged')
    """
    return number(gain) if isfinite(gain) else "the other diverged" if gain > 0 else "diverged"


def between(low: float | None, high: float | None) -> str:
    """An interval to three digits; a dash where there is none.

    >>> between(0.01234, 0.5), between(None, None)
    ('0.0123 to 0.5', '-')
    """
    return "-" if low is None or high is None else f"{plain(low, 3)} to {plain(high, 3)}"


def outcome(run: Run) -> str:
    """What became of a run."""
    return divergence(run) or ("finished" if run.pruned is None else f"pruned at step {run.pruned}")


def cost_lines(cost: Cost) -> list[str]:
    """What the runs took, a sentence each: steps asked and made, and how the rows of each rule were trained."""
    steps = f"{cost.asked:,} steps asked, {cost.to_run:,} to run"
    fewer = f"{cost.ratio:.2f} times fewer" if cost.ratio >= 1.005 else f"{cost.asked - cost.to_run:,} fewer"
    why = f"{fewer}, as runs share them" if cost.reason is None else f"none shared: {cost.reason}"
    pruned = [] if cost.pruning is None else _pruning_lines(cost.pruning)
    return [f"{steps}, {why}.", *pruned, *(_mode_line(arms, mode) for arms, mode in cost.modes)]


def _pruning_lines(found: Pruning) -> list[str]:
    probes = f", and cooldown probes took {found.probes:,}" if found.probes else ""
    if found.same is None:
        return [f"Pruning left out {found.saved:,} of {found.of:,} steps{probes}."]
    would = f"Pruning would have left out {found.saved:,} of {found.of:,} steps{probes}"
    if found.same:
        return [f"{would}, and chosen the same peaks."]
    others = [
        f"{name} {number(left)} for {number(best)}" for name, left, best in found.chosen if left not in (None, best)
    ]
    lost = [f"without {name}, the best" for name, left, _ in found.chosen if left is None and name == found.winner]
    return [f"{would}, and chosen otherwise: {'; '.join(lost + others)}."]


def _mode_line(arms: Sequence[str], mode: Mode) -> str:
    width = "" if mode.kind == "loop" else f", {mode.width} rows at once"
    return f"{', '.join(arms)}: trained as {mode.kind}{width}; {mode.reason}."


def searched_lines(result: StudyResult) -> list[str]:
    """The numbers that a search found best, a sentence for each arm that has some."""
    return [f"Best of {arm.name}: {arm.written}." for arm in result.arms if arm.searched]


def forecast_rows(found: Forecast) -> list[tuple[str, str]]:
    """A forecast as a small table without a header."""
    cost = found.cost
    return [
        ("runs", f"{found.runs:,}"),
        ("steps asked", f"{cost.asked:,}"),
        ("steps to run", f"{'at most ' * bool(found.follow)}{cost.to_run:,}"),
        ("ratio", f"{'at least ' * bool(found.follow)}{cost.ratio:.2f}"),
        ("trees", f"{found.trees:,}"),
        ("bundles", f"{found.bundles:,}"),
        ("memory", sized(found.memory)),
        ("time", lasting(found.seconds)),
    ]


def workers_line(found: Forecast) -> str | None:
    """How many workers train, and why; None where one was asked for.

    >>> workers_line(Forecast(8, 8, 1, None, 0, 3.0, workers=1, asked=4, alone=3.0))
    'Workers: 1 of 4, as others take longer to begin than they would spare of about 3 s.'
    """
    if found.asked == 1:
        return None
    if found.workers == 1:
        return f"Workers: 1 of {found.asked}, as others take longer to begin than they would spare of {_alone(found)}."
    few = "" if found.workers == found.asked else ", a bundle each"
    return f"Workers: {found.workers} of {found.asked}{few}; one would take {_alone(found)}."


def follow_line(found: Forecast) -> str | None:
    """What the steps to run depend on, where rates follow what runs tell; None where none does."""
    if not found.follow:
        return None
    least, most = found.least, found.cost.to_run
    return (
        f"{', '.join(found.follow)}: runs share steps until their rates part, which only training tells; "
        f"{f'{least:,} to ' * (least < most)}{most:,} steps to run, and memory and time are of the most."
    )


def _alone(found: Forecast) -> str:
    return lasting(found.alone)


def verified_line(found: Verified | Again) -> str:
    """What a verification found, as a sentence."""
    if isinstance(found, Again):
        return found.line
    return (
        f"Verified: {found.runs} of {found.of} runs trained again from scratch, max |difference| = "
        f"{found.difference:g} over parameters, buffers and rule state, {found.evaluations:g} over evaluations; the "
        f"last ones are an ordinary loop's within {found.from_loop:.1g} of their size."
    )
