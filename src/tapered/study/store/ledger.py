"""The ledger: an Optuna study in an SQLite file, so that ``optuna-dashboard sqlite:///ledger.db`` shows the runs.

A finished run is a complete trial with parameters arm, peak and seed; its intermediate values are the validation
curve. A diverged run is a failed trial, a pruned one a pruned trial; the user attribute "result" says where.
"""

import json
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from math import isfinite, isinf
from pathlib import Path
from typing import Any

from tapered.files.errors import StoreError
from tapered.stats import Direction
from tapered.study.store.ledger_file import examine, is_locked, set_aside
from tapered.study.store.runs import Run

LOCK_SECONDS = 60.0  # that another process may hold the ledger
Values = list[dict[str, Any]]


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


class Ledger:
    """The Optuna study at ``path``, created where there is none.

    Raises:
        StoreError: If the file belongs to something else, or is locked. A broken one is set aside, with a warning.
    """

    def __init__(self, path: Path, space: Space) -> None:
        self._path, self._space = path, space
        with quiet():
            import optuna  # noqa: PLC0415 - takes half a second, and nothing else needs it

            self._optuna = optuna
            self._tables = _tables(optuna)
        _check(path, self._tables)
        with quiet(), _told(path):
            self._storage = optuna.storages.RDBStorage(
                _url(path), engine_kwargs={"connect_args": {"timeout": LOCK_SECONDS}}
            )
            optuna.create_study(
                storage=self._storage, study_name=space.name, direction=space.direction, load_if_exists=True
            )
            self._study = self._storage.get_study_id_from_name(space.name)
            self._known = self._keys()

    def add(self, runs: Sequence[Run]) -> None:
        """Enter finished runs that are not in it yet, in one transaction.

        Optuna's own ``add_trials`` reads before every value it writes: 60 ms a run of 21 evaluations, against 0.3 ms
        through its engine. What the tables are is asked of Optuna, and a file of others is refused before.
        """
        new = {run.key: run for run in runs if run.key not in self._known}
        if new:
            with _told(self._path), self._storage.engine.begin() as connection:
                for table, values in self._rows(list(new.values()), *self._next(connection)):
                    if values:
                        connection.execute(table.insert(), values)
            self._known |= set(new)

    def close(self) -> None:
        """Let go of the file."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _keys(self) -> set[str]:
        attributes, trials = self._tables["trial_user_attributes"], self._tables["trials"]
        with self._storage.engine.connect() as connection:
            found = connection.execute(
                attributes.select()
                .join(trials, trials.c.trial_id == attributes.c.trial_id)
                .where(trials.c.study_id == self._study, attributes.c.key == "key")
            )
            return {json.loads(row.value_json) for row in found}

    def _next(self, connection: Any) -> tuple[int, int]:
        """The next trial's id and number."""
        from sqlalchemy import func, select  # noqa: PLC0415 - optuna brings it

        trials = self._tables["trials"]
        ids = select(func.coalesce(func.max(trials.c.trial_id), 0) + 1)
        numbers = select(func.count()).select_from(trials).where(trials.c.study_id == self._study)
        return connection.execute(ids).scalar_one(), connection.execute(numbers).scalar_one()

    def _rows(self, runs: Sequence[Run], first: int, number: int) -> list[tuple[Any, Values]]:
        """The rows of Optuna's tables that are these runs."""
        now = datetime.now(UTC).replace(tzinfo=None)
        states, metric = self._optuna.trial.TrialState, self._space.metric
        distributions = self._distributions()
        trials: Values = []
        values: Values = []
        params: Values = []
        attributes: Values = []
        points: Values = []
        for i, run in enumerate(runs):
            trial = {"trial_id": first + i}
            failed = run.diverged is not None or not isfinite(run.value)
            state = states.PRUNED if run.pruned is not None else states.FAIL if failed else states.COMPLETE
            times = {"datetime_start": now, "datetime_complete": now}
            trials.append({**trial, **times, "number": number + i, "study_id": self._study, "state": state.name})
            if not failed:
                values.append({**trial, "objective": 0, **_number("value", run.value)})
            params += [{**trial, **param} for param in _params(run, distributions)]
            said = {"key": run.key, "result": _result(run)}
            attributes += [{**trial, "key": key, "value_json": json.dumps(value)} for key, value in said.items()]
            points += [{**trial, "step": step, **_number("intermediate_value", p[metric])} for step, p in run.curve]
        rows = {
            "trials": trials,
            "trial_values": values,
            "trial_params": params,
            "trial_user_attributes": attributes,
            "trial_intermediate_values": points,
        }
        return [(self._tables[name], made) for name, made in rows.items()]

    def _distributions(self) -> dict[str, tuple[Any, str]]:
        """Parameter -> its distribution, and that as Optuna's JSON."""
        kinds, space = self._optuna.distributions, self._space
        found = {
            "arm": kinds.CategoricalDistribution(tuple(space.arms)),
            "seed": kinds.IntDistribution(min(space.seeds), max(space.seeds)),
        }
        if space.peaks:
            found["peak"] = kinds.FloatDistribution(min(space.peaks), max(space.peaks), log=True)
        return {name: (kind, kinds.distribution_to_json(kind)) for name, kind in found.items()}


