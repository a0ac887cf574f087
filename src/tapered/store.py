"""Where a study's results live: one folder, files that are never half written, and a ledger that Optuna reads.

folder/
  study.toml      the study as it runs, frozen
  frozen.json     what its numbers depend on: study fields, data, code and versions
  modes.json      how each rule's rows are trained, and why
  runs/NAME.json  a bundle of runs: evaluations, training losses, where they stand; NAME is the hash of their keys
  runs/NAME-HASH.safetensors   its rows stacked: parameters, buffers and rule state; HASH is that of the content
  ledger.db       an Optuna study in SQLite, a trial a finished run; rebuilt from runs/ where it lags behind
  lock, owner     who works here

A file is written under a temporary name, flushed to the disk and renamed; a bundle's rows before the JSON that names
them.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from filelock import FileLock, Timeout
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from tapered import kind
from tapered.ledger import Ledger, Space, StoreError
from tapered.rules import Rule
from tapered.runs import (
    Bundle,
    Kept,
    Run,
    bundle_from_text,
    bundle_to_text,
    rows_from_tensors,
    rows_to_tensors,
    write_whole,
)
from tapered.sealed import sealed, unsealed
from tapered.stats import counted
from tapered.train import Mode, Rows

NAME = "[0-9a-f]{20}"  # as `run_key` makes it
BUNDLE, STATE = re.compile(rf"{NAME}\.json"), re.compile(rf"{NAME}-[0-9a-f]{{12}}\.safetensors")
LEFT = re.compile(rf"(?:{BUNDLE.pattern}|{STATE.pattern})\.tmp")
OURS = ("study.toml", "frozen.json", "modes.json", "lock", "owner", "ledger.db", "ledger.db-journal", "ledger.db-wal")
Kinds = Literal["same", "any"]
ANY = (
    'results would differ in their last bits; go on there, try another --store DIR, or write kinds = "any" into the '
    "study file, and the result says so"
)


class Store:
    """A study's folder, locked while it is open.

    Args:
        folder: Created where it does not exist.
        study_toml: The study as it runs.
        frozen: Field -> text; what the numbers depend on. A folder that holds other values is refused.
        space: What the ledger's trials range over.
        kinds: "same" refuses what another kind of processor trained; "any" goes on with it.

    Raises:
        StoreError: If the folder belongs to something else, is in use, or is damaged.
    """

    def __init__(
        self, folder: Path, study_toml: str, frozen: Mapping[str, str], space: Space, kinds: Kinds = "same"
    ) -> None:
        self.folder, self._metric = folder, space.metric
        self._lock = _claim(folder)
        try:
            with self._taking("the study's facts"):
                _freeze(folder, study_toml, frozen, kinds)
            self._kinds: dict[str, tuple[str, ...]] = {}
            self._bundles = self._read()
            self.modes = _read_modes(folder / "modes.json")
            _check_kinds(folder, self.kinds, kinds)
            self._ledger = Ledger(folder / "ledger.db", space)
            self._ledger.add([run for run in self.runs() if run.finished and not run.probe])
        except BaseException:
            self._release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ledger.close()
        self._release()

    def _release(self) -> None:
        (self.folder / "owner").unlink(missing_ok=True)
        self._lock.release()

    def _read(self) -> dict[str, Bundle]:
        """What the folder holds; what a kill left behind, such as one half of a bundle being halved, is dropped."""
        runs = self.folder / "runs"
        listed = sorted(path for path in runs.iterdir() if _plain(path))
        found = [self._parse(path) for path in listed if path.suffix == ".json"]
        kept: dict[str, Bundle] = {}
        taken: set[str] = set()
        for known in sorted(found, key=lambda known: -len(known.bundle.keys)):
            bundle = known.bundle
            if taken.isdisjoint(bundle.keys):
                kept[bundle.name] = bundle
                self._kinds[bundle.name] = known.kinds
                taken |= set(bundle.keys)
            else:
                self._remove(bundle.name)
        states = {known.state for known in found}
        for path in listed:  # what has no name of ours is somebody else's, and stays
            if LEFT.fullmatch(path.name) or (STATE.fullmatch(path.name) and path.name not in states):
                path.unlink(missing_ok=True)
        return kept

    def _parse(self, path: Path) -> Kept:
        try:
            return _own_state(path.stem, bundle_from_text(path.read_text(), path.stem))
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{path} is damaged ({error}); delete it and its runs are trained again") from error

    @property
    def kinds(self) -> list[str]:
        """The kinds of processor that trained what is kept, as text."""
        return sorted({text for name in self._bundles for text in self._kinds[name]})

    def bundles(self) -> list[Bundle]:
        """Every bundle that has been begun; no run is in two of them."""
        return list(self._bundles.values())

    def holds(self, bundle: Bundle) -> bool:
        """Whether exactly these runs were kept as a bundle."""
        return bundle.name in self._bundles

    def runs(self) -> list[Run]:
        """Every run that has been begun, as it stands."""
        return [
            run
            for bundle in self._bundles.values()
            for branch in bundle.branches
            for run in branch.results(self._metric)
        ]

    def put(self, bundle: Bundle, rows: Rows | None) -> None:
        """Keep a bundle and the rows of its live branches, in the place of what was known of it.

        Raises:
            StoreError: If the disk does not take it; what was kept before still stands.
        """
        with self._taking(counted(len(bundle.keys), "run")):
            self._put(bundle, rows)
        self._bundles[bundle.name] = bundle
        ended = [branch for branch in bundle.branches if branch.finished]
        self._ledger.add([run for branch in ended for run in branch.results(self._metric) if not run.probe])

    @contextmanager
    def _taking(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._check_there(error)
            raise StoreError(
                f"{self.folder} could not take {what} ({error.strerror}); what was kept before still stands; "
                f"make room, and the same command goes on"
            ) from error

    def _check_there(self, error: OSError) -> None:
        """Say where what failed is not the disk's fault."""
        if not (self.folder / "runs").is_dir():
            raise StoreError(
                f"{self.folder} is gone, deleted or moved while the study ran; put it back, or the same command trains "
                f"it anew"
            ) from error

    def _put(self, bundle: Bundle, rows: Rows | None) -> None:
        runs = self.folder / "runs"
        data = b"" if rows is None else save_tensors(rows_to_tensors(rows))
        digest = hashlib.sha256(data).hexdigest()
        state = None if rows is None else f"{bundle.name}-{digest[:12]}.safetensors"
        if state is not None:
            write_whole(runs / state, data)
        kinds = tuple(dict.fromkeys((*self._kinds.get(bundle.name, ()), kind.text(kind.here()))))
        write_whole(runs / f"{bundle.name}.json", bundle_to_text(Kept(bundle, state, digest, kinds)).encode())
        self._kinds[bundle.name] = kinds
        for old in self._states(bundle.name):
            if old.name != state:
                old.unlink()

    def replace(self, bundle: Bundle, parts: Sequence[tuple[Bundle, Rows]]) -> None:
        """Keep the parts of a bundle in its place; a kill in between leaves the whole or the parts."""
        for part, rows in parts:
            self._kinds.setdefault(part.name, self._kinds.get(bundle.name, ()))
            self.put(part, rows)
        self._bundles.pop(bundle.name, None)
        self._kinds.pop(bundle.name, None)
        self._remove(bundle.name)

    def _remove(self, name: str) -> None:
        runs = self.folder / "runs"
        (runs / f"{name}.json").unlink(missing_ok=True)
        for state in self._states(name):
            state.unlink()

    def _states(self, name: str) -> list[Path]:
        """The files of a bundle's rows."""
        return [path for path in (self.folder / "runs").glob(f"{name}-*.safetensors") if STATE.fullmatch(path.name)]

    def rows(self, bundle: Bundle, rule: Rule) -> Rows:
        """The rows of a bundle's live branches, as they were kept.

        Raises:
            StoreError: If their file is missing or not the one that was written.
        """
        path = self.folder / "runs" / f"{bundle.name}.json"
        try:
            known = self._parse(path)
            state = path.parent / (known.state or "")
            data = state.read_bytes() if known.state is not None and _plain(state) else b""
        except OSError as error:
            self._check_there(error)
            raise StoreError(
                f"{path} cannot be read ({error.strerror}); the same command trains its runs again"
            ) from error
        if hashlib.sha256(data).hexdigest() != known.sha256:
            raise StoreError(f"{state} is not the file that was written; delete {path} and its runs are trained again")
        return rows_from_tensors(load_tensors(data), known.bundle.live, rule)

    def check_modes(self) -> None:
        """Refuse to train where it is lost how that was done before.

        Raises:
            StoreError: If there are runs, and no file that says so.
        """
        if self._bundles and not self.modes:
            raise StoreError(
                f"{self.folder / 'modes.json'} is missing, which says how the runs beside it were trained, and numbers "
                f"of different modes must not mix; put it back, or delete {self.folder / 'runs'} and they are trained "
                f"again"
            )

    def put_mode(self, rule: str, mode: Mode) -> None:
        """Keep how the rows of a rule are trained: numbers of different modes do not mix in one study."""
        self.modes[rule] = mode
        fields = {name: asdict(mode) for name, mode in sorted(self.modes.items())}
        with self._taking("the mode of its rows"):
            write_whole(self.folder / "modes.json", sealed(fields, indent=1).encode())


