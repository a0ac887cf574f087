"""A study file read, its workload built, everything checked before anything is trained."""

import hashlib
import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import ValidationError
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Item

from tapered.rules import Rule
from tapered.study.file.arms import Arm
from tapered.study.file.explained import explained
from tapered.study.file.ledger import KEPT, password_line
from tapered.study.file.observing import check_controllers
from tapered.study.file.question import TEXTS
from tapered.study.file.recipe import Steps, group_of
from tapered.study.file.script import Scripted
from tapered.study.file.space import ends
from tapered.study.file.study import Study, to_toml
from tapered.training.rows import start
from tapered.training.workload import Workload
from tapered.words import brief, suggest
from tapered.workloads import WORKLOADS, own
from tapered.workloads.find import Made, coded, workload_of
from tapered.workloads.own import StudyFileError

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
# what a [quick] table may replace: all that is not the comparison itself
COMPARISON = {"name", "workload", "script", "metric", "direction", "baseline", "arms", "alpha", *TEXTS}
QUICK = sorted(set(Study.model_fields) - COMPARISON)
STUDIES = resources.files("tapered.study") / "studies"
BUILT_IN = tuple(sorted(file.name.removesuffix(".toml") for file in STUDIES.iterdir()))


@dataclass(frozen=True)
class Origin:
    """Where a study was read, by which another process reads it again.

    Args:
        path: What messages call it.
        folder: Where paths in it start.
        workload: "FILE:NAME" that its workload is known to be; None where it lies beside the file.
    """

    path: str
    folder: Path
    workload: str | None = None


@brief
@dataclass(frozen=True)
class Stated:
    """A study that can run: its file, its workload, and where that came from.

    Args:
        study: The file's fields.
        subject: What it trains: a workload, or a script.
        steps: Updates each run makes.
        source: Hash of the workload's own file; "built in" for tapered's.
        whole: Whether every run is trained to its end, and pruning only says what it would have done.
        code: Hashes of the other files of the workload's code.
        file: The file's text, its comments with it; empty for a study that was made in Python.
        origin: Where it was read; None for a study that was made in Python.

    Example:
        >>> from tapered.study import read
        >>> stated = read("control-null", seeds=9)
        >>> stated.study.seeds, stated.steps, stated.source
        (9, 20, 'built in')
    """

    study: Study
    subject: Workload | Scripted
    steps: int
    source: str
    whole: bool = False
    code: Mapping[str, str] = field(default_factory=dict)
    file: str = ""
    origin: Origin | None = None

    @property
    def text(self) -> str:
        """The study as TOML: what was written of it, where its claim and criterion stand, as it runs."""
        return self.file or to_toml(self.study)

    @property
    def workload(self) -> Workload:
        """The workload that is trained."""
        return workload_in(self.subject)

    @cached_property
    def data(self) -> Mapping[str, str]:
        """Digests of what the subject reads and of the weights that it makes; all data is read for it, once."""
        return self.subject.fingerprints()


def workload_in(subject: Workload | Scripted) -> Workload:
    """A subject that is a workload, for who trains one.

    Raises:
        TypeError: it is a script, which is not trained here.
    """
    if isinstance(subject, Scripted):
        raise TypeError(f"{subject.name} is a script, which trains by itself; expected a workload")
    return subject


