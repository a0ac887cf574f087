"""A ledger in an SQLite file: whole, broken so that it is made anew from runs/, or somebody else's."""

import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tapered.files.errors import StoreError
from tapered.study.store.ledger import Entries, Space, quiet, storage, study_in, tables_made
from tapered.study.store.runs import Run

LOCK_SECONDS = 60.0  # that another process may hold the ledger
MAGIC = b"SQLite format 3\0"
BESIDE = ("-journal", "-wal", "-shm")
BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class FileLedger:
    """The Optuna studies at ``path``, created where there is none.

    Raises:
        StoreError: If the file belongs to something else, or is locked. A broken one is set aside, with a warning.
    """

    trouble = None

    def __init__(self, path: Path, space: Space) -> None:
        self._path = path
        with quiet():
            tables = tables_made()
        _check(path, tables)
        with quiet(), _told(path):
            self._storage = storage(_url(path), connect_args={"timeout": LOCK_SECONDS})
            books = [study_in(self._storage, book) for book in space.books]
            self._entries = Entries(tables, books, space)
            with self._storage.engine.connect() as connection:
                self._known = self._entries.keys(connection)

    def add(self, runs: Sequence[Run]) -> None:
        """Enter finished runs that are not in it yet, in one transaction."""
        new = {run.key: run for run in runs if run.key not in self._known}
        if new:
            with _told(self._path), self._storage.engine.begin() as connection:
                self._entries.enter(connection, list(new.values()))
            self._known |= set(new)

    def settle(self, seconds: float) -> None:
        """What a server has not taken yet; None of a file."""

    def close(self, *, tell: bool) -> None:  # noqa: ARG002 - as above
        """Let go of the file."""
        self._storage.remove_session()
        self._storage.engine.dispose()


class Found(NamedTuple):
    """What a file is, and why."""

    word: Literal["whole", "broken", "other", "locked"]
    why: str = ""


def examine(path: Path, tables: Mapping[str, AbstractSet[str]], indexes: AbstractSet[str], seconds: float) -> Found:
    """What a ledger's file is; an empty one, or none, is whole: what a kill leaves before the first commit.

    Args:
        path: The file.
        tables: The columns of every table that it is to have.
        indexes: The indexes.
        seconds: How long to wait for another process's lock.
    """
    if not path.exists() or path.stat().st_size == 0:
        return Found("whole")
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return Found("other", "file is not a database")
    try:
        with closing(sqlite3.connect(path, timeout=seconds)) as connection:
            [result] = connection.execute("PRAGMA quick_check(1)").fetchone()
            if result != "ok":
                return Found("broken", result.splitlines()[0])
            return _compared(connection, tables, indexes)
    except sqlite3.DatabaseError as error:
        return Found("locked" if is_locked(error) else "broken", str(error))


def _compared(
    connection: sqlite3.Connection, tables: Mapping[str, AbstractSet[str]], indexes: AbstractSet[str]
) -> Found:
    """Tables of other columns are not Optuna's; some of Optuna's are what a kill leaves while they are made."""
    made = dict(connection.execute("select name, type from sqlite_master where name not like 'sqlite_%'").fetchall())
    for name in (name for name, kind in made.items() if kind == "table"):
        columns = {column for (column,) in connection.execute("select name from pragma_table_info(?)", (name,))}
        if columns != tables.get(name):
            return Found("other", f"its table {name} is not Optuna's")
    missing = sorted((tables.keys() | indexes) - made.keys())
    return Found("broken", f"it lacks {missing[0]}") if missing else Found("whole")


def is_locked(error: BaseException | None) -> bool:
    """Whether another process held SQLite's lock for too long."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in BUSY


def set_aside(path: Path) -> Path:
    """Rename a broken ledger, with its journal, which SQLite would roll back into the new one."""
    names = (path.with_name(f"{path.name}.bad{number or ''}") for number in count())
    aside = next(name for name in names if not name.exists())
    for end in BESIDE:  # first, as a ledger without journal is broken still, and a journal without ledger is a danger
        if (beside := path.with_name(path.name + end)).exists():
            beside.replace(aside.with_name(aside.name + end))
    return path.replace(aside)


def _url(path: Path) -> str:
    """A file's URL, in which no letter of its name has a meaning: `?`, `#` and `%` have one in plain paths."""
    from sqlalchemy import URL  # noqa: PLC0415 - optuna brings it

    # rendered by SQLAlchemy, whose releases differ in what of it they quote
    return URL.create("sqlite", database=path.absolute().as_uri(), query={"uri": "true"}).render_as_string()


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
