"""A ledger in a database's server: Optuna's tables there, several writers at once, answers that may be lost.

    under the lock of tables: tables, study ─► Server
    runs ─► under the study's lock: which keys are there? ─► the others are entered ─► commit

Whether a transaction whose answer was lost took place is so seen where it would be made again. Each transaction makes
its own connection, and none is held while training goes on: some firewalls drop an idle one, and a server has few.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tapered.study.store.ledger import BEST, LUCK, METRICS, Entries, Space, storage, tables_made
from tapered.study.store.runs import Run

LOCK = 7_261_143_905  # the advisory lock under which tables and studies are made
MARK = "tapered"  # a study's attribute that says which one of its name it is
POSTGRES = "postgresql"
# a server that is gone is found out within half a minute; prepared statements do not survive a pooler between
CONNECT: Mapping[str, Any] = {
    "application_name": "tapered",
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "prepare_threshold": None,
}
LIMITS = {"statement_timeout": "30s", "lock_timeout": "10s", "idle_in_transaction_session_timeout": "60s"}


@dataclass
class Seen:
    """What earlier tries found in a server, so that one whose connections end soon is come by step by step."""

    made: bool = False  # Optuna's tables
    tables: Mapping[str, Any] = field(default_factory=dict)


class Server:
    """The study in a server, its tables and itself made where there are none.

    Args:
        url: Of the database, without a password.
        space: What its trials range over.
        identity: Hash of what the study's numbers depend on: two studies of one name are two in the ledger.
        seen: Of earlier tries.
    """

    def __init__(self, url: str, space: Space, identity: str, seen: Seen | None = None) -> None:
        from sqlalchemy import create_engine, make_url  # noqa: PLC0415 - optuna brings it
        from sqlalchemy.pool import NullPool  # noqa: PLC0415 - as above

        parsed = make_url(url)
        asked = {} if parsed.get_backend_name() != POSTGRES else CONNECT
        options = {
            "connect_args": {name: value for name, value in asked.items() if name not in parsed.query},
            "isolation_level": "READ COMMITTED",  # else what was entered while one waited for the lock is not seen
            "poolclass": NullPool,
        }
        self._engine = create_engine(parsed, **options)
        found = seen or Seen()
        if not found.made:
            with self._begun(LOCK):
                storage(url, **options)  # by connections of its own
                found.made = True
        try:
            with self._begun(LOCK) as connection:
                found.tables = found.tables or _tables(connection)
                books = [_study(connection, found.tables, book, identity) for book in space.books]
                self._entries = Entries(found.tables, books, space)
                self.entered = self._entries.keys(connection)
        except Exception as error:
            if not getattr(error, "connection_invalidated", False):  # somebody may have dropped them
                found.made, found.tables = False, {}
            raise

    def enter(self, runs: Sequence[Run]) -> None:
        """Enter those runs that are not in it yet, in one transaction."""
        with self._begun() as connection:
            self._entries.hold(connection)
            there = self._entries.keys(connection, [run.key for run in runs])
            self._entries.enter(connection, [run for run in runs if run.key not in there])

    @contextmanager
    def _begun(self, lock: int | None = None) -> Iterator[Any]:
        with self._engine.begin() as connection:
            if connection.dialect.name == POSTGRES:
                for name, value in LIMITS.items():  # a start-up option would be refused by some poolers
                    connection.execute(_select("set_config", name, value, True))
                if lock is not None:
                    connection.execute(_select("pg_advisory_xact_lock", lock))
            yield connection


def _tables(connection: Any) -> Mapping[str, Any]:
    from sqlalchemy import MetaData  # noqa: PLC0415 - as above

    found = MetaData()
    found.reflect(connection, only=list(tables_made()))
    return found.tables


def place(url: str) -> str:
    """Where a database is, for people.

    >>> place("postgresql+psycopg://me@db.lab:5432/studies?sslmode=require")
    'me@db.lab:5432/studies'
    """
    from sqlalchemy import make_url  # noqa: PLC0415 - as above

    parsed = make_url(url)
    found = parsed.set(query={}).render_as_string(hide_password=True).partition("://")[2]
    return found.strip("/") or f"the {parsed.get_backend_name()} server"


def reason(error: BaseException) -> str:
    """What a driver says, its first line: neither the statement nor its values, which SQLAlchemy adds."""
    cause: BaseException | None = error
    while cause is not None and getattr(cause, "orig", None) is None:
        cause = cause.__cause__ or cause.__context__
    said = str(error if cause is None else cause.orig).strip()  # type: ignore[attr-defined]
    return said.splitlines()[0] if said else type(error).__name__


def silence() -> None:
    """Keep what libraries log of a lost connection off the terminal, where nobody has asked for their logs."""
    for name in ("psycopg", "sqlalchemy"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())


def _select(name: str, *values: Any) -> Any:
    from sqlalchemy import func, select  # noqa: PLC0415 - as above

    return select(getattr(func, name)(*values))


def _study(connection: Any, tables: Mapping[str, Any], space: Space, identity: str) -> int:
    """The id of exactly this study; where its name is another's already, its identity is added to it."""
    from sqlalchemy import and_, select  # noqa: PLC0415 - as above

    studies, marks = tables["studies"], tables["study_user_attributes"]
    mark = json.dumps(identity)
    joined = studies.outerjoin(marks, and_(marks.c.study_id == studies.c.study_id, marks.c.key == MARK))
    for name in (space.name, f"{space.name} ({identity})"):
        asked = select(studies.c.study_id, marks.c.value_json).select_from(joined).where(studies.c.study_name == name)
        found = connection.execute(asked).first()
        if found is None:
            return _made(connection, tables, name, space, mark)
        if found.value_json == mark:
            return int(found.study_id)
    raise ValueError(f"it has studies {space.name!r} and {name!r} already, which others made; try another database")


def _made(connection: Any, tables: Mapping[str, Any], name: str, space: Space, mark: str) -> int:
    """Make a study with its mark in one transaction, so that no kill leaves one without."""
    made = connection.execute(tables["studies"].insert(), {"study_name": name}).inserted_primary_key[0]
    towards = {"study_id": made, "objective": 0, "direction": space.direction.upper()}
    connection.execute(tables["study_directions"].insert(), towards)
    for key, value in ((MARK, mark), (BEST, json.dumps(LUCK))):
        connection.execute(
            tables["study_user_attributes"].insert(), {"study_id": made, "key": key, "value_json": value}
        )
    shown = {"study_id": made, "key": METRICS, "value_json": json.dumps(space.names)}
    connection.execute(tables["study_system_attributes"].insert(), shown)
    return int(made)
