"""A study file read, its workload built, everything checked before anything is trained."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import ValidationError
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Item

from tapered.study.file.explained import explained
from tapered.study.file.ledger import KEPT, password_line
from tapered.study.file.question import TEXTS
from tapered.study.file.resolve import resolve
from tapered.study.file.script import Scripted
from tapered.study.file.study import Study, to_toml
from tapered.training.workload import Workload
from tapered.words import brief, suggest
from tapered.workloads.own import StudyFileError

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
    found = resolve(study, origin.folder, path, origin.workload)
    return Stated(study, found.subject, found.steps, found.source, whole, found.code, text, origin)


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


def _read(path: str) -> tuple[str, Path]:
    if path in BUILT_IN:
        return (STUDIES / f"{path}.toml").read_text(), Path()
    if not path.endswith(".toml"):
        raise StudyFileError(f"{path!r} is no built-in study; {suggest(path, BUILT_IN)}, or a path that ends in .toml")
    try:
        return Path(path).read_text(), Path(path).parent
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise StudyFileError(f"{path} cannot be read ({why}); give another path") from error