def _result(run: Run) -> str:
    if run.pruned is not None:
        return f"pruned at step {run.pruned}"
    return "finished" if isfinite(run.value) else f"diverged at step {run.step}"


def _params(run: Run, distributions: dict[str, tuple[Any, str]]) -> Iterator[dict[str, Any]]:
    for name, value in (("arm", run.arm), ("seed", run.seed), ("peak", run.peak)):
        if value is not None:
            kind, text = distributions[name]
            yield {"param_name": name, "param_value": kind.to_internal_repr(value), "distribution_json": text}


def _number(name: str, value: float) -> dict[str, Any]:
    """A float as Optuna's tables hold it: infinities and NaN by a type beside an empty value."""
    if isfinite(value):
        kind, stored = "FINITE", value
    elif isinf(value):
        kind, stored = ("INF_POS" if value > 0 else "INF_NEG"), None
    else:
        kind, stored = "NAN", None
    return {name: stored, f"{name}_type": kind}


def _url(path: Path) -> str:
    """A file's URL, in which no letter of its name has a meaning: `?`, `#`, `%` and braces have one in plain paths."""
    from sqlalchemy import URL  # noqa: PLC0415 - optuna brings it

    # rendered by SQLAlchemy, whose releases differ in what of it they quote
    return URL.create("sqlite", database=path.absolute().as_uri(), query={"uri": "true"}).render_as_string()


@cache
def _tables(optuna: Any) -> Mapping[str, Any]:
    """The tables that this Optuna makes, as it makes them in memory."""
    from sqlalchemy import MetaData  # noqa: PLC0415 - optuna brings it

    storage = optuna.storages.RDBStorage("sqlite://")
    found = MetaData()
    found.reflect(storage.engine)
    storage.engine.dispose()
    return found.tables


def _check(path: Path, tables: Mapping[str, Any]) -> None:
    """Set a broken ledger aside, as all that is in it is in runs/ too; refuse what is none."""
    columns = {name: {column.name for column in table.columns} for name, table in tables.items()}
    indexes = {index.name for table in tables.values() for index in table.indexes}
    found = examine(path, columns, indexes, LOCK_SECONDS)
    if found.word == "locked":
        raise StoreError(_locked(path))
    if found.word == "other":
        raise StoreError(_bad_ledger(path, found.why))
    if found.word == "broken":
        aside = set_aside(path)
        warnings.warn(f"{path} is broken ({found.why}); it is {aside} now, and made anew from runs/", stacklevel=2)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What SQLite refuses, as a sentence; SQLAlchemy's, alembic's and Optuna's own errors share no class."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, sqlite3.Error):
            cause = getattr(cause, "orig", None) or cause.__cause__ or cause.__context__
        raise StoreError(_locked(path) if is_locked(cause) else _bad_ledger(path, cause or error)) from error


def _locked(path: Path) -> str:
    return (
        f"{path} is locked by another process, for more than {LOCK_SECONDS:g} seconds; end what holds it, and the same "
        f"command goes on; results in runs/ stand"
    )


def _bad_ledger(path: Path, why: object) -> str:
    if not path.exists():
        return f"{path} is gone, deleted or moved while the study ran; the same command makes it anew from runs/"
    first = str(why).splitlines()[0]
    return f"{path} is not a ledger of this study ({first}); try: mv {path} {path}.bad (it is rebuilt from runs/)"


@contextmanager
def quiet() -> Iterator[None]:
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
