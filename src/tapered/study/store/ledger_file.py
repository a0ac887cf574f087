"""A ledger's file before it is opened: whole, broken so that it is made anew from runs/, or somebody else's."""

import sqlite3
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Literal, NamedTuple

MAGIC = b"SQLite format 3\0"
BESIDE = ("-journal", "-wal", "-shm")
BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


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
