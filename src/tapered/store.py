"""Where a study's results live: one folder, files that are never half written, and a ledger that Optuna reads.

folder/
  study.toml      the study as it runs, frozen
  frozen.json     what its numbers depend on: study fields, data, code and versions
  runs/KEY.json   one run: evaluations, training losses, where it stands; KEY is the hash of what makes the run
  runs/KEY-STEP.safetensors    its parameters, buffers and rule state
  ledger.db       an Optuna study in SQLite, a trial a finished run; rebuilt from runs/ where it lags behind
  lock, owner     who works here

A file is written under a temporary name, flushed to the disk and renamed; a run's state before the JSON that names it.
"""

import hashlib
import json
import os
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from tapered.rules import Rule
from tapered.runs import Run, row_from_tensors, row_to_tensors, run_from_text, run_to_text, write_whole
from tapered.stats import Direction
from tapered.train import Row


class StoreError(Exception):
    """A folder that cannot be used as asked; the message says what differs and what to do."""


@dataclass(frozen=True)
class Space:
    """What the ledger's trials range over.

    Args:
        name: The study's name.
        direction: "minimize" or "maximize".
        metric: The metric that is a trial's value.
        arms: Every arm's name.
        peaks: Every peak of every arm.
        seeds: Every seed.
    """

    name: str
    direction: Direction
    metric: str
    arms: Sequence[str]
    peaks: Sequence[float]
    seeds: Sequence[int]


class Store:
    """A study's folder, locked while it is open.

    Args:
        folder: Created where it does not exist.
        study_toml: The study as it runs.
        frozen: Field -> text; what the numbers depend on. A folder that holds other values is refused.
        space: What the ledger's trials range over.

    Raises:
        StoreError: If the folder belongs to something else, is in use, or is damaged.
    """

    def __init__(self, folder: Path, study_toml: str, frozen: Mapping[str, str], space: Space) -> None:
        self.folder = folder
        self._lock = _claim(folder)
        try:
            _freeze(folder, study_toml, frozen)
            self._ledger = Ledger(folder / "ledger.db", space)
            self._ledger.add([run for run in self.runs() if run.finished])
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

    def runs(self) -> list[Run]:
        """Every run that has been begun, in order of keys."""
        found = (self.get(path.stem) for path in sorted((self.folder / "runs").glob("*.json")))
        return [run for run in found if run is not None]

    def get(self, key: str) -> Run | None:
        """The run under this key as it stands, None if it was never begun."""
        path = self.folder / "runs" / f"{key}.json"
        try:
            return run_from_text(path.read_text()) if path.exists() else None
        except ValueError as error:
            raise StoreError(f"{path} is damaged ({error}); delete it and the run is trained again") from error

    def put(self, run: Run, row: Row) -> None:
        """Keep a run and its state, in the place of what was known of it.

        Raises:
            StoreError: If the disk does not take it; what was kept before still stands.
        """
        try:
            self._put(run, row)
        except OSError as error:
            raise StoreError(
                f"{self.folder} could not take run {run.key} ({error.strerror}); what was kept before still stands; "
                f"make room, and the same command goes on"
            ) from error
        if run.finished:
            self._ledger.add([run])

    def _put(self, run: Run, row: Row) -> None:
        runs = self.folder / "runs"
        data = save_tensors(row_to_tensors(row))
        state = runs / f"{run.key}-{row.step}.safetensors"
        write_whole(state, data)
        digest = hashlib.sha256(data).hexdigest()
        write_whole(runs / f"{run.key}.json", run_to_text(run, state.name, digest).encode())
        for old in runs.glob(f"{run.key}-*.safetensors"):
            if old != state:
                old.unlink()

    def row(self, run: Run, rule: Rule) -> Row:
        """The state that was kept with this run.

        Raises:
            StoreError: If its file is missing or not the one that was written.
        """
        path = self.folder / "runs" / f"{run.key}.json"
        fields = json.loads(path.read_text())
        state = path.parent / fields["state"]
        data = state.read_bytes() if state.exists() else b""
        if hashlib.sha256(data).hexdigest() != fields["sha256"]:
            raise StoreError(f"{state} is not the file that was written; delete {path} and the run is trained again")
        return row_from_tensors(load_tensors(data), run, rule)


