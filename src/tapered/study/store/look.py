"""A study's folder as others may look at it while somebody works there: no lock, nothing written, nothing believed.

study.toml, runs/*.json, owner ─► looked ─► Looked: the study, its runs as they stand, who works there, since when not
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from tapered.files.errors import StoreError
from tapered.files.lock import Owner, owner
from tapered.files.whole import plain
from tapered.study.file.explained import explained
from tapered.study.file.study import Study
from tapered.study.store.reading import BUNDLE, parsed, wholes
from tapered.study.store.runs import Run
from tapered.study.store.text import Kept

NO_STUDY = "is no study's folder; expected one as studies/NAME-HASH, where a study runs or ran"
STATED = "study.toml"
LIMIT = 1 << 24  # bytes of a study's file, which is text that a person wrote


@dataclass(frozen=True)
class Looked:
    """What a folder says.

    Args:
        study: As its file states it; its workload's code is not looked for.
        runs: Every run that is begun, as far as it was kept.
        damaged: Files that are not what was written, which say nothing.
        written: When a run was last kept, in seconds since 1970; None where none was.
        owner: Who works there, or was killed there.
    """

    study: Study
    runs: tuple[Run, ...]
    damaged: tuple[str, ...]
    written: float | None
    owner: Owner | None


def looked(folder: Path) -> Looked:
    """What a study's folder says, while somebody works there or not.

    Raises:
        StoreError: It holds no study, or its file cannot be read.
    """
    study = _study(folder / STATED)
    damaged: list[str] = []
    found = wholes(list(_bundles(folder / "runs", damaged)))
    runs: list[Run] = []
    for known in found:
        try:
            runs += [run for branch in known.bundle.branches for run in branch.results(study.metric)]
        except LookupError:
            damaged.append(f"{known.bundle.name}.json")
    return Looked(study, tuple(runs), tuple(damaged), _written(folder / "runs"), owner(folder))


def _study(path: Path) -> Study:
    try:
        own = plain(path) and path.stat().st_size <= LIMIT
        fields = tomllib.loads(path.read_text() if own else "")
        fields.pop("ledger", None)  # its driver need not be installed here
        return Study.model_validate(fields)
    except ValidationError as error:
        why = "; ".join(explained(error))
    except (OSError, ValueError, RecursionError) as error:
        why = str(error)
    raise StoreError(f"{path} is no study's file ({why:.400}); the study's own command says more")


def _bundles(runs: Path, damaged: list[str]) -> Iterator[Kept]:
    """Those that are whole; one that was replaced or halved meanwhile is gone, which is no damage."""
    for path in _paths(runs):
        if BUNDLE.fullmatch(path.name) and plain(path):
            try:
                yield parsed(path)
            except FileNotFoundError:
                continue
            except (OSError, ValueError, RecursionError):
                damaged.append(path.name)


def _paths(folder: Path) -> list[Path]:
    try:
        return [] if folder.is_symlink() else sorted(folder.iterdir())
    except OSError:
        return []


def _written(runs: Path) -> float | None:
    """When the newest of the files of runs was written: a bundle's, or what a script has said so far."""
    times = []
    for path in _paths(runs):
        for each in (path, *(_paths(path) if path.is_dir() else ())):
            try:
                times.append(each.lstat().st_mtime)
            except OSError:
                continue
    return max(times, default=None)
