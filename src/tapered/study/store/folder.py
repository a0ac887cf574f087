"""Where a study's results live: one folder, files that are never half written, and a ledger that Optuna reads.

folder/
  study.toml      the study as it runs, frozen
  frozen.json     what its numbers depend on: study fields, data, code and versions
  modes.json      how each rule's rows are trained, and why
  runs/NAME.json  a bundle of runs: evaluations, training losses, where they stand; NAME is the hash of their keys
  runs/NAME-HASH.safetensors   its rows stacked: parameters, buffers and rule state; HASH is that of the content
  ledger.db       an Optuna study in SQLite, a trial a finished run; rebuilt from runs/ where it lags behind;
                  none where a server has the ledger
  lock, owner     who works here

A file is written under a temporary name, flushed to the disk and renamed; a bundle's rows before the JSON that names
them.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from tapered import kind
from tapered.files import whole
from tapered.files.errors import StoreError
from tapered.files.sealed import sealed, unsealed
from tapered.files.whole import plain
from tapered.rules import Rule
from tapered.study.store.claim import Kinds, UnwritableError, check_kinds, claim, freeze
from tapered.study.store.ledger import Space
from tapered.study.store.ledger_file import FileLedger
from tapered.study.store.ledger_queue import Queue
from tapered.study.store.runs import Bundle, Run
from tapered.study.store.text import Kept, bundle_from_text, bundle_to_text, rows_from_tensors, rows_to_tensors
from tapered.training.advance import Mode
from tapered.training.rows import Rows
from tapered.words import counted

NAME = "[0-9a-f]{20}"  # as `run_key` makes it
BUNDLE, STATE = re.compile(rf"{NAME}\.json"), re.compile(rf"{NAME}-[0-9a-f]{{12}}\.safetensors")
LEFT = re.compile(rf"(?:{BUNDLE.pattern}|{STATE.pattern})\.tmp")


class Store:
    """A study's folder, locked while it is open; one that can only be read is read, and refuses what it would take.

    Args:
        folder: Created where it does not exist.
        study_toml: The study as it runs.
        frozen: Field -> text; what the numbers depend on. A folder that holds other values is refused.
        space: What the ledger's trials range over.
        kinds: "same" refuses what another kind of processor trained; "any" goes on with it.
        server: Makes the ledger in a database's server; None has it in the folder.

    Raises:
        StoreError: If the folder belongs to something else, is in use, or is damaged.
    """

    def __init__(
        self,
        folder: Path,
        study_toml: str,
        frozen: Mapping[str, str],
        space: Space,
        kinds: Kinds = "same",
        server: Callable[[], Queue] | None = None,
    ) -> None:
        self.folder, self._metric = folder, space.metric
        self._lock, self._unwritable = _claimed(folder)
        try:
            with self._taking("the study's facts"):
                freeze(folder, study_toml, frozen, kinds)
            self._kinds: dict[str, tuple[str, ...]] = {}
            self._bundles = self._read()
            self.modes = _read_modes(folder / "modes.json")
            check_kinds(folder, self.kinds, kinds)
            self._ledger: FileLedger | Queue | None = None
            if self._unwritable is None:
                self._ledger = FileLedger(folder / "ledger.db", space) if server is None else server()
            self._enter([run for run in self.runs() if run.finished])
        except BaseException:
            self._release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ledger is not None:
            self._ledger.close(tell=error is None)
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            (self.folder / "owner").unlink(missing_ok=True)
            self._lock.release()

    def _enter(self, runs: Sequence[Run]) -> None:
        if self._ledger is not None:
            self._ledger.add([run for run in runs if not run.probe])

    @property
    def trouble(self) -> str | None:
        """Why the ledger's server takes nothing now; None where it does, or nothing is waiting for it."""
        return None if self._ledger is None else self._ledger.trouble

    def settle(self, seconds: float = 120.0) -> str | None:
        """Give the ledger's server so much time to take what waits for it; training waits for it at no other place.

        Returns:
            What it has not taken, and why, as a sentence; None where nothing lacks.
        """
        return None if self._ledger is None else self._ledger.settle(seconds)

    def check_writable(self) -> None:
        """Refuse to train where nothing could be kept.

        Raises:
            StoreError: If the folder can only be read.
        """
        if self._unwritable is not None:
            raise self._unwritable

    def _read(self) -> dict[str, Bundle]:
        """What the folder holds; what a kill left behind, such as one half of a bundle being halved, is dropped."""
        runs = self.folder / "runs"
        listed = sorted(path for path in runs.iterdir() if plain(path))
        found = [self._parse(path) for path in listed if path.suffix == ".json"]
        kept: dict[str, Bundle] = {}
        taken: set[str] = set()
        for known in sorted(found, key=lambda known: -len(known.bundle.keys)):
            bundle = known.bundle
            if taken.isdisjoint(bundle.keys):
                kept[bundle.name] = bundle
                self._kinds[bundle.name] = known.kinds
                taken |= set(bundle.keys)
            elif self._unwritable is None:
                self._remove(bundle.name)
        if self._unwritable is not None:
            return kept
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
        self.check_writable()
        with self._taking(counted(len(bundle.keys), "run")):
            self._put(bundle, rows)
        self._bundles[bundle.name] = bundle
        ended = [branch for branch in bundle.branches if branch.finished]
        self._enter([run for branch in ended for run in branch.results(self._metric)])

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
            whole.replace(runs / state, data)
        kinds = tuple(dict.fromkeys((*self._kinds.get(bundle.name, ()), kind.text(kind.here()))))
        whole.replace(runs / f"{bundle.name}.json", bundle_to_text(Kept(bundle, state, digest, kinds)).encode())
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
            data = state.read_bytes() if known.state is not None and plain(state) else b""
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
        self.check_writable()
        self.modes[rule] = mode
        fields = {name: asdict(mode) for name, mode in sorted(self.modes.items())}
        with self._taking("the mode of its rows"):
            whole.replace(self.folder / "modes.json", sealed(fields, indent=1).encode())


def _claimed(folder: Path) -> tuple[FileLock | None, UnwritableError | None]:
    """The folder's lock; or why there is none, where there is a study to be read all the same."""
    try:
        return claim(folder), None
    except UnwritableError as error:
        if not ((folder / "frozen.json").is_file() and (folder / "runs").is_dir()):
            raise
        return None, error


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
