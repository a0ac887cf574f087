"""What the controllers of a study's arms observe, checked before anything is trained."""

from collections.abc import Collection, Sequence

from tapered.study.file.arms import Arm
from tapered.study.file.following import Following, Observed
from tapered.study.file.study import Study
from tapered.words import suggest
from tapered.workloads.own import StudyFileError

Cell = tuple[Arm, float | None]


def check_controllers(study: Study, cells: Sequence[Cell], steps: int, names: Collection[str] | None = None) -> None:
    """Every controller can follow its runs, and there is what it is to be told.

    Args:
        study: The study.
        cells: Its arms at peaks, with the numbers that are searched.
        steps: Updates of each run.
        names: The numbers of an evaluation, those of further splits as "split/name"; None of a script.

    Raises:
        StudyFileError: Naming the arm or the field.
    """
    for place, arm in enumerate(study.arms):
        for mine, peak in cells:
            if mine.name == arm.name:
                try:
                    _check(study, mine, mine.following(steps, peak), f"arms.{place}.observes", names)
                except ValueError as error:
                    raise StudyFileError(str(error)) from error


def _check(study: Study, arm: Arm, follows: Following | None, field: str, names: Collection[str] | None) -> None:
    if follows is None:
        if arm.observes is not None:
            raise ValueError(f"{field} is of a rate that follows its run, and the lr of arm {arm.name!r} is a schedule")
        return
    by = follows.controller
    if names is None:
        raise ValueError(
            f"arm {arm.name!r} follows its loss by {by}, and a script is told all its rates before it begins; write "
            f'lr as a schedule, or let a scheduler of the script\'s own follow its loss, with rate = "off"'
        )
    if study.prune is not None and study.prune.probe is not None:
        raise ValueError(
            f"prune.probe cools the schedule of every arm down, and arm {arm.name!r} follows its loss by {by}, "
            f"whose rates nobody knows beforehand; leave probe out, and peaks are pruned"
        )
    _check_observed(arm.observes, names, field)
    _check_direction(study, arm, follows)
    every, start = follows.observed.every or 1, by.start
    if max(every, start + 1) >= follows.steps:
        raise ValueError(
            f"arm {arm.name!r} follows its loss by {by}, which is told nothing within its {follows.steps} steps "
            f"(every = {every}, a warmup of {start}); try less, or more steps"
        )


def _check_observed(observed: Observed | None, names: Collection[str], field: str) -> None:
    """There is such a number; and where a split is at hand that no verdict rests on, it is said which is meant."""
    others = [name for name in names if name.endswith("/loss")]
    if observed is None and others:
        raise ValueError(
            f"{field} is missing: a rate that follows the validation loss sees what it is judged on, and there is "
            f'another split; try observes = "{others[0]}", or observes = "loss" where that is meant'
        )
    found = observed or Observed()
    if found.every is None and found.metric not in names:
        raise ValueError(f"{field} = {found.metric!r} is no number of an evaluation; {suggest(found.metric, names)}")


def _check_direction(study: Study, arm: Arm, follows: Following) -> None:
    """A rule takes for better what the study does: less of a loss, and of its metric what it asks for."""
    name, by = follows.observed.metric.rpartition("/")[2], follows.controller
    asked = {"loss": "min", study.metric.rpartition("/")[2]: study.direction[:3]}.get(name)
    mode = getattr(by, "mode", asked)  # a rule of one's own may have none
    if asked is not None and mode != asked:
        better = "higher" if asked == "max" else "lower"
        raise ValueError(
            f"arm {arm.name!r} follows the {name}, of which {better} is better here, by {by} with mode = {mode!r}; "
            f'try {type(by).__name__}(..., mode="{asked}")'
        )
