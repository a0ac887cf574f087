"""A study's runs as tasks: cells of (arm, peak), at seeds."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tapered.study.file.arms import Arm
from tapered.study.plan.forest import Forest
from tapered.study.plan.planned import Planned
from tapered.study.plan.tasks import Task
from tapered.study.store.runs import Run, run_key

Cell = tuple[Arm, float | None]


def cells_of(planned: Planned) -> list[Cell]:
    """Every arm at every peak that the study has, arms first."""
    return [(arm, peak) for arm in planned.study.arms for peak in planned.study.peaks_of(arm)]


def forest_of(
    planned: Planned, cells: Sequence[Cell] | None = None, seeds: Sequence[int] | None = None, *, shared: bool = True
) -> Forest:
    """Every run of the study that its file states, arms first, then peaks, then seeds; or those of cells and seeds.

    Args:
        planned: The study.
        cells: Arms and peaks, in the place of all.
        seeds: Seeds, in the place of the file's.
        shared: False plans each run by itself.

    Example:
        >>> from tapered.study import plan_of, read
        >>> plan = forest_of(plan_of(read("control-null"))).plan
        >>> len(plan.paths), plan.asked  # two arms, five peaks and eight seeds, of 20 steps each
        (80, 1600)
    """
    facts = {**planned.shared, "evaluations": list(planned.marks), "threads": planned.study.threads}
    seeds = planned.study.seed_values if seeds is None else seeds
    cells = cells_of(planned) if cells is None else cells
    tasks = [task for arm, peak in cells for task in _tasks(facts, planned, arm, peak, seeds)]
    return Forest(planned.subject, tuple(tasks), planned.marks, shared, planned.study.mode)


def _tasks(
    facts: Mapping[str, object], planned: Planned, arm: Arm, peak: float | None, seeds: Iterable[int]
) -> Iterator[Task]:
    """The runs of an arm at a peak, which have one path."""
    mine, path = arm.at(peak), arm.begun(planned.steps, peak)
    follows = mine.following(planned.steps, peak)
    fields = mine.model_dump(mode="json", exclude={"peaks", "space", "trials", "against"}, exclude_none=True)
    fields["lr"] = str(mine.rate(planned.steps, peak))
    for seed in seeds:
        key = run_key({**facts, "metric": planned.study.metric, "arm": fields, "peak": peak, "seed": seed})
        yield Task.of(Run(key, arm.name, peak, seed, planned.steps), mine, path, follows, planned.marks)