def read(
    path: str | Study,
    *,
    seeds: int | None = None,
    steps: int | None = None,
    tune: Mapping[str, Any] | None = None,
    executor: Mapping[str, Any] | None = None,
    whole: bool = False,
    quick: bool = False,
    workload: str | None = None,
    ledger: str | None = None,
) -> Stated:
    """Read a study file, a built-in study by its name, or one that was made in Python, and build its workload.

    Args:
        path: A built-in study's name ("bmi", "bmi-full"), a path that ends in .toml, or the study itself.
        seeds: Replaces the file's seeds.
        steps: Replaces the file's steps or epochs.
        tune: Fields of the file's `tune` to replace; those that are None stay.
        executor: Fields of the file's `executor` to replace; those that are None stay.
        whole: Train every run to its end, also where the file prunes.
        quick: Read the smaller study that the file's `[quick]` table states, another study under another name.
        workload: "FILE:NAME" that the study's workload is known to be, which allows one outside of the study's folder.
        ledger: Replaces the URL of the file's `ledger`; not in the study's text, as no number depends on it.

    Raises:
        StudyFileError: If the file or its workload cannot be read as stated, or `quick` is asked of one without it.

    >>> read("bmi").workload.name
    'bmi'
    """
    text, folder = _read(path) if isinstance(path, str) else (to_toml(path), Path())
    path = path if isinstance(path, str) else f"Study({path.name!r})"
    if line := password_line(text):
        raise StudyFileError(
            f"{path}: line {line} has a password, which the study's folder and page would show; {KEPT}"
        )
    given = _parsed(text, path)
    fields = _quick(given, path, asked=quick)
    if seeds is not None:
        fields["seeds"] = seeds
    if steps is not None:
        fields["steps"] = steps
        fields.pop("epochs", None)
    for name, table in (("tune", tune), ("executor", executor)):
        said = {field: value for field, value in (table or {}).items() if value is not None}
        if said or (name == "tune" and tune is not None):
            fields[name] = fields.get(name, {}) | said
    runs = _as_it_runs(text, given, fields)
    if ledger is not None:
        fields["ledger"] = {"url": ledger}
    return _stated(fields, runs, Origin(path, folder, workload), whole=whole)


def read_again(text: str, origin: Origin, *, whole: bool) -> Stated:
    """The study that was read elsewhere, from its text as it runs (`Stated.text`).

    Raises:
        StudyFileError: If its workload cannot be made here.
    """
    fields = _parsed(text, origin.path)
    fields.pop("ledger", None)  # it is entered by who read the file; its driver need not be installed here
    return _stated(fields, text, origin, whole=whole)


