"""A study's folder before its runs are read: whose it is, who works there, what its numbers depend on."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from filelock import FileLock

from tapered import kind
from tapered.files.errors import StoreError
from tapered.files.lock import InUseError, hold
from tapered.files.sealed import sealed, unsealed
from tapered.files.whole import plain, replace

NAME, SHOWN = "study.name", 12  # differences that are shown
OURS = (
    "study.toml", "frozen.json", "modes.json", "check.json", "lock", "owner", "ledger.db", "ledger.db-journal",
    "ledger.db-wal",
)  # fmt: skip
Kinds = Literal["same", "any"]
ANY = (
    'results would differ in their last bits; go on there, try another --store DIR, or write kinds = "any" into the '
    "study file, and the result says so"
)


class UnwritableError(StoreError):
    """A folder that cannot be written; what it holds can be read where it is a study."""


def claim(folder: Path) -> FileLock:
    """The lock of a study's folder, which is made where there is none.

    Raises:
        UnwritableError: it cannot be written.
        StoreError: it belongs to something else, or is in use.
    """
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file; expected a folder for the study; try --store {folder}.d")
    _check_plain(folder)
    known = (folder / "frozen.json").exists() or (folder / "lock").exists()
    if folder.exists() and not known and not _just_made(folder):
        raise StoreError(f"{folder} holds files but no study; try --store {folder / 'study'}")
    try:
        (folder / "runs").mkdir(parents=True, exist_ok=True)
        return hold(folder)
    except InUseError as error:
        raise StoreError(f"{folder} is in use by {error}; wait for it, or try another --store DIR") from None
    except OSError as error:
        copy = ", or a copy of it" if known else ""
        why = f"{folder} cannot be written ({error.strerror}); try another --store DIR{copy}"
        raise UnwritableError(why) from error


def _check_plain(folder: Path) -> None:
    """Refuse a folder in which a name of ours is a link, a pipe or a device: reading hangs, writing goes elsewhere."""
    strange = [folder / name for name in OURS if os.path.lexists(folder / name) and not plain(folder / name)]
    runs = folder / "runs"
    if os.path.lexists(runs) and (runs.is_symlink() or not runs.is_dir()):
        strange.append(runs)
    if strange:
        what = "a link" if strange[0].is_symlink() else "nothing that tapered writes"
        raise StoreError(
            f"{strange[0]} is {what}, and a study writes into its own folder only; remove it, or try --store DIR"
        )


def _just_made(folder: Path) -> bool:
    """Whether a folder holds nothing yet but what a study makes before its lock, where it may have been killed."""
    return [path.name for path in folder.iterdir()] in ([], ["runs"]) and not any((folder / "runs").glob("*"))


def freeze(folder: Path, study_toml: str, frozen: Mapping[str, str], kinds: Kinds) -> None:
    """Write down what the numbers depend on, or refuse a folder where that was something else.

    Where nothing was trained, as the first step refused what was then corrected, there is nothing that could mix.
    """
    path = folder / "frozen.json"
    if not any((folder / "runs").glob("*.json")):
        _begin(folder, study_toml, frozen)
        return
    if not path.exists():
        raise StoreError(
            f"{path} is missing, which says what the runs beside it depend on; put it back, or delete "
            f"{folder / 'runs'} and they are trained again"
        )
    try:
        known: dict[str, str] = dict(unsealed(path.read_text()))
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreError(
            f"{path} is damaged ({error}); put it back, try another --store DIR, or delete the folder"
        ) from error
    differing = sorted(name for name in {*known, *frozen} if known.get(name) != frozen.get(name))
    if kinds == "any" and kind.TRAINED in differing:
        differing = [name for name in differing if name not in (kind.TRAINED, kind.WEIGHTS)]
    if kind.TRAINED in differing and set(differing) <= {kind.TRAINED, kind.WEIGHTS}:
        said = "; ".join(kind.differing(kind.read(known.get(kind.TRAINED, "")), kind.read(frozen[kind.TRAINED])))
        raise StoreError(f"{folder} was begun on another kind of processor: {said}; {ANY}")
    if differing:
        raise StoreError(
            f"{folder} holds {_other(known, frozen, differing)}\n"
            "Results of the two must not mix; try another --store DIR, or delete the folder"
        )


def _other(known: Mapping[str, str], frozen: Mapping[str, str], differing: Sequence[str]) -> str:
    """What lies there instead: by its name where that is another, else what differs, the first few in full."""
    if NAME in differing:
        return f"another study, {known.get(NAME, 'without a name')}; this one is {frozen.get(NAME, 'without a name')}."
    lines = [f"\n  {k}: {known.get(k, 'nothing')} there, {frozen.get(k, 'nothing')} now" for k in differing[:SHOWN]]
    more = f"\n  and {len(differing) - SHOWN} more" * (len(differing) > SHOWN)
    return f"a study that differs from this one:{''.join(lines)}{more}"


def _begin(folder: Path, study_toml: str, frozen: Mapping[str, str]) -> None:
    """Write what holds for a folder without runs; how rows are trained was chosen for what stood there before."""
    path, facts = folder / "frozen.json", sealed(dict(sorted(frozen.items())), indent=1).encode()
    same = path.exists() and path.read_bytes() == facts
    if not same:
        (folder / "modes.json").unlink(missing_ok=True)
    if not same or begun(folder) != study_toml:
        replace(folder / "study.toml", study_toml.encode())
    if not same:
        replace(path, facts)


def begun(folder: Path) -> str:
    """The study as its first runs were trained; empty where nobody can read it any more."""
    try:
        return (folder / "study.toml").read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return ""


def check_kinds(folder: Path, trained: Sequence[str], kinds: Kinds) -> None:
    """Refuse what another kind of processor trained."""
    others = [text for text in trained if text != kind.text(kind.here())]
    if kinds == "same" and others:
        said = "; ".join(kind.differing(kind.read(others[0]), kind.here()))
        raise StoreError(f"{folder} holds runs that another kind of processor trained: {said}; {ANY}")
