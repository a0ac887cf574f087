"""The ledger: Optuna studies, which `optuna-dashboard` shows, in a file beside the runs or in a database's server.

A finished run is a complete trial with parameters arm, peak and seed, from when it began to when it ended; its
intermediate values are the validation curve. A diverged run is a failed trial, a pruned one a pruned trial; the user
attribute "result" says where. Runs with fresh seeds, which chose nothing, are trials of a study of their own, so that
no lucky one of them is the other's best trial.

    finished runs ─► FileLedger ─► ledger.db      at once, in one transaction
                 ╰─► Queue ─► a thread ─► Server    when the server takes them
"""

import json
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from math import isfinite, isinf
from typing import Any, Self

from tapered.stats import Direction
from tapered.study.store.runs import Run

Values = list[dict[str, Any]]
METRICS = "study:metric_names"  # where Optuna's `set_metric_names` writes; as of itself it warns that it is new
BEST = "best trial"  # a study's attribute, for those who look at what Optuna calls that
LUCK = (
    "One arm at one peak with one seed, and so the luckiest seed's: no finding. Arms are compared by means over seeds, "
    "and seed by seed; what was found is in the study's report.html, and tapered show FOLDER prints it."
)


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
        fresh: Those of them that choose nothing.
    """

    name: str
    direction: Direction
    metric: str
    arms: Sequence[str]
    peaks: Sequence[float]
    seeds: Sequence[int]
    fresh: Sequence[int] = ()

    @property
    def names(self) -> list[str]:
        """What is shown as the name of a trial's value."""
        return [f"validation {self.metric} of one seed"]

    @property
    def books(self) -> list[Self]:
        """The studies that it is in the ledger: of the seeds that choose, and of fresh ones, where there are some."""
        again = [replace(self, name=f"{self.name}, fresh seeds")] if self.fresh else []
        return [self, *again]


class Entries:
    """The trials of a study's books, one a run.

    Optuna's own ``add_trials`` reads before every value it writes: 60 ms a run of 21 evaluations, against 0.3 ms
    through its engine. What the tables are is asked of Optuna, or of the server that has them.

    Args:
        tables: Optuna's, by name.
        studies: The ids of its books in them.
        space: What its trials range over.
    """

    def __init__(self, tables: Mapping[str, Any], studies: Sequence[int], space: Space) -> None:
        self._tables, self._studies, self._space = tables, studies, space

    def keys(self, connection: Any, among: Sequence[str] | None = None) -> set[str]:
        """The keys of the runs that are entered; of those among which they are looked for, if any are given."""
        attributes, trials = self._tables["trial_user_attributes"], self._tables["trials"]
        asked = (
            attributes.select()
            .join(trials, trials.c.trial_id == attributes.c.trial_id)
            .where(trials.c.study_id.in_(self._studies), attributes.c.key == "key")
        )
        if among is not None:
            asked = asked.where(attributes.c.value_json.in_([json.dumps(key) for key in among]))
        return {json.loads(row.value_json) for row in connection.execute(asked)}

    def hold(self, connection: Any) -> None:
        """Let no other writer number this study's trials until the transaction ends; Optuna's own hold this row, too.

        Raises:
            LookupError: The study is gone.
        """
        studies = self._tables["studies"]
        mine = studies.select().where(studies.c.study_id.in_(self._studies)).order_by(studies.c.study_id)
        if len(connection.execute(mine.with_for_update()).all()) < len(self._studies):
            raise LookupError("the study was deleted there")

    def enter(self, connection: Any, runs: Sequence[Run]) -> None:
        """Enter runs that are not in it yet; the database gives the trials' ids."""
        fresh = [run for run in runs if run.seed in self._space.fresh]
        choosing = [run for run in runs if run.seed not in self._space.fresh]
        for study, mine in zip(self._studies, (choosing, fresh), strict=False):
            if mine:
                ids = self._trials(connection, study, mine)
                rows = self._rows(list(zip(ids, mine, strict=True)))
                for name, values in rows.items():
                    if values:
                        connection.execute(self._tables[name].insert(), values)

    def _trials(self, connection: Any, study: int, runs: Sequence[Run]) -> list[int]:
        """The ids of new trials, one a run, numbered after those that are there."""
        from sqlalchemy import func, select  # noqa: PLC0415 - optuna brings it

        trials = self._tables["trials"]
        mine = trials.c.study_id == study
        first = connection.execute(select(func.count()).select_from(trials).where(mine)).scalar_one()
        made = [
            {"study_id": study, "number": number, "state": _state(run), **_times(run)}
            for number, run in enumerate(runs, first)
        ]
        connection.execute(trials.insert(), made)
        ids = select(trials.c.trial_id).where(mine, trials.c.number >= first).order_by(trials.c.number)
        return list(connection.execute(ids).scalars())

    def _rows(self, numbered: Sequence[tuple[int, Run]]) -> dict[str, Values]:
        """The rows of Optuna's other tables that are these runs."""
        distributions, metric = _distributions(self._space), self._space.metric
        values: Values = []
        params: Values = []
        attributes: Values = []
        points: Values = []
        for number, run in numbered:
            trial = {"trial_id": number}
            if _state(run) == "COMPLETE":
                values.append({**trial, "objective": 0, **_number("value", run.value)})
            params += [{**trial, **param} for param in _params(run, distributions)]
            said = {"key": run.key, "result": _result(run), "fresh": run.seed in self._space.fresh}
            attributes += [{**trial, "key": key, "value_json": json.dumps(value)} for key, value in said.items()]
            points += [{**trial, "step": step, **_number("intermediate_value", p[metric])} for step, p in run.curve]
        return {
            "trial_values": values,
            "trial_params": params,
            "trial_user_attributes": attributes,
            "trial_intermediate_values": points,
        }