def _parsed(text: str, path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyFileError(f"{path} is no TOML: {error}") from error
    except RecursionError:
        raise StudyFileError(f"{path} is nested too deeply; expected tables and lists a few levels deep") from None


def _stated(fields: Mapping[str, Any], text: str, origin: Origin, *, whole: bool) -> Stated:
    path = origin.path
    try:
        study = Study.model_validate(fields)
    except ValidationError as error:
        raise StudyFileError(f"{path}: " + "\n".join(explained(error))) from None
    if whole and study.prune is None:
        raise StudyFileError(f"{path} prunes nothing, so that there is nothing to compare; try without --no-prune")
    found = _resolve(study, origin.folder, path, whole=whole, named=origin.workload)
    return replace(found, file=text, origin=origin)


def _as_it_runs(text: str, given: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
    """A file's text with the fields that run in the place of those that were given, its comments kept."""
    try:
        document = tomlkit.parse(text)
        for name in given.keys() - fields.keys():
            document.remove(name)
        for name, value in fields.items():
            if given.get(name) != value:
                document[name] = _item(value, given.get(name))
        written = document.as_string()
        if tomllib.loads(written) == fields:
            return written
    except (TOMLKitError, tomllib.TOMLDecodeError, RecursionError):
        pass
    return tomlkit.dumps(fields)  # without comments: a text that only Python's own reader understands


def _item(value: Any, before: Any) -> Item:
    """A field of another value; what was said beside the one before may not hold."""
    item = tomlkit.inline_table() if isinstance(value, dict) else tomlkit.item(value)
    if isinstance(value, dict):
        item.update(value)
    return item if before is None else item.comment(f"in the place of {before}")


def _quick(given: Mapping[str, Any], path: str, *, asked: bool) -> dict[str, Any]:
    """The file's fields, those of its `[quick]` table in their place where that is asked for."""
    fields = dict(given)
    small = fields.pop("quick", None)
    if small is not None and not isinstance(small, dict):
        raise StudyFileError(f"{path}: quick={small!r} is no table; try [quick] and steps = 200 below it")
    for name in small or {}:
        if name not in QUICK:
            raise StudyFileError(f"{path}: quick.{name} is no field that may be smaller; {suggest(name, QUICK)}")
    if not asked:
        return fields
    if not small:
        raise StudyFileError(f"{path} has no quick form; try without --quick, or a table [quick] with steps = 200")
    length = {"steps", "epochs"}
    kept = {name: value for name, value in fields.items() if name not in length or not length & set(small)}
    return kept | small | {"name": f"{fields.get('name', '')} quick".strip()}


def _resolve(study: Study, folder: Path, path: str, *, whole: bool, named: str | None) -> Stated:
    if study.script is not None:
        return _scripted(study, Scripted(study.script, folder, study.metric), named, whole=whole)
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
    return Stated(study, workload, steps, source, whole, code)


def _scripted(study: Study, subject: Scripted, named: str | None, *, whole: bool) -> Stated:
    """A study of a script, which is not started yet."""
    if named is not None:
        raise StudyFileError(f"got --workload {named}, and the study has a [script]; leave it out")
    steps = study.steps or 0
    check_controllers(study, [(arm, study.peaks_of(arm)[0]) for arm in map(_cornered, study.arms)], steps)
    _check_paths([(arm, peak) for arm in map(_cornered, study.arms) for peak in study.peaks_of(arm)], steps)
    code = {name: hashlib.sha256(path.read_bytes()).hexdigest()[:20] for name, path in subject.code.items()}
    return Stated(study, subject, steps, next(iter(code.values()), ""), whole, code)


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


def steps_of(groups: Sequence[str] = (), **fields: Any) -> dict[str, Any]:
    """How a step is made as a command line says it, without what it leaves out; each group as a text.

    Raises:
        StudyFileError: If a field is none, naming it.

    >>> steps_of(["*.bias: weight_decay=0"], clip_norm=1.0, accumulate=None)
    {'clip_norm': 1.0, 'groups': [{'match': ['*.bias'], 'lr': 1.0, 'weight_decay': 0.0}]}
    """
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        if groups:
            given["groups"] = [group_of(text) for text in groups]
        return Steps.model_validate(given).model_dump(mode="json", exclude_none=True)
    except ValidationError as error:
        raise StudyFileError("; ".join(explained(error))) from None
    except ValueError as error:
        raise StudyFileError(str(error)) from error


def _cornered(arm: Arm) -> Arm:
    """An arm that is searched at the ends of its space, so that a text that does not fit is found before."""
    if not arm.space or arm.trials:
        return arm
    return arm.model_copy(
        update={"trials": tuple({**end, "peak": peak} for end, peak in zip(ends(arm.space), (1, 2), strict=True))}
    )


def _read(path: str) -> tuple[str, Path]:
    if path in BUILT_IN:
        return (STUDIES / f"{path}.toml").read_text(), Path()
    if not path.endswith(".toml"):
        raise StudyFileError(f"{path!r} is no built-in study; {suggest(path, BUILT_IN)}, or a path that ends in .toml")
    try:
        return Path(path).read_text(), Path(path).parent
    except (OSError, UnicodeDecodeError) as error:
        raise StudyFileError(f"{path} cannot be read: {error}") from error


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


def arm_of(
    rule: str, lr: str, options: Mapping[str, Any], hypers: Mapping[str, Any], average: Mapping[str, Any] | None = None
) -> Arm:
    """A fixed arm as a command line gives it.

    Args:
        rule: A rule's name.
        lr: A number, or a schedule's text, in which `steps` stands for the run's steps.
        options: The rule's structural choices.
        hypers: Its other hypers, numbers or schedule texts.
        average: Fields of the average that is evaluated; none where there are none.

    Raises:
        StudyFileError: If it is no arm, naming the field.

    >>> arm_of("Adam", "1e-3", {}, {}).path(10, None).hypers["lr"].tolist()[0]
    0.001
    """
    rate = f"constant({lr})" if NUMBER.fullmatch(lr.strip()) else lr
    fields = {"name": rule, "rule": rule, "lr": rate, "options": options, "hypers": hypers, "fixed": True}
    fields |= {"average": average} if average else {}
    try:
        return Arm.model_validate(fields)
    except ValidationError as error:
        raise StudyFileError("; ".join(explained(error))) from None