def _check_kinds(folder: Path, trained: Sequence[str], kinds: Kinds) -> None:
    others = [text for text in trained if text != kind.text(kind.here())]
    if kinds == "same" and others:
        said = "; ".join(kind.differing(kind.read(others[0]), kind.here()))
        raise StoreError(f"{folder} holds runs that another kind of processor trained: {said}; {ANY}")


def _read_modes(path: Path) -> dict[str, Mode]:
    try:
        fields = unsealed(path.read_text()) if path.exists() else {}
        return {rule: Mode(**mode) for rule, mode in fields.items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(
            f"{path} is damaged ({error}); put it back, or delete it and {path.parent / 'runs'}, whose runs are then "
            f"trained again"
        ) from error


def _own_state(name: str, found: Kept) -> Kept:
    """A bundle whose file of rows is one of this folder's."""
    if found.state is not None and not (STATE.fullmatch(found.state) and found.state.startswith(name)):
        raise ValueError(f"state={found.state!r:.80} is no file of its rows")
    return found


def _plain(path: Path) -> bool:
    """Whether there is a file, and no link, folder, pipe or device."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _check_plain(folder: Path) -> None:
    """Refuse a folder in which a name of ours is a link, a pipe or a device: reading hangs, writing goes elsewhere."""
    strange = [folder / name for name in OURS if os.path.lexists(folder / name) and not _plain(folder / name)]
    runs = folder / "runs"
    if os.path.lexists(runs) and (runs.is_symlink() or not runs.is_dir()):
        strange.append(runs)
    if strange:
        what = "a link" if strange[0].is_symlink() else "nothing that tapered writes"
        raise StoreError(
            f"{strange[0]} is {what}, and a study writes into its own folder only; remove it, or try --store DIR"
        )


def _claim(folder: Path) -> FileLock:
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file; expected a folder for the study; try --store {folder}.d")
    _check_plain(folder)
    known = (folder / "frozen.json").exists() or (folder / "lock").exists()
    if folder.exists() and not known and not _just_made(folder):
        raise StoreError(f"{folder} holds files but no study; try --store {folder / 'study'}")
    lock = None
    try:
        (folder / "runs").mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        lock.acquire(blocking=False)
        with suppress(OSError):  # who works here is for a message only: a full disk must not hide a finished verdict
            write_whole(folder / "owner", f"process {os.getpid()}".encode())
    except Timeout:
        with suppress(OSError):
            owner = (folder / "owner").read_text()
            raise StoreError(f"{folder} is in use by {owner}; wait for it, or try another --store DIR") from None
        raise StoreError(f"{folder} is in use by another process; wait for it, or try another --store DIR") from None
    except OSError as error:
        if lock is not None:
            lock.release()
        copy = ", or a copy of it" if known else ""
        raise StoreError(f"{folder} cannot be written ({error.strerror}); try another --store DIR{copy}") from error
    return lock


def _just_made(folder: Path) -> bool:
    """Whether a folder holds nothing yet but what a study makes before its lock, where it may have been killed."""
    return [path.name for path in folder.iterdir()] in ([], ["runs"]) and not any((folder / "runs").glob("*"))


def _freeze(folder: Path, study_toml: str, frozen: Mapping[str, str], kinds: Kinds) -> None:
    """Write down what the numbers depend on, or refuse a folder where that was something else."""
    path = folder / "frozen.json"
    if not path.exists():
        if any((folder / "runs").glob("*.json")):
            raise StoreError(
                f"{path} is missing, which says what the runs beside it depend on; put it back, or delete "
                f"{folder / 'runs'} and they are trained again"
            )
        write_whole(folder / "study.toml", study_toml.encode())
        write_whole(path, sealed(dict(sorted(frozen.items())), indent=1).encode())
        return
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
        lines = [f"  {k}: {known.get(k, 'nothing')} there, {frozen.get(k, 'nothing')} now" for k in differing]
        raise StoreError(
            f"{folder} holds a study that differs from this one:\n" + "\n".join(lines) + "\n"
            "Results of the two must not mix; try another --store DIR, or delete the folder"
        )
