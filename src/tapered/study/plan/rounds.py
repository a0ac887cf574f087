"""A study's rounds, each planned by what the ones before it found, so that a killed study plans them again alike.

the grid ─► peaks beyond its edges ─► ... ─► every best peak inside, or no more allowed ─┐
batch of trials ─► batch ─► ... ─► all trials ───────────────────────────────────────────┴─► fresh seeds at best peaks
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tapered.study.file.arms import Arm
from tapered.study.plan.cells import Cell, cells_of, forest_of
from tapered.study.plan.forest import Forest
from tapered.study.plan.planned import Planned
from tapered.study.plan.trials import batches
from tapered.study.result import PeakResult, best_peak, summarise
from tapered.study.store.runs import Run
from tapered.words import brief

Known = Callable[[], Mapping[str, Run]]


@brief
@dataclass(frozen=True)
class Round:
    """Runs that are planned together.

    Args:
        name: What they are for.
        planned: The study, its grids or trials as they are by now.
        forest: The runs.
        rungs: The steps at which it is pruned.
    """

    name: str
    planned: Planned
    forest: Forest
    rungs: tuple[int, ...] = ()

    def runs(self, known: Mapping[str, Run]) -> list[Run]:
        """Those of its runs that are known, in order."""
        return [known[task.run.key] for task in self.forest.tasks if task.run.key in known]


def rounds(planned: Planned, known: Known, *, shared: bool = True) -> Iterator[Round]:
    """The rounds of a study, one after another; the next is asked for when the last one is finished.

    Args:
        planned: The study.
        known: The finished runs by key, asked before a round is planned.
        shared: False plans every run by itself.
    """
    runs: list[Run] = []
    for round_ in _choosing(planned, runs, shared=shared):
        yield round_
        runs += round_.runs(known())
        planned = round_.planned
    if planned.study.fresh_seeds:
        yield _confirming(planned, runs, shared=shared)


def finished_rounds(planned: Planned, known: Mapping[str, Run]) -> tuple[list[Round], bool]:
    """The rounds as far as they are planned, and whether all of their runs are finished.

    Args:
        planned: The study.
        known: Its finished runs by key.

    Example:
        >>> from tapered.study import plan_of, read
        >>> found, whole = finished_rounds(plan_of(read("control-null")), {})
        >>> [round_.name for round_ in found], whole
        (['the grid'], False)
    """
    found: list[Round] = []
    for round_ in rounds(planned, lambda: known):
        found.append(round_)
        if len(round_.runs(known)) < len(round_.forest.tasks):
            return found, False
    return found, True


def rung_steps(planned: Planned) -> tuple[int, ...]:
    """The steps at which the first round is pruned."""
    marks, prune = planned.marks, planned.study.prune
    count = planned.study.evaluations
    # short runs have fewer marks than evaluations
    wanted = [round(round(rung * count) * planned.steps / count) for rung in prune.rungs] if prune else []
    return tuple(sorted({step for step in wanted if 0 < step < marks[-1]}))


def _choosing(planned: Planned, runs: Sequence[Run], *, shared: bool) -> Iterator[Round]:
    """The rounds that peaks are chosen by; ``runs`` grows meanwhile."""
    if planned.study.tune is not None:
        for tried, cells in batches(planned, runs):
            yield Round("a batch of trials", tried, forest_of(tried, cells, shared=shared))
        return
    yield Round("the grid", planned, forest_of(planned, shared=shared), rung_steps(planned))
    left = planned.study.most_added
    while sum(added := edges(planned, runs, left)):
        before = {(arm.name, peak) for arm, peak in cells_of(planned)}
        planned, left = planned.having(planned.study.extended(*added)), left - sum(added)
        alive = {run.arm for run in runs if run.pruned is None}
        new = [(arm, p) for arm, p in cells_of(planned) if (arm.name, p) not in before and arm.name in alive]
        yield Round("peaks beyond the edges", planned, forest_of(planned, new, shared=shared))


def best_of(planned: Planned, arm: Arm, runs: Sequence[Run]) -> PeakResult | None:
    """The best of an arm's peaks that were not pruned; None where all were."""
    peaks = [
        summarise(peak, [run for run in runs if run.arm == arm.name and run.peak == peak])
        for peak in planned.study.peaks_of(arm)
    ]
    whole = [peak for peak in peaks if peak.runs and all(run.pruned is None for run in peak.runs)]
    return best_peak(whole, planned.study.direction) if whole else None


def edges(planned: Planned, runs: Sequence[Run], left: int) -> tuple[int, int]:
    """How many peaks to add below and above the grids: one where the best of a tuned arm lies at that edge.

    Where only one more is allowed and both edges ask, the edge of more arms gets it, the upper one of equals.
    """
    below = above = 0
    for arm in planned.study.arms:
        best = None if arm.fixed else best_of(planned, arm, runs)
        if best is not None:
            peaks = planned.study.peaks_of(arm)
            below, above = below + (best.peak == peaks[0]), above + (best.peak == peaks[-1])
    wanted = (min(below, 1), min(above, 1))
    if sum(wanted) <= left:
        return wanted
    return (0, 0) if not left else (1, 0) if below > above else (0, 1)


def _confirming(planned: Planned, runs: Sequence[Run], *, shared: bool) -> Round:
    """Every tuned arm that was not pruned at its best peak, with seeds that chose nothing."""
    best = [(arm, best_of(planned, arm, runs)) for arm in planned.study.arms if not arm.fixed]
    cells: list[Cell] = [(arm, peak.peak) for arm, peak in best if peak is not None]
    return Round("fresh seeds", planned, forest_of(planned, cells, planned.study.fresh_seeds, shared=shared))