def _claim(folder: Path) -> FileLock:
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file; expected a folder for the study; try --store {folder}.d")
    known = (folder / "frozen.json").exists() or (folder / "lock").exists()
    if folder.exists() and not known and any(folder.iterdir()):
        raise StoreError(f"{folder} holds files but no study; try --store {folder / 'study'}")
    try:
        (folder / "runs").mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        lock.acquire(blocking=False)
    except Timeout:
        with suppress(OSError):
            owner = (folder / "owner").read_text()
            raise StoreError(f"{folder} is in use by {owner}; wait for it, or try another --store DIR") from None
        raise StoreError(f"{folder} is in use by another process; wait for it, or try another --store DIR") from None
    except OSError as error:
        raise StoreError(f"{folder} cannot be written ({error.strerror}); try another --store DIR") from error
    write_whole(folder / "owner", f"process {os.getpid()}".encode())
    return lock


def _freeze(folder: Path, study_toml: str, frozen: Mapping[str, str]) -> None:
    """Write down what the numbers depend on, or refuse a folder where that was something else."""
    path = folder / "frozen.json"
    if not path.exists():
        write_whole(folder / "study.toml", study_toml.encode())
        write_whole(path, json.dumps(frozen, indent=1, sort_keys=True).encode())
        return
    try:
        known: dict[str, str] = json.loads(path.read_text())
    except ValueError as error:
        raise StoreError(f"{path} is damaged ({error}); try another --store DIR") from error
    differing = sorted(k for k in {*known, *frozen} if known.get(k) != frozen.get(k))
    if differing:
        lines = [f"  {k}: {known.get(k, 'nothing')} there, {frozen.get(k, 'nothing')} now" for k in differing]
        raise StoreError(
            f"{folder} holds a study that differs from this one:\n" + "\n".join(lines) + "\n"
            "Results of the two must not mix; try another --store DIR, or delete the folder"
        )


class Ledger:
    """An Optuna study in an SQLite file, so that ``optuna-dashboard sqlite:///ledger.db`` shows the runs.

    A finished run is a complete trial with parameters arm, peak and seed; its intermediate values are the
    validation curve. A diverged run is a failed trial, with the user attribute "result" saying where.
    """

    def __init__(self, path: Path, space: Space) -> None:
        _check_sqlite(path)
        self._space = space
        with _quiet():
            import optuna  # noqa: PLC0415 - takes half a second, and nothing else needs it

            self._optuna = optuna
            try:
                self._storage = optuna.storages.RDBStorage(
                    f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}}
                )
                self._study = optuna.create_study(
                    storage=self._storage, study_name=space.name, direction=space.direction, load_if_exists=True
                )
                self._known = {trial.user_attrs.get("key") for trial in self._study.get_trials(deepcopy=False)}
            except Exception as error:  # SQLAlchemy's, alembic's and Optuna's own share no class
                raise StoreError(_bad_ledger(path, error)) from error

    def add(self, runs: Sequence[Run]) -> None:
        """Enter finished runs that are not in it yet."""
        new = [run for run in runs if run.key not in self._known]
        with _quiet():
            self._study.add_trials([self._trial(run) for run in new])
        self._known |= {run.key for run in new}

    def close(self) -> None:
        """Let go of the file."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _trial(self, run: Run) -> Any:
        optuna, space = self._optuna, self._space
        failed = run.diverged is not None or not isfinite(run.value)
        params: dict[str, Any] = {"arm": run.arm, "seed": run.seed}
        distributions = {
            "arm": optuna.distributions.CategoricalDistribution(tuple(space.arms)),
            "seed": optuna.distributions.IntDistribution(min(space.seeds), max(space.seeds)),
        }
        if run.peak is not None:
            params["peak"] = run.peak
            distributions["peak"] = optuna.distributions.FloatDistribution(min(space.peaks), max(space.peaks), log=True)
        values = {step: point[space.metric] for step, point in run.curve if isfinite(point[space.metric])}
        return optuna.trial.create_trial(
            state=optuna.trial.TrialState.FAIL if failed else optuna.trial.TrialState.COMPLETE,
            value=None if failed else run.value,
            params=params,
            distributions=distributions,
            intermediate_values=values,
            user_attrs={"key": run.key, "result": f"diverged at step {run.step}" if failed else "finished"},
        )


def _check_sqlite(path: Path) -> None:
    """Refuse a damaged file; an empty one is what a kill leaves before the first commit."""
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        with closing(sqlite3.connect(path)) as connection:
            [result] = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        raise StoreError(_bad_ledger(path, error)) from error
    if result != "ok":
        raise StoreError(_bad_ledger(path, result))


def _bad_ledger(path: Path, why: object) -> str:
    first = str(why).splitlines()[0]
    return f"{path} is not a ledger of this study ({first}); try: mv {path} {path}.bad (it is rebuilt from runs/)"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna's warnings and log lines off the terminal."""
    import optuna  # noqa: PLC0415 - as above

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            optuna.logging.set_verbosity(before)
