"""`--verify` of a study of a script: a run that shared steps, trained again from scratch, and compared with itself."""

import shutil
from collections.abc import Sequence
from contextlib import closing
from math import inf, isnan

from tapered.files.errors import StoreError
from tapered.study.file.script import Scripted
from tapered.study.plan.planned import Planned
from tapered.study.plan.rounds import finished_rounds
from tapered.study.result.witnessed import Again
from tapered.study.script.asking import Asking
from tapered.study.script.errors import failed, raised, refused
from tapered.study.script.outcome import branch_of
from tapered.study.script.places import slots_of
from tapered.study.script.telling import records
from tapered.study.store.folder import Store
from tapered.study.store.runs import Run

FOLDER = "verify"


def again(planned: Planned, subject: Scripted, store: Store, runs: Sequence[Run]) -> Again:
    """Start one run again from scratch: of those that took over steps the one that took over most.

    Raises:
        RefusedRunError: It did something else than it was asked.
        FailedRunsError: It did not come to its end.
    """
    rounds, _ = finished_rounds(planned, {run.key: run for run in runs})
    whole = [run for run in runs if run.pruned is None]
    known = records(store)
    chosen = max(whole, key=lambda run: known[run.key].start if run.key in known else 0)
    task, round_ = next((t, r) for r in rounds for t in r.forest.tasks if t.run.key == chosen.key)
    folder = store.folder / FOLDER / chosen.key
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise StoreError(f"{folder} could not be made ({error.strerror}); make room") from error
    start = Asking(round_.planned, subject).start(task, folder, chosen.steps)
    with closing(slots_of(planned.study, subject.script)) as slots:
        ended = next(iter(slots.run([start])))[1]
    if isinstance(ended, Exception):
        raise raised(folder, ended)
    if ended.word == "refused":
        raise refused(chosen, ended, subject.script.rate, str(folder))
    if not ended.result:
        raise failed([(chosen, ended, str(folder))], 1)
    diverged = ended.step if ended.word == "diverged" else None
    branch = branch_of(task.run, Asking(planned, subject).judge, folder, ended.step, diverged, (), planned.marks)
    mine = branch.results(planned.study.metric)[0]
    return Again(chosen, known[chosen.key].start if chosen.key in known else 0, len(whole), _gap(mine, chosen))


def _gap(one: Run, other: Run) -> float:
    """The largest difference at the steps that both curves have; of long ones not every point is kept."""
    ours, theirs = dict(one.curve), dict(other.curve)
    if one.diverged != other.diverged or (ours and max(ours)) != (theirs and max(theirs)):
        return inf
    pairs = ((ours[step], theirs[step]) for step in ours.keys() & theirs.keys())
    gaps = [
        abs(mine[name] - its[name])
        for mine, its in pairs
        for name in mine.keys() & its.keys()
        if not (isnan(mine[name]) and isnan(its[name]))
    ]
    return max((inf if isnan(gap) else gap for gap in gaps), default=0.0)
