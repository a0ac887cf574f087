"""What a study of a script says beside its verdict: what its runs took, and what was witnessed of them.

records beside the runs ─► cost_of_runs, witnessed_of
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path

from tapered.study.file.script import Scripted
from tapered.study.plan.planned import Planned
from tapered.study.plan.pruning import pruning_of
from tapered.study.plan.rounds import Round
from tapered.study.result.cost import Cost
from tapered.study.result.witnessed import Witnessed, named
from tapered.study.script.checked import spacing
from tapered.study.script.outcome import Record, said
from tapered.study.store.folder import Store
from tapered.study.store.runs import Run

NOTES = 5  # that are shown


def cost_of_runs(planned: Planned, rounds: Sequence[Round], store: Store) -> Cost:
    """What the runs took: updates asked, and those that were made, as their records say."""
    known = {run.key: run for run in store.runs()}
    asked = sum(run.steps for round_ in rounds for run in round_.runs(known))
    first = replace(rounds[0], forest=replace(rounds[0].forest, shared=spacing(planned, store.folder) > 0))
    shared = sum(run.step for run in known.values()) - _made(store)
    why = None if shared else alone(planned, store.folder)
    return Cost(asked, asked - shared, why, (), pruning_of(first, known))


def _made(store: Store) -> int:
    """Updates that the runs made themselves; a run of which there is no record, but a folder, made all of its own."""
    return sum(record.made for record in records(store).values()) + sum(run.step for run in unrecorded(store))


def alone(planned: Planned, folder: Path) -> str:
    """Why no steps are shared."""
    script = planned.study.script
    if script is None or script.checkpoints is None:
        return "the study does not say where the script's checkpoints are"
    if not (script.named or script.halts):
        return "its checkpoints have no {step} in their names, and its command no {until} to end it where runs part"
    if not spacing(planned, folder):
        return "that it goes on exactly from a checkpoint is not known; try tapered study FILE --check"
    return "no two runs of a seed have a rate in common, or no checkpoint was left before they part"


def records(store: Store) -> dict[str, Record]:
    """What is kept of each run, by key."""
    found = {run.key: Record.read(store.folder / "runs" / run.key) for run in store.runs()}
    return {key: record for key, record in found.items() if record is not None}


def unrecorded(store: Store) -> list[Run]:
    """Runs that were started, and of which it is not known any more what was seen."""
    kept = records(store)
    return [run for run in store.runs() if run.key not in kept and (store.folder / "runs" / run.key).is_dir()]


def witnessed_of(subject: Scripted, rounds: Sequence[Round], store: Store) -> Witnessed:
    """What was seen of all runs."""
    found = list(records(store).values())
    twice = [record.apart for record in found if record.apart is not None]
    lost = [f"{named(run)}: what was seen of it is lost ({run.key}/record.json)." for run in unrecorded(store)]
    notes = dict.fromkeys([*map(said, lost), *(note for record in found for note in record.notes)])
    return Witnessed(
        command=subject.script.said,
        rate=subject.script.rate,
        runs=len(found),
        updates=sum(record.made for record in found),
        seen=sum(record.seen for record in found),
        gap=max((record.gap for record in found), default=0.0),
        twice=max(twice, default=None),
        noise=max(_noise(rounds, store, subject.metric), default=None),
        forked=sum(record.start > 0 for record in found),
        shared=sum(record.start for record in found),
        notes=tuple(notes)[:NOTES],
    )


def _noise(rounds: Sequence[Round], store: Store, metric: str) -> Iterator[float]:
    """How far runs of one seed are apart as long as their rates are the same, of those that shared no steps."""
    known = {run.key: run for run in store.runs()}
    own = {key for key, record in records(store).items() if record.start == 0}
    for round_ in rounds:
        forest = replace(round_.forest, shared=True)
        for segment in forest.plan.segments:
            runs = [known[key] for i in segment.runs if (key := forest.tasks[i].run.key) in own and key in known]
            for other in runs[1:]:
                yield from _apart(runs[0], other, metric, segment.stop)


def _apart(one: Run, other: Run, metric: str, until: int) -> Iterator[float]:
    theirs = {step: point[metric] for step, point in other.curve}
    for step, point in one.curve:
        if 0 < step <= until and step in theirs and isfinite(gap := abs(point[metric] - theirs[step])):
            yield gap
