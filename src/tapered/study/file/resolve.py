"""What a study trains, made as its file says, and its arms checked on it."""

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tapered.rules import Rule
from tapered.study.file.arms import Arm
from tapered.study.file.observing import check_controllers
from tapered.study.file.recipe import Steps
from tapered.study.file.script import Scripted
from tapered.study.file.space import ends
from tapered.study.file.study import Study
from tapered.training.rows import start
from tapered.training.workload import Workload
from tapered.words import suggest
from tapered.workloads import WORKLOADS, own
from tapered.workloads.find import Made, coded, workload_of
from tapered.workloads.own import StudyFileError


class Found(NamedTuple):
    """What is trained, for how many updates, and hashes of its code, as `Stated` has them."""

    subject: Workload | Scripted
    steps: int
    source: str
    code: Mapping[str, str]


def resolve(study: Study, folder: Path, path: str, named: str | None) -> Found:
    """Make what a study trains, and check that all of its arms can train it.

    Args:
        study: The file's fields.
        folder: Where paths in it start.
        path: What messages call it.
        named: "FILE:NAME" that its workload is known to be; None where it lies beside the file.

    Raises:
        StudyFileError: If they cannot.
    """
    if study.script is not None:
        return _scripted(study, Scripted(study.script, folder, study.metric), named)
    if ":" in study.workload and study.workload not in WORKLOADS:
        _allow(own.find(study.workload, folder), folder, path, named)

    def make() -> Made:
        return workload_of(study.workload, study.workload_options, folder)

    workload, source, code = coded(study.workload, make, folder)
    cells = [(arm, peak) for arm in map(_cornered, study.arms) for peak in study.peaks_of(arm)]
    workload = trained_as(workload, study, [arm.at(peak).build() for arm, peak in cells], path)
    if study.metric not in workload.names:
        hint = suggest(study.metric, workload.names)
        raise StudyFileError(f"metric={study.metric!r} is unknown to workload {workload.name!r}; {hint}")
    steps = study.steps or workload.epochs_to_steps(study.epochs or 0)
    _check_paths(cells, steps)
    check_controllers(study, cells, steps, workload.names)
    return Found(workload, steps, source, code)


def _scripted(study: Study, subject: Scripted, named: str | None) -> Found:
    """A study of a script, which is not started yet."""
    if named is not None:
        raise StudyFileError(f"got --workload {named}, and the study has a [script]; leave it out")
    steps = study.steps or 0
    check_controllers(study, [(arm, study.peaks_of(arm)[0]) for arm in map(_cornered, study.arms)], steps)
    _check_paths([(arm, peak) for arm in map(_cornered, study.arms) for peak in study.peaks_of(arm)], steps)
    code = {name: hashlib.sha256(path.read_bytes()).hexdigest()[:20] for name, path in subject.code.items()}
    return Found(subject, steps, next(iter(code.values()), ""), code)


def _check_paths(cells: Sequence[tuple[Arm, float | None]], steps: int) -> None:
    """Every arm's numbers at every step are such as they may be."""
    for arm, peak in cells:
        try:
            arm.begun(steps, peak)
            if (average := arm.at(peak).averaged) is not None:
                average.settled(steps)
        except ValueError as error:
            named = f"arm {arm.name!r}"
            raise StudyFileError(f"{'' if named in str(error) else named + ': '}{error}") from error


def trained_as(workload: Workload, said: Steps, rules: Sequence[Rule], where: str) -> Workload:
    """A workload with the steps that a file or a command says; its own, where that says nothing.

    Raises:
        StudyFileError: If they fit neither the workload nor a rule.
    """
    try:
        recipe = said.recipe(workload.recipe)
        if any(getattr(said, name) is not None for name in Steps.model_fields):
            workload = replace(workload, recipe=recipe)
        if recipe.groups or recipe.layer_decay:
            for rule in dict.fromkeys(rules):
                start(workload, rule, [0])
    except ValueError as error:
        raise StudyFileError(f"{where}: {error}") from error
    return workload


def _cornered(arm: Arm) -> Arm:
    """An arm that is searched at the ends of its space, so that a text that does not fit is found before."""
    if not arm.space or arm.trials:
        return arm
    return arm.model_copy(
        update={"trials": tuple({**end, "peak": peak} for end, peak in zip(ends(arm.space), (1, 2), strict=True))}
    )


def _allow(source: own.Source, folder: Path, path: str, named: str | None) -> None:
    """Let a study's code run where it lies beside the study file, or in a folder there, or was named by the user.

    Raises:
        StudyFileError: It lies elsewhere, or another was named.
    """
    if named is not None:
        other = own.find(named)
        if not other.path.samefile(source.path) or other.name != source.name:
            raise StudyFileError(
                f"got --workload {named}; {path} names {source.text!r}, which is {source.path.resolve()}:{source.name}"
            )
        return
    file = source.text.rpartition(":")[0]
    if Path(file).is_absolute() or not source.path.resolve().is_relative_to(folder.resolve()):
        raise StudyFileError(
            f"{path} names the workload {source.text!r}, code outside of the study's folder ({source.path.resolve()}); "
            f"if you trust it, add --workload {shlex.quote(f'{source.path.resolve()}:{source.name}')}"
        )
