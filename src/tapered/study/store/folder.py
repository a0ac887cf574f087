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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock

from tapered import kind
from tapered.files import whole
from tapered.files.errors import StoreError
from tapered.files.sealed import sealed
from tapered.files.whole import plain
from tapered.rules import Rule
from tapered.study.store.claim import Kinds, UnwritableError, begun, check_kinds, claim, freeze
from tapered.study.store.disk import damaged, reading, taking
from tapered.study.store.ledger import Space
from tapered.study.store.ledger_file import FileLedger
from tapered.study.store.ledger_queue import Queue
from tapered.study.store.reading import LEFT, STATE, parsed, read_modes, wholes
from tapered.study.store.runs import Bundle, Run
from tapered.study.store.text import Kept, bundle_to_text, pack, unpack
from tapered.training.advance import Mode
from tapered.training.rows import Rows
from tapered.words import counted

Listener = Callable[[Sequence[Run]], object]


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
            with taking(folder, "the study's facts"):
                freeze(folder, study_toml, frozen, kinds)
            self.begun = begun(folder)  # its words may have changed since; its numbers have not
            self._kept = self._read()
            self.modes = read_modes(folder / "modes.json")
            check_kinds(folder, self.kinds, kinds)
            self._ledger: FileLedger | Queue | None = None
            if self._unwritable is None:
                self._ledger = FileLedger(folder / "ledger.db", space) if server is None else server()
            self._follows: list[Listener] = []
            self._enter(self._finished())
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

    def _finished(self) -> list[Run]:
        return [run for run in self.runs() if run.finished]

    def _enter(self, runs: Sequence[Run]) -> None:
        asked = [run for run in runs if not run.probe]
        if self._ledger is not None:
            self._ledger.add(asked)
        for told in self._follows:
            told(asked)

    def follow(self, told: Listener) -> None:
        """Have finished runs told: those that there are, and the others as they come."""
        self._follows.append(told)
        told([run for run in self._finished() if not run.probe])

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

    @property
    def writable(self) -> bool:
        """Whether it can take results."""
        return self._unwritable is None

    def check_writable(self) -> None:
        """Refuse to train where nothing could be kept.

        Raises:
            StoreError: If the folder can only be read.
        """
        if self._unwritable is not None:
            raise self._unwritable

    def _read(self) -> dict[str, Kept]:
        """What the folder holds; what a kill left behind, such as one half of a bundle being halved, is dropped."""
        runs = self.folder / "runs"
        listed = sorted(path for path in runs.iterdir() if plain(path))
        found = [self._parse(path) for path in listed if path.suffix == ".json"]
        kept = {known.bundle.name: known for known in wholes(found)}
        if self._unwritable is not None:
            return kept
        for known in found:
            if known.bundle.name not in kept:
                self._remove(known)
        states = {known.state for known in found}
        for path in listed:  # what has no name of ours is somebody else's, and stays
            if LEFT.fullmatch(path.name) or (STATE.fullmatch(path.name) and path.name not in states):
                path.unlink(missing_ok=True)
        return kept

    def _parse(self, path: Path) -> Kept:
        try:
            return parsed(path)
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{path} is damaged ({error}); delete it and its runs are trained again") from error

    @property
    def kinds(self) -> list[str]:
        """The kinds of processor that trained what is kept, as text."""
        return sorted({text for known in self._kept.values() for text in known.kinds})

    def bundles(self) -> list[Bundle]:
        """Every bundle that has been begun; no run is in two of them."""
        return [known.bundle for known in tuple(self._kept.values())]  # who watches a script asks from its thread

    def holds(self, bundle: Bundle) -> bool:
        """Whether exactly these runs were kept as a bundle."""
        return bundle.name in self._kept

    def runs(self) -> list[Run]:
        """Every run that has been begun, as it stands."""
        return [run for bundle in self.bundles() for branch in bundle.branches for run in branch.results(self._metric)]

    def put(self, bundle: Bundle, rows: Rows | None) -> None:
        """Keep a bundle and the rows of its live branches, in the place of what was known of it.

        Raises:
            StoreError: If the disk does not take it; what was kept before still stands.
        """
        self.keep(*pack(bundle, rows, [kind.text(kind.here())]))

    def keep(self, trained: Kept, data: bytes | None) -> None:
        """Keep what was trained and packed, by this process or by another.

        Args:
            trained: A bundle, and which kind of processor trained it.
            data: The content of the file of its rows; None where that has been written.

        Raises:
            StoreError: If the disk does not take it; what was kept before still stands.
        """
        self.check_writable()
        bundle, runs = trained.bundle, self.folder / "runs"
        before = self._kept.get(bundle.name)
        kept = replace(trained, kinds=tuple(dict.fromkeys((*(before.kinds if before else ()), *trained.kinds))))
        with taking(self.folder, counted(len(bundle.keys), "run")):
            if data and kept.state is not None:
                whole.replace(runs / kept.state, data)
            whole.replace(runs / f"{bundle.name}.json", bundle_to_text(kept).encode())
            self._kept[bundle.name] = kept
            # no other file of its rows: another process may be writing the next one
            if before is not None and before.state not in (None, kept.state):
                (runs / str(before.state)).unlink(missing_ok=True)
        ended = [branch for branch in bundle.branches if branch.finished]
        self._enter([run for branch in ended for run in branch.results(self._metric)])

    def replace(self, bundle: Bundle, parts: Sequence[tuple[Bundle, Rows]]) -> None:
        """Keep the parts of a bundle in its place; a kill in between leaves the whole or the parts."""
        self.keep_parts(bundle.name, [pack(*part, [kind.text(kind.here())]) for part in parts])

    def keep_parts(self, name: str, parts: Sequence[tuple[Kept, bytes | None]]) -> None:
        """Keep the packed parts of a bundle in its place, as `replace`."""
        before = self._kept.get(name)
        for part, data in parts:
            self.keep(replace(part, kinds=(*(before.kinds if before else ()), *part.kinds)), data)
        if before is not None and name not in [part.bundle.name for part, _ in parts]:
            del self._kept[name]
            self._remove(before)

    def _remove(self, known: Kept) -> None:
        runs = self.folder / "runs"
        (runs / f"{known.bundle.name}.json").unlink(missing_ok=True)
        if known.state is not None:
            (runs / known.state).unlink(missing_ok=True)

    def kept(self, bundle: Bundle) -> Kept:
        """A bundle as its file has it."""
        return self._kept[bundle.name]

    def rows(self, bundle: Bundle, rule: Rule) -> Rows:
        """The rows of a bundle's live branches, as they were kept.

        Raises:
            StoreError: If their file is missing or not the one that was written.
        """
        known = self._now(bundle)
        try:
            return unpack(known, self._data(known), rule)
        except ValueError:
            raise damaged(self.folder, known) from None

    def state(self, bundle: Bundle) -> bytes:
        """The content of the file of a bundle's rows, for who unpacks it elsewhere.

        Raises:
            StoreError: If it cannot be read.
        """
        return self._data(self._now(bundle))

    def _path(self, bundle: Bundle) -> Path:
        return self.folder / "runs" / f"{bundle.name}.json"

    def _now(self, bundle: Bundle) -> Kept:
        with reading(self.folder, self._path(bundle)):
            return self._parse(self._path(bundle))

    def _data(self, known: Kept) -> bytes:
        state = self.folder / "runs" / (known.state or "")
        with reading(self.folder, self._path(known.bundle)):
            return state.read_bytes() if known.state is not None and plain(state) else b""

    def check_modes(self) -> None:
        """Refuse to train where it is lost how that was done before.

        Raises:
            StoreError: If there are runs, and no file that says so.
        """
        if self._kept and not self.modes:
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
        with taking(self.folder, "the mode of its rows"):
            whole.replace(self.folder / "modes.json", sealed(fields, indent=1).encode())


def _claimed(folder: Path) -> tuple[FileLock | None, UnwritableError | None]:
    """The folder's lock; or why there is none, where there is a study to be read all the same."""
    try:
        return claim(folder), None
    except UnwritableError as error:
        if not ((folder / "frozen.json").is_file() and (folder / "runs").is_dir()):
            raise
        return None, error
