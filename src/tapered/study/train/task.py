"""What a worker is told: the study, once, and then bundles of it, each from where it stands to a mark.

    Job: the study's text, the facts that its numbers depend on     Task: a bundle, its rows, the mode, until when

Nothing that can be worked out is taken on trust: a worker reads the study again, and computes the key of each run.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tapered import kind
from tapered.files.wire import Message
from tapered.rules import Rule
from tapered.study.file.arms import Arm
from tapered.study.file.read import Origin, read_again
from tapered.study.plan.cells import forest_of
from tapered.study.plan.forest import Forest
from tapered.study.plan.planned import Planned, plan_of
from tapered.study.plan.pruning import probes_of
from tapered.study.plan.tasks import Task as Planted
from tapered.study.store.runs import Bundle, Run
from tapered.study.store.text import Kept, bundle_from_text, bundle_to_text
from tapered.training.advance import Mode
from tapered.words import brief
from tapered.workloads.own import BUILT_IN

MOST_CODE = 1 << 20  # bytes of a workload's own files that go with a job


class OtherError(Exception):
    """A worker would train something else than it is asked for; the message says what differs."""


@dataclass(frozen=True)
class Work:
    """Bundles of one rule that are to be trained to a mark.

    Args:
        planned: The study, its grids or trials as they are by now.
        forest: What the bundles are of.
        rule: Their rule.
        mode: How their rows are trained.
        bundles: Those that have not reached the mark.
        until: The mark.
        rung: The step at which they were forked from their trunks, where they are probes.
        seconds: What they take, as estimated; None where nothing was timed.
    """

    planned: Planned
    forest: Forest
    rule: Rule
    mode: Mode
    bundles: tuple[Bundle, ...]
    until: int
    rung: int | None = None
    seconds: float | None = None


def job_of(planned: Planned, folder: Path) -> Message:
    """What a worker is told first.

    Args:
        planned: The study.
        folder: Its folder, in which a worker that sees it too writes the files of rows itself.
    """
    stated = planned.stated
    if stated.origin is None:
        raise ValueError("a study that was made in Python is in this process only; write it as a file, or use Here()")
    origin = stated.origin
    fields = {
        "text": stated.text,
        "path": origin.path,
        "folder": str(origin.folder.absolute()),
        "workload": origin.workload,
        "whole": stated.whole,
        "threads": planned.study.threads,
        "facts": dict(planned.facts),
        "code": _code(planned),
        "working": str(Path.cwd()),
        "store": str(folder.absolute()),
        "owner": (folder / "owner").read_text() if (folder / "owner").is_file() else "",
    }
    return Message("job", fields)


def planned_of(job: Mapping[str, Any]) -> Planned:
    """The study that a job says, as this process reads it.

    Raises:
        OtherError: If its numbers would depend on other things; the message is the driver's, which is here.
    """
    if Path(job["working"]).is_dir():
        os.chdir(job["working"])  # where a workload's relative paths start
    origin = Origin(job["path"], _where(job), job["workload"])
    planned = plan_of(read_again(job["text"], origin, whole=job["whole"]))
    driver, mine = _parts(job["facts"]), _parts(planned.facts)
    names = sorted(name for name in {*driver, *mine} if driver.get(name) != mine.get(name))
    if planned.study.kinds == "any":
        names = [name for name in names if not name.startswith(f"{kind.TRAINED} ") and name != kind.WEIGHTS]
    if names:
        said = [f"{name} is {driver.get(name, 'nothing')} here, {mine.get(name, 'nothing')} there" for name in names]
        raise OtherError("; ".join(said))
    return planned


def _code(planned: Planned) -> dict[str, str]:
    """The workload's file and those beside it that it imports, by their paths from the study's folder."""
    stated, origin = planned.stated, planned.stated.origin
    name = stated.study.workload.rpartition(":")[0]
    if origin is None or stated.source == BUILT_IN or not (origin.folder / name).is_file():
        return {}
    file = Path(name)
    names = [file, *(file.parent / other for other in stated.code)]
    found = [each for each in names if (origin.folder / each).is_file() and each.suffix == ".py"]
    if sum((origin.folder / each).stat().st_size for each in found) > MOST_CODE:
        return {}
    return {str(each): (origin.folder / each).read_text() for each in found}


def _where(job: Mapping[str, Any]) -> Path:
    """The study's folder; where it is not here, one that holds the code that came with the job."""
    folder = Path(job["folder"])
    if not job["code"] or all((folder / name).is_file() for name in job["code"]):
        return folder
    made = Path(tempfile.mkdtemp(prefix="tapered-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    for name, text in job["code"].items():
        path = made / name
        if not path.resolve().is_relative_to(made.resolve()):
            raise OtherError(f"{name} lies outside of the study's folder, and is not here")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return made


def sees(job: Mapping[str, Any]) -> bool:
    """Whether the study's folder is seen here: by the text that says who works there."""
    owner = Path(job["store"]) / "owner"
    return bool(job["owner"]) and owner.is_file() and owner.read_text() == job["owner"]


def _parts(facts: Mapping[str, str]) -> dict[str, str]:
    """Facts, the kind of processor as several."""
    found = {name: text for name, text in facts.items() if name != kind.TRAINED}
    return found | {f"{kind.TRAINED} {name}": text for name, text in kind.read(facts[kind.TRAINED]).items()}


def task_of(number: int, work: Work, kept: Kept, rows: bytes | None, *, lost: bool = False) -> Message:
    """What a worker is told to train.

    Args:
        number: By which it is stopped.
        work: What the bundle belongs to.
        kept: The bundle as it stands.
        rows: The content of the file of its rows; None where the worker reads it itself, or there is none.
        lost: Whether a worker that trained it was lost.
    """
    named = {run.arm for branch in kept.bundle.branches for run in branch.runs}
    arms = [arm for arm in work.planned.study.arms if arm.name in named]
    fields = {
        "number": number,
        "arms": [arm.model_dump(mode="json", exclude_none=True) for arm in arms],
        "shared": work.forest.shared,
        "rung": work.rung,
        "until": work.until,
        "mode": asdict(work.mode),
        "bundle": bundle_to_text(kept),
        "name": kept.bundle.name,
        "lost": lost,
    }
    return Message("task", fields, () if rows is None else (rows,))


@brief
@dataclass(frozen=True)
class Task:
    """What a worker is told to train, read.

    Args:
        kept: The bundle as it stands.
        forest: Its runs.
        mode: How they are trained.
        until: The mark to train to.
        lost: Whether a worker that trained it was lost.
    """

    kept: Kept
    forest: Forest
    mode: Mode
    until: int
    lost: bool


def read_task(planned: Planned, fields: Mapping[str, Any]) -> Task:
    """A task of a study.

    Raises:
        OtherError: If a run of it has another key here.
    """
    kept = bundle_from_text(fields["bundle"], fields["name"])
    arms = tuple(Arm.model_validate(arm) for arm in fields["arms"])  # with the trials that they have by now
    now = planned.having(planned.study.model_copy(update={"arms": arms}))
    forest = _forest(now, kept.bundle, fields["rung"], shared=fields["shared"])
    return Task(kept, forest, Mode(**fields["mode"]), fields["until"], fields["lost"])


def _forest(planned: Planned, bundle: Bundle, rung: int | None, *, shared: bool) -> Forest:
    """The forest of a bundle's live runs."""
    runs = [run for branch in bundle.live for run in branch.runs]
    arms = {arm.name: arm for arm in planned.study.arms}
    tasks: list[Planted] = []
    forest = forest_of(planned, [], shared=shared)
    for arm, peak in dict.fromkeys((run.arm, run.peak) for run in runs):
        seeds = [run.seed for run in runs if (run.arm, run.peak) == (arm, peak)]
        forest = forest_of(planned, [(arms[arm], peak)], seeds, shared=shared)
        tasks += forest.tasks
    forest = replace(forest, tasks=tuple(tasks))
    if rung is not None:
        forest = probes_of(planned, forest, rung)
    _check(forest, runs)
    return forest


def _check(forest: Forest, runs: list[Run]) -> None:
    for run in runs:
        if run.key not in forest.place:
            peak = "" if run.peak is None else f", peak {run.peak:g}"
            raise OtherError(f"arm {run.arm!r}{peak}, seed {run.seed} is another run here than {run.key}")