def storage(url: str, **engine: Any) -> Any:
    """Optuna's storage at a URL, its tables made where there are none.

    Args:
        url: Of a database, as SQLAlchemy reads it.
        engine: Further arguments of SQLAlchemy's engine.
    """
    import optuna  # noqa: PLC0415 - takes half a second, and nothing else needs it

    return optuna.storages.RDBStorage(url.replace("{", "{{").replace("}", "}}"), engine_kwargs=engine)


def study_in(stored: Any, space: Space) -> int:
    """The id of a space's study in Optuna's storage, which is made where there is none."""
    import optuna  # noqa: PLC0415 - as above

    optuna.create_study(storage=stored, study_name=space.name, direction=space.direction, load_if_exists=True)
    found = int(stored.get_study_id_from_name(space.name))
    if METRICS not in stored.get_study_system_attrs(found):
        stored.set_study_system_attr(found, METRICS, space.names)
        stored.set_study_user_attr(found, BEST, LUCK)
    return found


@cache
def tables_made() -> Mapping[str, Any]:
    """The tables that this Optuna makes, as it makes them in memory."""
    from sqlalchemy import MetaData  # noqa: PLC0415 - optuna brings it

    made = storage("sqlite://")
    found = MetaData()
    found.reflect(made.engine)
    made.engine.dispose()
    return found.tables


def _distributions(space: Space) -> dict[str, tuple[Any, str]]:
    """Parameter -> its distribution, and that as Optuna's JSON."""
    from optuna import distributions as kinds  # noqa: PLC0415 - as above

    found = {
        "arm": kinds.CategoricalDistribution(tuple(space.arms)),
        "seed": kinds.IntDistribution(min(space.seeds), max(space.seeds)),
    }
    if space.peaks:
        found["peak"] = kinds.FloatDistribution(min(space.peaks), max(space.peaks), log=True)
    return {name: (kind, kinds.distribution_to_json(kind)) for name, kind in found.items()}


def _state(run: Run) -> str:
    """A trial's state by Optuna's name."""
    if run.pruned is not None:
        return "PRUNED"
    return "FAIL" if run.diverged is not None or not isfinite(run.value) else "COMPLETE"


def _times(run: Run) -> dict[str, datetime]:
    """When a run began and ended, as Optuna's own trials have it: local, without a zone; now where it is not known."""
    now = time.time()
    ended = now if run.ended is None else min(run.ended, now)
    began = ended if run.began is None else min(run.began, ended)
    return {
        name: datetime.fromtimestamp(max(0.0, seconds))  # noqa: DTZ006 - see above
        for name, seconds in (("datetime_start", began), ("datetime_complete", ended))
    }


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
